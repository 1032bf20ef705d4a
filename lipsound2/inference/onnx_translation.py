"""Networks of torch as ONNX files, compared with torch before they are kept.

Torch's newer exporter is used: files of the older one take inputs of one length only.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lipsound2.errors import require


def require_onnx() -> None:
    """Check that the packages for an export are there.

    Raises:
        LipsoundError: one is missing.
    """
    for package in ("onnx", "onnxscript", "onnxruntime"):
        require(package, "onnx")


def translate(
    network: nn.Module, given: Mapping[str, Tensor], free: Mapping[str, Sequence[int]], found: Sequence[str]
) -> Any:
    """A network as an ONNX program.

    Args:
        network: in evaluation mode; it branches on no values.
        given: name and an example of each input. Free axes of the same length are taken for equal, and none may have
            the length 1.
        free: the axes of each input that may have any length.
        found: names of the outputs.
    """
    from torch.nn.attention import SDPBackend, sdpa_kernel

    # Strides have no translation, and a tensor that is given twice would be taken for one input.
    apart = tuple(tensor.clone(memory_format=torch.contiguous_format) for tensor in given.values())
    any_length = torch.export.Dim.DYNAMIC
    # Fused attention is traced with strides that its ONNX translation does not have.
    with _quiet(), sdpa_kernel(SDPBackend.MATH):
        return torch.onnx.export(
            network,
            apart,
            dynamo=True,
            dynamic_shapes=tuple(dict.fromkeys(free[name], any_length) for name in given),
            input_names=[*given],
            output_names=[*found],
        )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporter's hundreds of log lines; its errors are still raised."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def write(program: Any, path: Path, notes: Mapping[str, str] | None = None, *, beside: bool = False) -> None:
    """Write a program to a file, without the exporter's paths of this machine.

    Args:
        program: of `translate`.
        path: the file.
        notes: metadata of the file.
        beside: whether the weights go into a file beside it, PATH.data. onnxruntime maps that one, and no ONNX file
            may be larger than 2 GB.
    """
    for node in program.model.graph.all_nodes():
        node.metadata_props.clear()  # stack traces: paths of this machine
        node.doc_string = None
    program.model.metadata_props.update(notes or {})
    program.save(path, external_data=beside)


def quantize(path: Path, out: Path) -> None:
    """Write a copy of a network whose linear layers have int8 weights, a scale for each output; inputs are rounded as
    they come (dynamic quantization)."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    model = onnx.load(path)
    del model.graph.value_info[:]  # shapes of weights, which onnxruntime turns round without looking at them
    with _quiet():
        quantize_dynamic(
            model,
            out,
            op_types_to_quantize=["MatMul"],
            per_channel=True,
            reduce_range=True,  # of 7 bits: without VNNI, sums of two products of 8 bits each overflow 16 bits
            weight_type=QuantType.QInt8,
            use_external_data_format=True,
        )
    for weights in out.parent.glob(f"{out.name}.data"):
        weights.chmod(out.stat().st_mode)  # onnxruntime writes it for its owner alone


def largest_difference(wanted: np.ndarray, found: np.ndarray) -> float:
    """Of two outputs; infinite where their shapes differ, or one is no number."""
    same = wanted.shape == found.shape and np.isfinite(found).all()
    return float(np.abs(wanted - found).max()) if same else float("inf")
