"""The verb `calibrate`: bring a recognizer's confidences to how often it is right."""

from __future__ import annotations

import logging
from pathlib import Path

from lipsound2 import experiment, model_names
from lipsound2.arguments import AtLeast0
from lipsound2.audio.kind import kind_folder
from lipsound2.data.archive import Archive
from lipsound2.data.datadir import DataDir
from lipsound2.decoding.calibration import FILE, Calibration, Platt, of_unlike_faces, save
from lipsound2.decoding.hypothesis import Hypothesis
from lipsound2.decoding.search_options import DEFAULT_SEARCH, SearchOptions
from lipsound2.errors import LipsoundError
from lipsound2.inference import familiarity
from lipsound2.inference.clip_sources import ClipSource, DumpSource, WavSource
from lipsound2.inference.decode import check_name, decoder, input_of
from lipsound2.inference.recognizer_names import is_own, search_of
from lipsound2.inference.recognizers import TrainedRecognizer
from lipsound2.metrics.confidence import Judged, judge, marked, reliability, summary
from lipsound2.outputs import check_file

log = logging.getLogger(__name__)

_FEW = 10  # wrong words
_CLIPS = 64  # held at once


def calibrate(
    asr: str,
    dir: Path,
    *,
    test: tuple[Path, ...] = (),
    unlike: bool = False,
    dump: Path | None = None,
    search: SearchOptions = DEFAULT_SEARCH,
    ngpu: AtLeast0 = 0,
) -> None:
    """Calibrate a recognizer's confidences on clips with known texts; texts stay as they are.

    Two numbers for words and two for whole texts are fitted and written to calibration.yaml beside its weights, for
    the way of decoding that the search options choose. Take clips that it was not trained on, 50 or more. It prints
    how well confidences tell right words from wrong ones, before and after.

    Args:
        asr: experiment or pack of the task recognize.
        dir: data dir with transcripts, to fit on, such as data/valid.
        test: data dirs with transcripts, separated by commas, to measure on beside.
        unlike: the clips show people whom a lip reader was not trained on; the numbers are for such faces alone.
        dump: folder of the features, see lipsound2 decode. Without it, the files of wav.scp are read.
        ngpu: GPUs to use: 0 or 1.
    """
    check_name(asr, dump, search)
    if not is_own(asr):
        raise LipsoundError(f"{asr}: only recognizers trained with lipsound2 are calibrated, found a pretrained one")
    folder = model_names.find(asr)
    if unlike and not familiarity.files_of(folder):
        raise LipsoundError(
            f"{asr}: cannot tell unlike faces, having no {familiarity.FILE}; leave --unlike out, or make a pack of a "
            "lip reader with: lipsound2 pack --train DATA --dump DUMP"
        )
    check_file(folder / FILE)
    sources = {path: _source(DataDir(path), asr, dump) for path in (dir, *test)}
    recognizer = TrainedRecognizer(asr, search, experiment.device_for(ngpu))
    recognizer.calibration = recognizer.unlike_calibration = None
    way = search_of(asr, search).way
    if unlike:
        way = of_unlike_faces(way)
    language = recognizer.language
    systems: dict[str, tuple[Judged, Judged]] = {}
    fitted: Calibration | None = None
    for path, source in sources.items():
        data = DataDir(path)
        found = _recognized(recognizer, source, data)
        before = judge(found, data.text, language)
        if fitted is None:
            fitted = fit_and_save(folder, way, *before, path)
        after = judge({name: fitted(what) for name, what in found.items()}, data.text, language)
        systems |= {f"{path}, before": before, f"{path}, after": after}
    print(summary(systems))
    print(f"\n{reliability({name: words for name, (words, _) in systems.items()})}\n")
    for name, (words, _) in systems.items():
        print(f"{name}: {marked(words)}")
    print(f"{folder / FILE}: calibrated for the way of decoding '{way}' on {dir}")


def fit(words: Judged, texts: Judged) -> Calibration:
    """The numbers that suit such confidences."""
    return Calibration(*(Platt.fit(each.confidences, each.right) for each in (words, texts)))


def fit_and_save(folder: Path, way: str, words: Judged, texts: Judged, clips: Path) -> Calibration:
    """The same, kept in a folder.

    Args:
        folder: of the experiment or pack.
        way: see `SearchOptions.way`.
        words: confidences of words.
        texts: of whole texts.
        clips: where they are from, for a warning that there are few.
    """
    fitted = fit(words, texts)
    wrong = int((~words.right).sum())
    save(folder, way, fitted, {"clips": len(texts.right), "word_errors": wrong})
    if wrong < _FEW:
        log.warning("%s: only %d wrong words: the numbers are loose; take more clips", clips, wrong)
    return fitted


def _source(data: DataDir, asr: str, dump: Path | None) -> ClipSource:
    """Where the clips of a data dir are read; all is looked at before anything is loaded.

    Raises:
        LipsoundError: it has no texts, or none of its clips is there.
    """
    if not data.text:
        raise LipsoundError(f"{data.path}: has no 'text' to compare with; give a data dir with transcripts")
    if dump is None:
        return WavSource.of(data)
    folder = kind_folder(dump, input_of(asr))
    archive = Archive(folder)
    if not any(name in archive for name in data.text):
        raise LipsoundError(f"{data.path}: none of its {len(data.text)} clips is in {folder}; run stages 1 and 2 on it")
    return DumpSource(folder)


def _recognized(recognizer: TrainedRecognizer, source: ClipSource, data: DataDir) -> dict[str, Hypothesis]:
    """What was found in the clips; what cannot be read has no confidence to be measured, and is left out."""
    recognize, names = decoder(recognizer, source), list(data.text)
    found: dict[str, Hypothesis] = {}
    for first in range(0, len(names), _CLIPS):
        found |= recognize(names[first : first + _CLIPS])[0]
    return found
