"""Two-stage training (arXiv:2411.19803): a first stage from the cached front end, a second stage.

    python benchmarks/two_stages.py            (about a quarter of an hour on two cores)
    python benchmarks/two_stages.py --utterances 120

EmoDB stands for two corpora, by the gender of its speakers. A step of the first stage over the
same batch is taken from what the frozen front end gave, and from the waves, in turns within this
run; hubert-base's shape with random weights, and the encoder that comes with affekt.
"""

import random
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import transformers
from scratch import checkpoint, own_cache, told, utterances

import affekt
from affekt.batches import Batch, UtteranceDataset
from affekt.encoders import ENCODERS
from affekt.encoders.extract import extract
from affekt.encoders.speech import Speech, has_bf16, processor
from affekt.losses.supervised_contrastive import SupervisedContrastive
from affekt.methods.supervised_contrastive import ContrastiveBatches
from affekt.nn.heads import mlp
from affekt.nn.mixing import OneLayer
from affekt.nn.pooling import self_attention_pooling
from affekt.nn.recogniser import Recogniser
from affekt.parts import Section, options
from affekt.recipe import Stage
from affekt.signals import Signals
from affekt.training.stage import run_stage
from affekt.types import Utterance

SHARE = 0.85  # of the step from the waves, at most
MANY = 5_000  # utterances of the second stage
SECONDS = 20.0  # an epoch of it, at most
TURNS = 5
BATCH = 32  # the paper's
EMODB = Path(__file__).parent.parent / "data/emodb"


def main() -> int:
    """Measure all; the exit status."""
    corpus = list(affekt.read("emodb", EMODB))
    random.Random(0).shuffle(corpus)
    said = [replace(u, corpus=f"emodb-{u.gender}") for u in corpus[: utterances(__doc__)]]
    held = True
    with TemporaryDirectory() as place, own_cache():
        base = checkpoint(Path(place), transformers.HubertConfig(), transformers.HubertModel)
        for name, model in (("hubert-base", str(base)), ("small", "affekt/small")):
            held &= first_stage(name, model, said)
        held &= second_stage(said)
    return 0 if held else 1


def first_stage(name: str, model: str, said: Sequence[Utterance]) -> bool:
    """A step from the cached front end as a share of one from the waves."""
    held = True
    for precision in ("fp32", "bf16"):
        if precision == "bf16" and not has_bf16(processor()):
            print(f"{name}, bf16: this processor has none; not measured")
            continue
        named = Section.model_validate(
            {"name": "speech", "model": model, "trainable": "transformer", "precision": precision}
        )
        recogniser = of_base(options(ENCODERS, named, "encoder"))
        cached, _ = extract(named, said, (), lambda _: None)
        numbers = next(iter(ContrastiveBatches(said, BATCH, seed=0)))
        given = [
            UtteranceDataset(said, inputs, []).__getitems__(numbers)
            for inputs in (cached, Signals(said, ()))
        ]
        times = in_turns([partial(step, recogniser, batch) for batch in given])
        what = f"{name}, {precision}, {BATCH} utterances"
        print(f"{what}: {times[0]:.2f} s from the cache, {times[1]:.2f} s from the waves")
        share = times[0] / times[1]
        if name == "small":  # whose front end is a tenth of a step: what is left to save
            print(f"{what}, share: {share:.3g}")
        else:
            held &= told(f"{what}, share", share, below=SHARE)
    return held


def of_base(chosen: Mapping[str, Any]) -> Recogniser:
    """The network of the first stage."""
    encoder = Speech(**chosen).train()
    dim = encoder.dim
    pooling = self_attention_pooling(dim)
    return Recogniser(OneLayer(encoder.layers), pooling, mlp(dim, [*"abcdefg"]), encoder=encoder)


def step(model: Recogniser, batch: Batch) -> None:
    """Forward and backward; the optimiser costs the same on both sides and is left out."""
    SupervisedContrastive()(model(batch.inputs), batch.labels).total.backward()
    model.zero_grad()


def in_turns(acts: Sequence[Callable[[], None]]) -> list[float]:
    """The median seconds of each, after one turn that does not count."""
    times: list[list[float]] = [[] for _ in acts]
    for turn in range(TURNS + 1):
        for act, taken in zip(acts, times, strict=True):
            begun = time.perf_counter()
            act()
            taken += [time.perf_counter() - begun] if turn else []
    return [statistics.median(taken) for taken in times]


def second_stage(said: Sequence[Utterance]) -> bool:
    """An epoch of pooling and classifier over the top layer of many utterances."""
    named = Section.model_validate({"name": "speech", "model": "affekt/small"})
    frames, _ = extract(named, said, (), lambda _: None)
    top = {key: clip[-1:].clone() for key, clip in frames.items()}
    many = [said[n % len(said)] for n in range(MANY)]
    dim = next(iter(top.values())).shape[-1]
    model = Recogniser(OneLayer(1), self_attention_pooling(dim), mlp(dim, [*"abcdefg"]))
    classes = sorted({u.emotion for u in said})
    stage = Stage.model_validate({"epochs": 2, "select": "last", "trains": ["pooling", "head"]})
    train, dev = (UtteranceDataset(part, top, classes) for part in (many, ()))
    begun = time.perf_counter()
    run_stage(model, stage, train, dev, seed=0, name="second stage")
    taken = (time.perf_counter() - begun) / stage.rounds
    return told(f"an epoch of the second stage, {MANY} utterances, s", taken, below=SECONDS)


if __name__ == "__main__":
    sys.exit(main())
