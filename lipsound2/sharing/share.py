"""The verb `share`: one archive of an experiment, from which a colleague gets the same number."""

from __future__ import annotations

import dataclasses
import gzip
import json
import re
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

from lipsound2 import __version__, model_names
from lipsound2.data.datadir import DataDir, write_table
from lipsound2.data.json_text import read_json
from lipsound2.data.yaml_files import read_yaml, write_yaml
from lipsound2.decoding import calibration
from lipsound2.decoding.search_options import FILE as SEARCH
from lipsound2.errors import LipsoundError
from lipsound2.files import atomic_path, sha256, write_text
from lipsound2.inference import familiarity, vocoder_names
from lipsound2.metrics.audio_sources import locate, read_origin
from lipsound2.metrics.score import CLIPS, SUMMARY
from lipsound2.metrics.score_text import FOLDER
from lipsound2.metrics.summary_files import read_scores
from lipsound2.metrics.wer_summary import read_summary
from lipsound2.outputs import Output, check_file
from lipsound2.sharing.contents import FORMAT, SCORES, SETS, SHARE, VOCODER, Contents, SharedSet, check_bootstrap
from lipsound2.sharing.recompute import differences, summary_again, text_differences, texts_again
from lipsound2.tasks import find
from lipsound2.versions import read_runs

_VERSIONS = "versions.yaml"
_ABSOLUTE = re.compile(r"(?<![\w.~-])/(?:[^\s/'\",=]+/)+")  # the folders of an absolute path


def share(exp: Path, *, out: Annotated[Path | None, Output()] = None) -> None:
    """Make one archive of an experiment: a colleague checks its scores with `lipsound2 check ARCHIVE`.

    It holds the config, the weights, the tokenizer and other assets, the scores of every clip, the ids of the scored
    sets, versions and commands; no video, no audio, and no path of this machine.

    Args:
        exp: experiment that is trained and scored.
        out: the archive, NAME.tar.gz; left out, it is called as the experiment and lies in this folder.
    """
    name = exp.resolve().name
    out = out or Path(f"{name}.tar.gz")
    if not out.name.endswith(".tar.gz"):
        raise LipsoundError(f"{out}: expected a file name that ends in .tar.gz")
    check_file(out, [exp])
    task = model_names.task_of(exp)
    with tempfile.TemporaryDirectory(prefix="lipsound2-") as temporary:
        folder = Path(temporary, name)
        _copy_model(exp, folder)
        sets = {
            place.name: _copy_set(exp, place, folder) for place in sorted(exp.glob(f"{SCORES}/*/")) if _scored(place)
        }
        if not sets:
            raise LipsoundError(f"{exp}: holds no scores to share; run stages 4 and 5 of its recipe first")
        _forget_this_machine(folder, exp)
        runs = read_runs(folder / _VERSIONS)
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        contents = Contents(
            format=FORMAT,
            name=name,
            task=task,
            version=__version__,
            commands=tuple(str(run["command"]) for run in runs if run.get("command")),
            packages=dict(runs[-1].get("packages") or {}) if runs else {},
            sets=sets,
            files={path.relative_to(folder).as_posix(): sha256(path) for path in files},
        )
        write_text(folder / SHARE, json.dumps(dataclasses.asdict(contents), indent=1, ensure_ascii=False) + "\n")
        _write(out, [folder / SHARE, *files], folder.parent)
    texts = any(one.unseen_text for one in sets.values())
    words = '; its words need: pip install "lipsound2[metrics]"' if texts else ""
    print(f"{out}: {out.stat().st_size / 1e6:.1f} MB, {len(sets)} sets; check it with: lipsound2 check {out}{words}")


def _copy_model(source: Path, folder: Path) -> None:
    """What a model is loaded from."""
    weights = source / model_names.WEIGHTS
    if not weights.is_file():
        raise LipsoundError(f"{source}: no {weights.name}; training has not ended there: run stage 3 again")
    folder.mkdir(parents=True)
    assets = find(model_names.task_of(source), str(source)).files
    beside = (_VERSIONS, "curves.tsv", model_names.CARD, calibration.FILE, SEARCH, vocoder_names.FILE, familiarity.FILE)
    for name in (model_names.CONFIG, weights.name, *beside, *assets):
        if (source / name).is_file():
            shutil.copyfile(source / name, folder / name)


def _scored(place: Path) -> bool:
    return (place / SUMMARY).is_file() or any(place.glob(f"{FOLDER}/*/{SUMMARY}"))


def _copy_set(exp: Path, place: Path, folder: Path) -> SharedSet:
    """The scores of a set, its ids, and how the scores were made.

    Raises:
        LipsoundError: the data dir is not found, or the summary is not that of the clips.
    """
    data = _data_of(exp, place.name)
    utt2spk = dict(data.utt2spk)
    kept = folder / SCORES / place.name
    for path in sorted(place.rglob("*")):
        if path.is_file() and not path.name.startswith(".") and path.suffix in (".tsv", ".json", ".md"):
            (kept / path.relative_to(place)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, kept / path.relative_to(place))
    (folder / SETS / place.name).mkdir(parents=True)
    write_table(folder / SETS / place.name / "utt2spk", utt2spk)
    found = SharedSet(unseen_text=dict(_unseen_texts(kept, utt2spk)))
    if not (kept / SUMMARY).is_file():
        return found
    summary, _ = read_scores(kept / SUMMARY)
    content: dict[str, Any] = read_json(kept / SUMMARY, dict[str, Any], "score again")
    resamples, seed = int(content["bootstrap"]["resamples"]), int(content["bootstrap"]["seed"])
    check_bootstrap(resamples, seed, str(place / SUMMARY))

    def again(unseen: bool) -> list[str]:
        made = summary_again(kept / CLIPS, utt2spk, resamples=resamples, seed=seed, unseen=unseen)
        return [*differences(made, summary)]

    vocoder = str(read_origin(exp / "wav" / place.name).get("vocoder", ""))
    return dataclasses.replace(
        found,
        resamples=resamples,
        seed=seed,
        unseen=_way(again, kept),
        vocoder=_copy_vocoder(vocoder, exp, folder),
        systems=tuple(summary.systems),
    )


def _unseen_texts(kept: Path, utt2spk: dict[str, str]) -> Iterator[tuple[str, bool]]:
    for path in sorted(kept.glob(f"{FOLDER}/*/{SUMMARY}")):
        systems = read_summary(path)

        def again(unseen: bool, place: Path = path.parent, wanted: dict[str, Any] = systems) -> list[str]:
            return [
                line
                for name, one in wanted.items()
                for line in text_differences(
                    texts_again(place / f"{name}.tsv", utt2spk, one.language, unseen=unseen), one
                )
            ]

        yield path.parent.name, _way(again, path.parent)


def _way(again: Callable[[bool], list[str]], place: Path) -> bool:
    """Whether intervals generalize to new speakers: the way in which the clips give the summary.

    Raises:
        LipsoundError: they give it in neither.
    """
    if not (first := again(False)):
        return False
    try:
        if not again(True):
            return True
    except LipsoundError:  # of a single speaker there is no such interval
        pass
    raise LipsoundError(
        f"{place}: the summary is not that of its clips ({first[0]}); delete {place} and score again before sharing"
    )


def _copy_vocoder(vocoder: str, exp: Path, folder: Path) -> str:
    """Copy a trained vocoder that does not ship; returns by what name it is found with the archive."""
    if not vocoder or vocoder.startswith("griffin-lim") or vocoder in model_names.shipped("vocode"):
        return vocoder
    source = locate(vocoder, exp)
    if source is None:
        raise LipsoundError(f"{vocoder}: the vocoder of {exp} is not there any more; synthesize and score again")
    place = f"{VOCODER}/{source.resolve().name}"
    if not (folder / place).exists():
        _copy_model(source, folder / place)
    return place


def _data_of(exp: Path, name: str) -> DataDir:
    """The data dir that a set was scored on, as synthesize or decode noted it."""
    noted = [exp / "wav" / name, *sorted((exp / "text" / name).glob("*/"))]
    for place in noted:
        if (found := locate(read_origin(place).get("data"), place)) is not None:
            return DataDir(found)
    raise LipsoundError(f"{exp}: the data dir of the set '{name}' is not found; share from the folder of its recipe")


def _forget_this_machine(folder: Path, exp: Path) -> None:
    """Take the folders of this machine out of texts: of absolute paths the last name stays."""
    for path in [*folder.rglob("*.yaml")]:
        write_yaml(path, _without_folders(read_yaml(path)))
    read = [read_origin(place) for pattern in ("wav/*/", "text/*/*/") for place in exp.glob(pattern)]
    inputs = [Path(str(origin[key])).absolute() for origin in read for key in ("data", "dump") if origin.get(key)]
    folders = (Path.cwd(), *exp.resolve().parents, *(path.parent for path in inputs))
    here = sorted({str(place) for place in folders if len(place.parts) > 2}, key=len)
    for path in (path for suffix in ("md", "tsv", "json") for path in folder.rglob(f"*.{suffix}")):
        text = path.read_text(encoding="utf-8")
        if any(place in text for place in here):
            write_text(path, _ABSOLUTE.sub("", text))


def _without_folders(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_folders(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_without_folders(each) for each in value]
    return _ABSOLUTE.sub("", value) if isinstance(value, str) else value


def _write(out: Path, files: list[Path], top: Path) -> None:
    """The archive: the same bytes for the same files, without owners and dates."""
    with (
        atomic_path(out) as temporary,
        temporary.open("wb") as file,
        gzip.GzipFile("", "wb", 6, file, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as archive,
    ):
        for path in files:
            member = tarfile.TarInfo(path.relative_to(top).as_posix())
            member.size = path.stat().st_size
            with path.open("rb") as content:
                archive.addfile(member, content)
