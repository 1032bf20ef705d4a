"""What the cards of clips share, on the report and on the page of a comparison."""

from __future__ import annotations

from markupsafe import Markup

from lipsound2.report import markup
from lipsound2.report.view import ClipView

STRIP_EVERY = 8  # video frames to one of the strip


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
