import numpy as np
import pytest
import torch

from affekt.nn import pooling
from affekt.nn.pooling import POOLINGS
from affekt.parts import find

LENGTHS = (7, 1, 12)
DIM = 5


@pytest.fixture
def batch():
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(len(LENGTHS), max(LENGTHS), DIM, generator=rng)
    mask = torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS)[:, None]
    return x, mask


def made(name, **options):
    torch.manual_seed(1)
    options = {"dim": 4, "channel_dropout": 0.0} | options
    return find(POOLINGS, name, "pooling")(DIM, **options).eval()


def array(tensor):
    return tensor.detach().double().numpy()


def softmax(values):
    powers = [np.exp(v - max(values)) for v in values]
    return [p / sum(powers) for p in powers]


def weights_in_a_loop(pool, v):
    """The weights of the frames v (T, D), one frame at a time."""
    if isinstance(pool.weights, pooling.UniformWeights):
        return [1 / len(v)] * len(v)
    return softmax([float(array(pool.weights.query.weight)[0] @ frame) for frame in v])


def statistic_in_a_loop(name, v, w, unbiased=True):
    mu = sum(wt * vt for wt, vt in zip(w, v, strict=True))
    if name in ("mean", "self-attention"):
        return mu
    variance = sum(wt * (vt - mu) ** 2 for wt, vt in zip(w, v, strict=True))
    factor = len(v) / max(1, len(v) - 1) if unbiased else 1.0
    return np.concatenate([mu, np.sqrt(variance * factor + 1e-9)])


@pytest.mark.parametrize(
    ("name", "options"),
    [("mean", {}), ("mean-std", {}), ("mean-std", {"unbiased": False}), ("self-attention", {})],
)
def test_every_pooling_is_a_plain_loop_over_the_valid_frames(batch, name, options):
    pool = made(name, **options)
    x, mask = batch
    got = array(pool(x, mask))
    for row, length, frames in zip(got, LENGTHS, x, strict=True):
        v = [
            array(pool.project.weight) @ array(f) + array(pool.project.bias)
            for f in frames[:length]
        ]
        expected = statistic_in_a_loop(
            name, v, weights_in_a_loop(pool, v), options.get("unbiased", True)
        )
        np.testing.assert_allclose(row, expected, atol=1e-5)


@pytest.mark.parametrize("garbage", [1e6, float("nan"), float("inf")])
@pytest.mark.parametrize("name", POOLINGS)
def test_garbage_in_padding_changes_nothing(batch, name, garbage):
    x, mask = batch
    pool = made(name)
    clean = pool(x, mask)
    spoilt = x.masked_fill(~mask[..., None], garbage)
    assert torch.equal(pool(spoilt, mask), clean)


@pytest.mark.parametrize("name", POOLINGS)
def test_a_clip_alone_is_the_same_as_in_a_batch(batch, name):
    x, mask = batch
    pool = made(name)
    together = pool(x, mask)
    for n, length in enumerate(LENGTHS):
        alone = pool(x[n : n + 1, :length], mask[n : n + 1, :length])
        torch.testing.assert_close(alone[0], together[n], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", POOLINGS)
def test_gradients_are_finite_with_dropped_channels_and_one_frame(batch, name):
    x, mask = batch
    torch.manual_seed(0)
    pool = made(name, dim=16, channel_dropout=0.5).train()
    pooled = pool(x, mask)
    pooled.square().sum().backward()
    for parameter in pool.parameters():
        assert parameter.grad is not None
        assert torch.isfinite(parameter.grad).all()


def test_dropout_takes_whole_channels_of_an_utterance_and_scales_the_others():
    torch.manual_seed(0)
    pool = pooling.mean_pooling(64, dim=0, channel_dropout=0.25).train()
    x = torch.ones(50, 9, 64)
    pooled = pool(x, torch.ones(50, 9, dtype=torch.bool))
    values = pooled.unique()
    torch.testing.assert_close(values, torch.tensor([0.0, 4 / 3]))
    assert 0.2 < (pooled == 0).float().mean() < 0.3
    torch.testing.assert_close(pool.eval()(x, torch.ones(50, 9).bool()), torch.ones(50, 64))


@pytest.mark.parametrize(
    ("name", "length"),
    [("mean", 8), ("mean-std", 16), ("self-attention", 8), ("correlation", 28)],
)
def test_the_output_has_the_length_that_it_says(name, length):
    pool = made(name, dim=8)
    assert pool.output_dim == length
    assert pool(torch.randn(2, 6, DIM), torch.ones(2, 6, dtype=torch.bool)).shape == (2, length)
