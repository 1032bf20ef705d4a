"""The pages as a site: built without a warning, and every link leads to a file and a heading of the site."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[1]
EXTERNAL = re.compile(r"https://|mailto:")


class Page(HTMLParser):
    """Of one page: where its links lead, what it loads, which anchors it has."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attributes}
        self.anchors.add(found.get("id", ""))
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        elif tag == "link" or "src" in found:
            self.loaded.append(found.get("src") or found["href"])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the site; no warning was given."""
    pytest.importorskip("sphinx")
    made = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-d", str(made / "trees")]
    done = subprocess.run([*command, "-c", "docs", ".", str(made / "site")], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return made / "site"


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    return {path: Page(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}


def test_every_page_is_there(pages: dict[Path, Page], site: Path) -> None:
    sources = [*ROOT.glob("docs/**/*.md"), *ROOT.glob("*.md"), *ROOT.glob("egs/*/R*.md")]
    wanted = {path.relative_to(ROOT).with_suffix(".html") for path in sources if "TEMPLATE" not in path.parts}
    assert len(wanted) > 40
    assert wanted - {path.relative_to(site) for path in pages} == set()


def test_links_stay_in_the_site_or_lead_to_the_web(pages: dict[Path, Page], site: Path) -> None:
    wrong = []
    for path, page in pages.items():
        for link in page.links:
            file, _, anchor = link.partition("#")
            target = (path.parent / unquote(file)).resolve() if file else path
            if EXTERNAL.match(link) or (target.is_file() and not anchor):
                continue
            if target not in pages or unquote(anchor) not in pages[target].anchors:
                wrong.append(f"{path.relative_to(site)}: {link}")
    assert wrong == []


def test_a_page_loads_nothing_from_elsewhere(pages: dict[Path, Page]) -> None:
    assert [file for page in pages.values() for file in page.loaded if re.match(r"\w+:|//", file)] == []
    assert sum(len(page.loaded) for page in pages.values()) > 100


def test_the_index_links_every_page_for_who_reads_the_repository() -> None:
    """There a toctree is a block of code."""
    text = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    linked = {(ROOT / "docs" / target.partition("#")[0]).resolve() for target in re.findall(r"\]\(([^)]+)\)", text)}
    named = {
        (ROOT / "docs" / f"{name}.md").resolve() for name in re.findall(r"^(?!.*\*)([\w./-]+)$", text, re.MULTILINE)
    }
    assert named
    assert named <= linked
