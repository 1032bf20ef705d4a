"""A Dockerfile followed without Docker: a folder stands for the image, a venv for its Python."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path


def instructions(path: Path) -> list[tuple[str, str]]:
    """Instructions and their arguments, without comments and with continued lines joined."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines)).splitlines()
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in joined) if word]


class Image:
    """What following a Dockerfile leaves.

    Attributes:
        base: image that it begins from.
        root: folder that stands for /.
        workdir: the last WORKDIR, below root.
        environment: of RUN and ENTRYPOINT.
        entrypoint, cmd: words of the command.
    """

    def __init__(self, dockerfile: Path, context: Path, root: Path, venv: Path, environment: dict[str, str]) -> None:
        self.base, self.root, self.workdir = "", root, root
        self.environment = environment | {"PATH": f"{venv / 'bin'}:/usr/bin:/bin"}
        self.entrypoint: list[str] = []
        self.cmd: list[str] = []
        for word, rest in instructions(dockerfile):
            match word:
                case "FROM":
                    self.base = rest
                case "ARG":
                    name, _, value = rest.partition("=")
                    self.environment.setdefault(name, value)
                case "ENV":
                    pairs = (pair.partition("=") for pair in shlex.split(rest))
                    self.environment |= {name: value for name, _, value in pairs}
                case "WORKDIR":
                    self.workdir = self._inside(rest)
                    self.workdir.mkdir(parents=True, exist_ok=True)
                case "COPY":
                    self._copy(context, rest.split())
                case "RUN":
                    self._run(rest)
                case "ENTRYPOINT":
                    self.entrypoint = json.loads(rest)
                case "CMD":
                    self.cmd = json.loads(rest)
                case _:
                    raise AssertionError(f"{dockerfile}: {word} is not followed here")

    def start(self, *words: str) -> subprocess.CompletedProcess[str]:
        """`docker run` with these words behind the image's name."""
        command = [*self.entrypoint, *(words or self.cmd)]
        return subprocess.run(command, cwd=self.workdir, env=self.environment, capture_output=True, text=True)

    def _inside(self, path: str) -> Path:
        return self.root / path.lstrip("/") if path.startswith("/") else self.workdir / path

    def _copy(self, context: Path, words: list[str]) -> None:
        *sources, target = words
        for source in sources:
            path = context / source
            if path.is_dir():  # its content, as Docker does
                shutil.copytree(path, self._inside(target), dirs_exist_ok=True)
            else:
                place = self._inside(target)
                place = place / path.name if target.endswith("/") else place
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, place)

    def _run(self, command: str) -> None:
        assert "apt" not in command, "a step that needs root cannot be followed here"
        done = subprocess.run(
            ["sh", "-c", command], cwd=self.workdir, env=self.environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr[-3000:]
