"""Repositories of a model hub: what lies in one, at which commit, under which license.

It is asked with huggingface_hub. The hub is huggingface.co, or the one that HF_ENDPOINT names. Files themselves
are fetched by `corpora.fetch`, which goes on where a killed run stopped; huggingface_hub begins anew.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lipsound2.corpora.fetch import RemoteFile
from lipsound2.errors import LipsoundError, require

if TYPE_CHECKING:
    from huggingface_hub.hf_api import ModelInfo

# Files that a pack of this toolkit may have beside each other.
PACK_FILE = re.compile(r"[A-Za-z0-9][\w.-]*\.(safetensors|yaml|json|md|txt|npy|model|tsv)")
_TIMEOUT = 30.0  # seconds
_NAME = re.compile(r"hub:([A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:@(\S+))?")


@dataclass(frozen=True)
class Place:
    """A repository of a hub, in a command.

    Attributes:
        repository: OWNER/NAME.
        revision: branch, tag or commit.
    """

    repository: str
    revision: str = "main"

    def __str__(self) -> str:
        return f"hub:{self.repository}" + (f"@{self.revision}" if self.revision != "main" else "")


def place_of(text: str) -> Place | None:
    """What `hub:OWNER/NAME` or `hub:OWNER/NAME@REVISION` means; None: it does not begin with `hub:`.

    Raises:
        LipsoundError: it does, and goes on otherwise.
    """
    if not text.startswith("hub:"):
        return None
    match = _NAME.fullmatch(text)
    if not match:
        raise LipsoundError(f"{text}: expected hub:OWNER/NAME or hub:OWNER/NAME@REVISION")
    return Place(match[1], match[2] or "main")


@dataclass(frozen=True)
class HubFile:
    """A file in a repository.

    Attributes:
        size: bytes.
        checksum: see `RemoteFile`.
    """

    size: int
    checksum: str


@dataclass(frozen=True)
class Repository:
    """A repository at one commit.

    Attributes:
        place: how it was asked for.
        commit: 40 hexadecimal digits.
        license: as the hub says; empty: it says nothing.
        files: its files, by their paths.
    """

    place: Place
    commit: str
    license: str
    files: dict[str, HubFile]

    def remote(self, name: str, checksum: str = "") -> RemoteFile:
        """A file of it, to fetch.

        Args:
            name: its path in the repository.
            checksum: that it has to have; empty: the one that the hub promises.
        """
        from huggingface_hub import get_token, hf_hub_url

        url = hf_hub_url(self.place.repository, name, revision=self.commit, endpoint=endpoint())
        file = self.files[name]
        return RemoteFile(name, url, file.size, checksum or file.checksum, get_token() or "")


def endpoint() -> str:
    """Address of the hub."""
    return os.environ.get("HF_ENDPOINT", "").rstrip("/") or "https://huggingface.co"


def look(place: Place) -> Repository:
    """Ask the hub what a repository holds.

    Raises:
        LipsoundError: there is none, or it cannot be reached or read.
    """
    hub = require("huggingface_hub", "hub")
    with hub_errors(place):
        api = hub.HfApi(endpoint=endpoint(), library_name="lipsound2")
        info = api.model_info(place.repository, revision=place.revision, files_metadata=True, timeout=_TIMEOUT)
        return Repository(place, _commit(info), _license(info), _files(info))


def _commit(info: ModelInfo) -> str:
    if not info.sha or not re.fullmatch("[0-9a-f]{40}", info.sha):
        raise ValueError(f"no commit: {info.sha}")
    return info.sha


def _license(info: ModelInfo) -> str:
    card = info.card_data.to_dict() if info.card_data else {}
    named = [str(card[key]) for key in ("license", "license_name", "license_link") if card.get(key)]
    return ", ".join(dict.fromkeys(named))


def _files(info: ModelInfo) -> dict[str, HubFile]:
    found = {}
    for file in info.siblings or ():
        if file.lfs:
            found[file.rfilename] = HubFile(_size(file.lfs.size), f"sha256:{file.lfs.sha256}")
        elif file.size is not None and file.blob_id:
            found[file.rfilename] = HubFile(_size(file.size), f"git-sha1:{file.blob_id}")
    return found


def _size(size: object) -> int:
    if not isinstance(size, int) or size < 0:
        raise ValueError(f"no size of a file: {size!r:.60}")
    return size


@contextmanager
def hub_errors(place: Place) -> Iterator[None]:
    """Errors of the hub and of the way to it, each as one line."""
    from httpx2 import HTTPError
    from huggingface_hub import errors

    try:
        yield
    except errors.OfflineModeIsEnabled as error:
        raise LipsoundError(f"{place}: HF_HUB_OFFLINE is set, so nothing can be fetched; unset it") from error
    except errors.GatedRepoError as error:
        raise LipsoundError(
            f"{place}: is gated: ask for access at {endpoint()}/{place.repository}, then log in with: hf auth login"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise LipsoundError(f"{place}: has no revision '{place.revision}'; give a branch, tag or commit") from error
    except errors.RepositoryNotFoundError as error:
        raise LipsoundError(
            f"{place}: no such repository at {endpoint()}, or a private one (log in with: hf auth login)"
        ) from error
    except errors.HfHubHTTPError as error:
        status = f"{error.response.status_code} {error.response.reason_phrase}"
        raise LipsoundError(f"{place}: the hub answers {status}; try later") from error
    except HTTPError as error:
        why = " ".join(str(error).split()) or type(error).__name__
        raise LipsoundError(
            f"{place}: {endpoint()} cannot be reached ({why}); is there a network? Nothing was fetched"
        ) from error
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise LipsoundError(f"{place}: what answers at {endpoint()} is no model hub ({error})") from error
