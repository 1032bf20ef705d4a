"""The parts of the page that are text: templates, in which every value is escaped."""

from __future__ import annotations

import base64
import functools

import jinja2

from lipsound2.decoding.hypothesis import DOUBTFUL, is_doubtful
from lipsound2.demo.answers import worth_playing
from lipsound2.demo.reading import Answer
from lipsound2.inference.phrase_lines import NOBODY
from lipsound2.report.images import mel_image, mel_range

_SHOWN = 5  # alternatives, and sentences


@functools.cache
def _environment() -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.PackageLoader(__package__, "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["percent"] = percent
    made.tests["doubtful"] = is_doubtful
    return made


def percent(share: float) -> str:
    """A probability as per cent, without pretending to be certain: > 99 %, < 1 %."""
    rounded = round(100 * share)
    if 0 < share < 1 and rounded in (0, 100):
        return "> 99 %" if rounded else "< 1 %"
    return f"{rounded} %"


def head(model: str, knows: str, local: bool) -> str:
    """The title, and below it what the model knows and what comes of anything else.

    Args:
        model: its name.
        knows: see `Choices.knows`.
        local: whether the page is for this machine alone.
    """
    return _environment().get_template("head.html").render(model=model, knows=knows, local=local)


def working(clip: str) -> str:
    """What goes on until there is an answer.

    Args:
        clip: name of its file; empty: it comes from the camera, and has none that says anything.
    """
    return _environment().get_template("working.html").render(clip=clip)


def failure(line: str) -> str:
    """Why there is no answer, in one line."""
    return _environment().get_template("failure.html").render(line=line)


def words(answer: Answer) -> str:
    """The text with the confidence of each word, what else it could be, and reasons to doubt it."""
    what = answer.transcript
    rankings = []
    for ranking in what.phrases:
        rows = [(each.text, each.probability) for each in ranking.choices[:_SHOWN]] + [(NOBODY, ranking.none)]
        rows.sort(key=lambda row: -row[1])
        rankings.append({"start": ranking.start, "end": ranking.end, "rows": rows, "of": len(ranking.choices)})
    return (
        _environment()
        .get_template("words.html")
        .render(
            text=what.text,
            nobody=NOBODY,
            useless=answer.speech is not None and worth_playing(answer).speech is None,
            words=what.words if not what.phrases else [],
            confidence=what.confidence,
            calibrated=what.calibrated,
            doubtful=sum(map(is_doubtful, what.words)),
            limit=DOUBTFUL,
            others=[(each.text or NOBODY, each.probability) for each in what.alternatives[:_SHOWN]],
            rankings=rankings,
            models=[*what.models],
            warnings=answer.warnings,
        )
    )


def mel(answer: Answer) -> str:
    """The mel spectrogram of the speech as an image; empty where there is no speech."""
    if answer.speech is None:
        return ""
    values = answer.speech.mel
    low, high = mel_range(values)
    image = base64.b64encode(mel_image(values, low, high, len(values))).decode()
    return _environment().get_template("mel.html").render(image=image, seconds=answer.speech.seconds)
