"""The first convolution as a bank of band-pass filters: a start from which training is short.

A frame then holds the energies of 80 bands to begin with, which random filters take hours of
speech to find (docs/results/bundled-encoder.md). They are trained like all other weights.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from affekt.audio import RATE
from affekt.encoders.spectral import evenly_in_mel
from affekt.errors import RecipeError

LOWEST, HIGHEST = 50.0, 7800.0  # Hz; centres of the first and the last band
PHASES = 4  # quarters of a period: the sum of what is positive of all four follows the amplitude
NARROWEST = 0.4  # of the kernel: the window of the highest band; that of 0 Hz is the whole kernel
BIAS = 0.1  # standard deviation; what is as loud as this or softer is told from what is louder


def set_filters(convolution: nn.Conv1d) -> None:
    """Set a convolution over the wave to windowed cosines, evenly spaced in mel; random biases.

    Raises:
        RecipeError: its channels are no multiple of the PHASES, or it has no bias.
    """
    channels, _, kernel = convolution.weight.shape
    if channels % PHASES or convolution.bias is None:
        raise RecipeError(
            f'filters = "gabor" needs conv_bias = true and a first conv_dim that is a multiple of '
            f"{PHASES}, but got {channels} channels, conv_bias = {convolution.bias is not None}"
        )
    with torch.no_grad():
        convolution.weight.copy_(bank(channels // PHASES, kernel)[:, None])
        convolution.bias.normal_(0.0, BIAS)


def bank(bands: int, kernel: int) -> Float[Tensor, "C K"]:
    """Filters (bands x PHASES, kernel), each of norm 1 up to its phase.

    The window is Hann's, the shorter the higher the band: bands are wider there.
    """
    hertz = evenly_in_mel(LOWEST, HIGHEST, bands)
    time = torch.arange(kernel, dtype=torch.float64) - (kernel - 1) / 2
    width = kernel * (1 - (1 - NARROWEST) * hertz / (RATE / 2))[:, None]
    window = torch.where(time.abs() < width / 2, 0.5 + 0.5 * torch.cos(math.tau * time / width), 0)
    window = window / (window.square().sum(dim=1, keepdim=True) / 2).sqrt()
    turns = torch.arange(PHASES, dtype=torch.float64) / PHASES
    angle = math.tau * (hertz[:, None, None] / RATE * time + turns[:, None])  # (bands, PHASES, K)
    return (window[:, None] * torch.cos(angle)).flatten(0, 1).float()
