"""Sounds by words and words by sounds, with a model of language and audio (arXiv:2306.07848).

Section 3.1: a clip belongs to the sentence that it is most like. The sentences may be others than
those of training. Axes: C clips, P sentences.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from affekt import prompts
from affekt.encoders.text import Text, refuse_alike
from affekt.errors import AudioError, RecipeError, RunError
from affekt.nn.language import LanguageHead, SentenceCosines
from affekt.signals import signal
from affekt.trained import Trained, utterances


@dataclass(frozen=True)
class Likeness:
    """How like one clip is to one word."""

    clip: Path
    word: str  # as it was asked for
    cosine: float  # -1 to 1
    # Softmax of tau_a times the cosine, over the words that were asked for; of one alone: none.
    share: float | None


@dataclass(frozen=True)
class Match:
    """How like one clip is to a text."""

    clip: Path
    text: str
    cosine: float  # -1 to 1


@dataclass(frozen=True)
class Sifted:
    """What can be heard of some recordings, and what is to be told of them."""

    heard: list[Path]
    reasons: list[str]  # one for each that cannot be
    silent: list[Path]  # among those that can: nothing but zeros


def words(
    trained: Trained,
    clips: Sequence[str | Path],
    asked: Sequence[str] = (),
    template: str | None = None,
) -> list[list[Likeness]]:
    """For each clip the words, the likest first.

    Args:
        trained: with a head called "clap".
        clips: recordings.
        asked: classes or any other words; none: the classes of training.
        template: for the words, in place of that of training.

    Raises:
        RunError: the model knows no sentences.
        RecipeError: a word or the template cannot be said, or two words are the same tokens.
        AudioError: a recording cannot be read; see `sift`.
    """
    chosen = list(asked) or trained.classes
    head = _head(trained)
    told = head.prompts.options
    said = {"language": told.language, "words": told.words}
    sentences = prompts.of_emotions(chosen, template=template_of(trained, template), **said)
    text = head.prompts.encoder()
    refuse_alike(text, chosen, sentences)
    files = [Path(clip) for clip in clips]
    likeness = _cosines(trained, files, text, sentences)
    shares = likeness.logits.softmax(dim=1).tolist()
    if len(chosen) == 1:
        shares = [[None]] * len(files)
    rows = zip(files, likeness.cosines.tolist(), shares, strict=True)
    return [
        sorted(
            (Likeness(clip, *cell) for cell in zip(chosen, cosines, parts, strict=True)),
            key=lambda found: -found.cosine,
        )
        for clip, cosines, parts in rows
    ]


def clips(trained: Trained, among: Sequence[str | Path], text: str) -> list[Match]:
    """The recordings by how like a text they are, the likest first; arguments as of `words`.

    The text is taken as it is, without a template.
    """
    if not text.strip():
        raise RecipeError("no text to look for; give one")
    files = [Path(clip) for clip in among]
    likeness = _cosines(trained, files, _head(trained).prompts.encoder(), [text])
    cosines = likeness.cosines[:, 0].tolist()
    rows = [Match(clip, text, cosine) for clip, cosine in zip(files, cosines, strict=True)]
    return sorted(rows, key=lambda row: -row.cosine)


def template_of(trained: Trained, template: str | None = None) -> str:
    """What words are put into: the template that is given, or that of training."""
    told = _head(trained).prompts.options
    return prompts.template_of(told.language, told.template if template is None else template)


def sift(trained: Trained, files: Sequence[str | Path]) -> Sifted:
    """Recordings that a model can hear, and why it cannot hear the others; every one is read."""
    found = Sifted([], [], [])
    for said in utterances([Path(file) for file in files]):
        try:
            silent = not signal(said, trained.steps).any()
        except AudioError as e:
            found.reasons.append(str(e))
            continue
        found.heard.append(said.audio)
        if silent:
            found.silent.append(said.audio)
    return found


@torch.inference_mode()
def _cosines(
    trained: Trained, files: Sequence[Path], text: Text, sentences: Sequence[str]
) -> SentenceCosines:
    if not files:
        raise AudioError("no recording to hear; give one")
    pooled: Float[Tensor, "C _"] = torch.cat([output.pooled for output in trained.hear(files)])
    return _head(trained).emotion(pooled, text(sentences).to(pooled.device))


def _head(trained: Trained) -> LanguageHead:
    head = trained.model.head
    if not isinstance(head, LanguageHead):
        raise RunError(
            f"{trained.name}: its head knows no sentences; take a run of a recipe with "
            'head = { name = "clap" }, such as gemo-clap/emodb/emo'
        )
    return head
