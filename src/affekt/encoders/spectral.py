"""Log-mel energies and MFCC with deltas: weight-free upstreams with the interface of the others.

No frame sees a sample or a frame of padding, so a clip gives the same frames in any batch.
Axes: B batch, S samples, T frames, F frequencies, M mel bands, D channels.
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from affekt.audio import RATE
from affekt.encoders.frames import Frames, valid

WINDOW = 400  # samples: 25 ms, the convention of speech front ends
FFT = 512
FLOOR = 1e-8  # of the power in a band, about -80 dB under a full-scale sine; log(0) otherwise
DELTA_REACH = 2  # frames on either side in the regression of a delta (HTK's default)


class LogMel(nn.Module):
    """Log energies in mel bands, with `deltas` orders of time derivatives as further channels.

    `hop` is in seconds; 20 ms is the frame rate of the self-supervised encoders.
    """

    layers = 1
    trainable = False
    window: Tensor
    filters: Tensor
    standardise = True  # the channels differ in scale: the recogniser brings them to one

    def __init__(self, *, bands: int = 40, deltas: int = 0, hop: float = 0.02) -> None:
        super().__init__()
        self.hop = round(hop * RATE)
        self.deltas = deltas
        self.dim = bands * (deltas + 1)
        self.register_buffer("window", torch.hann_window(WINDOW), persistent=False)
        self.register_buffer("filters", mel_filters(bands), persistent=False)

    @torch.no_grad()
    def forward(self, wav: Float[Tensor, "B S"], lengths: Int[Tensor, " B"]) -> Frames:
        """The frames of a padded batch; `lengths` counts samples."""
        frames = 1 + (lengths - WINDOW).clamp(min=0) // self.hop
        wav = nn.functional.pad(wav, (0, max(0, WINDOW - wav.shape[1])))
        power = self._power(wav.float())
        x = self.channels((power @ self.filters).clamp(min=FLOOR).log())
        stack = [x]
        for _ in range(self.deltas):
            stack.append(delta(stack[-1], frames))
        return Frames(torch.cat(stack, dim=2)[:, None], valid(frames, x.shape[1]))

    def _power(self, wav: Float[Tensor, "B S"]) -> Float[Tensor, "B T F"]:
        windows = wav.unfold(1, WINDOW, self.hop) * self.window  # (B, T, WINDOW)
        return torch.fft.rfft(windows, n=FFT).abs().square() / WINDOW

    def channels(self, mel: Float[Tensor, "B T M"]) -> Float[Tensor, "B T D"]:
        """The static channels; log-mel energies are their own."""
        return mel


class MFCC(LogMel):
    """Cepstral coefficients (orthonormal DCT-II of the log-mel energies) with deltas."""

    cosines: Tensor

    def __init__(
        self, *, coefficients: int = 20, bands: int = 40, deltas: int = 2, hop: float = 0.02
    ) -> None:
        super().__init__(bands=bands, deltas=deltas, hop=hop)
        self.dim = coefficients * (deltas + 1)
        self.register_buffer("cosines", dct(bands, coefficients), persistent=False)

    def channels(self, mel: Float[Tensor, "B T M"]) -> Float[Tensor, "B T D"]:
        """The first cepstral coefficients of each frame."""
        return mel @ self.cosines


def mel_filters(bands: int, low: float = 20.0, high: float = RATE / 2) -> Float[Tensor, "F M"]:
    """Triangular filters, evenly spaced in mel (HTK's scale), peak 1."""
    hertz = evenly_in_mel(low, high, bands + 2)
    bins = torch.linspace(0, RATE / 2, FFT // 2 + 1, dtype=torch.float64)[:, None]
    rise = (bins - hertz[:-2]) / (hertz[1:-1] - hertz[:-2])
    fall = (hertz[2:] - bins) / (hertz[2:] - hertz[1:-1])
    return torch.minimum(rise, fall).clamp(min=0).float()


def evenly_in_mel(low: float, high: float, count: int) -> Float[Tensor, " F"]:
    """Frequencies from `low` to `high` in Hz, evenly spaced on HTK's mel scale."""
    mel = torch.linspace(_mel(low), _mel(high), count, dtype=torch.float64)
    return 700 * (10 ** (mel / 2595) - 1)


def _mel(hertz: float) -> float:
    return 2595 * math.log10(1 + hertz / 700)


def dct(bands: int, coefficients: int) -> Float[Tensor, "M D"]:
    """The orthonormal DCT-II as a matrix: energies times this are cepstral coefficients."""
    n = torch.arange(bands, dtype=torch.float64)[:, None] + 0.5
    k = torch.arange(coefficients, dtype=torch.float64)
    cosines = torch.cos(math.pi / bands * n * k) * math.sqrt(2 / bands)
    cosines[:, 0] /= math.sqrt(2)
    return cosines.float()


def delta(x: Float[Tensor, "B T D"], frames: Int[Tensor, " B"]) -> Float[Tensor, "B T D"]:
    """The slope of a line through 2 x DELTA_REACH + 1 frames; a clip's end frames are repeated."""
    steps = torch.arange(x.shape[1], device=x.device)
    last = (frames - 1)[:, None]

    def at(shift: int) -> Tensor:
        where = torch.minimum((steps + shift).clamp(min=0)[None], last)  # (B, T)
        return x.gather(1, where[..., None].expand(-1, -1, x.shape[2]))

    reach = range(1, DELTA_REACH + 1)
    total = torch.stack([k * (at(k) - at(-k)) for k in reach]).sum(dim=0)
    return total / (2 * sum(k * k for k in reach))
