"""The verb `models push`: a pack to a repository of a model hub, when it is asked to."""

from __future__ import annotations

import re
from pathlib import Path

from lipsound2.converted import refuse_converted
from lipsound2.data.texts import read_text
from lipsound2.errors import LipsoundError, require
from lipsound2.files import told_size
from lipsound2.hub.repository import PACK_FILE, Place, endpoint, hub_errors
from lipsound2.model_names import CARD, CONFIG, README, WEIGHTS

_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def models_push(folder: Path, repository: str, *, public: bool = False, allow_redistribution: bool = False) -> None:
    """Upload a pack that `pack --hub` wrote to a model hub, as one commit.

    A repository that is not there is made, and is private unless --public is given. One that is there keeps its
    visibility, and a public one is written to with --public alone. The token is the one that `hf auth login` stored, or
    HF_TOKEN. Other files in the folder than a pack's, such as audio, stay here.

    Args:
        folder: the pack.
        repository: OWNER/NAME of the repository.
        public: let anybody see it.
        allow_redistribution: upload weights that others published; their license has to allow it.
    """
    files = check_folder(folder)
    if not _REPOSITORY.fullmatch(repository):
        raise LipsoundError(f"{repository}: expected OWNER/NAME of a repository")
    if not allow_redistribution:
        refuse_converted(folder, "upload")
    hub = require("huggingface_hub", "hub")
    place = Place(repository)
    if not hub.get_token():
        raise LipsoundError(f"{place}: no token for {endpoint()}; log in with: hf auth login, or set HF_TOKEN")
    api = hub.HfApi(endpoint=endpoint(), library_name="lipsound2")
    with hub_errors(place):
        if api.repo_exists(repository):
            if not api.model_info(repository).private and not public:
                raise LipsoundError(
                    f"{place}: is public; give --public to upload where anybody sees it, or another name"
                )
        else:
            api.create_repo(repository, private=not public)
        made = api.upload_folder(
            repo_id=repository,
            folder_path=folder,
            allow_patterns=[file.name for file in files],  # none of `PACK_FILE` has a wildcard in it
            commit_message=f"{folder.resolve().name}, by lipsound2",
        )
    size = sum(file.stat().st_size for file in files)
    print(f"{place}: {len(files)} files, {told_size(size)}, {'public' if public else 'private'}: {made.commit_url}")


def check_folder(folder: Path) -> list[Path]:
    """Files of a pack that is ready for a hub.

    Raises:
        LipsoundError: it is not.
    """
    absent = [name for name in (README, CARD, CONFIG, WEIGHTS) if not (folder / name).is_file()]
    if absent or not read_text(folder / README).startswith("---\n"):
        raise LipsoundError(
            f"{folder}: is no pack for a hub ({f'no {absent[0]}' if absent else f'{README} has no front matter'}); "
            "make one with: lipsound2 pack EXP FOLDER --hub"
        )
    return sorted(path for path in folder.iterdir() if path.is_file() and PACK_FILE.fullmatch(path.name))
