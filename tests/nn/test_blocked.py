import pytest
import torch
from torch import nn
from transformers import HubertConfig, HubertModel
from transformers.activations import GELUActivation

from affekt.nn import blocked

pytestmark = pytest.mark.skipif(
    not blocked.available(), reason="oneDNN multiplies no bf16 on this processor"
)


@pytest.mark.parametrize("shape", [(7, 40), (1, 40), (2, 3, 5, 40)])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("gelu", [True, False])
def test_it_is_the_layer_rounded_once(shape, bias, gelu):
    torch.manual_seed(0)
    plain = nn.Linear(40, 24, bias=bias).bfloat16().requires_grad_(False)
    x = torch.randn(shape, dtype=torch.bfloat16)
    exact = plain.double()(x.double())
    exact = nn.functional.gelu(exact) if gelu else exact
    made = blocked.Linear(plain, gelu=gelu)(x)
    assert made.dtype == torch.bfloat16
    assert made.shape == (*shape[:-1], 24)
    assert ((made.double() - exact).abs() <= 2**-8 * exact.abs() + 1e-5).all()


@pytest.mark.parametrize("rows", [1, 3, 50])
@pytest.mark.parametrize("width", [768, 3072])
def test_rows_do_not_depend_on_one_another(rows, width):
    torch.manual_seed(0)
    layer = blocked.Linear(nn.Linear(width, 96))
    x = torch.randn(415, width)
    assert torch.equal(layer(x)[:rows], layer(x[:rows]))


def test_a_model_is_exchanged_whole_and_its_weights_still_count():
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    model = HubertModel(HubertConfig(intermediate_size=48, conv_dim=(8,) * 7, **sizes)).eval()
    layer = model.encoder.layers[0].feed_forward.requires_grad_(False)
    x = torch.randn(5, 32)
    expected, count = layer(x), model.num_parameters()
    blocked.exchange(model)
    assert not any(isinstance(part, nn.Linear) for part in model.modules())
    assert model.num_parameters() == count + 4 * 2 * 8**2  # two taps more in four convolutions
    assert isinstance(layer.intermediate_act_fn, nn.Identity)
    assert (layer(x) - expected).abs().max() < 0.02 * expected.abs().max()


def test_an_activation_that_is_not_gelu_stays():
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = HubertModel(HubertConfig(hidden_act="relu", conv_dim=(8,) * 7, **sizes)).eval()
    layer = model.encoder.layers[0].feed_forward.requires_grad_(False)
    x = torch.randn(5, 32)
    expected = layer(x)
    blocked.exchange(model)
    assert (layer(x) - expected).abs().max() < 0.02 * expected.abs().max()


def test_a_gelu_that_follows_another_layer_stays():
    torch.manual_seed(0)
    module = nn.Module()
    module.dense = nn.Linear(8, 8)
    module.intermediate_act_fn = GELUActivation()
    blocked.exchange(module)
    assert isinstance(module.intermediate_act_fn, GELUActivation)
    x = torch.randn(5, 8)
    assert (module.dense(x) < 0).any()


@pytest.mark.parametrize("frames", [3, 4, 50, 1001])
@pytest.mark.parametrize("channels", [(512, 512), (6, 10)])
@pytest.mark.parametrize("taps", [2, 3])
@pytest.mark.parametrize("bias", [True, False])
def test_a_convolution_and_gelu_are_rounded_once(frames, channels, taps, bias):
    torch.manual_seed(0)
    plain = nn.Conv1d(*channels, taps, stride=2, bias=bias).bfloat16()
    x = torch.randn(2, channels[0], frames).bfloat16()
    with torch.inference_mode():
        made = blocked.Convolution(plain)(x)
        exact = nn.functional.gelu(plain.double()(x.double()))
    assert made.shape == exact.shape
    assert made.mT.is_contiguous()
    assert ((made.double() - exact).abs() <= 2**-8 * exact.abs() + 1e-5).all()


@pytest.mark.parametrize("frames", [3, 4, 5, 50, 257, 258, 259, 260, 1001])
@pytest.mark.parametrize("channels", [(512, 512), (6, 10)])
@pytest.mark.parametrize("bias", [True, False])
def test_five_products_for_six_are_nearly_as_exact(frames, channels, bias):
    torch.manual_seed(0)
    plain = nn.Conv1d(*channels, 3, stride=2, bias=bias)
    x = torch.randn(2, channels[0], frames)
    exact = nn.functional.gelu(plain(x)).detach()
    with torch.inference_mode():
        six = blocked.Convolution(plain)(x)
        five = blocked.Winograd(plain)(x.clone())
        alone = blocked.Winograd(plain)(x[:1].bfloat16().mT.contiguous().mT)
    assert five.shape == exact.shape
    assert five.mT.is_contiguous()
    assert torch.equal(alone, five[:1])
    assert (five - exact).square().mean() < 2.0**2 * (six - exact).square().mean()


@pytest.mark.parametrize(
    ("values", "exchanged"),
    [
        ({}, 6),
        ({"feat_extract_activation": "relu"}, 0),
        ({"feat_extract_activation": "gelu_new"}, 0),
        ({"feat_extract_norm": "layer"}, 0),
    ],
)
def test_only_convolutions_before_a_bare_exact_gelu_are_exchanged(values, exchanged):
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = HubertConfig(intermediate_size=48, conv_dim=(8,) * 7, **(sizes | values))
    model = HubertModel(config).eval().requires_grad_(False)
    wav = torch.randn(2, 4_000)
    expected = model(wav).last_hidden_state
    blocked.exchange(model)
    kinds = blocked.Convolution | blocked.Winograd
    assert sum(isinstance(part, kinds) for part in model.modules()) == exchanged
    with torch.autocast("cpu", torch.bfloat16):
        off = model(wav).last_hidden_state - expected
    assert off.abs().max() < 0.05 * expected.abs().max()
