"""Where audio for scoring is read from, and which clips are scored."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lipsound2.data.shapes import checked
from lipsound2.data.yaml_files import read_yaml
from lipsound2.errors import ClipFailure, LipsoundError
from lipsound2.metrics.speech import to_rate

log = logging.getLogger(__name__)

_WAV = (".wav", ".WAV", ".Wav")
_ORIGIN = frozenset({"data", "dump", "input", "target", "vocoder"})  # text in origin.yaml
REAL = "real"  # the ground truth, scored as a system
# The systems of `synthesize`, in the order of tables, each with its explanation.
SYSTEMS = {
    "generated": "model, given the clip's video",
    "real_mel": "copy-synthesis (ceiling)",
    "mismatched": "model, given mismatched video",
    "other_voice": "model, given another speaker's voice",
    "mean_mel": "mean mel of the training set",
    REAL: "ground truth",
}


class AudioSource:
    """Ground truth by clip id, 16 kHz: an archive such as `DUMP/audio` (FLAC), or a folder of `<id>.wav`.

    Picklable, so that every worker opens its own files.

    Args:
        path: folder of the archive, or of wav files.

    Raises:
        LipsoundError: neither.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._archive = None
        if (self.path / "feats.scp").exists():
            from lipsound2.data.archive import Archive

            self._archive = Archive(self.path)
            self.ids = sorted(self._archive.ids)
        else:
            self.ids = wav_ids(self.path)
        if not self.ids:
            raise LipsoundError(
                f"{self.path}: no ground truth there; expected the audio of a dump (feats.scp) or <id>.wav files"
            )
        self._known = frozenset(self.ids)

    @property
    def is_archive(self) -> bool:
        """Whether this is an archive of a dump, which holds a whole corpus, not one set."""
        return self._archive is not None

    def __contains__(self, name: str) -> bool:
        return name in self._known

    def __getitem__(self, name: str) -> np.ndarray:
        """(N,) float32 audio of a clip; ClipFailure when it cannot be read."""
        if name not in self._known:
            raise ClipFailure("no-reference", f"{name} is not in {self.path}")
        if self._archive is None:
            return read_wav(wav_of(self.path, name))
        from lipsound2.audio.io import decode_flac

        return decode_flac(np.asarray(self._archive[name]))


def read_wav(path: Path | str) -> np.ndarray:
    """(N,) float32 mono audio at 16 kHz of a wav file.

    Raises:
        ClipFailure: `missing` or `unreadable`.
    """
    import soundfile

    from lipsound2.audio.track import check_rate

    if not Path(path).is_file():
        raise ClipFailure("missing", str(path))
    try:
        header = soundfile.info(path)
        check_rate(path, header.samplerate, header.channels)
        waveform, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, OSError) as error:
        raise ClipFailure("unreadable", f"{path}: {error}") from error
    return to_rate(waveform.mean(axis=1), rate).astype(np.float32)


def wav_ids(folder: Path) -> list[str]:
    """Clip ids of the wav files in a folder, sorted by bytes."""
    if not folder.is_dir():
        return []
    return sorted({path.stem for path in folder.iterdir() if path.suffix in _WAV and not path.name.startswith(".")})


def wav_of(folder: Path, name: str) -> Path:
    """The wav file of a clip, whatever the case of its suffix; if there is none, the expected path."""
    paths = [folder / f"{name}{suffix}" for suffix in _WAV]
    return next((path for path in paths if path.exists()), paths[0])


def check_against(against: str, systems: Collection[str]) -> None:
    """Look whether there is the system that others are to be compared with, if one is named, and another one.

    Raises:
        LipsoundError: there is not.
    """
    if against and (against not in systems or len(systems) < 2):
        raise LipsoundError(
            f"--against: found '{against}', wanted one of several systems; there are {', '.join(systems)}"
        )


def tell_one_sided(reference: AudioSource, systems: Mapping[str, Path], names: Collection[str]) -> None:
    """Log which clips only one side has: they are not scored, or count as missing."""
    wanted = frozenset(names)
    warnings = []
    for folder in systems.values():
        present = frozenset(wav_ids(folder))
        if extra := present - wanted:
            warnings.append(f"{folder}: {len(extra)} clips are not among those scored, '{min(extra)}' first")
        if missing := wanted - present:
            warnings.append(f"{folder}: {len(missing)} of {len(wanted)} clips are missing, '{min(missing)}' first")
    if unknown := wanted - frozenset(reference.ids):
        warnings.append(f"{reference.path}: {len(unknown)} clips have no ground truth, '{min(unknown)}' first")
    if not reference.is_archive:
        deeper = [path for folder in reference.path.iterdir() if folder.is_dir() for path in folder.iterdir()]
        if below := [path for path in deeper if path.suffix in _WAV]:
            warnings.append(f"{reference.path}: {len(below)} wav files in its subfolders are ignored")
    for sentence in warnings:
        log.warning("%s", sentence)


def find_systems(hyp: Path) -> dict[str, Path]:
    """Folders of speech by system, known systems first: `hyp` itself, or its subfolders that hold wav files.

    Raises:
        LipsoundError: no wav file in either.
    """
    if not hyp.is_dir():
        raise LipsoundError(f"{hyp}: no such folder; expected <id>.wav in it or in one subfolder a system")
    if wav_ids(hyp):
        return {hyp.name if hyp.name in SYSTEMS else "generated": hyp}
    found = {path.name: path for path in sorted(hyp.iterdir()) if path.is_dir() and wav_ids(path)}
    if not found:
        raise LipsoundError(
            f"{hyp}: no speech there; expected <id>.wav in it or in subfolders such as generated/; run stage 4"
        )
    known = {name: found[name] for name in SYSTEMS if name in found}
    return {**known, **{name: path for name, path in found.items() if name not in known}}


def read_origin(hyp: Path) -> dict[str, Any]:
    """The notes of `synthesize` about a folder of speech (`origin.yaml`); {} if there are none."""
    path = hyp / "origin.yaml"
    if not path.exists():
        return {}
    origin = read_yaml(path)
    for key in _ORIGIN & origin.keys():
        origin[key] = checked(origin[key], str, f"{path}: {key}")
    return origin


def locate(path: str | Path | None, near: Path) -> Path | None:
    """Find a path that was noted in a file: as it is, or relative to a folder above `near`.

    Recipes note paths relative to the recipe; a verb may run elsewhere.
    """
    if path is None:
        return None
    noted = Path(path)
    bases: Iterable[Path] = () if noted.is_absolute() else near.resolve().parents
    return next((place for place in (noted, *(base / noted for base in bases)) if place.exists()), None)


def noted_data(hyp: Path, reference: AudioSource) -> Path | None:
    """The data dir that `synthesize` noted about a folder of speech; None if there is none.

    Raises:
        LipsoundError: it is not there, and the ground truth, a dump, does not tell either which clips there should be.
    """
    noted = read_origin(hyp).get("data")
    found = locate(noted, hyp)
    if noted is not None and found is None and reference.is_archive:
        raise LipsoundError(f"{hyp / 'origin.yaml'}: notes the data dir {noted}, which is not there; give --ids DIR")
    return found


def choose_ids(
    reference: AudioSource, systems: dict[str, Path], data: Path | None
) -> tuple[list[str], dict[str, str], str]:
    """Which clips are scored, their speakers, and a phrase for captions.

    The clips of a data dir, if one is given or noted. Else those of a folder of ground truth. A dump holds more than
    one set, so with a dump they are the clips that any system has.
    """
    from lipsound2.data.datadir import DataDir

    if data is not None:
        chosen = DataDir(data)
        return list(chosen.ids), dict(chosen.utt2spk), f"all {len(chosen.ids)} clips of {data}"
    if reference.is_archive:
        names = sorted({name for folder in systems.values() for name in wav_ids(folder)})
        reason = f"the {len(names)} clips that were spoken (no --ids given)"
    else:
        names, reason = list(reference.ids), f"all {len(reference.ids)} clips of {reference.path}"
    return names, {name: name.partition("-")[0] for name in names}, reason
