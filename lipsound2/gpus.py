"""Check for GPUs before any work, by the command line and by recipes.

`python -m lipsound2.gpus N` ends with status 1, and one line, where torch finds fewer than N.
"""

from __future__ import annotations

import sys

from lipsound2.errors import LipsoundError


def check_gpus(ngpu: int) -> None:
    """Check that this machine has enough GPUs; torch is imported only if `ngpu` is not 0.

    Raises:
        LipsoundError: torch finds fewer.
    """
    if not ngpu:
        return
    import torch

    if (found := torch.cuda.device_count()) < ngpu:
        what = f"{found} GPU(s) on this machine; ask for fewer" if found else "no GPU on this machine"
        raise LipsoundError(f"--ngpu {ngpu}: torch finds {what}; leave the option out to run on the CPU")


def check_device(device: str) -> None:
    """Check that this machine has a device; torch is imported only if it is not the CPU.

    Args:
        device: cpu, cuda (or cuda:1, ...) or mps.

    Raises:
        LipsoundError: no such name, or torch does not find it.
    """
    kind, colon, number = device.partition(":")
    if kind not in ("cpu", "cuda", "mps") or (colon and (kind != "cuda" or not number.isdecimal())):
        raise LipsoundError(f"device: found '{device}', wanted cpu, cuda, cuda:NUMBER or mps")
    if kind == "cpu":
        return
    import torch

    found = torch.cuda.device_count() if kind == "cuda" else int(torch.backends.mps.is_available())
    if int(number or 0) >= found:
        what = "no GPU on this machine" if not found else f"{found} GPU(s) on this machine, counted from 0"
        raise LipsoundError(f"device {device}: torch finds {what}; leave it out to run on the CPU")


def main(ngpu: int) -> int:
    """For recipes: the exit status."""
    try:
        check_gpus(ngpu)
    except LipsoundError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
