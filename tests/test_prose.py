"""The pages can be read: short sentences and cells of tables, whole decimals, no endless lines, links that lead on.

How sentences are counted. Left out are headings, code blocks, images, and rows of tables. What is left falls into
blocks: a paragraph, or an item of a list. A sentence ends with a full stop, a question mark or an exclamation mark
before a blank, and where its block ends. An initial ("J. Barker") ends none. A link counts as the words it shows, a
piece of `code` as one word, and a word is what has a letter or a digit in it.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# docs/results holds histories of measurements: they stay as they were written.
TOP = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
PAGES = [*TOP, *sorted(ROOT.glob("docs/*.md")), *sorted(ROOT.glob("egs/*/README.md"))]
WORDS_A_SENTENCE = 20
LINE = 400
WORDS_A_CELL = 28  # of a table: what needs more is a paragraph
ITEM = re.compile(r"([*-]|\d+\.) ")
END_OF_SENTENCE = re.compile(r"(?<!\b[A-Z]\.)(?<=[.!?])[\")*\]]*\s+")
BARE_DECIMAL = re.compile(r"(?<![\w./\\])\.\d")


def shown(text: str) -> str:
    """Text as a reader counts it: a piece of `code` is a word, a link what it shows."""
    return re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", re.sub(r"`[^`]+`", "code", text))


def blocks(page: str) -> list[str]:
    """Paragraphs and items of lists, each on one line, in which a piece of `code` or a link is what it shows."""
    page = re.sub(r"^```.*?^```", "", page, flags=re.DOTALL | re.MULTILINE)
    found: list[str] = []
    in_block = False
    for line in page.splitlines():
        text = line.strip()
        follows = in_block
        code = line.startswith("    ") and not follows
        in_block = bool(text) and not code and not text.startswith(("#", "|", "![", "<!--"))
        if not in_block:
            continue
        item = ITEM.match(text)
        if item or not follows:
            found.append("")
        found[-1] += " " + (text[item.end() :] if item else text)
    return [shown(block).strip() for block in found]


def sentences(page: str) -> list[int]:
    """Words of each sentence of a page."""
    pieces = (piece for block in blocks(page) for piece in END_OF_SENTENCE.split(block))
    counts = (sum(any(map(str.isalnum, word)) for word in piece.split()) for piece in pieces)
    return [count for count in counts if count]


def words_a_sentence(page: str) -> float:
    counts = sentences(page)
    return sum(counts) / len(counts)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_page_can_be_read(path: Path) -> None:
    page = path.read_text(encoding="utf-8")
    assert words_a_sentence(page) <= WORDS_A_SENTENCE
    lines = page.splitlines()
    assert [line for line in lines if re.match(r"<{7} |={7}$|>{7} ", line)] == [], "two versions, to be merged"
    assert [number for number, line in enumerate(lines, 1) if len(line) > LINE] == []
    assert [line for line in lines if BARE_DECIMAL.search(line)] == []
    cells = [cell for line in lines if line.startswith("|") for cell in shown(line).split("|")]
    assert [cell for cell in cells if len(cell.split()) > WORDS_A_CELL] == []


def anchors(page: str) -> set[str]:
    """What GitHub makes of the headings of a page."""
    headings = (line.lstrip("#").strip().lower() for line in page.splitlines() if line.startswith("#"))
    return {re.sub(r"[^\w -]", "", heading).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_what_is_there(path: Path) -> None:
    for link in re.findall(r"\]\(([^)]*)\)", path.read_text(encoding="utf-8")):
        if link.startswith("https://"):
            continue
        file, _, anchor = link.partition("#")
        target = (path.parent / file).resolve() if file else path
        assert target.exists(), link
        assert not anchor or anchor in anchors(target.read_text(encoding="utf-8")), link


def test_how_sentences_are_counted() -> None:
    page = """# A heading of five words

One sentence by J. S. Chung. Another one with `a piece of code`, 0.5 of it
over two lines? Yes (it ends here.) So.

* An item, [a link of five words](https://example.org/a.b)
  that goes on
* last

    lipsound2 code --that does not count

| a | row. |
| --- | --- |
"""
    assert sentences(page) == [6, 10, 4, 1, 10, 1]


@pytest.mark.parametrize("text", [".5", "(.5)", "[.357, .409]", "+.384", "ESTOI .81"])
def test_a_decimal_without_its_zero_is_found(text: str) -> None:
    assert BARE_DECIMAL.search(text)


@pytest.mark.parametrize("text", ["0.5", "v1.2.0", "a.b", "clips.1", "...5", "end. 5"])
def test_other_dots_are_left_alone(text: str) -> None:
    assert not BARE_DECIMAL.search(text)
