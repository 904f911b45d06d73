"""What a pre-training leaves on the disk to go on from, and to be used: whole or not there."""

import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor
from transformers import Wav2Vec2FeatureExtractor

from affekt import disk
from affekt.audio import RATE
from affekt.errors import RunError
from affekt.pretraining.family import Config, Network
from affekt.pretraining.objective import Heads
from affekt.pretraining.recipe import Pretraining

CHECKPOINT = "last.ckpt"
TYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}
CARD = """\
---
library_name: transformers
tags: [audio, speech, self-supervised]
---
# {title}

A speech encoder, pre-trained without labels by `affekt pretrain`; 16 kHz mono.

| | |
|---|---|
| speech | {heard}: {hours:.2f} h |
| steps | {step} of {steps} |
| loss | {loss:.4f} |
| audio heard | {played:.2f} h |
| seed | {seed} |
| parameters | {parameters:,} |

```python
from transformers import AutoModel

model = AutoModel.from_pretrained("FOLDER")
```

In a recipe of affekt: `encoder = {{ name = "speech", model = "FOLDER" }}`

Pre-trained by:

```toml
{recipe}```
"""


def write_checkpoint(out: Path, state: dict[str, Any]) -> None:
    """Keep a state, in place of the one before."""
    draft = out / f".{CHECKPOINT}.part"
    torch.save(state, draft)
    draft.replace(out / CHECKPOINT)


def read_checkpoint(out: Path) -> dict[str, Any] | None:
    """The state that a run was left in; nothing if it has not come so far.

    Raises:
        RunError: it is not whole.
    """
    path = out / CHECKPOINT
    if not path.exists():
        return None
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as e:
        reason = str(e).splitlines()[0]
        raise RunError(
            f"{path}: cannot be read ({reason}); start over with --overwrite, or copy it again"
        ) from e


def write_model(
    out: Path,
    model: Network,
    recipe: Pretraining,
    *,
    heads: Heads | None,
    heard: list[str],
    facts: dict[str, Any],
) -> None:
    """Write `out`/model, a checkpoint in Hugging Face's format, in place of the one before.

    Args:
        out: the run's folder.
        model: the network.
        recipe: of the run.
        heads: of the objective, if they are kept.
        heard: what the folders of speech are called; config.json names them.
        facts: for the model card.
    """
    draft, old = out / ".model.part", out / ".model.old"
    for left in (draft, old):
        shutil.rmtree(left, ignore_errors=True)
    kind = TYPES[recipe.training.save_as]
    told, state = _whole(model, heads, recipe)
    told.update({"dtype": kind, "heard": heard})
    told.save_pretrained(draft)
    extractor = Wav2Vec2FeatureExtractor(sampling_rate=RATE, do_normalize=True)
    extractor.save_pretrained(draft)
    weights = {n: t.detach().to("cpu", kind).contiguous() for n, t in state.items()}
    disk.write_bytes(draft / "model.safetensors", save(weights, {"format": "pt"}))
    card = CARD.format(
        title=recipe.title or "Speech encoder",
        heard=", ".join(heard),
        steps=recipe.training.steps,
        seed=recipe.training.seed,
        parameters=sum(p.numel() for p in model.parameters()),
        recipe=recipe.toml(),
        **facts,
    )
    disk.write(draft / "README.md", card)
    if (out / "model").exists():
        (out / "model").rename(old)
    draft.rename(out / "model")
    shutil.rmtree(old, ignore_errors=True)


def _whole(
    model: Network, heads: Heads | None, recipe: Pretraining
) -> tuple[Config, dict[str, Tensor]]:
    """Configuration and weights of a network, with its heads on top if there are any."""
    told, weights = recipe.configuration, model.state_dict()
    if heads is None:
        told.architectures = [type(model).__name__]
        return told, weights
    told.update({"architectures": [heads.model.__name__], **heads.fields})
    under = {f"{model.base_model_prefix}.{name}": t for name, t in weights.items()}
    return told, under | dict(heads.weights)
