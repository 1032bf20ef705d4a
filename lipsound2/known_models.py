"""Public models that others published and that this toolkit reads: what they are, and where they are to be had.

The list is `known_models.yaml`. Nothing is fetched here; the verb `models get` does so when it is asked to.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from lipsound2.data.shapes import checked
from lipsound2.data.yaml_files import read_yaml

_FILE = Path(__file__).with_suffix(".yaml")
# What every list of them says of their error rates.
CAVEAT = (
    "These rates are the publishers' own, on clips of the corpora named: broadcast, or a studio. Clips from the street "
    "are much harder: a stronger family of readers has 47 to 74 % there. None was measured here."
)


@dataclass(frozen=True)
class Source:
    """Those who published models.

    Attributes:
        where: page to get the files from by hand.
        license: of the models.
        terms: the license in a few words.
    """

    where: str
    license: str
    terms: str


@dataclass(frozen=True)
class TokenTable:
    """A table of tokens that is not among the files of a model.

    Attributes:
        url: where it lies.
        size: bytes.
        sha256: hexadecimal.
        license: of it.
    """

    url: str
    size: int
    sha256: str
    license: str


@dataclass(frozen=True)
class HubFiles:
    """Files of a model in a repository of a hub.

    Attributes:
        repository: OWNER/NAME.
        files: name -> SHA-256 that it has to have, hexadecimal.
        revision: branch, tag or commit.
    """

    repository: str
    files: Mapping[str, str]
    revision: str = "main"


@dataclass(frozen=True)
class _Entry:
    """A model, as the file has it; see `KnownModel`."""

    kind: str
    source: str
    file: str
    verb: str
    language: str = ""
    published: str = ""
    size: int = 0
    tokens: str = ""
    options: str = ""
    use_with: str = ""
    hub: HubFiles | None = None


@dataclass(frozen=True)
class KnownModel:
    """A public model.

    Attributes:
        name: it gets here.
        kind: what it is, in words.
        language: that it reads, en or zh; empty: any.
        published: word error rate as published, and of what; empty: none.
        size: of its files, megabytes; 0: not known.
        source: who published it.
        file: to get by hand.
        verb: that converts the file.
        options: further ones of the verb.
        tokens: name of the table of tokens that the verb needs too; empty: none.
        table: where that table lies.
        use_with: the reader that a language model belongs to.
        hub: where it can be fetched; None: by hand alone.
    """

    name: str
    kind: str
    language: str
    published: str
    size: int
    source: Source
    file: str
    verb: str
    options: str
    tokens: str
    table: TokenTable | None
    use_with: str
    hub: HubFiles | None

    @property
    def convert(self) -> str:
        """The command that converts the file once it was got by hand."""
        tokens = f" --tokens {self.tokens}" if self.tokens else ""
        return f"lipsound2 {self.verb} {shlex.quote(self.file)} --name {self.name}{tokens} {self.options}".rstrip()


@dataclass(frozen=True)
class _Listed:
    sources: Mapping[str, Source]
    models: Mapping[str, _Entry]
    tables: Mapping[str, TokenTable] = field(default_factory=dict)


@cache
def known_models() -> dict[str, KnownModel]:
    """The known public models by name, in the order of the list."""
    listed: _Listed = checked(read_yaml(_FILE), _Listed, _FILE.name)
    return {
        name: KnownModel(
            name=name,
            kind=entry.kind,
            language=entry.language,
            published=entry.published,
            size=entry.size,
            source=listed.sources[entry.source],
            file=entry.file,
            verb=entry.verb,
            options=entry.options,
            tokens=entry.tokens,
            table=listed.tables[entry.tokens] if entry.tokens else None,
            use_with=entry.use_with,
            hub=entry.hub,
        )
        for name, entry in listed.models.items()
    }
