"""The verb `record`: sentences are shown one after the other, said, and become a corpus of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from lipsound2.arguments import AtLeast0
from lipsound2.errors import LipsoundError
from lipsound2.outputs import Output, check_folder


def record(
    corpus: Annotated[Path, Output(folder=True)],
    *,
    prompts: str,
    count: AtLeast0 = 0,
    speaker: str = "me",
    camera: str = "0",
    microphone: str = "default",
    preview: Literal["window", "off"] = "window",
    loudspeaker: str = "default",
    face: Literal["largest", "left", "right", "center"] = "largest",
    detector: Literal["facemesh", "mediapipe", "dlib"] = "facemesh",
) -> None:
    """Record sentences at the camera into a folder that the recipe egs/own trains on.

    A sentence is shown. Press the space bar, say it, press it again. Then space goes on to the next one, r records the
    sentence again, p plays it, q quits. Each recording is written at once, as CORPUS/SPEAKER/001.mp4 with its text
    001.txt. The same command goes on where it was left. docs/live.md has more.

    Args:
        corpus: folder of the corpus, made if it is not there.
        prompts: file of sentences to be said, one a line; or grid, for sentences of the GRID corpus.
        count: how many sentences at most; 0: all of the file, 50 of grid.
        speaker: name of who speaks, which becomes a folder in the corpus.
        camera: number of a camera, 0 is the first; or another one, or a video file, as for lipsound2 live.
        microphone: default, the name or number of another one, or off for video alone, if you have no voice. A file
            that is played as the camera brings its own audio.
        preview: window shows the camera's video, mirrored, with a box around the mouth; off: the terminal alone.
        loudspeaker: where p plays the audio: default, the name or number of another one, or off.
        face: which face is followed where there are several.
        detector: face detector.
    """
    from lipsound2.live.audio_input import AudioInput, FileInput, MicrophoneInput, NoInput
    from lipsound2.live.camera import check_plugged, open_camera
    from lipsound2.live.loudspeaker import find_loudspeaker
    from lipsound2.live.preview import find_screen
    from lipsound2.live.prompted import PromptedSession
    from lipsound2.live.prompts import Place, read_prompts
    from lipsound2.live.viewer import viewing
    from lipsound2.video.detect import check_detector

    if speaker in ("", "..") or Path(speaker).name != speaker:
        raise LipsoundError(f"--speaker '{speaker}': wanted a name, which becomes a folder in {corpus}")
    sentences = read_prompts(prompts, count)
    source = open_camera(camera)
    source.check()
    check_detector(detector)
    place = Place(corpus / speaker)
    check_folder(place.folder)
    done = place.recorded()
    left = sum(text not in done for text in sentences)
    if not left:
        print(f"{place.folder}: all {len(sentences)} sentences are recorded")
        return
    audio: AudioInput = NoInput()
    if source.recorded is not None:
        audio = FileInput(source.recorded)
    elif microphone != "off":
        audio = MicrophoneInput(microphone)
    with find_screen(preview) as screen:
        plays, why = find_loudspeaker(loudspeaker)
        if why:
            screen.line(f"{why}; what is recorded cannot be heard here")
        screen.line(f"{left} of {len(sentences)} sentences are to be recorded, into {place.folder}")
        try:
            with viewing(source, screen, detector, face) as view:
                session = PromptedSession(view, place, sentences, audio, plays)
                recorded = session.run()
        finally:
            audio.close()
        screen.line(f"{recorded} of {len(sentences)} sentences are recorded in {place.folder}")
    check_plugged(source, ended=session.ended)
