import numpy as np
import pytest
import torch
from torch import nn

from affekt.encoders import positions


def embedding(taps, bias=True):
    torch.manual_seed(0)
    conv = nn.Conv1d(6, 6, taps, padding=taps // 2, groups=3, bias=bias).requires_grad_(False)
    made = nn.Module()
    made.conv, made.activation, made.padding = conv, nn.Identity(), nn.Identity()
    return made


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("taps", [64, 65, 128])
def test_positions_by_fft_are_the_convolution_over_time(taps, bias):
    embed = embedding(taps, bias)
    conv, frames = embed.conv, [200, 1, 66]
    h = torch.randn(sum(frames), 6)
    made = positions.packed(embed, h, frames, positions.spectrum(embed))
    weight, at = conv.weight.double().numpy(), 0
    for count in frames:
        x = np.pad(h[at : at + count].double().numpy(), ((taps // 2, taps), (0, 0)))
        expected = np.zeros((count, 6))
        for t in range(count):
            for channel in range(6):
                own = x[t : t + taps, channel // 2 * 2 : channel // 2 * 2 + 2]
                expected[t, channel] = (own.T * weight[channel]).sum()
        if bias:
            expected += conv.bias.double().numpy()
        np.testing.assert_allclose(made[at : at + count], expected, atol=1e-5)
        at += count


def test_short_convolutions_over_time_have_no_spectrum():
    assert positions.spectrum(embedding(19)) is None
