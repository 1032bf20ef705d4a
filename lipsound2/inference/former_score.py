"""Calls of `score` as it once was, with a recognizer or recognized texts: run by `decode` and `score-text`."""

from __future__ import annotations

import functools
import logging
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from lipsound2.arguments import AtLeast0, AtLeast1, Choices
from lipsound2.audio.kind import ground_truth
from lipsound2.data.datadir import DataDir
from lipsound2.decoding.hypothesis import DETAILS
from lipsound2.decoding.search_options import DEFAULT_SEARCH, SearchOptions
from lipsound2.errors import LipsoundError
from lipsound2.inference.recognizer_names import check_recognizer, is_own
from lipsound2.jobs.shards import hash_of
from lipsound2.metrics import bootstrap
from lipsound2.metrics.audio_sources import REAL, AudioSource, choose_ids, find_systems, noted_data, wav_of
from lipsound2.metrics.score import score as score_speech
from lipsound2.metrics.score_text import FOLDER, References, score_systems, score_text, with_text
from lipsound2.metrics.unseen import Speakers, about
from lipsound2.outputs import OutputFolder
from lipsound2.text.normalize import languages

log = logging.getLogger(__name__)


def score(
    ref: Path,
    hyp: Path,
    *,
    out: OutputFolder | None = None,
    ids: Path | None = None,
    metrics: tuple[str, ...] = (),
    asr: tuple[str, ...] = (),
    text: Path | None = None,
    search: SearchOptions = DEFAULT_SEARCH,
    language: Annotated[str, Choices(languages)] = "en",
    nj: AtLeast1 = 2,
    launcher: Literal["local", "slurm"] = "local",
    resamples: AtLeast1 = bootstrap.RESAMPLES,
    seed: AtLeast0 = bootstrap.SEED,
    speakers: Speakers = "auto",
) -> None:
    """Score speech, recognize it, and count the words: a call of earlier versions. Use decode and score-text instead.

    Args:
        ref: the ground truth, see score; for a HYP of decode, the data dir with the transcripts.
        hyp: the speech, see score; or a folder that decode wrote.
        out: folder for the scores and text/; without it, HYP/scores.
        ids: see score.
        metrics: see score.
        asr: recognizers, separated by commas, as decode takes them.
        text: data dir with the transcripts.
        language: of the transcripts.
        nj: see score.
        launcher: see score.
        resamples: see score.
        seed: see score.
        speakers: see score.
    """
    if bool(asr) != (text is not None):
        raise LipsoundError(
            "--asr and --text belong together: the recognizer and the transcripts; give both or neither"
        )
    out = out or hyp / "scores"
    if (hyp / DETAILS).is_file():
        if asr or metrics:
            raise LipsoundError(
                f"{hyp}: holds recognized texts already; leave out --asr and --metrics, or give a folder of audio"
            )
        log.warning("score of recognized texts: write instead: lipsound2 score-text %s %s --out %s", ref, hyp, out)
        score_text(ref, hyp, out=out, language=language, speakers=speakers)
        return
    for name in asr:
        check_recognizer(name)
    transcripts = DataDir(text) if text is not None else None
    if text is not None:
        texts = out / FOLDER / label(asr[0], _search_of(asr[0], search))
        log.warning(
            "score --asr: write instead: lipsound2 score without --asr; for each system, lipsound2 decode %s "
            "%s/data/generated %s/generated; then lipsound2 score-text %s %s --out %s",
            *(asr[0], hyp, texts, text, texts, out),
        )
    options: dict[str, Any] = {"nj": nj, "launcher": launcher}
    score_speech(
        ref, hyp, out=out, ids=ids, metrics=metrics, resamples=resamples, seed=seed, speakers=speakers, **options
    )
    if transcripts is None:
        return
    reference, systems = AudioSource(ground_truth(ref)), find_systems(hyp)
    names, utt2spk, which = choose_ids(reference, systems, ids or noted_data(hyp, reference))
    references = _references(transcripts, names, utt2spk, which, speakers, language)
    for name in asr:
        _recognize(name, search, reference, systems, references, out, options)


def _references(
    transcripts: DataDir, names: list[str], utt2spk: dict[str, str], which: str, speakers: Speakers, language: str
) -> References:
    """The transcripts of the clips that are scored.

    Raises:
        LipsoundError: some are not in the data dir of the transcripts.
    """
    unseen, which = about(speakers, transcripts.path, {name: utt2spk[name] for name in names}, which)
    unknown = [name for name in names if name not in transcripts.text]
    if unknown and len(unknown) < len(names) and all(name in transcripts.utt2spk for name in unknown):
        names = [name for name in names if name in transcripts.text]
        which = with_text(which, len(names), len(unknown))
    elif unknown:
        raise LipsoundError(
            f"{transcripts.path}: no transcript of {len(unknown)} of {which}, the first is '{unknown[0]}'"
        )
    texts = {name: transcripts.text[name] for name in names}
    return References(transcripts.path, texts, utt2spk, which, unseen, language)


def _recognize(
    asr: str,
    search: SearchOptions,
    reference: AudioSource,
    systems: dict[str, Path],
    references: References,
    out: Path,
    options: dict[str, Any],
) -> None:
    """Recognize every system and the ground truth with one recognizer, and count its errors."""
    from lipsound2.inference.clip_sources import DumpSource, WavSource  # torch is loaded where it is needed
    from lipsound2.inference.decode import RecognizerFactory, decode_clips

    search = _search_of(asr, search)
    folder = out / FOLDER / label(asr, search)
    names = list(references.texts)
    recognize = RecognizerFactory(asr, search)
    load = functools.cache(recognize.load)  # PocketSphinx adapts to all audio it has recognized, also of other systems
    for system, place in {REAL: reference.path, **systems}.items():
        files = WavSource({name: str(wav_of(place, name)) for name in names})
        kept = system == REAL and reference.is_archive
        decode_clips(
            recognize,
            DumpSource(place) if kept else files,
            names,
            folder / system,
            [place] if kept else [],
            {"clips": hash_of(names)} if kept else {"audio": files.content()},
            {"asr": asr, "data": str(references.data), "audio": str(place)},
            {**options, "step": "hear", "ngpu": 0},
            load,
        )
    score_systems(references, {system: folder / system for system in (REAL, *systems)}, folder)


def _search_of(asr: str, search: SearchOptions) -> SearchOptions:
    """Pretrained recognizers take no search options."""
    return search if is_own(asr) else DEFAULT_SEARCH


def label(asr: str, search: SearchOptions) -> str:
    """A folder's name for a recognizer: `pocketsphinx-grid`, `asr_conformer+grid`, `asr_conformer+words.arpa`."""
    name = asr.replace(":", "-") if not Path(asr).exists() else Path(asr).resolve().name
    helped = [Path(search.grammar).stem] if search.grammar else [Path(search.lm).name] if search.lm else []
    return re.sub(r"[^\w.+-]+", "_", "+".join([name, *helped]))
