"""Language-audio training (arXiv:2306.07848): each sentence encoded once in a step, or per clip.

    python benchmarks/prompts.py            (about three minutes on two cores)

A batch of 32 clips of EmoDB in four emotions has four sentences. A step over the encoder that comes
with affekt and a text encoder that is trained: MiniLM with its weights, and RoBERTa base's shape
with random ones. In turns within this run, dropout off, so that both must give the same loss.
"""

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
import transformers
from scratch import quiet, told

import affekt
from affekt.batches import UtteranceDataset
from affekt.encoders.speech import Speech, processor
from affekt.encoders.text import TextOptions, locate
from affekt.labels import order
from affekt.losses import Losses
from affekt.losses.clap import ground_truth, mean_kl
from affekt.losses.gemo_clap import GEmoClap
from affekt.nn.language import SentenceCosines, language_head
from affekt.nn.mixing import OneLayer
from affekt.nn.pooling import mean_pooling
from affekt.nn.recogniser import Recogniser
from affekt.signals import Signals

SIZE = 32
TURNS = 5
MINILM = "all-MiniLM-L6-v2"
EMODB = Path(__file__).parent.parent / "data/emodb"


def main() -> int:
    """Measure both; the exit status."""
    quiet()
    with TemporaryDirectory() as place:
        held = [measured(MINILM, MINILM), measured("RoBERTa base", roberta(Path(place)))]
    return 0 if all(held) else 1


def roberta(folder: Path) -> str:
    """A random RoBERTa base behind MiniLM's tokenizer."""
    transformers.AutoTokenizer.from_pretrained(locate(MINILM, None)).save_pretrained(folder)
    transformers.RobertaModel(transformers.RobertaConfig()).save_pretrained(folder)
    return str(folder)


def measured(name: str, text: str) -> bool:
    """Whether both ways give the same loss, and fewer sentences are not slower."""
    wanted = ("angry", "happy", "neutral", "sad")
    said = [u for u in affekt.read("emodb", EMODB) if u.emotion in wanted]
    said = said[:: len(said) // SIZE][:SIZE]
    classes = order(u.emotion for u in said)
    encoder = Speech(trainable="transformer")
    options = TextOptions(model=text)
    head = language_head(encoder.dim, classes, text=options)
    model = Recogniser(OneLayer(encoder.layers), mean_pooling(encoder.dim), head, encoder=encoder)
    model = model.to(processor()).train()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    data = UtteranceDataset(said, Signals(said, []), classes)
    batch = data.__getitems__(list(range(SIZE))).to(processor())
    objective = GEmoClap()

    def once() -> Losses:
        return objective(model(batch.inputs), batch.labels, batch.genders)

    def per_clip() -> Losses:
        frames = model.heard(batch.inputs)
        pooled = model.pooled(frames)
        sentences = [head.prompts.sentences[n] for n in batch.labels.tolist()]
        answer: SentenceCosines = head.emotion(pooled, head.prompts.encoder()(sentences))
        c_a, c_t = answer.similarities(answer.cosines, torch.arange(SIZE))
        loss = mean_kl(c_a, c_t, ground_truth(batch.labels))
        return Losses(loss, {"emotion": loss})

    def text_alone(sentences: list[str]) -> Callable[[], Losses]:
        def act() -> Losses:
            loss = head.prompts.encoder()(sentences).square().mean()
            return Losses(loss, {})

        return act

    with torch.no_grad():
        difference = abs(float(once().total) - float(per_clip().total))
    every = [head.prompts.sentences[n] for n in batch.labels.tolist()]
    step, step_each, words, words_each = in_turns(
        model, [once, per_clip, text_alone(head.prompts.sentences), text_alone(every)]
    )
    print(f"{name}: {step:.2f} s a step with {len(classes)} sentences, {step_each:.2f} with {SIZE}")
    print(f"{name}: the text side alone takes {words / words_each:.2f} of the time")
    same = told(f"{name}: the losses differ by", difference, below=1e-6)
    return told(f"{name}: of a step with a sentence per clip", step / step_each, below=1.0) and same


def in_turns(model: torch.nn.Module, acts: list[Callable[[], Losses]]) -> list[float]:
    """Median seconds of each with its gradients."""
    took: list[list[float]] = [[] for _ in acts]
    for _ in range(TURNS):
        for times, act in zip(took, acts, strict=True):
            model.zero_grad()
            begun = time.perf_counter()
            act().total.backward()
            times.append(time.perf_counter() - begun)
    return [statistics.median(times) for times in took]


if __name__ == "__main__":
    sys.exit(main())
