import numpy as np
import pytest
import torch

from affekt.errors import RecipeError
from affekt.methods import attentive_correlation as paper
from affekt.nn.pooling import POOLINGS
from affekt.parts import Section, build

LENGTHS = (7, 1, 12)
DIM = 5
READINGS = ("strict", "released-code")
NAMES = ("correlation", "attentive-correlation")


@pytest.fixture
def batch():
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(len(LENGTHS), max(LENGTHS), DIM, generator=rng)
    mask = torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS)[:, None]
    return x.masked_fill(~mask[..., None], 0.0), mask


def made(name, **options):
    torch.manual_seed(1)
    options = {"dim": 4, "channel_dropout": 0.0} | options
    return build(POOLINGS, Section(name=name, **options), "pooling", DIM).eval()


def array(tensor):
    return tensor.detach().double().numpy()


def projected(pool, frames):
    return [array(pool.project.weight) @ array(f) + array(pool.project.bias) for f in frames]


def logits_in_a_loop(attention, v):
    """Eq. (8), one frame at a time."""
    logits = []
    for frame in v:
        o = array(attention.hidden.weight) @ frame
        if attention.hidden.bias is not None:
            o = o + array(attention.hidden.bias)
        o = np.maximum(o, 0)
        q = array(attention.heads.weight) @ o + array(attention.heads.bias)
        logits.append(np.log(sum(np.exp(value) for value in q)))
    return logits


def softmax(values):
    powers = [np.exp(v - max(values)) for v in values]
    return [p / sum(powers) for p in powers]


def correlations_in_a_loop(v, w):
    """Eqs. (5) and (6)."""
    mu = sum(wt * vt for wt, vt in zip(w, v, strict=True))
    sigma = sum(wt * np.outer(vt - mu, vt - mu) for wt, vt in zip(w, v, strict=True))
    s = [np.sqrt(sigma[i, i] + 1e-9) for i in range(len(mu))]
    return [sigma[i, j] / (s[i] * s[j]) for i in range(len(mu)) for j in range(i + 1, len(mu))]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("correlation", {}),
        ("attentive-correlation", {}),
        ("attentive-correlation", {"attention_bias": False, "heads": 1}),
    ],
)
def test_the_strict_reading_is_a_plain_loop_over_the_valid_frames(batch, name, options):
    pool = made(name, **options)
    x, mask = batch
    for got, length, frames in zip(array(pool(x, mask)), LENGTHS, x, strict=True):
        v = projected(pool, frames[:length])
        attentive = name == "attentive-correlation"
        w = softmax(logits_in_a_loop(pool.weights, v)) if attentive else [1 / len(v)] * len(v)
        np.testing.assert_allclose(got, correlations_in_a_loop(v, w), atol=1e-5)


def released_without_attention(v):
    """Their order: standardise with the unbiased deviation, then a product over T."""
    frames = len(v)
    mu = sum(v) / frames
    s = np.sqrt(sum((f - mu) ** 2 for f in v) / (frames - 1))
    z = [(f - mu) / (s + 1e-9) for f in v]
    pairs = [(i, j) for i in range(len(mu)) for j in range(i + 1, len(mu))]
    return [sum(f[i] * f[j] for f in z) / frames for i, j in pairs]


@pytest.mark.parametrize("name", NAMES)
def test_the_released_code_is_a_plain_loop_over_the_padded_frames(batch, name):
    pool = made(name, reading="released-code")
    x, mask = batch
    for got, length, frames in zip(array(pool(x, mask)), LENGTHS, x, strict=True):
        v = projected(pool, frames)  # padding is zero before, the bias after
        np.testing.assert_allclose(v[length:], [array(pool.project.bias)] * (len(v) - length))
        if name == "correlation":
            expected = released_without_attention(v)
        else:
            a = logits_in_a_loop(pool.weights, v)
            w = softmax([value + (t < length) for t, value in enumerate(a)])
            expected = correlations_in_a_loop(v, w)
        np.testing.assert_allclose(got, expected, atol=1e-5)


def test_the_released_correlation_is_pearsons_times_t_minus_1_over_t(batch):
    x, _ = batch
    whole = torch.ones(1, 12, dtype=torch.bool)
    pool = made("correlation", dim=0, reading="released-code")
    expected = np.corrcoef(array(x[2]), rowvar=False)[np.triu_indices(DIM, 1)] * 11 / 12
    np.testing.assert_allclose(array(pool(x[2:], whole))[0], expected, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_only_the_released_code_changes_with_the_batch(batch, name):
    x, mask = batch
    for reading in READINGS:
        pool = made(name, reading=reading)
        together = pool(x, mask)[0]
        alone = pool(x[:1, : LENGTHS[0]], mask[:1, : LENGTHS[0]])[0]
        assert (torch.dist(together, alone) > 0.05) == (reading == "released-code")


@pytest.mark.parametrize("garbage", [1e6, float("nan")])
@pytest.mark.parametrize("name", NAMES)
def test_what_stands_in_padding_before_the_projection_is_never_seen(batch, name, garbage):
    x, mask = batch
    pool = made(name, reading="released-code")
    assert torch.equal(pool(x.masked_fill(~mask[..., None], garbage), mask), pool(x, mask))


def test_correlation_is_numpys_corrcoef_of_the_valid_frames(batch):
    x, mask = batch
    pool = made("correlation", dim=0)
    for got, length, frames in zip(array(pool(x, mask)), LENGTHS, x, strict=True):
        if length > 1:
            whole = np.corrcoef(array(frames[:length]), rowvar=False)
            np.testing.assert_allclose(got, whole[np.triu_indices(DIM, 1)], atol=1e-5)


def test_the_weights_are_the_same_whether_heads_meet_before_or_after_the_softmax(batch):
    """The equivalent form that section 3.4 names: one softmax over heads and time, then a sum."""
    x, mask = batch
    torch.manual_seed(0)
    attention = paper.AttentiveWeights(DIM, heads=3)
    logits = attention.heads(attention.hidden(x).relu())
    joint = logits.masked_fill(~mask[..., None], -torch.inf).flatten(1).softmax(dim=1)
    expected = joint.unflatten(1, (-1, 3)).sum(dim=2)
    torch.testing.assert_close(attention(x, mask), expected)


@pytest.mark.parametrize("frames", [1, 12])
@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_finite_with_dropped_channels_and_one_frame(batch, name, reading, frames):
    x, mask = batch
    pool = made(name, dim=16, channel_dropout=0.5, reading=reading).train()
    leaf = x[:, :frames].clone().requires_grad_()
    pooled = pool(leaf, mask[:, :frames])
    assert (pooled == 0).any()  # channels were dropped
    pooled.sum().backward()
    for tensor in (leaf, *pool.parameters()):
        assert tensor.grad is not None
        assert tensor.grad.isfinite().all()
    if frames > 1:
        assert leaf.grad.abs().sum() > 0


def test_half_precision_loses_only_its_own_rounding():
    rng = torch.Generator().manual_seed(0)
    v = torch.randn(2, 300, 8, generator=rng).bfloat16() + 3.0
    w = torch.full((2, 300), 1 / 300)
    torch.testing.assert_close(paper.correlation(v, w), paper.correlation(v.float(), w))


def test_the_output_is_every_pair_of_channels_once():
    pool = made("correlation", dim=8)
    assert pool.output_dim == 8 * 7 // 2
    c = torch.arange(16.0).reshape(1, 4, 4)
    assert paper.above_diagonal(c).tolist() == [[1, 2, 3, 6, 7, 11]]


def test_another_reading_is_refused():
    with pytest.raises(RecipeError, match="'reading'.*'strict' or 'released-code'.*'printed'"):
        made("correlation", reading="printed")
