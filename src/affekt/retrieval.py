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
from affekt.errors import RecipeError, RunError
from affekt.nn.language import LanguageHead, SentenceCosines
from affekt.trained import Trained


@dataclass(frozen=True)
class Likeness:
    """How like one clip is to one sentence."""

    clip: Path
    word: str  # as it was asked for
    cosine: float  # -1 to 1
    share: float  # softmax of tau_a times the cosine, over the words (or clips) asked for


def words(
    trained: Trained, clips: Sequence[Path], asked: Sequence[str], template: str | None = None
) -> list[list[Likeness]]:
    """For each clip the words, the likest first.

    Args:
        trained: with a head called "clap".
        clips: recordings.
        asked: classes or any other words; none: the classes of training.
        template: for the words, in place of that of training.

    Raises:
        RunError: the model knows no sentences.
        RecipeError: a word or the template cannot be said.
        AudioError: a recording cannot be read.
    """
    chosen = list(asked) or trained.classes
    likeness = _cosines(trained, clips, _sentences(trained, chosen, template))
    shares = likeness.logits.softmax(dim=1)
    rows = zip(clips, likeness.cosines.tolist(), shares.tolist(), strict=True)
    return [
        sorted(
            (Likeness(clip, *cell) for cell in zip(chosen, cosines, parts, strict=True)),
            key=lambda found: -found.cosine,
        )
        for clip, cosines, parts in rows
    ]


def clips(trained: Trained, among: Sequence[Path], text: str) -> list[Likeness]:
    """The recordings by how like a text they are, the likest first; arguments as of `words`.

    The text is taken as it is, without a template.
    """
    if not text.strip():
        raise RecipeError("no text to look for; give one")
    likeness = _cosines(trained, among, [text])
    cosines = likeness.cosines[:, 0]
    shares = likeness.logits[:, 0].softmax(dim=0)
    found = zip(among, cosines.tolist(), shares.tolist(), strict=True)
    rows = [Likeness(clip, text, cosine, share) for clip, cosine, share in found]
    return sorted(rows, key=lambda row: -row.cosine)


def _sentences(trained: Trained, asked: Sequence[str], template: str | None) -> list[str]:
    text = _head(trained).prompts.options
    chosen = text.template if template is None else template
    return prompts.of_emotions(asked, language=text.language, template=chosen, words=text.words)


@torch.inference_mode()
def _cosines(trained: Trained, clips: Sequence[Path], sentences: Sequence[str]) -> SentenceCosines:
    head = _head(trained)
    heard = trained.hear(clips)
    pooled: Float[Tensor, "C _"] = torch.cat([output.pooled for output in heard])
    return head.emotion(pooled, head.prompts.encode(sentences).to(pooled.device))


def _head(trained: Trained) -> LanguageHead:
    head = trained.model.head
    if not isinstance(head, LanguageHead):
        raise RunError(
            f"{trained.name}: its head knows no sentences; take a run of a recipe with "
            'head = { name = "clap" }, such as gemo-clap/emodb/emo'
        )
    return head
