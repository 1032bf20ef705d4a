"""A page of the report in Chromium: what a probe of it finds, and what it asks a server for."""

from __future__ import annotations

import http.server
import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import Any

import pytest

from lipsound2.report import markup


def probed(page: str, script: str) -> str:
    """A page with one more script, which its policy lets run and report."""
    page = page.replace("script-src ", f"connect-src 'self'; script-src {markup._hash(script)} ", 1)
    return page.replace("</body>", f"<script>{script}</script></body>")


def visited(text: str, profile: Path, width: int = 1200) -> tuple[Any, set[str]]:
    """What a page reports from a real browser, and the paths that were asked for."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no chromium here; on Debian: apt-get install chromium")
    visit = Visit(text)
    quiet = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    command = [browser, *quiet.split(), "--disable-component-update", "--disable-sync", f"--window-size={width},2400"]
    command += [f"--user-data-dir={profile / 'profile'}", "--autoplay-policy=no-user-gesture-required"]
    visit.width = width
    # Killed, it would leave its own folder in /tmp. The path of the socket there has to be short.
    with (profile / "log").open("w") as log, tempfile.TemporaryDirectory() as kept:
        process = subprocess.Popen(
            [*command, f"http://127.0.0.1:{visit.server_port}/frame"],
            env={**os.environ, "TMPDIR": kept},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            assert visit.told.wait(90), (profile / "log").read_text()[-2000:]
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            visit.shutdown()
    return visit.facts, {path for path in visit.asked if path not in ("/favicon.ico", "/frame")}


class Visit(http.server.ThreadingHTTPServer):
    """Serves one page to a browser and waits for what the page reports.

    The page stands in a frame: no window of a browser is narrower than some 500 pixels, a frame may be.
    """

    def __init__(self, text: str) -> None:
        self.text, self.asked, self.facts, self.width = text, [], None, 1200
        self.told = threading.Event()
        super().__init__(("127.0.0.1", 0), Answer)
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Answer(http.server.BaseHTTPRequestHandler):
    server: Visit

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        frame = (
            f'<body style="margin:0"><iframe src="/" style="border:0;width:{self.server.width}px;height:2300px" '
            'allow="autoplay">'
        )
        answer = {"/": self.server.text, "/frame": frame}.get(self.path)
        self.send_response(404 if answer is None else 200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        self.wfile.write((answer or "").encode())

    def do_POST(self) -> None:
        self.server.facts = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(204)
        self.end_headers()
        self.server.told.set()

    def log_message(self, *_: object) -> None:
        """Say nothing."""
