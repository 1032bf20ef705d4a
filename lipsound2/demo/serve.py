"""The verb `demo`: a page on 127.0.0.1 that reads lips."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from lipsound2.arguments import AtLeast1, Within
from lipsound2.demo.limits import Limits, sentences_of
from lipsound2.demo.log_names import clips_by_name
from lipsound2.demo.shelf import Shelf, removed_after_a_kill, swept
from lipsound2.errors import LipsoundError, require
from lipsound2.files import temporary_folder
from lipsound2.inference.recognizer_names import DEFAULT_ASR
from lipsound2.inference.speak import DEFAULT_MODEL

if TYPE_CHECKING:
    from lipsound2.demo.reading import Choices

HOST = "127.0.0.1"
_SESSIONS = 32  # visits of which Gradio keeps the state


def demo(
    *,
    model: str = DEFAULT_MODEL,
    asr: str = DEFAULT_ASR,
    vocoder: str = "auto",
    phrases: Path | None = None,
    port: Annotated[int, Within(0, 65535)] = 7860,
    browser: bool = False,
    max_mb: AtLeast1 = 100,
    max_seconds: AtLeast1 = 60,
    detector: Literal["facemesh", "mediapipe", "dlib"] = "facemesh",
    asd: Path | None = None,
    device: Literal["cpu", "cuda", "mps"] = "cpu",
) -> None:
    """Open a page on this machine: upload a clip or record one with the camera, and get its speech and words.

    The page is at http://127.0.0.1:7860, for this machine alone. Nothing leaves the machine, and no clip is kept.
    Ctrl-C ends the page. docs/demo.md has more, and how programs use it.

    Args:
        model: the model that is chosen first, a lip-to-speech model or a lip reader: experiment or pack, or the name of
            one.
        asr: recognizer of the speech that lip-to-speech models make: as for lipsound2 transcribe.
        vocoder: what makes audio of their mel spectrograms: griffin-lim, griffin-lim:ITERATIONS, or a trained vocoder:
            its folder, or the name of one. auto is the one that a model's pack asks for, else griffin-lim.
        phrases: file of your own sentences, one a line, that stand on the page at first.
        port: where the page is; 0: any that is free.
        browser: also open the page in the browser.
        max_mb: megabytes that a clip may have.
        max_seconds: seconds that a clip may last.
        detector: face detector.
        asd: file of LR-ASD's published weights; with it, the face that speaks can be chosen.
        device: where the networks run: cpu, cuda (an NVIDIA or AMD GPU) or mps (Apple's).
    """
    print(f"loading  the page for {model} ...", flush=True)  # before imports of a minute on a busy machine
    from lipsound2.demo.reading import Choices

    choices = Choices(model, asr, vocoder, detector, asd, device)
    choices.check()
    sentences = "" if phrases is None else _sentences(phrases)
    port = free_port(port)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    with serving(choices, Limits(max_mb, max_seconds), port=port, phrases=sentences) as address:
        print(f"model    {model}: {choices.knows(model) or 'does not say what it knows'}")
        print(f"page     {address} (Ctrl-C ends it)", flush=True)
        if browser:
            import webbrowser

            webbrowser.open(address)
        while True:  # until a signal
            time.sleep(3600)


@contextlib.contextmanager
def serving(
    choices: Choices,
    limits: Limits,
    *,
    host: str = HOST,
    port: int,
    phrases: str = "",
) -> Iterator[str]:
    """Serve the page in the block; yields its address.

    Args:
        choices: models and the like.
        limits: what is taken.
        host: address of this machine that is listened to; another than `HOST` lets others in.
        port: number of the port.
        phrases: own sentences that stand on the page at first.

    Raises:
        LipsoundError: a package is missing, or the port is taken.
    """
    with temporary_folder() as home, removed_after_a_kill(home), clips_by_name(home):
        _prepare(home)
        gradio = require("gradio", "demo")
        from starlette.middleware import Middleware

        from lipsound2.demo.page import build
        from lipsound2.demo.reading import Reader
        from lipsound2.demo.uploads import NothingElsewhere, keep_uploads_apart

        keep_uploads_apart()
        local = host == HOST
        shelf, own = Shelf(home), Path(__file__).parent / "templates"
        page = build(Reader(choices), limits, shelf, phrases=phrases, local=local)
        theme = gradio.themes.Default(
            primary_hue="teal",
            neutral_hue="slate",
            font=["system-ui", "sans-serif"],  # of the reader's machine: none is fetched
            font_mono=["ui-monospace", "monospace"],
        ).set(  # read well by weak eyes, too: 4.5 to 1 at least
            body_text_color_subdued="*neutral_600",
            body_text_color_subdued_dark="*neutral_400",
            block_label_text_color="*neutral_600",
            block_info_text_color="*neutral_600",
            button_primary_background_fill="*primary_700",
            button_primary_background_fill_hover="*primary_800",
            button_primary_background_fill_dark="*primary_700",
        )
        try:
            _, address, _ = page.launch(
                server_name=host,
                server_port=port,
                share=False,
                quiet=True,
                prevent_thread_lock=True,
                show_error=True,
                max_file_size=limits.megabytes * 1_000_000,
                ssr_mode=False,
                run_history=False,  # browsers would keep clips and answers
                enable_monitoring=False,
                mcp_server=False,
                pwa=False,
                footer_links=[],  # docs/demo.md tells programs how to call the page
                state_session_capacity=_SESSIONS,
                theme=theme,
                css_paths=own / "style.css",
                head=f"<style>{(own / 'around.css').read_text(encoding='utf-8')}</style>",
                js=(own / "names.js").read_text(encoding="utf-8"),
                app_kwargs={"middleware": [Middleware(NothingElsewhere)] if local else []},
            )
        except OSError as error:
            raise LipsoundError(_taken(port)) from error
        try:
            with swept(shelf):
                yield address.rstrip("/")
        finally:
            page.close(verbose=False)


def free_port(port: int) -> int:
    """The port, or one that is free for 0.

    Raises:
        LipsoundError: another program has it.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise LipsoundError(_taken(port) if port else f"--port 0: no port is free ({error.strerror})") from error
        return int(probe.getsockname()[1])


def _taken(port: int) -> str:
    return (
        f"--port {port}: cannot be listened to, another program has it; give another, or --port 0 for any that is free"
    )


def _sentences(path: Path) -> str:
    """Own sentences of a file, as they stand in the text box.

    Raises:
        LipsoundError: see `Phrases.read`; or there are more of them than the page takes.
    """
    from lipsound2.inference.phrases import Phrases

    found = "\n".join(Phrases.read(path).texts)
    try:
        sentences_of(found)
    except LipsoundError as error:
        raise LipsoundError(f"--phrases {path}: {error}; make it shorter") from error
    return found


def _prepare(home: Path) -> None:
    """What Gradio reads from the environment, before it is imported: where files lie, and that it calls nobody."""
    os.environ["GRADIO_TEMP_DIR"] = str(home)
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_OFFLINE"] = os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    own = [os.environ[name] for name in ("no_proxy", "NO_PROXY") if os.environ.get(name)]
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = ",".join([*own[:1], HOST, "localhost"])
