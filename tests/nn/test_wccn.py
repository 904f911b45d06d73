"""Deep-WCCN beside loops of NumPy that are written from equations (4) to (7)."""

import numpy as np
import pytest
import torch
from torch.multiprocessing.spawn import spawn

from affekt.errors import RecipeError
from affekt.nn.wccn import DeepWCCN

D, C = 6, 4


def covariances(x, y):
    """{class: covariance} of the classes that a batch has twice or more, eq. (4)."""
    found = {}
    for c in range(C):
        own = x[y == c].astype(np.float64)
        if len(own) >= 2:
            found[c] = sum(np.outer(v, v) for v in own - own.mean(axis=0)) / len(own)
    return found


def projection(s, alpha):
    w = sum(s) / len(s)
    w = (1 - alpha) * w + alpha * np.eye(D)  # eq. (7)
    return np.linalg.cholesky(np.linalg.inv(w))


def batches(number, size=14, seed=0):
    """Batches in which classes are absent, single, and all there is."""
    rng = np.random.default_rng(seed)
    for n in range(number):
        y = rng.integers(1 + n % C, size=size)
        y[0] = C - 1  # often alone
        yield rng.normal(size=(size, D)).astype(np.float32) * (1 + y[:, None]), y


@pytest.mark.parametrize("alpha", [0.05, 0.5, 1.0])
def test_streaming_statistics_are_those_of_a_loop(alpha):
    layer, s, n = DeepWCCN(D, C, alpha=alpha), {}, dict.fromkeys(range(C), 0)
    for x, y in batches(30):
        given = torch.from_numpy(x)
        told = layer(given, torch.from_numpy(y))
        for c, own in covariances(x, y).items():
            n[c] += 1
            s[c] = own if n[c] == 1 else s[c] + (own - s[c]) / n[c]  # eq. (6)
        b = projection(list(s.values()), alpha)
        np.testing.assert_allclose(layer.b.numpy(), b, rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(told.numpy(), x @ b, rtol=1e-5, atol=1e-5)
        w = (1 - alpha) * sum(s.values()) / len(s) + alpha * np.eye(D)
        np.testing.assert_allclose(b @ b.T @ w, np.eye(D), atol=1e-6)
    assert layer.batches.tolist() == [n[c] for c in range(C)]


def test_the_moving_average_is_that_of_the_projections_of_the_batches():
    layer, told = DeepWCCN(D, C, alpha=0.3, update="ema", momentum=0.8), []
    for x, y in batches(12):
        layer(torch.from_numpy(x), torch.from_numpy(y))
        if found := covariances(x, y):
            told.append(projection(list(found.values()), 0.3))
    b = told[0]
    for new in told[1:]:
        b = 0.8 * b + 0.2 * new
    np.testing.assert_allclose(layer.b.numpy(), b, rtol=1e-6, atol=1e-9)


def test_after_whitening_with_the_full_statistics_the_covariance_within_classes_is_the_identity():
    rng = np.random.default_rng(3)
    y = np.arange(400) % C
    x = (rng.normal(size=(400, D)) @ rng.normal(size=(D, D)) + 9 * y[:, None]).astype(np.float64)
    layer = DeepWCCN(D, C, alpha=0.0)
    white = layer(torch.from_numpy(x), torch.from_numpy(y)).numpy()
    mean = sum(covariances(white, y).values()) / C
    np.testing.assert_allclose(mean, np.eye(D), atol=1e-6)


def test_fewer_samples_than_channels_have_an_inverse_too():
    layer = DeepWCCN(D, C, alpha=0.0)
    x = torch.randn(3, D)
    assert layer(x, torch.zeros(3, dtype=torch.long)).isfinite().all()
    same = torch.ones(4, D)
    assert DeepWCCN(D, C, alpha=0.0)(same, torch.zeros(4, dtype=torch.long)).isfinite().all()


def test_it_is_the_identity_until_a_batch_tells_of_a_class():
    layer, x = DeepWCCN(D, C), torch.randn(4, D)
    assert torch.equal(layer(x), x)
    assert torch.equal(layer(x, torch.arange(4)), x)  # no class twice
    assert layer.batches.sum() == 0


def test_testing_changes_nothing_and_the_state_survives(tmp_path):
    layer = DeepWCCN(D, C, alpha=0.2)
    for x, y in batches(5):
        layer(torch.from_numpy(x), torch.from_numpy(y))
    before = {k: v.clone() for k, v in layer.state_dict().items()}
    layer.eval()
    x = torch.randn(8, D)
    told = layer(x, torch.zeros(8, dtype=torch.long))
    assert all(torch.equal(v, before[k]) for k, v in layer.state_dict().items())
    torch.save(layer.state_dict(), tmp_path / "layer.pt")
    again = DeepWCCN(D, C, alpha=0.2).eval()
    again.load_state_dict(torch.load(tmp_path / "layer.pt"))
    assert torch.equal(again(x), told)


def test_the_gradient_passes_through_the_features_alone():
    layer = DeepWCCN(D, C, alpha=0.2)
    x = torch.randn(8, D, requires_grad=True)
    layer(x, torch.arange(8) % 2).sum().backward()
    expected = layer.b.sum(dim=1).float().expand(8, D)
    torch.testing.assert_close(x.grad, expected)
    assert not list(layer.parameters())


def test_a_batch_that_is_not_finite_is_passed_over():
    layer = DeepWCCN(D, C)
    bad = torch.randn(8, D)
    bad[3, 2] = torch.nan
    layer(bad, torch.zeros(8, dtype=torch.long))
    assert layer.batches.sum() == 0
    assert torch.equal(layer.b, torch.eye(D, dtype=torch.float64))


@pytest.mark.parametrize("given", [{"alpha": -0.1}, {"alpha": 1.5}, {"momentum": 2.0}])
def test_shares_outside_of_0_to_1_are_refused(given):
    name, share = next(iter(given.items()))
    with pytest.raises(RecipeError, match=rf"{name} is {share:g}; give one from 0 to 1"):
        DeepWCCN(D, C, **given)


def two(rank, file, out):
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{file}", rank=rank, world_size=2
    )
    layer = DeepWCCN(D, C, alpha=0.2)
    for x, y in batches(8):
        half = slice(rank * 7, rank * 7 + 7)
        layer(torch.from_numpy(x)[half], torch.from_numpy(y)[half])
    torch.save(layer.state_dict(), f"{out}/{rank}.pt")
    torch.distributed.destroy_process_group()


def test_two_processes_learn_what_one_does(tmp_path):
    spawn(two, (tmp_path / "meet", tmp_path), nprocs=2)
    layer = DeepWCCN(D, C, alpha=0.2)
    for x, y in batches(8):
        layer(torch.from_numpy(x), torch.from_numpy(y))
    for rank in range(2):
        state = torch.load(tmp_path / f"{rank}.pt")
        torch.testing.assert_close(state, dict(layer.state_dict()), rtol=1e-9, atol=1e-12)
