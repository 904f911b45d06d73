import numpy as np
import pytest
import torch
from torch import nn

from affekt.errors import RecipeError
from affekt.pretraining.gabor import bank, set_filters

HERTZ = np.fft.rfftfreq(16_000, 1 / 16_000)  # of a spectrum of one second


def test_the_bands_lie_where_the_mel_scale_has_them():
    spectra = np.abs(np.fft.rfft(bank(80, 400)[::4].numpy(), 16_000, axis=1))
    found = HERTZ[spectra.argmax(axis=1)]
    mel = np.linspace(2595 * np.log10(1 + 50 / 700), 2595 * np.log10(1 + 7800 / 700), 80)
    expected = 700 * (10 ** (mel / 2595) - 1)
    np.testing.assert_allclose(found[1:], expected[1:], rtol=0.02, atol=3)


def test_the_phases_of_a_band_are_quarters_of_a_period():
    zero, quarter, half, rest = bank(80, 400).reshape(80, 4, 400).unbind(dim=1)
    assert torch.allclose(half, -zero, atol=1e-6)
    assert torch.allclose(rest, -quarter, atol=1e-6)
    assert (zero * quarter).sum(dim=1).abs().max() < 0.05  # of a norm of 1


def test_what_is_positive_of_all_phases_follows_the_amplitude_whatever_the_phase():
    filters = bank(80, 400).reshape(80, 4, 400)
    time = torch.arange(400) / 16_000
    for band in (10, 40, 70):
        hertz = float(HERTZ[np.abs(np.fft.rfft(filters[band, 0].numpy(), 16_000)).argmax()])
        heard = [torch.cos(2 * torch.pi * hertz * time + p) for p in torch.linspace(0, 6.2, 40)]
        sums = torch.stack([(filters[band] @ x).relu().sum() for x in heard])
        assert sums.max() / sums.min() < 1.5  # |cos| + |sin| is between 1 and sqrt(2)


def test_a_convolution_gets_the_filters_and_keeps_training_them():
    convolution = nn.Conv1d(1, 32, 100, bias=True)
    set_filters(convolution)
    assert torch.equal(convolution.weight[:, 0].detach(), bank(8, 100))
    assert convolution.weight.requires_grad
    assert 0.03 < float(convolution.bias.detach().std()) < 0.3


@pytest.mark.parametrize("convolution", [nn.Conv1d(1, 30, 100), nn.Conv1d(1, 32, 100, bias=False)])
def test_a_convolution_that_cannot_hold_them_is_refused(convolution):
    with pytest.raises(RecipeError, match=r"multiple of 4, but got"):
        set_filters(convolution)
