"""The verb `speak`: speech of any silent clips, from a phone or from a corpus.

Clips and outputs are checked before anything is loaded. Torch is imported where it is used: exported networks run
without it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from lipsound2.errors import ClipFailure, LipsoundError, UsageError
from lipsound2.media.clips import Clip, check_results, describe_failure, find_clips
from lipsound2.outputs import check_apart, check_file

if TYPE_CHECKING:
    from lipsound2.inference.speech import Speech
    from lipsound2.inference.synthesizer import LipToSpeech, Synthesizer

log = logging.getLogger(__name__)

DEFAULT_MODEL = "grid-s1-parallel"
_PLAYED = (".mp4", ".m4v", ".mov", ".mkv")  # containers that hold video with AAC audio


def speak(
    *clips: Path,
    output: Path | None = None,
    output_dir: Path | None = None,
    format: Literal["wav", "flac", "ogg", "mp3"] = "wav",
    model: str = DEFAULT_MODEL,
    video: Path | None = None,
    vocoder: str = "griffin-lim",
    onnx: tuple[Path, ...] = (),
    detector: Literal["facemesh", "mediapipe", "dlib"] = "facemesh",
    face: Literal["largest", "left", "right", "center"] = "largest",
    device: Literal["cpu", "cuda", "mps"] = "cpu",
) -> int:
    """Synthesize the speech of silent clips: any number, length, frame rate and rotation.

    Args:
        clips: video files with a talking face, and folders of such files; the audio of a file, if any, is not used.
        output: for one clip: audio file to write, 16 kHz mono; the suffix sets the format: .wav, .flac, .ogg or .mp3.
        output_dir: for one clip or many: folder to write into, under the names of the clips.
        format: with --output-dir: format of the audio files.
        model: experiment or pack, or the name of a model that ships with the toolkit.
        video: also write this video file: the clip with the speech as its audio. With --output-dir: a folder for these
            files, as .mp4.
        vocoder: griffin-lim, griffin-lim:ITERATIONS, or a trained vocoder: its folder, or the name of one that ships.
        onnx: run networks that lipsound2 export wrote, without torch and instead of --model: the file of a
            lip-to-speech model, the files MODEL,VOCODER, or a folder of both.
        detector: face detector.
        face: which face, where there are several.
        device: where the networks run: cpu, cuda (an NVIDIA or AMD GPU) or mps (Apple's). On the CPU a clip's speech is
            the same in every run.
    """
    if onnx and (model != DEFAULT_MODEL or device != "cpu"):
        raise LipsoundError("--onnx replaces --model and runs on the CPU: leave out --model and --device")
    found = _find(clips, output, output_dir, f".{format}", video)
    if not onnx:
        _check_names(model, vocoder)
    from lipsound2.inference.synthesizer import Synthesizer

    loaded = _exported(onnx, vocoder) if onnx else _trained(model, vocoder, device)
    synthesizer = Synthesizer(loaded, detector=detector, face=face)
    if output is not None:
        _one(synthesizer, found[0], output, video)
        return 0
    from lipsound2.inference.each_clip import each_clip

    assert output_dir is not None
    folder, seconds, spent = output_dir, 0.0, -time.perf_counter()

    def work(clip: Clip) -> str:
        nonlocal seconds
        waveform = clip.out(folder, f".{format}")
        speech = speak_to(synthesizer, clip.path, waveform, None if video is None else clip.out(video, ".mp4"))
        seconds += speech.seconds
        return f"{waveform}: {speech.seconds:.2f} s, {speech.video.report}"

    status = each_clip(found, work, "speak")
    spent += time.perf_counter()
    print(f"model    {synthesizer.name}: {synthesizer.knows}")
    if seconds:
        print(f"speed    {spent / seconds:.2f} s per second of clip, {seconds:.2f} s of speech in {folder}")
    return status


def _find(
    given: Sequence[Path], output: Path | None, output_dir: Path | None, suffix: str, video: Path | None
) -> list[Clip]:
    """The clips; they and all outputs are checked.

    Raises:
        UsageError: no output is given, or two.
        LipsoundError: the only clip cannot be used, or an output cannot be written.
    """
    if (output is None) == (output_dir is None):
        wanted = "either -o FILE or --output-dir DIR" if output else "-o speech.wav, or --output-dir DIR for many clips"
        raise UsageError(f"where should the speech go? give {wanted}")
    from lipsound2.video.check import check_video

    if output is not None:
        if len(given) > 1 or given[0].is_dir():
            what = f"{len(given)} clips" if len(given) > 1 else "a folder of clips"
            raise LipsoundError(
                f"{given[0]}: -o {output} is one file, for one clip, found {what}; give --output-dir DIR"
            )
        check_video(given[0])
        from lipsound2.audio.writing import audio_suffixes

        if str(output) == "-":
            raise LipsoundError(
                "-o -: speech is not written to standard output; give the name of a file, such as x.wav"
            )
        check_file(output, given, audio_suffixes())
        if video is not None:
            check_file(video, given, _PLAYED)
            check_apart([output, video])
        return [Clip(given[0], given[0].stem)]
    from lipsound2.audio.writing import audio_suffixes
    from lipsound2.data.folders import VIDEO_SUFFIXES

    found = find_clips(given, VIDEO_SUFFIXES)
    folders = [(folder, ending) for folder, ending in ((output_dir, suffix), (video, ".mp4")) if folder is not None]
    if suffix not in audio_suffixes():
        raise LipsoundError(f"--format {suffix[1:]}: this libsndfile writes {' '.join(audio_suffixes())} only")
    check_results(found, folders)
    if len(found) == 1:
        check_video(found[0].path)
    return found


def _one(synthesizer: Synthesizer, clip: Clip, output: Path, video: Path | None) -> None:
    """Speak the one clip of a call, and print what was found and done."""
    started = time.perf_counter()
    try:
        speech = speak_to(synthesizer, clip.path, output, video)
    except ClipFailure as failure:
        raise LipsoundError(describe_failure(clip.path, failure)) from failure
    spent = time.perf_counter() - started
    print(f"video    {speech.video.report}")
    print(f"model    {synthesizer.name}: {synthesizer.knows}")
    shares = ", ".join(f"{step} {took:.2f} s" for step, took in speech.spent.items())
    print(f"speed    {spent / speech.seconds:.2f} s per second of clip ({shares})")
    print(f"speech   {output}: {speech.seconds:.2f} s" + (f"; as a video: {video}" if video else ""))


def speak_to(synthesizer: Synthesizer, clip: Path, output: Path, video: Path | None = None) -> Speech:
    """Speak one clip into an audio file and, if wanted, into a video file.

    Args:
        synthesizer: model and vocoder.
        clip: video file.
        output: audio file to write; its suffix is one of `writing.audio_suffixes`.
        video: video file to write, or None.

    Raises:
        ClipFailure: the clip cannot be spoken.
        LipsoundError: an output cannot be written.
    """
    speech = synthesizer(clip)
    for line in speech.warnings:
        log.warning("%s: %s", clip, line)
    speech.save(output)
    if video is not None:
        speech.save(video)
    return speech


def _check_names(model: str, vocoder: str) -> None:
    """Check that model and vocoder exist, before torch is loaded.

    Raises:
        LipsoundError: one is absent or of another task.
    """
    from lipsound2.inference.vocoder_names import folder_of
    from lipsound2.model_names import check_task

    check_task(model, "regress")
    folder_of(vocoder)


def _trained(model: str, vocoder: str, device: str) -> LipToSpeech:
    from lipsound2.inference.lip_to_speech import load_lip_to_speech

    return load_lip_to_speech(model, vocoder, device)


def _exported(files: tuple[Path, ...], vocoder: str) -> LipToSpeech:
    from lipsound2.inference.onnx import OnnxLipToSpeech

    return OnnxLipToSpeech(files, vocoder)
