import numpy as np
import pytest
import torch
from torch import nn
from transformers import HubertConfig, HubertModel, WavLMConfig, WavLMModel

from affekt.encoders import packed, positions, wave
from affekt.encoders.wave import WaveTransformer, convolve

SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 40,
    "conv_dim": (16,) * 7,
    "num_conv_pos_embedding_groups": 4,
}
LENGTHS = torch.tensor([40_000, 21_000, 400])
FRAMES = [124, 65, 1]


@pytest.fixture(params=[(HubertConfig, HubertModel), (WavLMConfig, WavLMModel)])
def network(request, monkeypatch):
    """An encoder with 128 taps over time, whose attention is of many colours."""
    monkeypatch.setattr(wave, "WIDE", 0)
    config, kind = request.param
    torch.manual_seed(0)
    model = kind(config(**SIZES)).eval().requires_grad_(False)
    for name, weight in model.named_parameters():
        if "attention" in name:
            nn.init.normal_(weight, std=0.3)
    made = WaveTransformer(model, normalise=True)
    made.settle()
    return made


@pytest.fixture
def wav():
    made = torch.randn(3, 40_000, generator=torch.Generator().manual_seed(0)) + 3.0
    return made.masked_fill(torch.arange(40_000) >= LENGTHS[:, None], 0.0)


def both(network, wav, monkeypatch):
    """All layers without padding and with it."""
    with torch.no_grad():
        ends = network(wav, LENGTHS)
        monkeypatch.setattr(wave, "WIDE", 10_000)
        return torch.stack(ends), torch.stack(network(wav, LENGTHS))


def valid(layers):
    return torch.cat([layers[:, n, :count] for n, count in enumerate(FRAMES)], dim=1)


@pytest.mark.parametrize("few", [1, 10_000])
def test_both_ways_give_the_same_in_bf16_but_for_rounding(network, wav, monkeypatch, few):
    monkeypatch.setattr(packed, "FEW", few)
    monkeypatch.setattr(packed, "SCORES", 2 * 124**2)  # two heads at a time
    exact, _ = both(network, wav, monkeypatch)
    with torch.autocast("cpu", torch.bfloat16):
        monkeypatch.setattr(wave, "WIDE", 0)
        end_to_end, padded = both(network, wav, monkeypatch)
    off = (valid(end_to_end) - valid(exact)).abs().mean()
    assert 0 < off < 1.3 * (valid(padded) - valid(exact)).abs().mean()


def test_both_ways_give_the_same(network, wav, monkeypatch):
    ends, padded = both(network, wav, monkeypatch)
    assert (valid(ends) - valid(padded)).abs().max() < 1e-5 * padded.abs().max()


def test_what_an_utterance_gives_depends_on_no_other(network, wav):
    with torch.no_grad():
        together = network(wav, LENGTHS)
        for n, count in enumerate(FRAMES):
            alone = network(wav[n : n + 1, : LENGTHS[n]], LENGTHS[n : n + 1])
            for a, b in zip(alone, together, strict=True):
                assert (a[0] - b[n, :count]).abs().max() < 1e-5


@pytest.mark.parametrize("piece", [1, 7, 1000])
def test_pieces_of_the_front_end_join_without_a_seam(network, wav, monkeypatch, piece):
    monkeypatch.setattr(packed, "PIECE", piece)
    convolutions = network.model.feature_extractor.conv_layers
    cut = [row[:n] for row, n in zip(wav, LENGTHS.tolist(), strict=True)]
    made = packed.convolved(convolutions, cut)
    for row, found in zip(cut, made, strict=True):
        expected = convolve(convolutions, row[None], torch.tensor([len(row)]))[0].T
        assert found.shape == expected.shape
        # An offset of three deviations: the variance is a small difference of large numbers.
        assert (found - expected).abs().max() < 2e-5 * expected.abs().max()


def test_silence_is_as_finite_as_in_a_norm(network):
    convolutions = network.model.feature_extractor.conv_layers
    silent = torch.full((8_000,), 0.5)
    (made,) = packed.convolved(convolutions, [silent])
    expected = convolve(convolutions, silent[None], torch.tensor([8_000]))[0].T
    assert made.isfinite().all()
    assert (made - expected).abs().max() < 1e-3


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("taps", [64, 65, 128])
def test_positions_by_fft_are_the_convolution_over_time(taps, bias):
    torch.manual_seed(0)
    conv = nn.Conv1d(6, 6, taps, padding=taps // 2, groups=3, bias=bias).requires_grad_(False)
    embed = nn.Module()
    embed.conv, embed.activation, embed.padding = conv, nn.Identity(), nn.Identity()
    frames = [200, 1, 66]
    h = torch.randn(sum(frames), 6)
    made = positions.packed(embed, h, frames, positions.spectrum(conv))
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
    assert positions.spectrum(nn.Conv1d(4, 4, 19, padding=9)) is None
