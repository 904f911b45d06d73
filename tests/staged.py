"""Recipes of stages over a tiny speech encoder, and the weights that their runs leave."""

from pathlib import Path

import torch
from safetensors.torch import load_file

from affekt import Recipe
from affekt.encoders.speech import Speech

LAST = {"select": "last", "batch_size": 8}
PAIRS = LAST | {
    "objective": {"name": "supervised-contrastive"},
    "trains": ["encoder", "pooling"],
    "optimizer": {"name": "adam", "lr": 1e-3},
    "epochs": 2,
}
ACTORS = {"name": "speaker-k-fold", "folds": 2, "dev": "none"}
OWN = LAST | {"per": "corpus", "trains": ["pooling", "head"], "epochs": 2}
TUNED = {"batch_size": 8, "optimizer": {"name": "adam", "lr": 1e-3}}
DEV = {"name": "speaker-k-fold", "folds": 4}


def recipe(checkpoint, *stages, **changes) -> Recipe:
    return Recipe.parse(
        {
            "corpus": [{"name": "emodb"}, {"name": "ravdess"}],
            "protocol": ACTORS,
            "folds": ["1"],
            "encoder": {
                "name": "speech",
                "model": str(checkpoint("hubert")),
                "trainable": "transformer",
                "lr_factor": 0.4,
                "precision": "fp32",
            },
            "mix": {"name": "layer"},
            "pooling": {"name": "self-attention"},
            "head": {"name": "mlp", "hidden": 4},
            "stage": list(stages),
        }
        | changes
    )


def weights(run: Path, corpus: str = "") -> dict[str, torch.Tensor]:
    return load_file(run / "seed-0/fold-1/model" / corpus / "model.safetensors")


def changed(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> set[str]:
    """Parts whose weights differ."""
    return {
        n.partition(".")[0] for n, weight in after.items() if not torch.equal(weight, before[n])
    }


def learnt(encoder: Speech, after: dict[str, torch.Tensor]) -> set[str]:
    """Weights of the encoder that differ from those it began with."""
    begun = encoder.state_dict()
    return {n for n, weight in begun.items() if not torch.equal(weight, after[f"encoder.{n}"])}
