import pytest
import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention

from affekt.nn import dropout as module
from affekt.nn.dropout import Dropout, attention, dropout, exchange


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_so_many_are_dropped_and_the_others_scaled_in_both_directions(dtype, p):
    x = torch.ones(401, 999, dtype=dtype, requires_grad=True)
    y = dropout(x, p)
    kept = y != 0
    assert kept.double().mean().item() == pytest.approx(1 - p, abs=0.004)  # five deviations
    assert kept.double().mean(dim=0).std().item() == pytest.approx(
        (p * (1 - p) / 401) ** 0.5, rel=0.1
    )
    torch.testing.assert_close(y[kept], torch.full_like(y[kept], 1 / (1 - p)))
    y.sum().backward()
    torch.testing.assert_close(x.grad, y.detach())


def test_neighbours_that_share_a_draw_are_dropped_independently():
    kept = (dropout(torch.ones(100_000, 4), 0.5) != 0).double()
    assert (torch.corrcoef(kept.T) - torch.eye(4)).abs().max() < 0.02


def test_the_same_seed_drops_the_same_and_judging_drops_nothing():
    part = Dropout(0.3)
    torch.manual_seed(1)
    first = part(torch.ones(50))
    torch.manual_seed(1)
    assert torch.equal(part(torch.ones(50)), first)
    assert torch.equal(part.eval()(torch.ones(50)), torch.ones(50))


def test_every_dropout_of_a_model_is_exchanged_and_keeps_its_share():
    model = nn.Sequential(nn.Dropout(0.2), nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.7))).eval()
    exchange(model)
    found = [m for m in model.modules() if isinstance(m, nn.Dropout)]
    assert [(type(m), m.p, m.training) for m in found] == [
        (Dropout, 0.2, False),
        (Dropout, 0.7, False),
    ]


@pytest.mark.parametrize("kind", ["none", "true-false", "added"])
def test_attention_is_torchs_where_nothing_is_dropped(kind, monkeypatch):
    q, k, v = torch.randn(3, 2, 4, 7, 8)
    keys = torch.arange(7) < torch.tensor([[7], [4]])
    mask = {
        "none": None,
        "true-false": keys[:, None, None].expand(2, 1, 7, 7),
        "added": torch.randn(2, 4, 7, 7).masked_fill(~keys[:, None, None], -torch.inf),
    }[kind]
    expected = scaled_dot_product_attention(q, k, v, mask)
    torch.testing.assert_close(attention(q, k, v, mask, 0.0), expected)
    monkeypatch.setattr(module, "dropout", lambda x, p: x)
    torch.testing.assert_close(attention(q, k, v, mask, 0.1), expected)


def test_attention_drops_weights_of_keys():
    v = torch.eye(64).expand(1, 1, 64, 64)
    q = torch.zeros(1, 1, 64, 64)
    weights = attention(q, q, v, None, 0.25)  # all alike, but for those that are dropped
    assert (weights == 0).double().mean().item() == pytest.approx(0.25, abs=0.04)
    torch.testing.assert_close(
        weights[weights != 0], torch.full_like(weights[weights != 0], 1 / 48)
    )
