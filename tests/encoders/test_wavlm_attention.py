import copy

import pytest
import torch
from transformers.models.wavlm.modeling_wavlm import WavLMAttention

from affekt.encoders.wavlm_attention import FusedAttention

# torch says so of transformers' own form, where a boolean mask meets the bias.
pytestmark = pytest.mark.filterwarnings("ignore:Support for mismatched")


@pytest.fixture
def pair():
    torch.manual_seed(0)
    theirs = WavLMAttention(24, 3, num_buckets=32, max_distance=40)
    for weight in theirs.parameters():
        torch.nn.init.normal_(weight, std=0.4)
    return theirs, FusedAttention(copy.deepcopy(theirs))


@pytest.mark.parametrize("frames", [1, 2, 150])
@pytest.mark.parametrize("padded", [False, True])
def test_fused_attention_is_that_of_transformers(pair, frames, padded):
    theirs, ours = pair
    x = torch.randn(4, frames, 24)
    mask = torch.arange(frames) < torch.tensor([[frames], [1], [frames // 2 + 1], [frames]])
    expected, _, _ = theirs(x, attention_mask=mask if padded else None)
    made, _, _ = ours(x, attention_mask=mask if padded else None)
    assert (made - expected).abs().max() < 1e-5 * expected.abs().max()


def test_summed_projections_make_the_same_gates(pair):
    theirs, ours = pair
    x = torch.randn(4, 50, 24)
    expected, _, _ = theirs(x)
    ours.sum_projections()
    ours.sum_projections()  # once more changes nothing
    assert ours.gru_rel_pos_linear.weight.shape == (2, 8)
    made, _, _ = ours(x)
    assert (made - expected).abs().max() < 1e-5 * expected.abs().max()


def test_the_bias_of_the_first_layer_serves_the_next(pair):
    theirs, ours = pair
    next_theirs = WavLMAttention(24, 3, has_relative_position_bias=False)
    next_ours = FusedAttention(copy.deepcopy(next_theirs))
    x = torch.randn(2, 60, 24)
    expected, _, bias = theirs(x)
    expected, _, _ = next_theirs(expected, position_bias=bias)
    made, _, bias = ours(x)
    made, _, _ = next_ours(made, position_bias=bias)
    assert (made - expected).abs().max() < 1e-5 * expected.abs().max()


def test_the_weights_have_the_same_names(pair):
    theirs, ours = pair
    assert theirs.state_dict().keys() == ours.state_dict().keys()
    ours.load_state_dict(theirs.state_dict())


def test_every_weight_gets_the_gradient_of_transformers(pair):
    theirs, ours = pair
    x, mask = torch.randn(2, 50, 24), torch.arange(50) < torch.tensor([[50], [31]])
    for attention in pair:
        attention(x, attention_mask=mask)[0].square().sum().backward()
    for (name, a), b in zip(theirs.named_parameters(), ours.parameters(), strict=True):
        if name == "k_proj.bias":  # it cancels in the softmax
            continue
        assert a.grad is not None and b.grad is not None
        assert (a.grad - b.grad).abs().max() < 1e-4 * a.grad.abs().max(), name


def test_the_gradients_are_those_of_finite_differences(pair):
    _, ours = pair
    ours = ours.double()
    x = torch.randn(1, 5, 24, dtype=torch.double, requires_grad=True)
    mask = torch.tensor([[True, True, True, True, False]])
    assert torch.autograd.gradcheck(lambda x: ours(x, attention_mask=mask)[0][:, :4], (x,))


@pytest.mark.parametrize(
    "device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)], ids=["cpu", "gpu"]
)
def test_in_bf16_it_stays_close(pair, device):
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("no GPU")
    ours = pair[1].to(device)
    x = torch.randn(2, 80, 24, device=device)
    mask = torch.arange(80, device=device) < torch.tensor([[80], [47]], device=device)
    exact = ours(x, attention_mask=mask)[0]
    with torch.autocast(device, torch.bfloat16):
        rough = ours(x, attention_mask=mask)[0]
    assert rough.dtype == torch.bfloat16
    assert (rough - exact).abs().max() < 0.05 * exact.abs().max()
