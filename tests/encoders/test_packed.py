import pytest
import torch
from torch import nn
from transformers import (
    HubertConfig,
    HubertModel,
    Wav2Vec2Config,
    Wav2Vec2Model,
    WavLMConfig,
    WavLMModel,
)

from affekt.encoders import packed, wave
from affekt.encoders.speech import narrow
from affekt.encoders.wave import WaveTransformer, convolve
from affekt.nn import blocked

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


PRE_NORM = {"do_stable_layer_norm": True, "feat_extract_norm": "layer"}
KINDS = {
    "hubert": (HubertConfig, HubertModel, {"conv_bias": True}),
    "hubert-bare": (HubertConfig, HubertModel, {"feat_proj_layer_norm": False}),
    "hubert-batch-norm": (HubertConfig, HubertModel, {"conv_pos_batch_norm": True}),
    "hubert-relu": (HubertConfig, HubertModel, {"feat_extract_activation": "relu"}),
    "wavlm": (WavLMConfig, WavLMModel, {}),
    "wavlm-large": (WavLMConfig, WavLMModel, PRE_NORM),
    "odd": (Wav2Vec2Config, Wav2Vec2Model, {"num_conv_pos_embeddings": 65}),
    "adapters": (Wav2Vec2Config, Wav2Vec2Model, PRE_NORM | {"adapter_attn_dim": 6}),
}


@pytest.fixture(params=KINDS)
def network(request, monkeypatch):
    """An encoder of many taps over time, whose attention and norms do something."""
    monkeypatch.setattr(wave, "WIDE", 0)
    config, kind, values = KINDS[request.param]
    torch.manual_seed(0)
    model = kind(config(**(SIZES | values))).eval().requires_grad_(False)
    for name, weight in model.named_parameters():
        if "attention" in name or "norm" in name or "adapter" in name:
            weight.add_(0.3 * torch.randn_like(weight))
    made = WaveTransformer(model, normalise=False)
    made.finish()
    assert made.spectrum is not None
    return made


@pytest.fixture
def wav():
    made = torch.randn(3, 40_000, generator=torch.Generator().manual_seed(0)) + 3.0
    return made.masked_fill(torch.arange(40_000) >= LENGTHS[:, None], 0.0)


def both(network, wav, monkeypatch):
    """All layers without padding and with it."""
    with torch.no_grad():
        assert network._packs(wav)
        without = network(wav, LENGTHS)
        monkeypatch.setattr(wave, "WIDE", 10_000)
        return torch.stack(without), torch.stack(network(wav, LENGTHS))


def valid(layers):
    return torch.cat([layers[:, n, :count] for n, count in enumerate(FRAMES)], dim=1)


def test_the_last_layer_alone_is_the_last_of_all(network, wav):
    with torch.no_grad():
        z, frames = network.convolved(wav, LENGTHS), network.frames(LENGTHS)
        alone, of_all = network.top(z, frames), network.onward(z, frames)[-1]
    assert torch.equal(alone, of_all)


@pytest.mark.parametrize("frames", [1, 31, 32, 33, 64])
@pytest.mark.parametrize("gated", [True, False])
@pytest.mark.parametrize("scores", [1, 2 * 64**2, 2**20])
def test_attention_in_bf16_is_softmax_of_products(frames, gated, scores, monkeypatch):
    monkeypatch.setattr(packed, "SCORES", scores)
    torch.manual_seed(0)
    # as they come out of a matrix of all frames
    q, k, v = torch.randn(3, frames + 7, 5, 8).bfloat16().transpose(1, 2)[:, :, 3 : frames + 3]
    gates, places = torch.randn(5, frames, 1).bfloat16(), torch.randn(5, frames, 64).bfloat16()
    made = packed._attended(q, k, v, (gates, places) if gated else None)
    bias = gates.double() * places[:, :, :frames] if gated else 0.0
    products = q.double() @ k.double().mT / 8**0.5 + bias
    expected = products.softmax(dim=2) @ v.double()
    assert made.shape == expected.shape
    assert (made - expected).abs().max() < 0.03 * expected.abs().max()


def test_pieces_have_few_lengths(network, monkeypatch):
    monkeypatch.setattr(packed, "PIECE", 20)
    beginning, lengths = packed._beginning, set()

    def watched(layer, wave):
        begun = beginning(layer, wave)
        return lambda piece: lengths.add(len(piece)) or begun(piece)

    monkeypatch.setattr(packed, "_beginning", watched)
    waves = [torch.randn(400 + 320 * n) for n in range(40)]
    made = packed.convolved(network.model.feature_extractor.conv_layers, waves)
    assert [len(frames) for frames in made] == list(range(1, 41))
    assert lengths == {400 + 320 * (n - 1) for n in (5, 10, 15, 20)}


@pytest.mark.parametrize("many", [1, 10_000])
def test_both_ways_give_the_same_in_bf16_but_for_rounding(network, wav, monkeypatch, many):
    monkeypatch.setattr(packed, "MANY", many)
    monkeypatch.setattr(packed, "SCORES", 2 * 124**2)  # two heads at a time
    exact, _ = both(network, wav, monkeypatch)
    with torch.autocast("cpu", torch.bfloat16):
        monkeypatch.setattr(wave, "WIDE", 0)
        without, padded = both(network, wav, monkeypatch)
    off = (valid(without) - valid(exact)).abs().mean()
    assert 0 < off < 1.3 * (valid(padded) - valid(exact)).abs().mean()


def test_both_ways_give_the_same(network, wav, monkeypatch):
    without, padded = both(network, wav, monkeypatch)
    assert (valid(without) - valid(padded)).abs().max() < 1e-5 * padded.abs().max()


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
        assert (found - expected).abs().max() < 2e-5 * expected.abs().max()


@pytest.mark.skipif(not blocked.available(), reason="oneDNN multiplies no bf16 here")
@pytest.mark.parametrize(
    ("kernels", "strides", "padded"),
    [((10, 3, 3, 3, 3, 2, 2), (5, *[2] * 6), False), ((10, 3, 3), (5, 2, 2), True)],
)
def test_pieces_made_in_pairs_join_without_a_seam(kernels, strides, padded, monkeypatch):
    torch.manual_seed(0)
    sizes = SIZES | {"conv_dim": (16,) * len(kernels)}
    model = HubertModel(HubertConfig(**sizes, conv_kernel=kernels, conv_stride=strides)).eval()
    blocked.exchange(model)
    convolved, odd = blocked.Winograd._convolved, []

    def watched(self, x):
        odd.append((len(x) - 1) // 2 % 2 == 1)
        return convolved(self, x)

    monkeypatch.setattr(blocked.Winograd, "_convolved", watched)
    waves, layers = [torch.randn(9_000)], model.feature_extractor.conv_layers
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        (whole,) = packed.convolved(layers, waves)
        monkeypatch.setattr(packed, "PIECE", 5)
        (joined,) = packed.convolved(layers, waves)
    assert odd and any(odd) is padded
    assert (joined - whole).abs().max() < 0.03 * whole.abs().max()


def test_silence_is_as_finite_as_in_a_norm(network):
    convolutions = network.model.feature_extractor.conv_layers
    silent = torch.full((8_000,), 0.5)
    (made,) = packed.convolved(convolutions, [silent])
    expected = convolve(convolutions, silent[None], torch.tensor([8_000]))[0].T
    assert made.isfinite().all()
    assert (made - expected).abs().max() < 1e-3


def test_in_bf16_an_offset_of_the_wave_does_no_harm(network, wav):
    convolutions = network.model.feature_extractor.conv_layers
    with torch.no_grad():
        (exact,) = packed.convolved(convolutions, [wav[0]])
        with torch.autocast("cpu", torch.bfloat16):
            centred, shifted = packed.convolved(convolutions, [wav[0] - 3.0, wav[0]])
    if network.model.config.feat_extract_norm == "group":
        assert (shifted - exact).abs().mean() < 1.1 * (centred - exact).abs().mean()


def test_weights_that_are_kept_narrow_are_nearly_as_exact(network, wav, monkeypatch):
    monkeypatch.setattr("affekt.encoders.speech.has_bf16", lambda _: True)
    exact, _ = both(network, wav, monkeypatch)
    monkeypatch.setattr(wave, "WIDE", 0)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        rounded = torch.stack(network(wav, LENGTHS))
        narrow(network, "bf16", torch.device("cpu"))
        left = [part for part in network.modules() if isinstance(part, nn.Linear)]
        assert not left or not blocked.available()
        kept = torch.stack(network(wav, LENGTHS))
    off = (valid(kept) - valid(exact)).abs().mean()
    limit = 1.4 if any(isinstance(part, blocked.Winograd) for part in network.modules()) else 1.1
    assert 0 < off < limit * (valid(rounded) - valid(exact)).abs().mean()
