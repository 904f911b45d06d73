"""Clips and sentences in one space (Pan et al. 2024, arXiv:2306.07848), section 3.1, eqs. (2), (3).

Axes: B clips, P sentences, R pooled channels, D channels of the joint space, N clips of a batch.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor, nn

from affekt import prompts
from affekt.encoders.text import Text, TextOptions
from affekt.parts import Count
from affekt.types import GENDERS

STEEPEST = math.log(100.0)  # of log tau, which is used between 0 and this, as in LAION's CLAP
ROBERTA = TextOptions()
Similarities = tuple[Float[Tensor, "N N"], Float[Tensor, "N N"]]


@dataclass(frozen=True)
class SentenceCosines:
    """How like clips are to sentences."""

    vectors: Float[Tensor, "B D"]  # E_a, of length 1
    cosines: Float[Tensor, "B P"]  # E_a E_t^T
    scales: Float[Tensor, "2"]  # tau_a, tau_t

    @property
    def logits(self) -> Float[Tensor, "B P"]:
        """Of each sentence for a clip."""
        return self.scales[0] * self.cosines

    def similarities(
        self, cosines: Float[Tensor, "N P"], chosen: Int[Tensor, " N"]
    ) -> Similarities:
        """C_a and C_t of eq. (3), where clip j comes with sentence `chosen[j]`.

        Args:
            cosines: of these clips, or of all processes'.
            chosen: the number of each clip's sentence.
        """
        pairs = cosines[:, chosen]
        return self.scales[0] * pairs, self.scales[1] * pairs.T


class Space(nn.Module):
    """A joint space: a projection for each side, eq. (2), and two temperatures, eq. (3)."""

    def __init__(
        self,
        audio_dim: int,
        text_dim: int,
        projection: Callable[[int], nn.Module],
        *,
        temperature: float,
        learn: bool,
    ) -> None:
        super().__init__()
        self.audio = projection(audio_dim)
        self.text = projection(text_dim)
        self.log_scales = nn.Parameter(torch.full((2,), -math.log(temperature)), learn)

    def forward(
        self, pooled: Float[Tensor, "B R"], sentences: Float[Tensor, "P _"]
    ) -> SentenceCosines:
        """Vectors of clips, and their cosines to sentences."""
        with torch.no_grad():
            self.log_scales.clamp_(0.0, STEEPEST)
        e_a = nn.functional.normalize(self.audio(pooled), dim=1)
        e_t = nn.functional.normalize(self.text(sentences), dim=1)
        return SentenceCosines(e_a, e_a @ e_t.T, self.log_scales.exp())


class Prompts(nn.Module):
    """Sentences as vectors. Each is encoded once in a step, or once at all by a frozen encoder."""

    def __init__(self, options: TextOptions, sentences: Sequence[str]) -> None:
        super().__init__()
        text = Text(options)
        self.dim = text.dim
        self.options = options
        self.sentences = list(sentences)
        self.text: Text | None = None
        if options.trainable == "none":
            with torch.no_grad():
                self.register_buffer("made", text(self.sentences))
        else:
            self.text = text

    def forward(self, first: int, count: int) -> Float[Tensor, "P _"]:
        """Vectors of `count` sentences, from the one numbered `first`."""
        chosen = slice(first, first + count)
        if self.text is None:
            return self.get_buffer("made")[chosen]
        return self.text(self.sentences[chosen])

    def encoder(self) -> Text:
        """What makes vectors of any sentences; a frozen one is loaded anew."""
        return self.text or Text(self.options)


class LanguageHead(nn.Module):
    """Classes by their sentences: E_a, and its cosine to the sentence of each class.

    Arguments as of `language_head`.
    """

    def __init__(
        self,
        input_dim: int,
        classes: Sequence[str],
        projection: Callable[[int], nn.Module],
        text: TextOptions,
        *,
        genders: str,
        temperature: float,
        learn: bool,
    ) -> None:
        super().__init__()
        said = {"language": text.language, "template": text.template, "words": text.words}
        sentences = prompts.of_emotions(classes, **said)
        separate = genders == "separate"
        asks = prompts.of_genders(text.language) if separate else []
        self.prompts = Prompts(text, [*sentences, *asks])
        self.classes = len(classes)
        self.emotion = Space(
            input_dim, self.prompts.dim, projection, temperature=temperature, learn=learn
        )
        self.gender: Space | None = None
        if separate:
            self.gender = Space(
                input_dim, self.prompts.dim, projection, temperature=temperature, learn=learn
            )

    def forward(
        self, pooled: Float[Tensor, "B R"]
    ) -> tuple[SentenceCosines, SentenceCosines | None]:
        """What is answered on emotion, and on gender where there is a head for it."""
        emotion = self.emotion(pooled, self.prompts(0, self.classes))
        if self.gender is None:
            return emotion, None
        return emotion, self.gender(pooled, self.prompts(self.classes, len(GENDERS)))


class Refined(nn.Module):
    """The projection of Microsoft's CLAP: a linear map, refined and normalised."""

    def __init__(self, input_dim: int, dim: int, dropout: float = 0.5) -> None:
        super().__init__()
        self.first = nn.Linear(input_dim, dim, bias=False)
        self.second = nn.Linear(dim, dim, bias=False)
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Float[Tensor, "B _"]) -> Float[Tensor, "B D"]:
        """LayerNorm(e1 + e2), e2 a map of gelu(e1)."""
        e1 = self.first(x)
        return self.norm(e1 + self.dropout(self.second(nn.functional.gelu(e1))))


def _projection(kind: str, dim: int) -> Callable[[int], nn.Module]:
    made: dict[str, Callable[[int], nn.Module]] = {
        "mlp": lambda n: nn.Sequential(nn.Linear(n, dim), nn.ReLU(), nn.Linear(dim, dim)),
        "msclap": lambda n: Refined(n, dim),
        "linear": lambda n: nn.Linear(n, dim),
    }
    return made[kind]


def language_head(
    input_dim: int,
    classes: Sequence[str],
    *,
    text: TextOptions = ROBERTA,
    dim: Count = 512,
    projection: Literal["mlp", "msclap", "linear"] = "mlp",
    temperature: Annotated[float, Field(ge=0.01, le=1)] = 0.07,
    temperatures: Literal["learned", "fixed"] = "learned",
    genders: Literal["none", "shared", "separate"] = "none",
) -> LanguageHead:
    """The two towers of GEmo-CLAP behind the audio encoder (arXiv:2306.07848).

    Args:
        input_dim: of what is pooled.
        classes: labels.
        text: the text encoder and what it is told.
        dim: of the joint space; the paper does not say.
        projection: "multi-layer linear": linear, ReLU, linear ("mlp"), that of Microsoft's CLAP, or
            one linear map.
        temperature: 1 / tau_a and 1 / tau_t at the start.
        temperatures: whether tau_a and tau_t are trained.
        genders: of ML-GEmo-CLAP, whose "emotion classifier" and "gender classifier" may be one
            and the same similarity with two ground truths ("shared"), or may each have projections
            and sentences of their own ("separate"). The paper does not say.
    """
    return LanguageHead(
        input_dim,
        classes,
        _projection(projection, dim),
        text,
        genders=genders,
        temperature=temperature,
        learn=temperatures == "learned",
    )
