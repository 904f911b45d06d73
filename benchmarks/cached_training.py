"""Training on cached frames of a frozen encoder: what an epoch costs, where its time goes.

    python benchmarks/cached_training.py            (about ten minutes on two cores)
    python benchmarks/cached_training.py --utterances 100

EmoDB, an encoder of hubert-base's shape with random weights, the head of arXiv:2211.01756
(attentive correlation pooling, D = 256, H = 4), 32 utterances to an optimiser step, 8 at a time.
What encodes takes the same batches through the encoder in every step.
"""

import random
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
import transformers
from scratch import checkpoint, own_cache, resident, told, utterances

import affekt
from affekt import audio
from affekt.batches import Batch, UtteranceDataset, loader
from affekt.cache.frames import FrameStore
from affekt.encoders import ENCODERS
from affekt.encoders.cached import CachedFrames
from affekt.encoders.speech import Speech
from affekt.losses.classification import Classification
from affekt.nn.heads import linear
from affekt.nn.mixing import LayerMix
from affekt.nn.pooling import POOLINGS
from affekt.nn.recogniser import Recogniser
from affekt.parts import Section, build, options

BATCH, ACCUMULATE = 8, 4
CHEAPER = 50.0  # an epoch from the cache against one that encodes, at least
PADDING = 0.05  # of the frames, below
READING = 0.10  # of a step, below
OPENING = 1.0  # seconds for ENTRIES, below
ENTRIES = 5531  # IEMOCAP with four classes
FLAT = 1.5  # memory of a whole epoch to that of a quarter of the corpus, below
EMODB = Path(__file__).parent.parent / "data/emodb"


def main() -> int:
    """Measure all; the exit status."""
    count = utterances(__doc__)
    with TemporaryDirectory() as place, own_cache():
        folder = checkpoint(Path(place), transformers.HubertConfig(), transformers.HubertModel)
        held = epochs(folder, count)
        held &= opening()
    return 0 if held else 1


def epochs(folder: Path, count: int) -> bool:
    """An epoch over the same batches from the cache and through the encoder."""
    corpus = list(affekt.read("emodb", EMODB))
    random.Random(0).shuffle(corpus)
    said = corpus[:count]
    section = Section(name="speech", model=str(folder))  # type: ignore[call-arg]
    frames = CachedFrames(options(ENCODERS, section, "encoder"), said, ())
    frames.fill(lambda _: None)
    classes = sorted({u.emotion for u in said})
    quarter = epoch(UtteranceDataset(said[: count // 4], frames, classes))
    cold = epoch(UtteranceDataset(said, frames, classes))
    warm = epoch(UtteranceDataset(said, frames, classes))
    encoder = frames.encoder()
    slow = epoch(UtteranceDataset(said, frames, classes), encoder, {u.key: u for u in said})
    clips = len(said)
    print(f"{clips} utterances, hubert-base; ms per utterance: read, step, whole epoch")
    for name, run in (("cache, first", cold), ("cache, then", warm), ("encoding", slow)):
        parts = (1000 * t / clips for t in (run.reading, run.stepping, run.whole))
        print(f"  {name:<14}" + "".join(f"{part:9.2f}" for part in parts))
    print(f"  padding {warm.padding:.1%} of the frames")
    held = told("epoch from the cache, cheaper", slow.whole / warm.whole, at_least=CHEAPER)
    held &= told("reading, share of a step", warm.reading / warm.whole, below=READING)
    held &= told("padding", warm.padding, below=PADDING)
    sizes = f"{quarter.memory / 2**20:.0f} -> {warm.memory / 2**20:.0f} MiB resident at most"
    print(f"  a quarter of the corpus -> all of it: {sizes}")
    return told("memory", warm.memory / quarter.memory, below=FLAT) and held


@dataclass
class Epoch:
    """Seconds, share of padding, and bytes that were resident at most."""

    reading: float = 0.0
    stepping: float = 0.0
    whole: float = 0.0
    padding: float = 0.0
    memory: int = 0
    frames: list[int] = field(default_factory=lambda: [0, 0])


def epoch(
    data: UtteranceDataset, encoder: Speech | None = None, utterances: Mapping[str, object] = {}
) -> Epoch:
    """One epoch of training steps; with an encoder the frames of each batch are made anew."""
    torch.manual_seed(0)
    example = data.inputs[data.utterances[0].key]
    pooling = build(POOLINGS, Section(name="attentive-correlation"), "pooling", example.shape[2])
    head = linear(pooling.output_dim, list(data.classes))
    model = Recogniser(LayerMix(example.shape[0]), pooling, head).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)
    objective = Classification(label_smoothing=0.25)
    run = Epoch()
    began = time.perf_counter()
    for n, batch in enumerate(timed(loader(data, BATCH, seed=0), run), 1):
        step = time.perf_counter()
        inputs = batch.inputs if encoder is None else encoded(encoder, batch, utterances)
        (objective(model(inputs), batch.labels).total / ACCUMULATE).backward()
        if n % ACCUMULATE == 0:
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
        run.stepping += time.perf_counter() - step
        run.memory = max(run.memory, resident())
        run.frames[0] += int(batch.inputs.mask.sum())
        run.frames[1] += batch.inputs.mask.numel()
    run.whole = time.perf_counter() - began
    run.padding = 1 - run.frames[0] / run.frames[1]
    return run


def timed(batches: Iterable[Batch], run: Epoch) -> Iterator[Batch]:
    """The batches, the time to read them added up."""
    began = time.perf_counter()
    for batch in batches:
        run.reading += time.perf_counter() - began
        yield batch
        began = time.perf_counter()


def encoded(encoder: Speech, batch: Batch, utterances: Mapping[str, object]) -> object:
    """The frames of a batch through the encoder."""
    clips = [torch.from_numpy(audio.read(utterances[key].audio)) for key in batch.keys]
    lengths = torch.tensor([len(clip) for clip in clips])
    return encoder(torch.nn.utils.rnn.pad_sequence(clips, batch_first=True), lengths)


def opening() -> bool:
    """Seconds until the lengths of ENTRIES entries are known to a new reader."""
    store = FrameStore("opening", {})
    for n in range(ENTRIES):
        store.put(str(n), torch.zeros(13, 1 + n % 4, 768))
    began = time.perf_counter()
    assert len(FrameStore("opening", {}).lengths(map(str, range(ENTRIES)))) == ENTRIES
    taken = time.perf_counter() - began
    return told(f"opening a cache of {ENTRIES} utterances, seconds", taken, below=OPENING)


if __name__ == "__main__":
    sys.exit(main())
