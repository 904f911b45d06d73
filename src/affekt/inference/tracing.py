"""Pieces of a network as one ONNX graph."""

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from affekt.errors import optional
from affekt.inference.onnx import INPUTS, OUTPUTS

OPSET = 23  # the first with Attention, which onnxruntime computes in one kernel
AXES = ({0: "batch", 1: "samples"}, {0: "batch"})
TAKEN, GIVEN = ("x", "lengths"), ("made", "counts")  # by a piece, and to the next
SAMPLES = 8_000  # of the clip that is traced


@torch.no_grad()
def traced(pieces: Mapping[str, nn.Module]) -> Any:
    """The graph (onnx.ModelProto) of pieces that follow one another.

    Each piece is traced alone, since the length of what reaches it is then a symbol of its own: the
    expression for the frames after seven convolutions makes tracing take minutes. The names of a
    piece's nodes begin with its name and a slash.

    Args:
        pieces: as `affekt.inference.graph.pieces` gives them; on the CPU.
    """
    compose = optional("onnx.compose", "export")
    given: tuple[Tensor, ...] = (torch.zeros(2, SAMPLES), torch.tensor([SAMPLES, SAMPLES - 1000]))
    whole = None
    *_, last = pieces
    for name, piece in pieces.items():
        names = (TAKEN if whole else INPUTS, OUTPUTS if name == last else GIVEN)
        own = compose.add_prefix(_one(piece, given, *names), f"{name}/")
        given = piece(*given)
        if whole is None:
            whole = own
            continue
        ends = [output.name for output in whole.graph.output]
        begins = [entry.name for entry in own.graph.input]
        whole = compose.merge_models(whole, own, io_map=list(zip(ends, begins, strict=True)))
    return _named(whole)


def _one(
    piece: nn.Module, given: tuple[Tensor, ...], inputs: tuple[str, ...], outputs: tuple[str, ...]
) -> Any:
    optional("onnxscript", "export")
    free = torch.export.Dim.DYNAMIC
    with _quiet():
        program = torch.onnx.export(
            piece,
            given,
            dynamo=True,
            opset_version=OPSET,
            input_names=inputs,
            output_names=outputs,
            dynamic_shapes=({0: free, 1: free}, {0: free}),
            verbose=False,
        )
    assert program is not None
    return program.model_proto


def _named(model: Any) -> Any:
    """The merged graph with the names of inputs, outputs and axes that are told to users."""
    graph = model.graph
    # Symbols of different pieces may have one name, and stand for different lengths.
    del graph.value_info[:]
    domains = {entry.domain: entry.version for entry in model.opset_import}
    del model.opset_import[:]
    for domain, version in domains.items():
        model.opset_import.add(domain=domain, version=version)
    new = {
        entry.name: name
        for entries, names in ((graph.input, INPUTS), (graph.output, OUTPUTS))
        for entry, name in zip(entries, names, strict=True)
    }
    for entry in (*graph.input, *graph.output):
        entry.name = new[entry.name]
    for node in graph.node:
        node.input[:] = [new.get(name, name) for name in node.input]
        node.output[:] = [new.get(name, name) for name in node.output]
    for entry, axes in zip(graph.input, AXES, strict=True):
        for number, name in axes.items():
            entry.type.tensor_type.shape.dim[number].dim_param = name
    for entry in graph.output:
        entry.type.tensor_type.shape.dim[0].dim_param = AXES[1][0]
    return model


@contextmanager
def _quiet() -> Iterator[None]:
    """No words of the exporter, which is checked by what comes out."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)
