"""Files of exported networks, opened by onnxruntime."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from lipsound2.errors import LipsoundError, require


def open_session(path: Path, threads: int = 0) -> Any:
    """A session of onnxruntime on the CPU.

    Args:
        path: an ONNX file; weights beside it are mapped, not read.
        threads: it may use; 0: as many as OMP_NUM_THREADS says, else all cores.

    Raises:
        LipsoundError: onnxruntime is missing, or the file is no network that can be run.
    """
    runtime = require("onnxruntime", "onnx")
    faults = require("onnxruntime.capi.onnxruntime_pybind11_state", "onnx")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads or int(os.environ.get("OMP_NUM_THREADS") or 0)
    options.log_severity_level = 3  # errors, which are raised anyway
    try:
        return runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except (
        *(faults.InvalidProtobuf, faults.InvalidGraph, faults.InvalidArgument),
        *(faults.Fail, faults.NotImplemented, faults.RuntimeException),
    ) as error:
        found = str(error).partition(" : ")[2] or str(error)
        raise LipsoundError(f"{path}: is no ONNX file that can be run ({' '.join(found.split())})") from error
