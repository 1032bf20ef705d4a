"""What stands at the top agrees with the project: metadata, pins, citation, templates, workflow, Dockerfile."""

from __future__ import annotations

import configparser
import itertools
import re
import shlex
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import pytest
import yaml
from helpers.dockerfiles import instructions
from packaging.specifiers import SpecifierSet

import lipsound2.errors
from lipsound2 import __version__
from lipsound2.data.yaml_files import read_yaml
from lipsound2.errors import install_command

ROOT = Path(__file__).resolve().parents[1]
SETUP = (ROOT / "setup.cfg").read_text(encoding="utf-8")


def config() -> configparser.ConfigParser:
    parsed = configparser.ConfigParser()
    parsed.read_string(SETUP)
    return parsed


def names(requirements: str) -> set[str]:
    """Packages that a value of setup.cfg declares."""
    return {re.split(r"[ <>=!~;]", line)[0].lower() for line in requirements.splitlines() if line}


def test_every_extra_says_what_it_is_for() -> None:
    lines = SETUP[SETUP.index("[options.extras_require]") : SETUP.index("[tool:pytest]")].splitlines()
    extras = [
        (above, line.removesuffix(" =")) for above, line in itertools.pairwise(lines) if re.fullmatch(r"[\w-]+ =", line)
    ]
    assert [extra for _, extra in extras] == list(config()["options.extras_require"])
    assert [extra for above, extra in extras if not above.startswith("# ")] == []


def test_install_sh_lists_the_extras() -> None:
    told = re.search(r"--extras LIST +(\S+)", (ROOT / "tools/install.sh").read_text(encoding="utf-8"))
    assert told is not None
    assert sorted(told[1].split(",")) == sorted(config()["options.extras_require"])


def test_the_page_of_installation_names_every_extra_once() -> None:
    rows = re.findall(r"^\| (`.*) \| ", (ROOT / "docs/install.md").read_text(encoding="utf-8"), re.MULTILINE)
    told = [extra for row in rows for extra in re.findall(r"`([\w-]+)`", row.partition(" | ")[0])]
    assert sorted(told) == sorted(config()["options.extras_require"])


def test_every_declared_package_is_pinned() -> None:
    pinned = names((ROOT / "tools/constraints.txt").read_text(encoding="utf-8"))
    parsed = config()
    extras = dict(parsed["options.extras_require"])
    extras.pop("whisper")  # declared for those who want it, and run by no test
    declared = names(parsed["options"]["install_requires"]).union(*map(names, extras.values()))
    assert declared - pinned == set()


def test_what_is_pinned_runs_on_the_oldest_python() -> None:
    """Debian 12 has 3.11.2, and pip refuses all of a set-up for one package that wants a later one."""
    oldest = config()["options"]["python_requires"].removeprefix(">=") + ".0"
    pinned = names((ROOT / "tools/constraints.txt").read_text(encoding="utf-8"))
    wanted = {each.name.lower(): each.metadata.get("Requires-Python", "") for each in distributions()}
    assert len(pinned & wanted.keys()) > 20
    assert [
        f"{name} {wanted[name]}" for name in pinned & wanted.keys() if oldest not in SpecifierSet(wanted[name])
    ] == []


def test_a_missing_package_is_installed_the_way_the_project_was(tmp_path: Path, monkeypatch) -> None:
    assert install_command("face") == "tools/install.sh --extras face"
    monkeypatch.setattr(lipsound2.errors, "__file__", str(tmp_path / "site-packages/lipsound2/errors.py"))
    assert install_command("face") == 'pip install "lipsound2[face]"'


def test_versions_agree() -> None:
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert newest is not None
    assert newest[1] == read_yaml(ROOT / "CITATION.cff")["version"] == __version__


def cited(entry: dict[str, Any]) -> None:
    """What the Citation File Format 1.2.0 requires of a work, and the types of what is used here."""
    assert isinstance(entry["title"], str)
    assert entry["authors"]
    for author in entry["authors"]:
        assert set(author) in ({"name"}, {"family-names", "given-names"})
    assert all(
        isinstance(entry.get(key, ""), str) for key in ("version", "volume", "issue", "start", "end", "abstract")
    )
    assert isinstance(entry.get("year", 2024), int)
    assert re.fullmatch(r"10\.\d{4,9}/\S+", entry.get("doi", "10.1000/x"))


def test_the_citation_has_the_form_that_readers_of_it_want() -> None:
    content = read_yaml(ROOT / "CITATION.cff")
    known = "cff-version message type title abstract version license authors keywords references"
    assert set(content) == set(known.split())
    assert content["cff-version"] == "1.2.0"
    assert content["type"] == "software"
    assert content["license"] == config()["metadata"]["license"]
    cited(content)
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for paper in content["references"]:
        cited(paper)
        assert paper["type"] in ("article", "conference-paper")
        assert f"doi={{{paper['doi']}}}" in text, "README.md cites another paper"


@pytest.mark.parametrize("path", sorted(ROOT.glob(".github/ISSUE_TEMPLATE/*.md")), ids=lambda path: path.stem)
def test_templates_of_issues_begin_as_they_must(path: Path, tmp_path: Path) -> None:
    _, front, body = path.read_text(encoding="utf-8").split("---\n", 2)
    (tmp_path / "front.yaml").write_text(front, encoding="utf-8")
    assert set(read_yaml(tmp_path / "front.yaml")) == {"name", "about", "labels"}
    assert body.strip()


def test_the_workflow_calls_commands_of_this_project() -> None:
    jobs = yaml.safe_load((ROOT / ".github/workflows/test.yml").read_text(encoding="utf-8"))["jobs"]
    steps = {name: [step["run"] for step in job["steps"] if "run" in step] for name, job in jobs.items()}
    assert steps["tests"][-1] == "tools/test.sh"
    assert steps["docs"][0] == "tools/install.sh --extras docs"
    assert shlex.split(steps["docs"][1])[:2] == [".venv/bin/sphinx-build", "-W"]


def test_the_dockerfile_copies_files_that_are_there() -> None:
    steps = instructions(ROOT / "Dockerfile")
    assert steps[0] == ("FROM", "python:3.11-slim")
    sources = [source for word, rest in steps if word == "COPY" for source in rest.split()[:-1]]
    assert [source for source in sources if not (ROOT / source).exists()] == []
    assert ("ENTRYPOINT", '["lipsound2"]') in steps
