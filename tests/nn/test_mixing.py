import numpy as np
import pytest
import torch

from affekt.errors import RecipeError
from affekt.nn.mixing import LayerMix, OneLayer


def mixed(layers, towards, **options):
    """The sum, and the gradient that reaches the weights."""
    mix = LayerMix(layers.shape[1], **options)
    with torch.no_grad():
        mix.weight.copy_(torch.linspace(-1, 1, layers.shape[1]))
    h = mix(layers)
    h.backward(towards)
    return h.detach(), mix.weight.grad


@pytest.mark.parametrize("normalise", [False, True])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_layers_in_half_precision_are_mixed_and_learnt_from_in_float32(dtype, normalise):
    rng = torch.Generator().manual_seed(0)
    narrow = torch.randn(3, 5, 20, 16, generator=rng).to(dtype)
    towards = torch.randn(3, 20, 16, generator=rng)
    h, grad = mixed(narrow, towards, normalise=normalise)
    assert h.dtype == grad.dtype == torch.float32
    x = narrow.double().numpy()
    if normalise:
        x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    gamma = np.exp(np.linspace(-1, 1, 5)) / np.exp(np.linspace(-1, 1, 5)).sum()
    expected = sum(g * x[:, n] for n, g in enumerate(gamma))
    np.testing.assert_allclose(h, expected, atol=1e-5)
    each = np.array([(x[:, n] * towards.numpy()).sum() for n in range(5)])
    np.testing.assert_allclose(grad, gamma * (each - (gamma * each).sum()), rtol=1e-4, atol=1e-4)


def test_layers_in_half_precision_that_are_trained_get_a_gradient():
    layers = torch.randn(2, 3, 4, 5).bfloat16().requires_grad_()
    LayerMix(3)(layers).sum().backward()
    torch.testing.assert_close(layers.grad, torch.full((2, 3, 4, 5), 1 / 3).bfloat16())


def test_one_layer_is_given_on_in_float32():
    layers = torch.randn(2, 1, 4, 5).bfloat16()
    h = LayerMix(1)(layers)
    torch.testing.assert_close(h, layers[:, 0].float(), rtol=0, atol=0)
    normal = LayerMix(1, normalise=True)(layers)
    torch.testing.assert_close(normal.mean(dim=-1), torch.zeros(2, 4), atol=1e-6, rtol=0)


@pytest.mark.parametrize("number", [0, 2, -1, -3])
def test_one_layer_comes_out_as_it_is(number):
    layers = torch.randn(2, 3, 4, 5, dtype=torch.bfloat16)
    assert torch.equal(OneLayer(3, number=number)(layers), layers[:, number].float())


@pytest.mark.parametrize("number", [3, -4])
def test_a_layer_that_the_encoder_has_not_is_refused(number):
    with pytest.raises(RecipeError, match=f"number = {number}, but the encoder has the layers 0"):
        OneLayer(3, number=number)
