"""Random recognisers that can be exported, of every encoder, pooling and head."""

from pathlib import Path
from typing import Any

import torch

import checkpoints
from affekt.encoders.spectral import MFCC, LogMel
from affekt.encoders.speech import Speech
from affekt.nn.heads import HEADS
from affekt.nn.mixing import MIXES
from affekt.nn.pooling import POOLINGS
from affekt.nn.recogniser import Recogniser
from affekt.nn.standardise import Standardise
from affekt.nn.wccn import DeepWCCN
from affekt.parts import find

CLASSES = ["angry", "happy", "neutral", "sad"]
SPECTRAL: dict[str, Any] = {"log-mel": LogMel, "mfcc": MFCC}
# Two convolutions and one layer: as quick to trace as a network of waves can be.
FEW = {
    "conv_dim": (8, 8),
    "conv_kernel": (40, 8),
    "conv_stride": (20, 4),
    "num_feat_extract_layers": 2,
    "num_hidden_layers": 1,
}


def encoder(name: str, folder: Path, **changes: Any) -> Any:
    if name in SPECTRAL:
        return SPECTRAL[name](bands=12)
    return Speech(model=str(checkpoints.save(folder, name, **changes)), precision="fp32")


def recogniser(
    heard: Any, *, mix: str = "weighted-sum", pooling: str = "mean", head: str = "linear", **options
) -> Recogniser:
    """In evaluation, its statistics those of random numbers; options of the head."""
    torch.manual_seed(1)
    standardise = None
    if heard.standardise:
        standardise = Standardise(heard.layers, heard.dim)
        standardise.fit([3 * torch.randn(heard.layers, 20, heard.dim) - 5])
    layers = find(MIXES, mix, "mix")(heard.layers)
    pooled = find(POOLINGS, pooling, "pooling")(heard.dim, dim=6)
    top = find(HEADS, head, "head")(pooled.output_dim, CLASSES, **options)
    for part in top.modules():
        if isinstance(part, DeepWCCN):
            part.b.copy_(torch.randn_like(part.b))
    return Recogniser(layers, pooled, top, encoder=heard, standardise=standardise).eval()


def waves(seed: int = 0) -> list[torch.Tensor]:
    """Noise of several lengths (S,)."""
    rng = torch.Generator().manual_seed(seed)
    return [0.3 * torch.randn(n, generator=rng) for n in (3_200, 9_001, 16_000)]
