"""The verb `transcribe`: text of audio, or of the lips in silent videos.

Clips and outputs are checked before anything is loaded.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from lipsound2.arguments import AtLeast0, AtLeast1, OptionalFile
from lipsound2.data.folders import AUDIO_SUFFIXES, VIDEO_SUFFIXES
from lipsound2.decoding.hypothesis import DOUBTFUL, is_doubtful
from lipsound2.decoding.search_options import DEFAULT_SEARCH, SearchOptions
from lipsound2.errors import ClipFailure, LipsoundError
from lipsound2.inference import clip_readers
from lipsound2.inference.correction import Corrector
from lipsound2.inference.recognizer_names import (
    DEFAULT_ASR,
    DEFAULT_READER,
    check_makes_speech,
    language_of,
    ranker_of,
)
from lipsound2.inference.speak import DEFAULT_MODEL
from lipsound2.inference.transcript import ALTERNATIVES
from lipsound2.inference.transcript_files import Target, TranscriptFiles
from lipsound2.media.clips import Clip, describe_failure, find_clips
from lipsound2.media.standard_streams import STANDARD, received
from lipsound2.video.detect import DEFAULT_DETECTOR, check_detector

if TYPE_CHECKING:
    from lipsound2.inference.phrases import Phrases
    from lipsound2.inference.transcript import Transcript

log = logging.getLogger(__name__)


def transcribe(
    *media: Path,
    output_dir: Path | None = None,
    model: str = "",
    asr: str = "",
    search: SearchOptions = DEFAULT_SEARCH,
    audio: bool = False,
    txt: Annotated[Target, OptionalFile()] = None,
    srt: Annotated[Target, OptionalFile()] = None,
    vtt: Annotated[Target, OptionalFile()] = None,
    json: Annotated[Target, OptionalFile(".json")] = None,
    alternatives: AtLeast0 | None = None,
    phrases: Path | None = None,
    correct: str = "",
    correct_seconds: AtLeast1 = 60,
    onnx: tuple[Path, ...] = (),
    detector: Literal["facemesh", "mediapipe", "dlib"] = "facemesh",
    face: Literal["largest", "left", "right", "center", "speaking"] = "largest",
    asd: Path | None = None,
    device: Literal["cpu", "cuda", "mps"] = "cpu",
    precision: Literal["auto", "fp32", "bf16", "int8"] = "auto",
) -> int:
    """Transcribe audio files, or the lips in videos: by a lip reader, or by lip-to-speech and a recognizer of audio.

    Clips may have any length: long ones are cut in pauses, and where the scene changes. One clip's words are printed
    alone; of several clips, a line each with the name of the clip. On a terminal, words that are right with a
    probability below 0.8 are marked as doubtful: bin [blue?] now. Files hold the text without marks.

    Args:
        media: videos with a talking face, audio files, and folders of such files; or - for one from standard input.
        output_dir: folder for the files of all clips, in the formats that are given without a FILE, else as NAME.txt.
        model: lip reader: experiment or pack of the task recognize whose input is crops, or the name of one. Or a
            lip-to-speech model, whose speech --asr recognizes. Left out: grid-s1-vsr; where --asr or --phrases is
            given, grid-s1-parallel.
        asr: recognizer of audio, and of the speech of a lip-to-speech model: experiment or pack of the task recognize,
            the name of one, or pocketsphinx:grid, whisper:NAME, ... Left out: grid-s1-asr; sentences of --phrases are
            then ranked straight from the lips where the model can.
        audio: recognize the videos' own audio instead of the lips.
        txt: also write the text to this file; without FILE, beside the clip. For several clips, FILE is a folder; for
            one, - is standard output. So it is with the next two.
        srt: likewise, subtitles as SubRip.
        vtt: likewise, subtitles as WebVTT, with the models and warnings in notes.
        json: likewise, words with times, confidences, alternatives, models and warnings, as JSON. Without FILE and
            --output-dir it is printed, for several clips a line each.
        alternatives: also print so many other texts it could be, each with its probability. JSON has as many
            (without this option: 5).
        phrases: file of sentences, one a line, of which one was said: they are ranked, with the probability of
            each, and of none of them. docs/phrases.md has more.
        correct: program of yours that corrects texts, such as a local language model, with its arguments. It gets the
            JSON of --json on standard input and writes a text. Both texts are shown and are in JSON; other files keep
            the text as it was read.
        correct_seconds: how long that program may take for a clip.
        onnx: run what lipsound2 export wrote, without torch and instead of --model and --asr: the folder of a
            recognizer. For lips by one of audio, also the files that speak --onnx takes: LIPS.onnx,FOLDER.
        detector: face detector.
        face: which face, where there are several; speaking takes the one who speaks, by lips and audio, see --asd.
        asd: with --face speaking: file of LR-ASD's published weights, which tell who speaks.
        device: where the networks run: cpu, cuda (an NVIDIA or AMD GPU) or mps (Apple's).
        precision: of a recognizer's linear layers: fp32; bf16, half the memory; int8, a quarter, on CPUs. auto is bf16
            for large models where this machine multiplies it faster, else fp32.
    """
    if onnx and (model or asr or device != "cpu" or precision != "auto"):
        raise LipsoundError(
            "--onnx replaces --model and --asr and runs on the CPU as it was exported: "
            "leave out --model, --asr, --device and --precision"
        )
    given_model, given_asr = model, asr
    model = model or (DEFAULT_MODEL if asr or phrases is not None else DEFAULT_READER)
    asr = asr or DEFAULT_ASR
    if face == "speaking" or asd is not None:
        from lipsound2.video.speaking import check_choice

        check_choice(face, asd)
    if correct and phrases is not None:
        raise LipsoundError("--correct: with --phrases the text is one of its sentences; leave one of the two out")
    corrector = (
        Corrector(correct, seconds=correct_seconds, alternatives=ALTERNATIVES if alternatives is None else alternatives)
        if correct
        else None
    )
    targets = {".txt": txt, ".srt": srt, ".vtt": vtt, ".json": json}
    with received(media) as given:
        many = len(given) > 1 or given[0].is_dir()
        found = find_clips(given, (*VIDEO_SUFFIXES, *AUDIO_SUFFIXES)) if many else [Clip(given[0], given[0].stem)]
        files = TranscriptFiles(
            found,
            targets,
            output_dir=output_dir,
            many=many,
            alternatives=alternatives,
            streamed=STANDARD in media,
            read=_read(*(onnx or (model, asr)), search.grammar, search.lm, phrases, asd),
        )
        kinds = _kinds(found, audio=audio)
        if "lips" not in kinds:
            _check_audio_alone(given_model, detector, face)
        if onnx:
            model, asr = clip_readers.check_exported(onnx, kinds)
        else:
            model = model if "lips" in kinds else ""
            _check_names(model, asr, search.lm, audio="audio" in kinds)
            if kinds == {"lips"}:
                check_makes_speech(model, asr=given_asr)
        if model:
            check_detector(detector)
        ranker = (asr or model) if onnx else ranker_of(model, asr)
        own = None if phrases is None else _read_phrases(phrases, ranker, search, lips=bool(model))
        how = clip_readers.Reading(search, device, precision, detector, face, asd, own, many)
        if onnx:
            loaded = clip_readers.load_exported(onnx, how)
        else:
            loaded = clip_readers.load(model, given_asr, how, audio="audio" in kinds)
        from lipsound2.video.check import has_video

        def work(clip: Clip) -> str:
            lips = not audio and has_video(clip.path)
            what = (loaded.lips if lips else loaded.audio)(clip.path)
            what = corrector(what) if corrector else what
            log.info("%s: %s", clip.path, _doubt(what))
            told = [] if own is None else own.told_of_look_alikes()
            for line in what.warnings:
                if line not in told:
                    log.warning("%s: %s", clip.path, line)
            files.write(clip, what)
            return files.line(clip, what)

        if many:
            from lipsound2.inference.each_clip import each_clip

            return each_clip(found, work, "transcribe")
        try:
            print(work(found[0]))
        except ClipFailure as failure:
            raise LipsoundError(describe_failure(found[0].path, failure)) from failure
    return 0


def _read(*names: str | Path | None) -> list[Path]:
    """Files that are read beside the clips.

    Args:
        names: files, folders of models, and names of other kinds, such as models by name.
    """
    from lipsound2 import model_names

    found = []
    for name in names:
        plain = str(name or "").rpartition(":")[2]  # of names such as whisper:FOLDER as well
        for path in dict.fromkeys((Path(name or ""), Path(plain), model_names.found(plain) or Path(plain))):
            if path.is_file():
                found.append(path)
            elif name and path.is_dir():
                found += [each for each in path.iterdir() if each.is_file()]
    return found


def _kinds(clips: Sequence[Clip], *, audio: bool) -> set[str]:
    """What is recognized, `lips` or `audio`. Of many clips, those that cannot be used are reported in their turn.

    Raises:
        LipsoundError: none of them can be used.
    """
    from lipsound2.video.check import has_video

    kinds, failures = set(), []
    for clip in clips:
        try:
            kinds.add("lips" if has_video(clip.path) and not audio else "audio")
        except LipsoundError as failure:
            failures.append(failure)
    if failures and not kinds:
        first = f"none of the {len(failures)} clips can be used; the first: " if len(failures) > 1 else ""
        raise LipsoundError(f"{first}{failures[0]}") from failures[0]
    return kinds


def _check_audio_alone(model: str, detector: str, face: str) -> None:
    """Refuse options about lips where there are none to read.

    Raises:
        LipsoundError: one is given.
    """
    for option, given, instead in (
        ("model", model, "give a recognizer of audio as --asr"),
        ("detector", detector if detector != DEFAULT_DETECTOR else "", "leave it out"),
        ("face", face if face != "largest" else "", "leave it out"),
    ):
        if given:
            raise LipsoundError(f"--{option} {given}: is for lips, and there is audio alone; {instead}")


def _doubt(what: Transcript) -> str:
    """How sure a text is, in a line."""
    if what.confidence is None:
        return "the recognizer has no confidence in the whole text"
    if what.phrases:
        return _choice(what.text, what.confidence, len(what.phrases[0].choices))
    doubtful = sum(map(is_doubtful, what.words))
    words = f"{doubtful} of {len(what.words)} words doubtful (below {DOUBTFUL:g})"
    return f"confidence {what.confidence:.2f}, {words}" + ("" if what.calibrated else "; not calibrated")


def _choice(text: str, probability: float, count: int) -> str:
    """How sure a choice among sentences is: 99.8 % among 20 sentences."""
    share = f"{100 * probability:.1f}".removesuffix(".0") + " %"
    if text:
        return f"{share} among {count} sentence{'s' * (count != 1)}"
    return f"likeliest: none of these {count} sentences, {share}" if count > 1 else f"likeliest: not this one, {share}"


def _read_phrases(path: Path, ranker: str, search: SearchOptions, *, lips: bool) -> Phrases:
    """Own sentences, before anything is loaded.

    Args:
        path: their file.
        ranker: what ranks them.
        search: search options.
        lips: whether there are lips to read.

    Raises:
        LipsoundError: the file holds none, or other options are given that it does not go with.
    """
    from lipsound2.inference.phrases import Phrases

    if search != DEFAULT_SEARCH:
        raise LipsoundError("--phrases: only its sentences are ranked; leave the options of the search out")
    phrases = Phrases.read(path, language_of(ranker))
    if lips:
        phrases.warn_of_look_alikes()
    return phrases


def _check_names(model: str, asr: str, lm: Path | str | None, *, audio: bool) -> None:
    """Check that the models exist, before torch is loaded.

    Args:
        model: see `clip_readers.load`.
        asr: likewise.
        lm: language model; None: without one.
        audio: likewise.

    Raises:
        LipsoundError: one is absent or of another task.
    """
    from lipsound2.inference.recognizer_names import check_language_model, check_recognizer
    from lipsound2.model_names import check_task, task_of

    task = task_of(model) if model else ""
    if task == "classify":
        raise LipsoundError(f"{model}: classifies single words, whose times must be known; use lipsound2 decode")
    if model:
        check_task(model, "regress", "recognize")
    if audio or task != "recognize":
        check_recognizer(asr)
    if lm:
        check_language_model(Path(lm))
