"""The verb `speak`: speech of any silent clips, from a phone or from a corpus.

Clips and outputs are checked before anything is loaded. Torch is imported where it is used: exported networks run
without it.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from lipsound2.errors import ClipFailure, LipsoundError, UsageError
from lipsound2.files import temporary_folder
from lipsound2.inference.recognizer_names import DEFAULT_ASR
from lipsound2.inference.speech_outputs import PlannedSpeech, SpeechPlaces, targets
from lipsound2.media.clips import Clip, describe_failure
from lipsound2.media.standard_streams import STANDARD, received, standard_output

if TYPE_CHECKING:
    import numpy as np

    from lipsound2.inference.speech import Speech
    from lipsound2.inference.synthesizer import LipToSpeech, Synthesizer
    from lipsound2.video.captions import Captions

log = logging.getLogger(__name__)

DEFAULT_MODEL = "grid-s1-parallel"


def speak(
    *clips: Path,
    output: Path | None = None,
    output_dir: Path | None = None,
    format: Literal["wav", "flac", "ogg", "mp3"] = "wav",
    model: str = DEFAULT_MODEL,
    video: Path | None = None,
    subtitles: Literal["burn", "soft"] | None = None,
    asr: str = DEFAULT_ASR,
    vocoder: str = "auto",
    voice: Path | None = None,
    voice_encoder: Path | None = None,
    onnx: tuple[Path, ...] = (),
    detector: Literal["facemesh", "mediapipe", "dlib"] = "facemesh",
    face: Literal["largest", "left", "right", "center", "speaking"] = "largest",
    asd: Path | None = None,
    device: Literal["cpu", "cuda", "mps"] = "cpu",
) -> int:
    """Synthesize the speech of silent clips: any number, length, frame rate and rotation.

    Without -o and --output-dir, the speech of clip.mp4 is clip.wav beside it, and never replaces a file that is there.

    Args:
        clips: video files with a talking face, and folders of such files; the audio of a file, if any, is not used for
            the speech. Or - for one from standard input, whose speech goes to standard output if no other place is
            given.
        output: for one clip: audio file to write, 16 kHz mono; the suffix sets the format: .wav, .flac, .ogg or .mp3.
            Or - for standard output.
        output_dir: for one clip or many: folder to write into, under the names of the clips.
        format: of audio whose name does not say it.
        model: experiment or pack, or the name of a model that ships with the toolkit.
        video: also write this video file: the clip with the speech as its audio. A folder, such as . for this one, gets
            clip.spoken.mp4; with --output-dir or for many clips it gets NAME.mp4 for each.
        subtitles: show in the video what a recognizer finds in the speech. burn draws it into the frames, which are
            encoded again; soft adds a track of text that players show and hide. Without --video, clip.spoken.mp4 is
            written beside the speech.
        asr: with --subtitles: recognizer of the speech, as for lipsound2 transcribe.
        vocoder: griffin-lim, griffin-lim:ITERATIONS, or a trained vocoder: its folder, or the name of one. auto is the
            one that the model's pack asks for, else griffin-lim.
        voice: recording of the voice to speak in, audio or video, a second or longer; for models that were trained with
            many voices (speaker: embedding).
        voice_encoder: with --voice: the weights of the speaker encoder: the wheel of resemblyzer, or pretrained.pt out
            of it; by default those of the installed package.
        onnx: run networks that lipsound2 export wrote, without torch and instead of --model: the file of a
            lip-to-speech model, the files MODEL,VOCODER, or a folder of both.
        detector: face detector.
        face: which face, where there are several; speaking takes the one who speaks, by lips and audio, see --asd.
        asd: with --face speaking: file of LR-ASD's published weights, which tell who speaks.
        device: where the networks run: cpu, cuda (an NVIDIA or AMD GPU) or mps (Apple's). On the CPU a clip's speech is
            the same in every run.
    """
    if onnx and (model != DEFAULT_MODEL or device != "cpu"):
        raise LipsoundError("--onnx replaces --model and runs on the CPU: leave out --model and --device")
    if onnx and voice is not None:
        raise LipsoundError("--voice: exported networks speak in one voice; use --model instead of --onnx")
    if voice_encoder is not None and voice is None:
        raise UsageError(f"--voice-encoder {voice_encoder}: is for a reference; give --voice too, or leave it out")
    if asr != DEFAULT_ASR and subtitles is None:
        raise UsageError(f"--asr {asr}: recognizes the speech for subtitles; give --subtitles too, or leave it out")
    if face == "speaking" or asd is not None:
        from lipsound2.video.speaking import check_choice

        check_choice(face, asd)
    if STANDARD in clips and output is None and output_dir is None:
        output = STANDARD
    with received(clips) as given:
        found = targets(given, SpeechPlaces(output, output_dir, f".{format}", video, subtitles is not None))
        _check_names("" if onnx else model, vocoder, "" if subtitles is None else asr)
        from lipsound2.video.detect import check_detector

        check_detector(detector)

        def work(found: Sequence[PlannedSpeech]) -> int:
            from lipsound2.inference.synthesizer import Synthesizer

            loaded = _exported(onnx, vocoder) if onnx else _trained(model, vocoder, device)
            synthesizer = Synthesizer(loaded, detector=detector, face=face, asd=asd, voice_encoder=voice_encoder)
            embedding = None if voice is None else synthesizer.voice_of(voice)
            synthesizer.progress = len(found) == 1
            captions = None if subtitles is None else _captions(asr, device, burn=subtitles == "burn")
            if output is None and (output_dir is not None or len(found) > 1):
                return _each(synthesizer, found, captions, embedding)
            _one(
                synthesizer,
                found[0],
                captions,
                embedding,
                "standard output" if output == STANDARD else str(found[0].speech),
            )
            return 0

        if output != STANDARD:
            return work(found)
        with standard_output("audio") as stream, temporary_folder() as folder:
            speech = folder / f"speech.{format}"
            status = work([PlannedSpeech(found[0].clip, speech, found[0].video)])
            with speech.open("rb") as file:
                shutil.copyfileobj(file, stream)
        return status


def _each(
    synthesizer: Synthesizer,
    found: Sequence[PlannedSpeech],
    captions: Callable[[Speech], Captions] | None,
    voice: np.ndarray | None,
) -> int:
    """Speak clips one after the other, past those that fail, and print a line for each. Returns the exit status."""
    from lipsound2.inference.each_clip import each_clip

    seconds, spent = 0.0, -time.perf_counter()
    of = {target.clip: target for target in found}

    def work(clip: Clip) -> str:
        nonlocal seconds
        speech = speak_to(synthesizer, of[clip], captions, voice)
        seconds += speech.seconds
        return f"{of[clip].speech}: {speech.seconds:.2f} s, {speech.video.report}"

    status = each_clip([*of], work, "speak")
    spent += time.perf_counter()
    print(f"model    {synthesizer.name}: {synthesizer.knows}")
    print(f"vocoder  {synthesizer.vocoder}")
    if seconds:
        print(f"speed    {spent / seconds:.2f} s per second of clip, {seconds:.2f} s of speech")
    return status


def _one(
    synthesizer: Synthesizer,
    target: PlannedSpeech,
    captions: Callable[[Speech], Captions] | None,
    voice: np.ndarray | None,
    shown: str,
) -> None:
    """Speak the one clip of a call, and print what was found and done; `shown` is where the speech is."""
    started = time.perf_counter()
    try:
        speech = speak_to(synthesizer, target, captions, voice)
    except ClipFailure as failure:
        raise LipsoundError(describe_failure(target.clip.path, failure)) from failure
    spent = time.perf_counter() - started
    print(f"video    {speech.video.report}")
    print(f"model    {synthesizer.name}: {synthesizer.knows}")
    print(f"vocoder  {synthesizer.vocoder}")
    shares = ", ".join(f"{step} {took / speech.seconds:.2f}" for step, took in speech.spent.items())
    print(f"speed    {spent / speech.seconds:.2f} s per second of clip ({shares})")
    also = f"; as a video: {target.video}" if target.video else ""
    print(f"speech   {shown}: {speech.seconds:.2f} s{also}")


def speak_to(
    synthesizer: Synthesizer,
    target: PlannedSpeech,
    captions: Callable[[Speech], Captions] | None = None,
    voice: np.ndarray | None = None,
) -> Speech:
    """Speak one clip into an audio file and, if wanted, into a video file.

    Args:
        synthesizer: model and vocoder.
        target: the clip and its outputs; the suffix of the audio file is one of `writing.audio_suffixes`.
        captions: makes the subtitles of the video.
        voice: speaker embedding to speak in; None: the voice of the model.

    Raises:
        ClipFailure: the clip cannot be spoken.
        LipsoundError: an output cannot be written.
    """
    speech = synthesizer(target.clip.path, voice=voice)
    for line in speech.warnings:
        log.warning("%s: %s", target.clip.path, line)
    speech.save(target.speech)
    if target.video is not None:
        speech.save(target.video, captions and captions(speech))
    return speech


def _captions(asr: str, device: str, *, burn: bool) -> Callable[[Speech], Captions]:
    """A function from speech to the subtitles that a recognizer makes of it."""
    from lipsound2.decoding.hypothesis import marked
    from lipsound2.decoding.subtitles import cues
    from lipsound2.inference.recognizers import recognizer
    from lipsound2.inference.transcriber import Transcriber
    from lipsound2.video.captions import Captions

    recognize = Transcriber(recognizer(asr, device=device))

    def captions(speech: Speech) -> Captions:
        text = recognize(speech)
        log.info("%s: %s", recognize.name, marked(text) or "no words")
        return Captions(cues(text), burn, f"{recognize.name} from speech of {speech.model}")

    return captions


def _check_names(model: str, vocoder: str, asr: str) -> None:
    """Check that the models exist, before torch is loaded; an empty name is none.

    Raises:
        LipsoundError: one is absent or of another task.
    """
    from lipsound2.inference.recognizer_names import check_recognizer
    from lipsound2.inference.vocoder_names import folder_of, vocoder_of
    from lipsound2.model_names import check_task

    if model:
        check_task(model, "regress")
        folder_of(vocoder_of(vocoder, model))
    if asr:
        check_recognizer(asr)


def _trained(model: str, vocoder: str, device: str) -> LipToSpeech:
    from lipsound2.inference.lip_to_speech import load_lip_to_speech

    return load_lip_to_speech(model, vocoder, device)


def _exported(files: tuple[Path, ...], vocoder: str) -> LipToSpeech:
    from lipsound2.inference.onnx import OnnxLipToSpeech

    return OnnxLipToSpeech(files, vocoder)
