"""The words of the field: private ones that were given up do not come back, in package, recipes or pages."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# What may name them: the tables that read old files, the list of renames, results as they were published.
EXEMPT = re.compile(
    r"lipsound2/old_names\.py|lipsound2/pretrained/\S+/(config|target|mel)\.yaml|docs/renames\.tsv|CHANGELOG\.md"
    r"|tests/test_(words|old_names)\.py|utils/(parse_options|pipeline)\.sh|lipsound2/training/scratch\.py|docs/glossary\.md"
)
BRITISH = (
    r"\w*(optimis|recognis|normalis|initialis|synchronis|summaris|synthesise|quantis|serialis|tokenis)\w*"
    r"|\w*(colour|centre|grey|licence|neighbour|behaviour|labelled|learnt)\w*"
)
PRIVATE = {
    "British spelling": BRITISH,
    "a picture is a (video) frame, or an image on a page": r"[A-Za-z_]*[Pp]ictures?\b(?<!per_picture)",
    "a critic is a discriminator": r"\w*[Cc]ritics?\b",
    "who listens is a recognizer": r"(?<!Event)\b\w*(?<!Event)[Ll]isteners?\b",
    "an ear is a metric": r"\b[Ee]ars?\b",
    "true sound is ground truth": r"\b([Tt]rue|[Rr]eal) sounds?\b",
    "sound is audio, or a waveform": r"(?<!`)\b([a-z]+_)?sounds?(_[a-z]+)?\b"
    r"(?! (like|the same|alike|natural|as|better|metallic)\b)",
    "old keys of configs": r"\b(batch_pictures|keep_decoded|word_weight)\b"
    r"|\baugment_(window|focus|splice|turn|light|freeze)\b",
}


def texts() -> list[tuple[str, str]]:
    """Name and content of every tracked text file of package, recipes, tools and pages."""
    listed = subprocess.run(
        ["git", "ls-files", "lipsound2", "egs", "utils", "tools", "docs", ".github", "*.md", "*.cff", "Dockerfile"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    binary = re.compile(r"\.(png|flac|mp4|npz|npy|model|safetensors|tflite|tsv)$")
    kept = [name for name in listed if not EXEMPT.fullmatch(name) and not binary.search(name)]
    # Rows that `report --publish` wrote hold commands as they were typed.
    published = re.compile(r"<!-- [^>]*lines are written by.*?<!-- end", re.DOTALL)
    read = [(name, (ROOT / name).read_text(encoding="utf-8")) for name in kept]
    return [(name, published.sub(lambda rows: "\n" * rows[0].count("\n"), text)) for name, text in read]


@pytest.mark.parametrize("why", PRIVATE)
def test_words_that_were_given_up_stay_away(why: str) -> None:
    pattern = re.compile(PRIVATE[why])
    found = [
        f"{name}:{number}: {match.group(0)}"
        for name, text in texts()
        for number, line in enumerate(text.split("\n"), start=1)
        if (match := pattern.search(line))
    ]
    assert not found, f"{why}: {len(found)} lines, such as {found[:8]}"
