"""Work on a real Slurm of two nodes: the bytes of the local launcher, whatever happens on the way."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import slurm_site
from helpers.shard_workers import IDS, Maker, content, run, tried
from helpers.slurm_site import Site
from helpers.toy_training import Toy, torchrun
from helpers.written_dump import write_kind

from lipsound2.audio.io import encode_flac
from lipsound2.audio.mel import MELS, mel_spectrogram
from lipsound2.data.datadir import DataDir
from lipsound2.data.yaml_files import read_yaml
from lipsound2.errors import LipsoundError
from lipsound2.files import sha256
from lipsound2.inference.decode import decode
from lipsound2.inference.former_score import score
from lipsound2.inference.synthesize import synthesize
from lipsound2.jobs.jobs import StepSummary, read_failures
from lipsound2.jobs.slurm import array, ipc
from lipsound2.jobs.slurm.ipc import FOLDER
from lipsound2.training.train import train
from lipsound2.video.encode import encode

TESTS = Path(__file__).parent
pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(slurm_site.lacking()), reason=slurm_site.lacking())]


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    folder = Path(tempfile.mkdtemp(prefix="slurm"))
    site = Site(folder)
    with pytest.MonkeyPatch.context() as patch:
        # Jobs unpickle the workers of these tests, and may not wait on each other's threads.
        patch.setenv("PYTHONPATH", os.pathsep.join([str(TESTS), str(TESTS.parent)]))
        patch.setenv("OMP_NUM_THREADS", "1")
        try:
            site.start()
            yield site
        finally:
            site.stop()
            shutil.rmtree(folder)


@pytest.fixture
def slurm(site: Site, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """The site with nothing running; what a test leaves at work is its failure."""
    monkeypatch.setattr(array, "_SLOW", 1.0)
    # Nobody else ends an array whose jobs never start.
    before = signal.signal(signal.SIGALRM, _late)
    signal.alarm(300)
    yield site
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)
    left = site.jobs()
    site.clear()
    assert not left


def _late(*_: object) -> None:
    raise TimeoutError


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What the local launcher makes."""
    folder = tmp_path_factory.mktemp("local")
    assert run(folder / "dump", Maker(folder / "log")) == StepSummary(24, 0, 0)
    return content(folder / "dump")


def meanwhile(work: Callable[[], Any]) -> threading.Thread:
    """Do something while the test's own thread controls an array."""
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def running(site: Site) -> list[str]:
    return [job for job, state, _ in site.jobs() if state == "RUNNING"]


def test_an_array_makes_the_bytes_of_the_local_launcher(
    slurm: Site, tmp_path: Path, local: dict[str, bytes], capfd: pytest.CaptureFixture[str]
) -> None:
    maker = Maker(tmp_path / "log")
    assert run(tmp_path / "dump", maker, launcher="slurm", nj=3) == StepSummary(24, 0, 0)
    assert content(tmp_path / "dump") == local
    assert sorted(tried(maker)) == sorted(IDS)
    assert len(maker.log.with_suffix(".processes").read_text().split()) == 3  # each job made one worker
    lines = [line for line in capfd.readouterr().err.splitlines() if line.startswith("crop: ")]
    assert "24 of 24 clips" in lines[-1]
    assert len(lines) <= 3  # a line a minute, however often the jobs are looked at
    # Nothing left to do: no job is submitted, by whichever launcher.
    assert run(tmp_path / "dump", maker, launcher="slurm", nj=2) == StepSummary(0, 24, 0)
    assert run(tmp_path / "dump", maker) == StepSummary(0, 24, 0)
    assert sorted(tried(maker)) == sorted(IDS)


def test_a_job_that_is_killed_is_submitted_again_and_only_it(
    slurm: Site, tmp_path: Path, local: dict[str, bytes]
) -> None:
    maker = Maker(tmp_path / "log", sleep=0.2)

    def kill() -> None:
        slurm.until(lambda: len(tried(maker)) >= 8)
        subprocess.run(["scancel", running(slurm)[0]], check=True)

    thread = meanwhile(kill)
    assert run(tmp_path / "dump", maker, launcher="slurm", nj=2) == StepSummary(24, 0, 0)
    thread.join()
    assert content(tmp_path / "dump") == local
    assert 24 < len(tried(maker)) <= 24 + 5  # at most the shard it was at


def test_verdicts_are_those_of_the_local_launcher(slurm: Site, tmp_path: Path) -> None:
    acts = {"s0-c03": "no-face", "s1-c04": "kill", "s2-c08": "bug", "s1-c10": "hang"}
    for launcher in ("local", "slurm"):
        (tmp_path / launcher).mkdir()
        maker = Maker(tmp_path / launcher / "log", acts)
        assert run(tmp_path / launcher / "dump", maker, launcher=launcher, nj=2, timeout=4) == StepSummary(20, 0, 4)
    assert content(tmp_path / "slurm" / "dump") == content(tmp_path / "local" / "dump")


class JobKiller(Maker):
    """Kills not its own process but the whole job, as a limit of memory does: a moment after the clip was begun."""

    def work(self, name: str) -> Any:
        if self.acts.get(name) == "kill-job":
            with self.log.open("a") as file:
                file.write(name + "\n")
            time.sleep(2)  # the job has noted by then which clip it is at
            os.kill(os.getppid(), signal.SIGKILL)
            time.sleep(60)
        return super().work(name)


def test_a_clip_that_takes_its_job_down_twice_is_named(slurm: Site, tmp_path: Path) -> None:
    maker = JobKiller(tmp_path / "log", {"s1-c04": "kill-job"})
    assert run(tmp_path / "dump", maker, launcher="slurm", nj=2) == StepSummary(23, 0, 1)
    assert tried(maker).count("s1-c04") == 2
    ((name, step, reason, detail),) = read_failures(tmp_path / "dump")
    assert (name, step, reason) == ("s1-c04", "crop", "worker-killed")
    assert "FAILED, tried 2 times" in detail


def test_a_step_that_is_at_fault_stops_at_once(slurm: Site, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    maker = Maker(tmp_path / "log", {"start": "error"})
    with pytest.raises(LipsoundError, match=r"crop: the package 'mediapipe' cannot be imported; whole shards are kept"):
        run(tmp_path / "dump", maker, launcher="slurm", nj=2)
    assert "the end of" in caplog.text
    assert "mediapipe" in caplog.text
    assert not (tmp_path / "dump" / "mel" / "feats.scp").exists()


def test_jobs_that_fail_again_and_again_are_given_up(
    slurm: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(LipsoundError, match=r"job \d+_\d ended as FAILED, after 3 jobs in a row"):
        run(tmp_path / "dump", Maker(tmp_path / "log"), launcher="slurm", nj=1)
    assert "/nowhere/python" in caplog.text.split("the end of")[1]


def test_what_slurm_refuses_is_one_line(slurm: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIPSOUND2_SBATCH", "--partition=gold")
    with pytest.raises(LipsoundError, match="Invalid partition name specified") as error:
        run(tmp_path / "dump", Maker(tmp_path / "log"), launcher="slurm")
    assert "\n" not in str(error.value)
    assert "LIPSOUND2_SBATCH" in str(error.value)
    monkeypatch.setenv("LIPSOUND2_SBATCH_CROP", "--partition=debug")  # the step's own option wins
    assert run(tmp_path / "dump", Maker(tmp_path / "log"), launcher="slurm") == StepSummary(24, 0, 0)
    monkeypatch.setenv("LIPSOUND2_SBATCH", "--comment='unfinished")
    with pytest.raises(LipsoundError, match="LIPSOUND2_SBATCH: No closing quotation"):
        run(tmp_path / "other", Maker(tmp_path / "log"), launcher="slurm")


def test_without_slurm_there_is_one_line(slurm: Site, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(tmp_path))
        with pytest.raises(LipsoundError, match="there is no 'sbatch' on this machine"):
            run(tmp_path / "dump", Maker(tmp_path / "log"), launcher="slurm")


def test_a_node_that_goes_loses_only_its_jobs(slurm: Site, tmp_path: Path, local: dict[str, bytes]) -> None:
    maker = Maker(tmp_path / "log", sleep=0.4)
    gone = threading.Event()

    def fail() -> None:
        slurm.until(lambda: len(tried(maker)) >= 6)
        node = next(node for _, state, node in slurm.jobs() if state == "RUNNING")
        slurm.kill(node)
        subprocess.run(["scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=power"], check=True)
        gone.set()
        time.sleep(2)
        slurm.start_node(node)
        subprocess.run(["scontrol", "update", f"NodeName={node}", "State=RESUME"], check=False)

    thread = meanwhile(fail)
    assert run(tmp_path / "dump", maker, launcher="slurm", nj=3) == StepSummary(24, 0, 0)
    thread.join()
    assert gone.is_set()
    assert content(tmp_path / "dump") == local


def test_slurms_controller_may_be_restarted(
    slurm: Site, tmp_path: Path, local: dict[str, bytes], caplog: pytest.LogCaptureFixture
) -> None:
    maker = Maker(tmp_path / "log", sleep=0.3)

    def restart() -> None:
        slurm.until(lambda: len(tried(maker)) >= 6)
        slurm.kill("slurmctld")
        time.sleep(3)
        slurm.start_controller()

    thread = meanwhile(restart)
    assert run(tmp_path / "dump", maker, launcher="slurm", nj=2) == StepSummary(24, 0, 0)
    thread.join()
    assert content(tmp_path / "dump") == local
    assert len(tried(maker)) == 24  # the jobs never noticed


@contextlib.contextmanager
def controlling(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that controls an array of slow clips."""
    script = (
        "import sys; from pathlib import Path; from helpers.shard_workers import Maker, run\n"
        "folder = Path(sys.argv[1])\n"
        "run(folder / 'dump', Maker(folder / 'log', sleep=0.4), launcher='slurm', nj=2)\n"
    )
    command = [sys.executable, "-c", script, str(folder)]
    with subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        try:
            yield process
        finally:
            process.kill()


def test_the_jobs_of_a_killed_run_are_found_again(
    slurm: Site, tmp_path: Path, local: dict[str, bytes], caplog: pytest.LogCaptureFixture
) -> None:
    maker = Maker(tmp_path / "log", sleep=0.4)
    with controlling(tmp_path):
        slurm.until(lambda: len(tried(maker)) >= 4)
    assert len(slurm.jobs()) == 2
    caplog.set_level("INFO")
    summary = run(tmp_path / "dump", maker, launcher="slurm", nj=2)
    assert summary == StepSummary(0, 24, 0)  # all of it the work of the jobs that were left
    assert "waiting for 2 jobs that an earlier run submitted" in caplog.text
    assert content(tmp_path / "dump") == local
    assert len(tried(maker)) == 24


def test_the_local_launcher_cancels_what_a_killed_run_left(
    slurm: Site, tmp_path: Path, local: dict[str, bytes]
) -> None:
    maker = Maker(tmp_path / "log", sleep=0.4)
    with controlling(tmp_path):
        slurm.until(lambda: len(tried(maker)) >= 4)
    run(tmp_path / "dump", maker)
    assert not slurm.jobs()
    assert content(tmp_path / "dump") == local
    assert not (tmp_path / "dump" / FOLDER).exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_stopped_cancels_its_jobs(slurm: Site, tmp_path: Path, number: signal.Signals) -> None:
    with controlling(tmp_path) as process:
        slurm.until(lambda: len(tried(Maker(tmp_path / "log"))) >= 2)
        process.send_signal(number)
        said, _ = process.communicate(timeout=120)
    assert "KeyboardInterrupt" in said
    assert not slurm.jobs()


def test_a_clip_is_tried_again_when_its_line_is_deleted(slurm: Site, tmp_path: Path, local: dict[str, bytes]) -> None:
    run(tmp_path / "dump", Maker(tmp_path / "log", {"s0-c03": "bug"}), launcher="slurm", nj=2)
    (tmp_path / "dump" / "failures.tsv").write_text("")
    assert run(tmp_path / "dump", Maker(tmp_path / "log"), launcher="slurm", nj=2) == StepSummary(5, 19, 0)
    assert content(tmp_path / "dump") == local


# ---- a training over both nodes ------------------------------------------------------------------------------------

SAME = {"dropout": 0.0, "unnormed": True, "batch_size": 4, "batch_frames": 10_000, "workers": 1}


@pytest.fixture
def toy(slurm: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Toy:
    """The toy task, known to every Python that jobs start."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text("from helpers import toy_task\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "site"), os.environ["PYTHONPATH"]]))
    monkeypatch.setenv("LIPSOUND2_SBATCH_TRAIN", "--nodes=2")
    return Toy(tmp_path)


def on_slurm(toy: Toy, **changes: Any) -> int:
    return train(toy.config(**changes), exp=toy.folder / "exp", **toy.data, launcher="slurm")


def nodes_of(exp: Path) -> int:
    return read_yaml(exp / "versions.yaml")["runs"][-1]["hardware"]["processes"]


def test_two_nodes_make_the_weights_of_two_processes(toy: Toy, capfd: pytest.CaptureFixture[str]) -> None:
    torchrun(toy, 2, "here", **SAME)
    assert on_slurm(toy, **SAME) == 0
    assert nodes_of(toy.folder / "exp") == 2
    assert sha256(toy.folder / "exp" / "model.safetensors") == sha256(toy.folder / "here" / "model.safetensors")
    assert "training ends" in capfd.readouterr().out
    assert not (toy.folder / "exp" / FOLDER).exists()
    assert on_slurm(toy, **SAME) == 0  # done: nothing is submitted


def hurry(job: str) -> None:
    """Slurm holds a job back for two minutes before it runs again; nodes refuse it in the second it ended in."""
    subprocess.run(["scontrol", "update", f"JobId={job}", "StartTime=now+3seconds"], check=True)


def test_a_training_that_is_preempted_goes_on(toy: Toy, slurm: Site) -> None:
    torchrun(toy, 2, "here", **SAME, max_epochs=30)

    def preempt() -> None:
        slurm.until(lambda: len(list((toy.folder / "exp" / "checkpoints").glob("update-*.pt"))) >= 1)
        (job,) = running(slurm)
        subprocess.run(["scontrol", "requeue", job], check=True)
        slurm.until(lambda: [state for _, state, _ in slurm.jobs()] == ["PENDING"])
        hurry(job)

    thread = meanwhile(preempt)
    assert on_slurm(toy, **SAME, max_epochs=30) == 0
    thread.join()
    assert len(read_yaml(toy.folder / "exp" / "versions.yaml")["runs"]) == 2
    assert sha256(toy.folder / "exp" / "model.safetensors") == sha256(toy.folder / "here" / "model.safetensors")


def test_a_training_that_is_signalled_writes_a_checkpoint_and_runs_again(toy: Toy, slurm: Site) -> None:
    states: list[str] = []

    def warn() -> None:
        slurm.until(lambda: len(list((toy.folder / "exp" / "checkpoints").glob("update-*.pt"))) >= 1)
        (job,) = running(slurm)
        subprocess.run(["scancel", "--signal=TERM", job], check=True)  # what --signal does before a time limit
        slurm.until(lambda: "PENDING" in [state for _, state, _ in slurm.jobs()])
        states.append((toy.folder / "exp" / "train.log").read_text())
        hurry(job)

    thread = meanwhile(warn)
    assert on_slurm(toy, **SAME, max_epochs=30) == 0
    thread.join()
    assert "checkpoint written; the same command goes on from here" in states[0]
    assert len(read_yaml(toy.folder / "exp" / "versions.yaml")["runs"]) == 2


def test_ctrl_c_cancels_a_training(toy: Toy, slurm: Site) -> None:
    command = [sys.executable, *toy.command(**SAME, max_epochs=300), "--launcher", "slurm"]
    process = subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    slurm.until(lambda: len(list((toy.folder / "exp" / "checkpoints").glob("update-*.pt"))) >= 1)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=120)
    assert "interrupted; run the same command again to go on" in said
    assert process.returncode == 130
    assert not slurm.jobs()


def test_a_training_that_fails_shows_its_log(toy: Toy, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(LipsoundError, match=r"job \d+ ended as FAILED; its log is .*log.txt"):
        on_slurm(toy, **SAME, poison="s1-train003")
    assert "s1-train003" in capfd.readouterr().out


# ---- speech, text, scores ------------------------------------------------------------------------------------------

CLIPS = {f"s{number % 2}-c{number:02d}": 20 + number % 5 for number in range(20)}


@pytest.fixture
def spoken(slurm: Site, tmp_path: Path) -> Path:
    """A folder with a data dir and the dump of its clips: noise under a moving ramp."""
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    ramp = np.arange(96 * 96).reshape(96, 96) // 96
    moving = {name: np.stack([(ramp + 3 * t) % 256 for t in range(n)]).astype(np.uint8) for name, n in CLIPS.items()}
    audio = {name: (0.1 * rng.standard_normal(640 * n)).astype(np.float32) for name, n in CLIPS.items()}
    frames = {name: encode(clip) for name, clip in moving.items()}
    write_kind(tmp_path / "dump" / "mouth", frames, CLIPS, {"size": 96})
    write_kind(
        tmp_path / "dump" / "audio", {name: encode_flac(waveform) for name, waveform in audio.items()}, CLIPS, {}
    )
    mels = {name: mel_spectrogram(torch.from_numpy(waveform), MELS["fine"]).numpy() for name, waveform in audio.items()}
    write_kind(tmp_path / "dump" / "mel-fine", mels, {name: len(mel) for name, mel in mels.items()}, {})
    text = dict.fromkeys(CLIPS, "bin blue at f two now")
    DataDir.write(tmp_path / "data", utt2spk={name: name[:2] for name in CLIPS}, text=text)
    return tmp_path


def test_speech_scores_and_text_are_those_of_the_local_launcher(spoken: Path) -> None:
    dump, data = spoken / "dump", spoken / "data"
    for launcher in ("local", "slurm"):
        options: dict[str, Any] = {"nj": 2, "launcher": launcher}
        out, scores = spoken / launcher, spoken / f"{launcher}-scores"
        synthesize(Path("grid-s1-parallel"), data, out, dump=dump, vocoder="griffin-lim:2", **options)
        score(dump / "audio", out, out=scores, asr=("grid-s1-asr",), text=data, resamples=50, **options)
        decode("grid-s1-asr", data, spoken / f"{launcher}-text", dump=dump, **options)
    # They tell folders and seconds; and .sizes tells how long those words are.
    different = ("origin.yaml", ".stamp.json", "wav.scp", ".sizes")
    for kind in ("", "-scores", "-text"):
        here, there = (content(spoken / f"{launcher}{kind}") for launcher in ("local", "slurm"))
        assert here.keys() == there.keys()
        assert [name for name in here if here[name] != there[name] and Path(name).name not in different] == []
    assert len(list((spoken / "slurm" / "generated").iterdir())) == 20
    for system in ("generated", "real_mel", "mismatched", "mean_mel"):
        listed = DataDir(spoken / "slurm" / "data" / system)
        assert all(Path(path).parent == spoken / "slurm" / system for path in listed.wav.values())
        assert dict(listed.text) == dict(DataDir(data).text)
    assert len((spoken / "slurm-text" / "words.jsonl").read_text().splitlines()) == 20
    assert not list(spoken.rglob(FOLDER))


def test_what_others_could_have_written_is_not_executed(tmp_path: Path) -> None:
    """Parts and results are pickles: they are read from a folder of the user's alone."""
    folder = tmp_path / FOLDER / "crop"
    ipc.make_private(folder)
    ipc.store(folder / "part-0", {"a": 1})
    assert ipc.load(folder / "part-0") == {"a": 1}
    (tmp_path / FOLDER).chmod(0o770)
    for refused in (lambda: ipc.load(folder / "part-0"), lambda: ipc.make_private(folder)):
        with pytest.raises(LipsoundError, match=r"expected a folder of yours alone \(mode 700\), found mode 770"):
            refused()
