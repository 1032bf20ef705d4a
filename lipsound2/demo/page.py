"""The page: what is on it, and what happens when a clip is brought."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import soundfile

from lipsound2.demo import answers, cards
from lipsound2.demo.limits import Limits
from lipsound2.demo.reading import Reader
from lipsound2.demo.shelf import Shelf
from lipsound2.demo.uploads import clip_input, refuse_in_a_line

_TURNS = "reader"  # the name of the queue that all clips wait in, from the page and from programs
_SOURCES = [("Upload a file", "upload"), ("Record with the camera", "webcam")]
# On a phone the answer stands below the button: it is scrolled to, as far as it must be. Inputs go on as they are.
_SHOW_RESULT = "(...given) => { document.querySelector('#result').scrollIntoView({block: 'nearest'}); return given; }"
_SHOW_WORDS = "() => { document.querySelector('#words, #failure')?.scrollIntoView({block: 'nearest'}); return []; }"
_HINT = """
<div class="hint">
<p><b>Bring a clip</b> of one talking face: frontal, well lit, the mouth in view.</p>
<p>The answer shows what was read from the lips alone; the audio of the clip is not used.</p>
</div>
"""


def build(reader: Reader, limits: Limits, shelf: Shelf, *, phrases: str = "", local: bool = True) -> gr.Blocks:
    """Build the page.

    Args:
        reader: reads clips.
        limits: what is taken.
        shelf: where files lie.
        phrases: own sentences that stand on the page at first, one a line.
        local: whether the page is for this machine alone.
    """
    choices = reader.choices
    names = choices.names()
    most = f"Clip: at most {limits.seconds} s and {limits.megabytes} MB"

    def about(model: str) -> str:
        return cards.head(model, choices.knows(model) if model in names else "", local)

    with gr.Blocks(title="lipsound2: speech and words from lips", analytics_enabled=False) as page:
        head = gr.HTML(about(names[0]), elem_id="head", padding=False)
        # style.css places the three columns: on a phone the answer stands between the button and the choices.
        with gr.Row(elem_id="main"):
            with gr.Column(min_width=300, elem_id="bring"):
                source = gr.Radio(_SOURCES, value="upload", label="Your clip", elem_id="source")
                # Two inputs in columns, because Gradio forgets what `clip_input` adds when an input itself is changed.
                with gr.Column(elem_id="clip") as from_file:
                    file = clip_input(sources=["upload"], label=most, include_audio=False)
                with gr.Column(visible=False, elem_id="camera") as from_camera:
                    mirrored = gr.WebcamOptions(mirror=True)
                    camera = clip_input(sources=["webcam"], label=most, include_audio=False, webcam_options=mirrored)
                start = gr.Button("Read the lips", variant="primary", size="lg", elem_id="start")
            with gr.Column(min_width=300, elem_id="result"):
                failure = gr.HTML(visible=False, elem_id="failure", padding=False)
                working = gr.HTML(visible=False, elem_id="working", padding=False)
                hint = gr.HTML(_HINT, elem_id="hint", padding=False)
                with gr.Column(visible=False, elem_id="answer") as shown:
                    words = gr.HTML(elem_id="words", padding=False)
                    video = gr.Video(
                        label="What was read: the box is about the mouth",
                        interactive=False,
                        buttons=[],
                        elem_id="video",
                    )
                    audio = gr.Audio(label="Speech", interactive=False, buttons=[], elem_id="speech")
                    mel = gr.HTML(elem_id="mel", padding=False)
                    with gr.Row(elem_id="downloads"):
                        wav = gr.DownloadButton("Speech, .wav", size="sm", elem_id="wav")
                        srt = gr.DownloadButton("Subtitles, .srt", size="sm", elem_id="srt")
                        mp4 = gr.DownloadButton("Video with speech, .mp4", size="sm", elem_id="mp4")
            with gr.Column(min_width=300, elem_id="choices"):
                model = gr.Dropdown(names, value=names[0], label="Model", elem_id="model", filterable=False)
                face = gr.Radio(
                    choices.faces(),
                    value="largest",
                    label="Which face, where there are several",
                    elem_id="face",
                )
                sentences = gr.Textbox(
                    phrases,
                    label="Your own sentences",
                    info="One a line, if you know what may be said: they are ranked. Empty: any words of the model.",
                    lines=3,
                    max_lines=10,
                    max_length=200_000,
                    elem_id="sentences",
                )

        # What is chosen is checked when the clip is read, so that a clip with a wrong choice goes as well.
        chosen: list[Any] = [model, face]
        for each in chosen:
            each.preprocess = _as_sent

        filled: list[Any] = [failure, working, hint, shown, words, video, audio, mel, wav, srt, mp4]

        def no_answer(line: str = "") -> dict[Any, Any]:
            """What is seen without an answer: why there is none, or how to get one."""
            return {
                failure: gr.HTML(cards.failure(line) if line else "", visible=bool(line)),
                hint: gr.HTML(visible=True),
                shown: gr.Column(visible=False),
                video: None,
                audio: None,
            }

        def show(
            taken: str, sent: str | None, recorded: str | None, name: str, which: str, text: str, request: gr.Request
        ) -> Iterator[dict[Any, Any]]:
            path = recorded if taken == "webcam" else sent
            if path:
                yield {
                    failure: gr.HTML("", visible=False),
                    working: gr.HTML(cards.working("" if taken == "webcam" else Path(path).name), visible=True),
                    hint: gr.HTML(visible=False),
                    shown: gr.Column(visible=False),
                }
            try:
                answer = answers.read(reader, limits, path, name, which, text)
                with shelf.answering(str(request.session_hash)) as folder:
                    files = answers.write(answers.worth_playing(answer), Path(str(path)), folder)
            except answers.NoAnswer as why:
                yield no_answer(str(why))
                return
            speaks = files.wav is not None
            yield {
                failure: gr.HTML("", visible=False),
                hint: gr.HTML(visible=False),
                shown: gr.Column(visible=True),
                words: cards.words(answer),
                video: str(files.preview),
                audio: gr.Audio(files.wav and str(files.wav), visible=speaks),
                mel: gr.HTML(cards.mel(answer), visible=speaks),
                wav: gr.DownloadButton(value=files.wav and str(files.wav), visible=speaks),
                srt: gr.DownloadButton(value=str(files.srt)),
                mp4: gr.DownloadButton(value=files.mp4 and str(files.mp4), visible=speaks),
            }

        def bring(path: str | None, request: gr.Request) -> dict[Any, Any]:
            shelf.hold(str(request.session_hash), None if path is None else Path(path))
            return no_answer()  # that of the clip before has no files any more

        def take(taken: str) -> dict[Any, Any]:
            recorded = taken == "webcam"
            columns = {from_file: gr.Column(visible=not recorded), from_camera: gr.Column(visible=recorded)}
            return {**columns, file: None, camera: None}

        def leave(request: gr.Request) -> None:
            shelf.close(str(request.session_hash))

        quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden", "queue": False}
        model.change(about, model, head, **quiet)
        source.input(take, source, [from_file, from_camera, file, camera], **quiet)
        for clip in (file, camera):
            clip.change(bring, clip, [failure, hint, shown, video, audio], **quiet)
        page.unload(leave)
        read = start.click(
            show,
            [source, file, camera, model, face, sentences],
            filled,
            api_visibility="private",
            concurrency_limit=1,
            concurrency_id=_TURNS,
            show_progress_on=[words, hint],  # while the clip waits; then `working` says what goes on
            js=_SHOW_RESULT,
        )
        # However it ended, such as with a full queue, nothing is worked on any more.
        read.then(lambda: gr.HTML(visible=False), None, working, js=_SHOW_WORDS, **quiet)
        gr.Button(visible=False).click(
            _for_programs(reader, limits, shelf),
            [file, model, face, sentences],
            gr.JSON(visible=False),
            api_name="read",
            api_description="Read the lips in a clip: what transcribe --json prints, subtitles, and the speech.",
            concurrency_limit=1,
            concurrency_id=_TURNS,
        )
    page.queue(max_size=limits.waiting)
    refuse_in_a_line(page)
    return page


def _for_programs(
    reader: Reader, limits: Limits, shelf: Shelf
) -> Callable[[str | None, str, str, str], dict[str, Any]]:
    """What programs call; the names of its parameters are part of the interface."""

    def read(clip: str | None, model: str, face: str, phrases: str) -> dict[str, Any]:
        try:
            answer = answers.read(reader, limits, clip, model, face, phrases)
        except answers.NoAnswer as why:
            raise gr.Error(str(why), print_exception=False) from why
        finally:
            if clip:
                shelf.remove(Path(clip))
        found = answers.as_json(answer)
        if answer.speech is not None:
            found["speech"] = _as_wav(answer)
        return found

    return read


def _as_sent(value: str) -> str:
    """In place of a component's own check."""
    return value


def _as_wav(answer: answers.Answer) -> str:
    """The speech as a WAV file, base64."""
    assert answer.speech is not None
    buffer = io.BytesIO()
    soundfile.write(buffer, answer.speech.waveform, answer.speech.sample_rate, format="WAV", subtype="PCM_16")
    return base64.b64encode(buffer.getvalue()).decode()
