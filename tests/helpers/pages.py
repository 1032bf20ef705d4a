"""Pages whose examples are carried out: their code blocks, and a copy of the package to put them into."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_BLOCK = re.compile(
    r"^(?P<before>[^\n]*`(?P<file>[\w./-]+)`[^\n]*):\n\n```\w*\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)


class Workshop:
    """A copy of the package, its recipes and its layouts, into which a page's blocks go.

    Attributes:
        root: of the copy.
        files: whole files of the page, by path.
        entries: lines that go into a file that is there.
    """

    def __init__(self, root: Path, page: str, *folders: str) -> None:
        self.root = root
        text = (ROOT / "docs" / page).read_text(encoding="utf-8")
        found = [(match["before"], match["file"], match["text"]) for match in _BLOCK.finditer(text)]
        self.files = {file: text for before, file, text in found if before == f"`{file}`"}
        self.entries = {file: text for before, file, text in found if before != f"`{file}`"}
        for folder in ("lipsound2", *folders):
            shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("pretrained", "__pycache__"))

    def decode_step(self, before: str) -> None:
        """Do what the page says: write its files, put its entry before a line of the file that it goes into."""
        for name, text in self.files.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        for name, text in self.entries.items():
            path = self.root / name
            code = path.read_text(encoding="utf-8")
            assert code.count(before) == 1
            path.write_text(code.replace(before, text + before), encoding="utf-8")

    def run(self, *words: str) -> str:
        """A command of the copy, which must succeed: what it printed."""
        return self._python("-m", "lipsound2.cli", *words)

    def python(self, program: str) -> str:
        """A program that imports the copy, which must succeed: what it printed."""
        return self._python("-c", program)

    def _python(self, *arguments: str) -> str:
        environment = {**os.environ, "PYTHONPATH": str(self.root)}
        command = [sys.executable, *arguments]
        done = subprocess.run(command, env=environment, cwd=self.root, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout
