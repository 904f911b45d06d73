"""`affekt export`: a trained recogniser as a folder that onnxruntime runs, alone or in affekt.

model.onnx        the network, or model.int8.onnx: waves in, logits out
config.json       its classes, the steps of the audio before it, what goes in and comes out
parity.json       how far it is from the recogniser in PyTorch
protocol.json     how the model was trained and tested, if that is known
model-card.md     the card of what was exported, if it has one
README.md         how to run it
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from affekt import audio, disk
from affekt.audio import RATE, SHORTEST, STEPS, Signal
from affekt.encoders.speech import Speech
from affekt.errors import ModelError, optional
from affekt.inference import parity
from affekt.inference.graph import Graph
from affekt.inference.int8 import quantised
from affekt.inference.onnx import CONFIG, INPUTS, KIND, OUTPUTS, PROTOCOL
from affekt.inference.tracing import OPSET, traced
from affekt.nn.recogniser import Recogniser
from affekt.parts import Section, build

MODEL, INT8 = "model.onnx", "model.int8.onnx"
CARD, ITS_CARD = "README.md", "model-card.md"
MEANS = {
    "waveform": f"(batch, samples) float32: mono at {RATE} Hz, in [-1, 1]; padding may hold "
    "anything",
    "lengths": "(batch) int64: how many samples of each are no padding; at least "
    f"{round(SHORTEST * RATE)}",
    "logits": "(batch, classes) float32: divide by the temperature; a softmax gives probabilities",
    "embedding": "(batch, channels) float32: what the last layer is given",
}


@dataclass(frozen=True, kw_only=True)
class Source:
    """What is exported."""

    model: Recogniser
    labels: Sequence[str]
    steps: Sequence[Section] = ()  # of the audio, as in a recipe
    temperature: float = 1.0
    folder: Path | None = None  # whose protocol and card come along


def source(model: str) -> Source:
    """The recogniser in a model folder, of a run, or one that comes with affekt.

    Raises:
        AffektError: there is none, or it is not whole.
    """
    from affekt import trained
    from affekt.inference import models

    folder = models.locate(model)
    if any(folder.glob("*.onnx")):
        raise ModelError(f"{folder}: has been exported; give the model that it was made of")
    found = trained.load(folder)
    return Source(
        model=found.model,
        labels=found.classes,
        steps=found.recipe.audio,
        temperature=found.temperature,
        folder=folder,
    )


def write(
    source: Source, folder: Path, *, int8: bool = False, clips: Sequence[Signal] = ()
) -> list[parity.Difference]:
    """Write the folder of a recogniser: all of it or nothing. How far its graph is from PyTorch.

    The recogniser is moved to the CPU and set to evaluation in float32.

    Args:
        source: what is exported.
        folder: where to; what `export` wrote there before is replaced.
        int8: keep the graph in eight bits, see affekt.inference.int8.
        clips: recordings that are compared as well.

    Raises:
        ModelError: it cannot be exported, says something else than PyTorch, or something that
            `export` did not write lies in the folder.
    """
    _refuse(folder)
    model = source.model.cpu().eval()
    if isinstance(model.encoder, Speech):
        model.encoder.precision = "fp32"
    with disk.drafted_folder(folder) as draft:
        optional("onnx", "export").save(traced(Graph(model)), draft / MODEL)
        files = {"fp32": draft / MODEL}
        if int8:
            files["int8"] = quantised(draft / MODEL, draft / INT8)
        found = _compared(source, files, clips)
        if int8:
            (draft / MODEL).unlink()
        _describe(draft, source, found, int8=int8)
    return found


def _refuse(folder: Path) -> None:
    """Nobody's files are replaced but those of an export."""
    from affekt.inference.onnx import is_one

    if folder.exists() and not is_one(folder) and any(folder.iterdir()):
        raise ModelError(
            f"{folder} holds something else; name another folder, or empty this one first"
        )


def _compared(
    source: Source, files: Mapping[str, Path], clips: Sequence[Signal]
) -> list[parity.Difference]:
    steps = [build(STEPS, section, "audio step") for section in source.steps]
    found = []
    for what, given in ((parity.SOUNDS, parity.sounds()), (parity.RECORDINGS, clips)):
        signals = [audio.prepared(signal, steps) for signal in given]
        if not signals:
            continue
        wanted = parity.of_torch(source.model, signals)
        for precision, file in files.items():
            one = parity.difference(file, wanted, signals, precision, what)
            found.append(parity.check(one) if precision == "fp32" else one)
    return found


def _describe(
    draft: Path, source: Source, found: Sequence[parity.Difference], *, int8: bool
) -> None:
    file = INT8 if int8 else MODEL
    config = {
        "model_type": KIND,
        "model": file,
        "precision": "int8" if int8 else "fp32",
        "opset": OPSET,
        "sampling_rate": RATE,
        "id2label": {str(n): label for n, label in enumerate(source.labels)},
        "label2id": {label: n for n, label in enumerate(source.labels)},
        "temperature": source.temperature,
        "audio": [step.model_dump() for step in source.steps],
        "inputs": {name: MEANS[name] for name in INPUTS},
        "outputs": {name: MEANS[name] for name in OUTPUTS},
    }
    disk.write_json(draft / CONFIG, config)
    disk.write_json(draft / "parity.json", parity.report(found))
    disk.write(draft / CARD, _readme(config))
    for name, copied in ((PROTOCOL, PROTOCOL), (CARD, ITS_CARD)):
        if source.folder and (source.folder / name).is_file():
            shutil.copyfile(source.folder / name, draft / copied)


def _readme(config: Mapping[str, Any]) -> str:
    from jinja2 import Environment, StrictUndefined

    text = resources.files("affekt.inference").joinpath("exported.md.j2").read_text("utf-8")
    page = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return page.from_string(text).render(config=config, labels=list(config["label2id"]))
