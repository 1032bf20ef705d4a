"""The verb `models get`: a model by its name, from a hub, as a pack in the user's folder."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from safetensors import SafetensorError, safe_open

from lipsound2 import model_names
from lipsound2.arguments import near
from lipsound2.corpora.fetch import RemoteFile, fetch, matches
from lipsound2.error_messages import plain
from lipsound2.errors import LipsoundError, UsageError
from lipsound2.files import folder_lock, sha256, write_text
from lipsound2.hub.repository import PACK_FILE, Place, Repository, look, place_of
from lipsound2.inference.model_list import record_of
from lipsound2.known_models import CAVEAT, KnownModel, known_models
from lipsound2.outputs import check_folder

_COMING = ".coming"  # in the user's folder: what is being fetched
_PACK = (model_names.CONFIG, model_names.WEIGHTS)
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*")
_PUBLISHED = ("model.pth", "model.json")


@dataclass(frozen=True)
class _Wanted:
    """A model to get.

    Attributes:
        name: it gets.
        place: where its files lie.
        files: path in the repository -> SHA-256 that it has to have, or nothing; none: see `_chosen`.
        license: as known here; empty: as the hub says.
        known: what is known of it; None: it is any repository.
    """

    name: str
    place: Place
    files: Mapping[str, str]
    license: str = ""
    known: KnownModel | None = None


def models_get(
    model: str,
    *,
    accept_license: bool = False,
    name: str | None = None,
    file: tuple[str, ...] = (),
    tokens: Path | None = None,
) -> None:
    """Fetch a model and convert it, so that every verb finds it by its name; `lipsound2 models` lists the known ones.

    Its license has to be accepted, at the prompt or with --accept-license. The files come from huggingface.co, or from
    the hub that HF_ENDPOINT names; their checksums are checked. The same command goes on where a stopped one broke off.

    Args:
        model: name of a known public model, such as vsr-lrs3-19.1; or any repository of a hub: hub:OWNER/NAME or
            hub:OWNER/NAME@REVISION. It has to hold a pack of this toolkit (config.yaml, model.safetensors), or a
            reader or language model of auto_avsr's kind (model.pth, model.json).
        accept_license: accept the license of the model without being asked.
        name: name that the model gets here; by default that of the known model or of the repository.
        file: files of hub:OWNER/NAME to take, with a comma between, where weights and settings are not called model.pth
            and model.json: a.pth,a.json.
        tokens: table of tokens of a published reader, if you have it already; see convert-avsr.
    """
    wanted = _wanted(model, name, file)
    out = model_names.user_folder() / wanted.name
    if out.exists():
        _told_of(out, wanted)
        return
    check_folder(out)
    if tokens is not None and not tokens.is_file():
        raise LipsoundError(f"--tokens {tokens}: no such file")
    if wanted.known:  # no word to anybody before that
        _accept(wanted, wanted.license, accept_license)
    repository = look(wanted.place)
    if not wanted.known:
        _accept(wanted, repository.license, accept_license)
    chosen = _chosen(repository, wanted)
    coming = model_names.user_folder() / _COMING
    files, made = coming / f".{wanted.name}", coming / wanted.name  # no model's name begins with a dot
    with folder_lock(files, "lipsound2 models get"):
        if out.exists():  # another run was faster, while the license was read
            _told_of(out, wanted)
            return
        remotes = [repository.remote(path, f"sha256:{digest}" if digest else "") for path, digest in chosen.items()]
        if table := _table(wanted, tokens):
            remotes.append(table)
        _check_room(files, remotes, converted=not _is_pack(chosen))
        for number, remote in enumerate(remotes, start=1):
            _fetch(remote, files, f"{number} of {len(remotes)}")
        shutil.rmtree(made, ignore_errors=True)
        _make(wanted, chosen, files, made, tokens or (files / table.name if table else None))
        _record(wanted, repository, chosen, files, made)
        made.rename(out)
        shutil.rmtree(files)
    if not any(coming.iterdir()):
        coming.rmdir()
    print(f"{wanted.name}: in {out}; use it with: {record_of(out, 'user').use}")
    if wanted.known and wanted.known.published:
        print(f"as published: {wanted.known.published}. {CAVEAT}")


def by_hand(model: KnownModel) -> str:
    """Where to get the file of a model by hand, and the command that converts it."""
    where = f"get {model.file} by hand from {model.source.where}"
    table = f" ({model.tokens}: {model.table.url})" if model.table else ""
    return f"{model.name}: lies on no hub; {where}; then: {model.convert}{table}"


def _wanted(model: str, name: str | None, file: tuple[str, ...]) -> _Wanted:
    if place := place_of(model):
        wanted = _Wanted(name or place.repository.partition("/")[2], place, dict.fromkeys(file, ""))
        model_names.check_name(wanted.name, taken=known_models())
        return wanted
    known = known_models().get(model)
    if file:
        raise UsageError("--file belongs to hub:OWNER/NAME; the files of a known model are known")
    if known is None:
        if model in model_names.shipped():
            raise LipsoundError(f"{model}: ships with the toolkit; there is nothing to get")
        if re.fullmatch(r"[\w.-]+/[\w.-]+", model):
            raise LipsoundError(f"{model}: to name a repository of a hub, write hub:{model}")
        raise LipsoundError(f"{model}: no known public model; lipsound2 models lists them{near(model, known_models())}")
    if known.hub is None:
        raise LipsoundError(by_hand(known))
    wanted = _Wanted(
        name or known.name,
        Place(known.hub.repository, known.hub.revision),
        known.hub.files,
        known.source.license,
        known,
    )
    model_names.check_name(wanted.name)
    return wanted


def _told_of(out: Path, wanted: _Wanted) -> None:
    """Say that the model is there already.

    Raises:
        LipsoundError: it is another one, of this name.
    """
    place = model_names.fetched_from(out)
    if place.partition("@")[0] != f"hub:{wanted.place.repository}":
        what = f"another model ({place})" if place else "a model or folder that did not come from a hub"
        raise LipsoundError(f"{out}: is {what}; give the new one another name with --name, or remove that folder")
    print(f"{wanted.name}: is there already, from {place} ({out}); to get it anew, remove that folder")


def _accept(wanted: _Wanted, license: str, accepted: bool) -> None:
    """Show the license, and have it accepted.

    Raises:
        LipsoundError: it is not.
    """
    known = wanted.known
    what = f"{known.kind}, {known.size} MB, from {wanted.place}" if known else f"from {wanted.place}"
    said = plain(license) or "the hub does not say; look at the page of the repository"
    print(f"{wanted.name}: {what}\nlicense: {said}")
    if known and known.table:
        print(f"table of tokens: {known.tokens}, {known.table.license}, from {known.table.url}")
    sys.stdout.flush()
    if accepted:
        return
    if sys.stdin is None or not sys.stdin.isatty():
        raise UsageError(f"{wanted.name}: nothing was fetched: accept the license above with --accept-license")
    if input("Do you accept it? [y/N] ").strip().lower() not in ("y", "yes"):
        raise LipsoundError(f"{wanted.name}: the license was not accepted; nothing was fetched")


def _is_pack(names: Collection[str]) -> bool:
    return all(name in names for name in _PACK)


def _chosen(repository: Repository, wanted: _Wanted) -> dict[str, str]:
    """The files to fetch: path -> SHA-256 that is wanted, or nothing.

    Raises:
        LipsoundError: the repository has none that are read here, or others than those known.
    """
    here = repository.files
    chosen = dict(wanted.files)
    if not chosen and _is_pack(here):
        chosen = {name: "" for name in here if PACK_FILE.fullmatch(name)}
    elif not chosen and _PUBLISHED[0] in here:
        chosen = {name: "" for name in _PUBLISHED if name in here}
    if not chosen:
        raise LipsoundError(
            f"{wanted.place}: holds neither a pack ({', '.join(_PACK)}) nor {_PUBLISHED[0]}; name the weights with "
            f"--file; it holds {', '.join(sorted(here)[:8]) or 'nothing'}"
        )
    for name, digest in chosen.items():
        if name not in here:
            raise LipsoundError(
                f"{wanted.place}: has no file {name}{near(name, here)}; it holds {', '.join(sorted(here)[:8])}"
            )
        kind, _, found = here[name].checksum.partition(":")
        if digest and kind == "sha256" and found != digest:
            raise LipsoundError(
                f"{wanted.place}: its {name} is not the file that is known here (SHA-256 {found[:12]}..., wanted "
                f"{digest[:12]}...); to take it as it is: lipsound2 models get {wanted.place}"
            )
    local = [PurePosixPath(name).name for name in chosen]
    if len(set(local)) < len(local) or any(not _NAME.fullmatch(name) for name in local):
        raise LipsoundError(f"{wanted.place}: files that cannot lie in one folder: {', '.join(chosen)}")
    return chosen


def _table(wanted: _Wanted, tokens: Path | None) -> RemoteFile | None:
    """The table of tokens, where it is known and not at hand."""
    if tokens is not None or not wanted.known or not wanted.known.table:
        return None
    table = wanted.known.table
    return RemoteFile(wanted.known.tokens, table.url, table.size, f"sha256:{table.sha256}")


def _check_room(folder: Path, remotes: list[RemoteFile], *, converted: bool) -> None:
    """Refuse before the fetch what the disk cannot take: the files, and as much again when they are converted."""
    need = sum(remote.size or 0 for remote in remotes) * (2 if converted else 1)
    have = sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
    free = shutil.disk_usage(folder).free
    if need - have > free:
        raise LipsoundError(
            f"cannot write {folder}: {need / 1e6:,.0f} MB are needed, {free / 1e6:,.0f} MB are free; free some room, "
            "or name a folder on another disk: LIPSOUND2_MODELS"
        )


def _fetch(remote: RemoteFile, folder: Path, number: str) -> None:
    path = folder / PurePosixPath(remote.name).name
    if path.exists() and matches(remote, path):
        print(f"{number}: {remote.name}, is there")
        return
    print(f"{number}: {remote.name}")
    path.unlink(missing_ok=True)
    fetch(remote, path)


def _make(wanted: _Wanted, chosen: Mapping[str, str], files: Path, made: Path, tokens: Path | None) -> None:
    """Make the pack of the files."""
    local = [PurePosixPath(name).name for name in chosen]
    if _is_pack(chosen):
        made.mkdir()
        for name in local:
            (files / name).rename(made / name)
        _check_pack(made, wanted)
        return
    from lipsound2.published.avsr import avsr_pack

    weights = next((name for name in local if not name.endswith(".json")), local[0])
    settings = next((files / name for name in local if name.endswith(".json")), None)
    known = wanted.known
    language = known.language if known and known.language else "en"
    knows = f"whatever {wanted.place} was trained on; it was published by others"
    if known and known.published:
        knows = f"{knows}; word error rate as published: {known.published}"
    print("converting")
    try:
        avsr_pack(files / weights, made, config=settings, tokens=tokens, language=language, knows=knows)
    except LipsoundError as error:  # such as of the tokens, which can be given: a gigabyte is not fetched twice
        raise LipsoundError(f"{error} (what was fetched is kept for another try; else remove {files})") from error


def _check_pack(made: Path, wanted: _Wanted) -> None:
    """Check that a pack from a hub is one; else its files are removed, which the next run would fetch anew anyway.

    Raises:
        LipsoundError: it names no task, or its weights cannot be opened.
    """
    try:
        if not model_names.task_of(made):
            raise LipsoundError(f"{wanted.place}: its {model_names.CONFIG} names no task, so it is no pack")
        with safe_open(made / model_names.WEIGHTS, framework="numpy"):
            pass
    except SafetensorError as error:
        shutil.rmtree(made)
        raise LipsoundError(f"{wanted.place}: its {model_names.WEIGHTS} cannot be read ({error})") from error
    except LipsoundError:
        shutil.rmtree(made)
        raise


def _record(wanted: _Wanted, repository: Repository, chosen: Mapping[str, str], files: Path, made: Path) -> None:
    """Note where a model came from, in its folder."""
    digests = {}
    for name in chosen:
        local = PurePosixPath(name).name
        digests[name] = sha256(files / local if (files / local).exists() else made / local)
    record = {
        "repository": wanted.place.repository,
        "revision": wanted.place.revision,
        "commit": repository.commit,
        "sha256": digests,
        "accepted_license": wanted.license or repository.license,
    }
    write_text(made / model_names.FETCHED, json.dumps(record, indent=2) + "\n")
