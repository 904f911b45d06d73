"""A graph of tensors as ONNX."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jaxtyping
import torch

from affekt.errors import optional
from affekt.inference.graph import Graph
from affekt.inference.onnx import INPUTS, OUTPUTS

SCOPES = "pkg.torch.onnx.name_scopes"  # of a node: the modules that it comes from
OPSET = 23  # the first with Attention, which onnxruntime computes in one kernel
AXES = (("batch", "samples"), ("batch",), ("batch",), ("batch",))  # that are free, of each end
EXAMPLE = (8_000, 7_000)  # samples of the clips that are traced


@torch.no_grad()
def traced(graph: Graph) -> Any:
    """The graph as an onnx.ModelProto for any batch and any lengths; it is on the CPU."""
    for needed in ("onnx", "onnxscript"):
        optional(needed, "export")
    free = torch.export.Dim.DYNAMIC
    shapes = tuple(dict.fromkeys(range(len(axes)), free) for axes in AXES[: len(INPUTS)])
    given = (torch.zeros(len(EXAMPLE), max(EXAMPLE)), torch.tensor(EXAMPLE))
    with _quiet():
        # Not strict: a strict trace takes minutes over the lengths after seven convolutions, and
        # is what onnx.export would fall back to.
        program = torch.export.export(graph, given, dynamic_shapes=shapes, strict=False)
        made = torch.onnx.export(
            program,
            dynamo=True,
            opset_version=OPSET,
            input_names=[f"taken_{name}" for name in INPUTS],
            output_names=[f"given_{name}" for name in OUTPUTS],
            verbose=False,
        )
    assert made is not None
    return _named(made.model_proto)


def _named(model: Any) -> Any:
    """The model with the names that users are told; all others begin with a slash.

    Of what the exporter wrote on nodes only their modules stay: the rest names files of here.
    """
    made = optional("onnx.compose", "export").add_prefix(model, "/")
    graph = made.graph
    del graph.metadata_props[:], made.metadata_props[:]
    del graph.value_info[:]  # which has other names for the axes
    ends = (*zip(graph.input, INPUTS, strict=True), *zip(graph.output, OUTPUTS, strict=True))
    new = {entry.name: name for entry, name in ends}
    for entry, name in ends:
        entry.name = name
    for node in graph.node:
        scopes = [p.value for p in node.metadata_props if p.key == SCOPES]
        del node.metadata_props[:]
        for scope in scopes:
            node.metadata_props.add(key=SCOPES, value=scope)
        node.input[:] = [new.get(name, name) for name in node.input]
        node.output[:] = [new.get(name, name) for name in node.output]
    for entry, axes in zip((*graph.input, *graph.output), AXES, strict=True):
        for number, name in enumerate(axes):
            entry.type.tensor_type.shape.dim[number].dim_param = name
    return made


@contextmanager
def _quiet() -> Iterator[None]:
    """No words of the exporter, which is judged by what comes out; no checks of shapes.

    Where these are on, as in tests, they would not take a symbol for a number.
    """
    log = logging.getLogger("torch.onnx")
    level, unchecked = log.level, jaxtyping.config.jaxtyping_disable
    log.setLevel(logging.ERROR)
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)
        jaxtyping.config.update("jaxtyping_disable", unchecked)
