"""What the cards of clips share, on the report and on the page of a comparison."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from lipsound2.metrics.registry import SPEECH
from lipsound2.report import charts, markup
from lipsound2.report.view import ClipView

_STRIP_EVERY = 8  # video frames to one of the strip


def clip_card(part: str, clip: ClipView, shown: Sequence[str], controls: Sequence[str] = ()) -> Markup:
    """The card of a clip: its players, mels, scores and video.

    Args:
        part: name of the set.
        clip: what is known of it.
        shown: systems that stand side by side.
        controls: systems that are folded away.
    """
    return markup.render(
        "clip.html",
        part=part,
        clip=clip,
        name=markup.anchor(part, clip.id),
        crop_style=crop_style(part, clip) if clip.crops is not None else None,
        ticks=charts.ticks(clip.seconds),
        speech=SPEECH,
        shown_names=shown,
        control_names=controls,
        strip_every=_STRIP_EVERY,
    )


def crop_style(part: str, clip: ClipView) -> Markup:
    """The rule that shows a clip's crops wherever they stand.

    Args:
        part: name of the set.
        clip: one with crops.
    """
    assert clip.crops is not None
    return Markup(".%s{background-image:url(%s)}") % (
        markup.anchor(part, clip.id),
        markup.data_uri(clip.crops.jpeg, "image/jpeg"),
    )
