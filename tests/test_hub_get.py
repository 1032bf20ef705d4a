"""`models get` against a hub on loopback, with rule-made weights in the exact layout of the published ones."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pty
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from helpers.model_hub import COMMIT, ModelHub
from helpers.published_weights import SMALL, SMALL_LM, language_state, reader_state

import lipsound2
from lipsound2 import known_models, model_names
from lipsound2.cli import main
from lipsound2.corpora import fetch as fetch_module
from lipsound2.errors import LipsoundError
from lipsound2.old_names import OPTIONS

pytest.importorskip("huggingface_hub")

LINES = "\n".join(f"{'▁' if number % 3 else ''}P{number} {number}" for number in range(2, 40))
TABLE = f"<unk> 1\n{LINES}\n".encode()
READER = "Somebody/LRS3_small"
SETTINGS = {
    **{"adim": 64, "aheads": 4, "eunits": 128, "elayers": 2, "dlayers": 2, "dunits": 96, "cnn_module_kernel": 31},
    **{"macaron_style": 1, "use_cnn_module": 1, "relu_type": "swish", "rel_pos_type": "latest", "mtlalpha": 0.1},
    **{"transformer_input_layer": "conv3d", "transformer_encoder_attn_layer_type": "rel_mha"},
}


def saved(state: dict[str, torch.Tensor]) -> bytes:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def weights() -> dict[str, dict[str, bytes]]:
    """The files of a reader, of its language model, and of a pack of ours."""
    reader = json.dumps([9216, SMALL.classes, SETTINGS]).encode()
    model = json.dumps(
        {"layer": 2, "att_unit": 64, "head": 4, "unit": 96, "embed_unit": 32, "pos_enc": "none"}
    ).encode()
    pack = model_names.PRETRAINED / "grid-s1-vocos"
    return {
        READER: {"model.json": reader, "model.pth": saved(reader_state(SMALL)), "README.md": b"mine"},
        "Somebody/lm_small": {"model.json": model, "model.pth": saved(language_state(SMALL_LM))},
        "Somebody/our-vocoder": {
            **{path.name: path.read_bytes() for path in pack.iterdir()},
            **{".gitattributes": b"*", "evil.py": b"1/0", "sub/config.yaml": b"a: 1"},
        },
    }


@pytest.fixture
def hub(weights: dict[str, dict[str, bytes]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelHub]:
    server = ModelHub()
    server.repositories = {name: dict(files) for name, files in weights.items()}
    server.licenses["Somebody/our-vocoder"] = "cc-by-4.0"
    server.tables["/units.txt"] = TABLE
    thread = server.start()
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    monkeypatch.setenv("LIPSOUND2_MODELS", str(tmp_path / "models"))
    monkeypatch.setattr(fetch_module, "_TRIES", 1)
    listed = tmp_path / "known.yaml"
    listed.write_text(yaml.safe_dump(_listed(server)))
    monkeypatch.setattr(known_models, "_FILE", listed)
    known_models.known_models.cache_clear()
    yield server
    known_models.known_models.cache_clear()
    server.shutdown()
    thread.join()
    server.server_close()


def _listed(server: ModelHub) -> dict[str, Any]:
    """The list of known models, with the weights of the server."""

    def hub_of(name: str) -> dict[str, Any]:
        files = {file: hashlib.sha256(content).hexdigest() for file, content in server.repositories[name].items()}
        return {"repository": name, "files": {key: files[key] for key in ("model.json", "model.pth")}}

    source = {"where": "the README of somebody", "license": "not commercial; no more", "terms": "not commercial"}
    common = {"source": "somebody", "verb": "convert-avsr", "tokens": "units.txt", "language": "en", "size": 50}
    digest = hashlib.sha256(TABLE).hexdigest()
    table = {"url": f"{server.url}/units.txt", "size": len(TABLE), "sha256": digest, "license": "Apache-2.0"}
    return {
        "sources": {"somebody": source},
        "tables": {"units.txt": table},
        "models": {
            "small-19.1": {
                **common,
                **{"kind": "lip reader", "published": "19.1 % LRS3", "file": "a.zip", "hub": hub_of(READER)},
            },
            "small-lm": {**common, "kind": "language model", "file": "lm.zip", "hub": hub_of("Somebody/lm_small")},
            "small-hand": {**common, "kind": "lip reader", "file": "hand.pth"},
        },
    }


def get(*words: str) -> int:
    return main(["models", "get", *words])


def told(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line of an error."""
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("lipsound2")]
    assert len(lines) == 1
    return lines[0]


def models() -> Path:
    return model_names.user_folder()


def test_a_known_reader_is_fetched_converted_and_found_by_its_name(
    hub: ModelHub, capsys: pytest.CaptureFixture[str]
) -> None:
    assert get("small-19.1", *(f"--{name}" for name in OPTIONS["models get"])) == 0  # the British spelling
    shown = capsys.readouterr().out
    assert "license: not commercial; no more" in shown
    assert "use it with: lipsound2 transcribe CLIP --model small-19.1" in shown
    assert "47 to 74 %" in shown
    assert [path.name for path in models().iterdir()] == ["small-19.1"], "nothing but the pack stays"
    noted = json.loads((models() / "small-19.1" / "fetched.json").read_text())
    wanted = {name: hashlib.sha256(hub.repositories[READER][name]).hexdigest() for name in ("model.json", "model.pth")}
    assert noted["sha256"] == wanted
    assert noted["commit"] == COMMIT
    assert noted["accepted_license"] == "not commercial; no more"
    # Only what was wanted was asked for, and at the commit, not at a branch that may move.
    files = [path for path, _, _ in hub.asked if "resolve" in path]
    assert files == [f"/{READER}/resolve/{COMMIT}/{name}" for name in ("model.json", "model.pth")]
    assert get("small-lm", "--accept-license") == 0
    reader = lipsound2.load("small-19.1", search=lipsound2.SearchOptions(lm="small-lm", lm_weight=0.3))
    assert type(reader).__name__ == "Transcriber"
    assert main(["models"]) == 0
    assert f"from:  hub:{READER}@{COMMIT}" in capsys.readouterr().out


def test_what_is_there_is_not_fetched_again(hub: ModelHub, capsys: pytest.CaptureFixture[str]) -> None:
    assert get("hub:Somebody/our-vocoder", "--accept-license") == 0
    asked = len(hub.asked)
    assert get("hub:Somebody/our-vocoder") == 0
    assert "is there already, from hub:Somebody/our-vocoder@0123" in capsys.readouterr().out
    assert len(hub.asked) == asked
    assert get("hub:Somebody/lm_small", "--name", "our-vocoder") == 1
    assert "give the new one another name with --name" in told(capsys)
    shutil.copytree(model_names.PRETRAINED / "grid-s1-asr", models() / "small-19.1")
    assert get("small-19.1", "--accept-license") == 1
    assert "did not come from a hub" in told(capsys)
    assert len(hub.asked) == asked


def test_a_pack_of_ours_is_taken_as_it_is(hub: ModelHub, capsys: pytest.CaptureFixture[str]) -> None:
    assert get("hub:Somebody/our-vocoder@main", "--accept-license", "--name", "mine") == 0
    assert "license: cc-by-4.0" in capsys.readouterr().out
    there = {path.name: path.read_bytes() for path in (models() / "mine").iterdir() if path.name != "fetched.json"}
    assert there == {p.name: p.read_bytes() for p in (model_names.PRETRAINED / "grid-s1-vocos").iterdir()}
    assert type(lipsound2.load("mine")).__name__ == "LoadedVocoder"
    files = "config.yaml,model.safetensors,mel.yaml,sub/notes.txt"
    hub.repositories["Somebody/our-vocoder"]["sub/notes.txt"] = b"a file in a folder"
    assert get("hub:Somebody/our-vocoder", "--accept-license", "--name", "some", "--file", files) == 0
    assert (models() / "some" / "notes.txt").read_bytes() == b"a file in a folder"


def test_any_repository_of_a_reader_is_converted(
    hub: ModelHub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "units.txt").write_bytes(TABLE)
    hub.repositories[READER]["deep/other.pth"] = hub.repositories[READER]["model.pth"]
    words = ("--file", "deep/other.pth,model.json", "--accept-license", "--tokens", str(tmp_path / "units.txt"))
    assert get(f"hub:{READER}", *words) == 0
    assert "license: the hub does not say" in capsys.readouterr().out
    assert type(lipsound2.load("LRS3_small")).__name__ == "Transcriber"
    assert (tmp_path / "units.txt").exists()


def test_a_broken_fetch_goes_on_where_it_stopped(hub: ModelHub, capsys: pytest.CaptureFixture[str]) -> None:
    hub.break_after = [100_000]
    assert get("small-19.1", "--accept-license") == 1
    assert "breaks off at 100,000 bytes" in told(capsys)
    assert model_names.of_user() == []
    hub.asked.clear()
    assert get("small-19.1", "--accept-license") == 0
    assert "model.json, is there" in capsys.readouterr().out
    assert [(path, asked) for path, asked, _ in hub.asked if path.startswith("/store")] == [
        (f"/store/{READER}/model.pth", "bytes=100000-")
    ]
    assert model_names.of_user() == ["small-19.1"]


@pytest.mark.parametrize("file", ["model.pth", "model.json", "units.txt"])
def test_content_that_is_not_what_was_promised_is_thrown_away(
    file: str, hub: ModelHub, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.spoilt.add(file)
    assert get("small-19.1", "--accept-license") == 1
    assert "the content is not what was promised" in told(capsys)
    assert model_names.of_user() == []
    hub.spoilt.clear()
    assert get("small-19.1", "--accept-license") == 0


def test_a_repository_whose_file_changed_is_told_before_the_fetch(
    hub: ModelHub, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.repositories[READER]["model.pth"] += b"more"
    assert get("small-19.1", "--accept-license") == 1
    assert "is not the file that is known here (SHA-256 " in (line := told(capsys))
    assert line.endswith(f"to take it as it is: lipsound2 models get hub:{READER}")
    assert not any("resolve" in path for path, _, _ in hub.asked)


def test_without_a_network_there_is_one_line(
    hub: ModelHub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    assert get("small-19.1", "--accept-license") == 1
    line = told(capsys)
    assert "http://127.0.0.1:1 cannot be reached" in line
    assert "is there a network?" in line
    # A page of a firewall, say.
    hub.tables["/page/api/models/A/b/revision/main"] = b"<html>Log in</html>"
    monkeypatch.setenv("HF_ENDPOINT", f"{hub.url}/page")
    assert get("hub:A/b") == 1
    assert f"what answers at {hub.url}/page is no model hub" in told(capsys)


def test_a_license_that_nobody_accepted(hub: ModelHub, capsys: pytest.CaptureFixture[str]) -> None:
    """A pipe must name the option; a known model asks no server before."""
    assert get("small-19.1") == 2
    assert "accept the license above with --accept-license" in told(capsys)
    assert hub.asked == []
    assert get("hub:Somebody/our-vocoder") == 2
    assert [path for path, _, _ in hub.asked] == ["/api/models/Somebody/our-vocoder/revision/main"]
    assert not models().exists()


@pytest.mark.parametrize(("answer", "status"), [("y\n", 0), ("n\n", 1), ("\n", 1)])
def test_a_terminal_is_asked(answer: str, status: int, hub: ModelHub) -> None:
    ours, theirs = pty.openpty()
    code = "import sys; from lipsound2.cli import main; sys.exit(main(['models', 'get', 'hub:Somebody/our-vocoder']))"
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    os.write(ours, answer.encode())
    shown, errors = child.communicate(timeout=180)
    os.close(ours)
    os.close(theirs)
    assert child.returncode == status, errors
    assert "Do you accept it? [y/N]" in shown
    assert (models() / "our-vocoder").exists() == (status == 0)
    assert status == 0 or "the license was not accepted; nothing was fetched" in errors


def test_names_that_are_none(hub: ModelHub, capsys: pytest.CaptureFixture[str]) -> None:
    for words, status, wanted in (
        (["small-19.2"], 1, "lists them; did you mean 'small-19.1'?"),
        (["grid-s1-asr"], 1, "ships with the toolkit"),
        (["Somebody/lm_small"], 1, "write hub:Somebody/lm_small"),
        (["hub:Somebody"], 1, "expected hub:OWNER/NAME"),
        (["hub:Somebody/nothing"], 1, "no such repository"),
        (["hub:Somebody/lm_small@v9"], 1, "has no revision 'v9'"),
        (["hub:Somebody/lm_small", "--name", "small-19.1"], 1, "is the name of another model"),
        (["hub:Somebody/lm_small", "--name", "../x"], 2, "--name: found '../x'"),
        (["hub:Somebody/lm_small", "--file", "modl.pth", "--accept-license"], 1, "did you mean 'model.pth'?"),
        (["small-19.1", "--file", "a.pth"], 2, "--file belongs to hub:OWNER/NAME"),
        (["small-19.1", "--tokens", "nothing.txt"], 1, "--tokens nothing.txt: no such file"),
    ):
        assert get(*words) == status, words
        assert wanted in told(capsys)
    assert not models().exists()


def test_a_model_that_lies_on_no_hub_is_told_with_where_it_is(
    hub: ModelHub, capsys: pytest.CaptureFixture[str]
) -> None:
    assert get("small-hand", "--accept-license") == 1
    line = told(capsys)
    assert "get hand.pth by hand from the README of somebody" in line
    assert "lipsound2 convert-avsr hand.pth" in line
    assert hub.asked == []


def test_repositories_without_a_model_and_with_a_bad_one(hub: ModelHub, capsys: pytest.CaptureFixture[str]) -> None:
    hub.repositories["Somebody/empty"] = {"README.md": b"x"}
    assert get("hub:Somebody/empty", "--accept-license") == 1
    assert "holds neither a pack (config.yaml, model.safetensors) nor model.pth" in told(capsys)
    hub.repositories["Somebody/bad"] = {"model.pth": b"not torch's", "model.json": b"{}"}
    assert get("hub:Somebody/bad", "--accept-license") == 1
    line = told(capsys)
    assert "model.pth" in line
    kept = models() / ".coming" / ".bad"
    assert f"(what was fetched is kept for another try; else remove {kept})" in line
    assert (kept / "model.pth").is_file()
    hub.repositories["Somebody/notours"] = {"config.yaml": b"[1]", "model.safetensors": b"x"}
    assert get("hub:Somebody/notours", "--accept-license") == 1
    assert "config.yaml" in told(capsys)
    assert model_names.of_user() == []


def test_a_gated_repository_and_a_token_that_is_shown_to_the_hub_alone(
    hub: ModelHub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.token = "secret"
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setenv("HF_TOKEN_PATH", os.devnull)
    assert get("hub:Somebody/our-vocoder", "--accept-license") == 1
    assert "hf auth login" in told(capsys)
    monkeypatch.setenv("HF_TOKEN", "secret")
    assert get("hub:Somebody/our-vocoder", "--accept-license") == 0
    shown = {path for path, _, token in hub.asked if token}
    assert any(path.endswith("/config.yaml") for path in shown)
    assert not any(path.startswith("/store") for path in shown)


def test_a_full_disk_is_told_before_and_while_fetching(
    hub: ModelHub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(9, 8, 1))  # type: ignore[attr-defined]
        assert get("hub:Somebody/our-vocoder", "--accept-license") == 1
        assert "6 MB are needed, 0 MB are free" in told(capsys)
    code = "import sys; from lipsound2.cli import main; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", code, "models", "get", "hub:Somebody/our-vocoder", "--accept-license"],
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000)),
    )
    assert done.returncode == 1
    assert "model.safetensors.part: File too large" in done.stderr.splitlines()[-1]
    assert model_names.of_user() == []


def test_nothing_is_fetched_unasked(hub: ModelHub, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models"]) == 0
    assert main(["models", "--json"]) == 0
    with pytest.raises(LipsoundError, match=r"get it with: lipsound2 models get small-19\.1"):
        lipsound2.load("small-19.1")
    assert hub.asked == []


def test_without_the_package_the_extra_is_named(
    hub: ModelHub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert get("small-19.1", "--accept-license") == 1
    assert "--extras hub" in told(capsys)


def test_what_a_hub_says_of_a_license_stays_one_line_without_escapes(hub, capsys) -> None:
    hub.licenses["Somebody/our-vocoder"] = "mit\x1b[2J\nAccepted: yes"
    assert get("hub:Somebody/our-vocoder", "--accept-license") == 0
    assert "license: mit\\x1b[2J\\nAccepted: yes\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("file", "content", "wanted"),
    [
        ("config.yaml", b"hello: 1", "its config.yaml names no task, so it is no pack"),
        ("config.yaml", b"task: [1", "not a YAML file"),
        ("model.safetensors", b"<html>quota</html>", "its model.safetensors cannot be read"),
    ],
)
def test_a_pack_that_is_none_is_refused_and_leaves_no_pack(hub, capsys, file, content, wanted) -> None:
    hub.repositories["Somebody/our-vocoder"][file] = content
    assert get("hub:Somebody/our-vocoder", "--accept-license") == 1
    assert wanted in told(capsys)
    assert not [*models().rglob("config.yaml")]


def test_sizes_that_are_none_are_told(hub, capsys, monkeypatch) -> None:
    listing = ModelHub.listing
    for size in ("12", -5):
        wrong = {"size": size, "lfs": None}
        monkeypatch.setattr(
            ModelHub,
            "listing",
            lambda self, name, wrong=wrong: (
                (said := listing(self, name)) | {"siblings": [each | wrong for each in said["siblings"]]}
            ),
        )
        assert get("hub:Somebody/our-vocoder", "--accept-license") == 1
        assert f"is no model hub (no size of a file: {size!r})" in told(capsys)


def test_a_home_of_nobody_is_told(monkeypatch, capsys) -> None:
    monkeypatch.setenv("LIPSOUND2_MODELS", "~nobody-here/models")
    assert main(["models"]) == 1
    assert "LIPSOUND2_MODELS: ~nobody-here/models: " in told(capsys)
