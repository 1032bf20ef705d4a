"""Each node of a training runs this instead of torchrun: `python -m lipsound2.jobs.slurm.node MARK NGPU VERB ...`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

_PORTS = range(13000, 29000)  # below the kernel's ephemeral ports


def main(mark: Path, ngpu: int, arguments: Sequence[str]) -> int:
    """Run the processes of this node; returns torchrun's exit status.

    After SIGTERM it is 0: another status would make srun kill the nodes that are still writing. The first node then
    writes `mark`.
    """
    nodes = int(os.environ["SLURM_JOB_NUM_NODES"])
    processes = max(1, ngpu)
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, int(os.environ["SRUN_CPUS_PER_TASK"]) // processes)))
    command = [sys.executable, "-m", "torch.distributed.run", f"--nnodes={nodes}", f"--nproc-per-node={processes}"]
    command += [
        f"--node-rank={os.environ['SLURM_NODEID']}",
        f"--master-addr={_first_node()}",
        f"--master-port={_port()}",
    ]
    stopped = False
    # The end of the output pipe tells that torchrun **and** the training processes are gone: Slurm may signal all of
    # them, and torchrun, signaled twice, exits before they have written their checkpoint.
    with subprocess.Popen(
        [*command, "-m", "lipsound2.cli", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:

        def stop(*_: object) -> None:
            nonlocal stopped
            stopped = True
            process.terminate()

        signal.signal(signal.SIGTERM, stop)
        assert process.stdout is not None
        for line in process.stdout:
            sys.stdout.buffer.write(line)
            sys.stdout.buffer.flush()
    if not stopped:
        return process.returncode
    if process.returncode and os.environ["SLURM_NODEID"] == "0":
        mark.touch()
    return 0


def _first_node() -> str:
    """The address of the first node: Slurm's NodeAddr, since other nodes may not know its name."""
    names = _ask("show", "hostnames", os.environ["SLURM_JOB_NODELIST"]).split()
    facts = dict(word.partition("=")[::2] for word in _ask("show", "node", names[0], "--oneliner").split())
    return facts.get("NodeAddr", names[0])


def _port() -> int:
    """The port of the rendezvous: the same on every node, different for every job and every restart."""
    turn = int(os.environ["SLURM_JOB_ID"]) + 7919 * int(os.environ.get("SLURM_RESTART_COUNT", "0"))
    return _PORTS[turn % len(_PORTS)]


def _ask(*arguments: str) -> str:
    return subprocess.run(["scontrol", *arguments], capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]))
