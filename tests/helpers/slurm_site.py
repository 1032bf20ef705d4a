"""A real Slurm for the tests: one slurmctld and two slurmd on this machine, in a folder of their own.

Needs root, and Debian's `munge` and `slurm-wlm` (or the same programs from elsewhere).
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

NODES = ("n1", "n2")
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel", "scontrol")
_MARK = "SLURM_SITE_DAEMON"  # variable in the environment of what a daemon starts
_WAIT = 120.0  # seconds for a daemon to answer, or a job to begin, on a busy machine

# No job may wait for a scheduler's round, and an ended job is soon forgotten, as at sites with many jobs.
_CONF = """ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=sched_min_interval=100000,batch_sched_delay=0
SlurmdParameters=config_overrides
MpiDefault=none
SwitchType=switch/none
ReturnToService=2
SlurmdTimeout=10
KillWait=5
MinJobAge=300
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=2 RealMemory=8000 State=UNKNOWN
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=2 RealMemory=8000 State=UNKNOWN
PartitionName=debug Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP
"""


def lacking() -> str:
    """Why there can be no Slurm here; empty when there can."""
    absent = [name for name in PROGRAMS if not shutil.which(name)]
    if absent:
        return f"{absent[0]} is not installed (Debian: apt-get install munge slurm-wlm)"
    return "" if os.geteuid() == 0 else "the daemons of Slurm are started as root only"


class Site:
    """Slurm's daemons in `folder`; `SLURM_CONF` is set for this process and its children until `stop`.

    Args:
        folder: empty folder, on a short path (a socket's name holds 108 bytes).
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}
        self._before = os.environ.get("SLURM_CONF")
        for name in ("state", *(f"spool-{node}" for node in NODES)):
            (folder / name).mkdir()
        host = socket.gethostname().split(".")[0]
        (folder / "slurm.conf").write_text(_CONF.format(host=host, ports=_free_ports(3), folder=folder))
        (folder / "munge.key").write_bytes(os.urandom(128))
        (folder / "munge.key").chmod(0o600)
        os.environ["SLURM_CONF"] = str(folder / "slurm.conf")

    def start(self) -> None:
        """All daemons; returns when both nodes are idle."""
        self.folder.chmod(0o755)
        files = {"key-file": "munge.key", "socket": "munge.socket", "pid-file": "munge.pid"}
        files |= {"log-file": "munge.log", "seed-file": "munge.seed"}
        options = [f"--{option}={self.folder / name}" for option, name in files.items()]
        self._run("munged", ["munged", "--foreground", "--force", "--num-threads=2", *options])
        self.until(lambda: (self.folder / "munge.socket").exists())
        self.start_controller()
        for node in NODES:
            self.start_node(node)
        self.until(self._idle)

    def start_controller(self) -> None:
        """Slurmctld, with the jobs it knew."""
        self._run("slurmctld", ["slurmctld", "-D"])

    def start_node(self, node: str) -> None:
        """A slurmd."""
        self._run(node, ["slurmd", "-D", "-N", node])

    def kill(self, daemon: str) -> None:
        """End `slurmctld`; or a node: its slurmd and what its jobs run, at once, as when the power goes."""
        process = self._daemons.pop(daemon)
        # Slurmctld saves its jobs first: one that forgets some gives their numbers again, and the nodes refuse them.
        process.send_signal(signal.SIGKILL if daemon in NODES else signal.SIGTERM)
        process.wait()
        # Slurm's own step daemons first, so that none of them tells how its job ended.
        for sign in (f"{_MARK}={daemon}", f"SLURMD_NODENAME={daemon}") if daemon in NODES else ():
            for number in _with_environment({sign, f"SLURM_CONF={self.folder}/slurm.conf"}):
                _kill(number)

    def stop(self) -> None:
        """Everything, jobs too."""
        for name in sorted(self._daemons, key=NODES.__contains__, reverse=True):
            self.kill(name)
        if self._before is None:
            del os.environ["SLURM_CONF"]
        else:
            os.environ["SLURM_CONF"] = self._before

    def clear(self) -> None:
        """Cancel every job, and wait for idle nodes."""
        subprocess.run(["scancel", "--user=root"], check=False)
        for node in NODES:  # one that was down does not come back by itself
            subprocess.run(["scontrol", "update", f"NodeName={node}", "State=RESUME"], check=False, capture_output=True)
        self.until(lambda: not self.jobs() and self._idle())

    def jobs(self) -> list[tuple[str, str, str]]:
        """(id, state, node) of every job and array element that has not ended."""
        command = ["squeue", "--noheader", "--array", "--format=%i|%T|%N"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        rows = [line.split("|") for line in done.stdout.splitlines()]
        return [(row[0], row[1], row[2]) for row in rows]

    def until(self, condition: Callable[[], bool], seconds: float = _WAIT) -> None:
        """Wait for something to become true."""
        end = time.monotonic() + seconds
        while not condition():
            for name, process in self._daemons.items():
                assert process.poll() is None, f"{name} ended: {self._log(name)}"
            assert time.monotonic() < end, f"waited {seconds:g} s; {self.jobs()}; {self._log('slurmctld')}"
            time.sleep(0.1)

    def _idle(self) -> bool:
        command = ["sinfo", "--noheader", "--Node", "--format=%T"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.stdout.split() == ["idle"] * len(NODES)

    def _run(self, name: str, command: list[str]) -> None:
        environment = {**os.environ, _MARK: name}
        with (self.folder / f"{name}.out").open("ab") as file:
            process = subprocess.Popen(command, stdout=file, stderr=file, start_new_session=True, env=environment)
        self._daemons[name] = process

    def _log(self, name: str) -> str:
        texts = [path.read_text(errors="replace")[-1500:] for path in self.folder.glob(f"*{name}*.[lo]*")]
        return "\n".join(texts)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _with_environment(wanted: set[str]) -> list[int]:
    """Processes that were started with these variables."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and wanted <= set(
                (entry / "environ").read_bytes().decode(errors="replace").split("\0")
            ):
                found.append(int(entry.name))
        except OSError:
            continue  # it has ended meanwhile
    return found


def _kill(process: int) -> None:
    try:
        os.kill(process, signal.SIGKILL)
    except ProcessLookupError:
        return
