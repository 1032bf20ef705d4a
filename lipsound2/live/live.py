"""The verb `live`: what is mouthed at a camera becomes words on the screen and speech from the loudspeaker."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np

from lipsound2 import model_names
from lipsound2.errors import LipsoundError, UsageError
from lipsound2.inference.model_list import reads_lips, record_of
from lipsound2.inference.recognizer_names import (
    DEFAULT_ASR,
    check_makes_speech,
    check_recognizer,
    language_of,
    ranker_of,
)
from lipsound2.inference.speak import DEFAULT_MODEL
from lipsound2.inference.vocoder_names import AUTO, folder_of, vocoder_of
from lipsound2.live.audio_devices import DEFAULT

_KEPT = Path("live")  # where speech goes if there is no loudspeaker


def live(
    *,
    camera: str = "0",
    model: str = DEFAULT_MODEL,
    asr: str = "",
    vocoder: str = AUTO,
    phrases: Path | None = None,
    say: Literal["lips", "text"] = "lips",
    type: bool = False,
    continuous: bool = False,
    microphone: bool = False,
    preview: Literal["window", "off"] = "window",
    loudspeaker: str = DEFAULT,
    output_dir: Path | None = None,
    face: Literal["largest", "left", "right", "center"] = "largest",
    detector: Literal["facemesh", "mediapipe", "dlib"] = "facemesh",
    device: Literal["cpu", "cuda", "mps"] = "cpu",
) -> None:
    """Read lips at the camera: mouth a sentence, and it is written and spoken.

    Press the space bar, mouth the sentence, and press it again. A number key says another of the texts that are
    shown, r says it again, q quits. docs/live.md has more.

    Args:
        camera: number of a camera, 0 is the first; a video file, which is played in real time as if it were one; or a
            kind of input and its name there, such as v4l2:/dev/video2, avfoundation:1 or opencv:1.
        model: lip-to-speech model, or a lip reader, which gives words alone: experiment or pack, or the name of one.
        asr: recognizer of the speech that is made, as for lipsound2 transcribe. Left out: grid-s1-asr; sentences of
            --phrases are then ranked straight from the lips where the model can.
        vocoder: griffin-lim, griffin-lim:ITERATIONS, or a trained vocoder: its folder, or the name of one. auto is the
            one that the model's pack asks for, else griffin-lim.
        phrases: file of your own sentences, one a line: they are ranked, and a number key says one of them.
        say: what a number key says: lips, the speech that was made from your lips; text, the text itself in the voice
            of espeak-ng.
        type: also type the text where the cursor is, in any program.
        continuous: captions while you speak on and on: a sentence is read when the lips come to rest behind it.
        microphone: with --continuous: also find pauses by a microphone. Its audio is measured, not kept.
        preview: window shows the camera's video, mirrored, with a box around the mouth; off: the terminal alone.
        loudspeaker: default, the name or number of another one, or off. Where there is none, speech is written into
            the folder of --output-dir, or else live.
        output_dir: keep words and speech in this folder: 001.txt and 001.wav, and so on.
        face: which face is followed where there are several.
        detector: face detector.
        device: where the networks run: cpu, cuda (an NVIDIA or AMD GPU) or mps (Apple's).
    """
    if microphone and not continuous:
        raise UsageError("--microphone: finds pauses for --continuous; give that too, or leave it out")
    from lipsound2.inference.phrases import Phrases
    from lipsound2.live.camera import check_plugged, open_camera
    from lipsound2.live.typing_out import Typist
    from lipsound2.outputs import check_folder
    from lipsound2.video.detect import check_detector

    source = open_camera(camera)
    source.check()
    check_detector(detector)
    if not reads_lips(record_of(model_names.find(model), "user")):
        raise LipsoundError(f"--model {model}: reads no lips; give a lip-to-speech model or a lip reader")
    check_makes_speech(
        model,
        asr=asr,
        vocoder="" if vocoder == AUTO else vocoder,
        loudspeaker="" if loudspeaker in (DEFAULT, "off") or say == "text" else loudspeaker,
    )
    check_recognizer(asr or DEFAULT_ASR)
    folder_of(vocoder_of(vocoder, model))
    sentences = None if phrases is None else Phrases.read(phrases, language_of(ranker_of(model, asr or DEFAULT_ASR)))
    if output_dir is not None:
        check_folder(output_dir)
    typist = Typist() if type else None
    speak = _speaker_of_texts() if say == "text" else None
    from lipsound2.inference.onednn_cache import remember_few_shapes
    from lipsound2.live.kept import Kept
    from lipsound2.live.loudspeaker import find_loudspeaker
    from lipsound2.live.preview import find_screen
    from lipsound2.live.reading import Reader
    from lipsound2.live.session import Parts, Session
    from lipsound2.live.viewer import viewing
    from lipsound2.live.voice_activity import FileAudio, Microphone, NoAudio, VoiceActivity

    voice: VoiceActivity = NoAudio()
    if microphone:
        voice = Microphone()
    elif continuous and source.recorded is not None:
        voice = FileAudio(source.recorded)
    kept = None if output_dir is None else Kept(output_dir)
    remember_few_shapes()
    with find_screen(preview) as screen:
        screen.status("loading the models ...")
        reader = Reader(model, asr, vocoder, device, detector, sentences)
        reader.warm_up()
        screen.line(f"{reader.name} knows: {reader.knows}")
        speaks = reader.speaks or speak is not None
        plays, why = find_loudspeaker(loudspeaker if speaks else "off")
        if why:
            kept = kept or Kept(_KEPT)
            check_folder(kept.folder)
            screen.line(f"{why}; speech is written into {kept.folder}")
        parts = Parts(reader, plays, spare=Kept(_KEPT), kept=kept, typist=typist, say=speak)
        with viewing(source, screen, detector, face) as view, Session(view, parts) as session:
            if continuous:
                session.continuously(voice)
            else:
                session.by_key()
    check_plugged(source, ended=session.ended)


def _speaker_of_texts() -> Callable[[str], tuple[np.ndarray, int]]:
    """A function that says texts, by espeak-ng."""
    from lipsound2.synthetic.speech import VOICES, say

    def speak(text: str) -> tuple[np.ndarray, int]:
        spoken = say(text.split(), VOICES[0])
        return spoken.waveform, spoken.rate

    speak("hello")  # a missing library is told before anything is loaded
    return speak
