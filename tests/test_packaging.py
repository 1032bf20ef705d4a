"""What the metadata says: every extra is documented and can be set up, and pins hold what is declared."""

from __future__ import annotations

import configparser
import itertools
import re
from pathlib import Path

import lipsound2.errors
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
        (above, line.removesuffix(" =")) for above, line in itertools.pairwise(lines) if re.fullmatch(r"\w+ =", line)
    ]
    assert [extra for _, extra in extras] == list(config()["options.extras_require"])
    assert [extra for above, extra in extras if not above.startswith("# ")] == []


def test_install_sh_lists_the_extras() -> None:
    told = re.search(r"--extras LIST +(\S+)", (ROOT / "tools/install.sh").read_text(encoding="utf-8"))
    assert told is not None
    assert sorted(told[1].split(",")) == sorted(config()["options.extras_require"])


def test_every_declared_package_is_pinned() -> None:
    pinned = names((ROOT / "tools/constraints.txt").read_text(encoding="utf-8"))
    parsed = config()
    extras = dict(parsed["options.extras_require"])
    extras.pop("whisper")  # declared for those who want it, and run by no test
    declared = names(parsed["options"]["install_requires"]).union(*map(names, extras.values()))
    assert declared - pinned == set()


def test_a_missing_package_is_installed_the_way_the_project_was(tmp_path: Path, monkeypatch) -> None:
    assert install_command("face") == "tools/install.sh --extras face"
    monkeypatch.setattr(lipsound2.errors, "__file__", str(tmp_path / "site-packages/lipsound2/errors.py"))
    assert install_command("face") == 'pip install "lipsound2[face]"'
