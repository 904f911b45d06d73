import numpy as np
import pytest
import torch

from affekt.inference import hearing
from affekt.inference.hearing import Hearing


@pytest.fixture
def heard(monkeypatch):
    """Seconds of the signals in each batch, in the order in which one core takes them."""
    monkeypatch.setattr(hearing, "processor", lambda: torch.device("cpu"))
    monkeypatch.setattr(hearing, "in_turn", lambda hear, batches, workers: map(hear, batches))
    batches = []

    def network(waves):
        batches.append((waves.lengths / 16_000).tolist())
        return waves.wav.sum(dim=1, keepdim=True)

    return lambda weights: (Hearing(network, weights=weights), batches)


def signals(*seconds):
    return [np.full(round(16_000 * s), 1 / 16_000, np.float32) for s in seconds]


def test_logits_come_in_the_order_of_the_signals(heard):
    made, _ = heard(weights=10**9)
    lengths = [1.0, 30.0, 3.0, 2.0, 20.0]
    assert made(signals(*lengths))[:, 0] == pytest.approx(lengths, rel=1e-4)


def test_what_takes_longest_is_begun_first(heard, monkeypatch):
    monkeypatch.setattr(hearing, "cores", lambda: 2)
    made, batches = heard(weights=10**9)
    made(signals(1.0, 30.0, 3.0, 2.0, 20.0))
    assert batches == [[30.0], [20.0], [3.0], [2.0, 1.0]]


@pytest.mark.parametrize(
    ("cores", "clips", "expected"),
    [(1, 2, [2]), (2, 2, [1, 1]), (16, 16, [1] * 16), (2, 4, [2, 2])],
)
def test_no_core_is_idle_while_another_hears_several_with_a_large_network(
    heard, monkeypatch, cores, clips, expected
):
    monkeypatch.setattr(hearing, "cores", lambda: cores)
    made, batches = heard(weights=10**9)
    made(signals(*[2.0] * clips))
    assert [len(batch) for batch in batches] == expected


def test_batches_of_a_large_network_get_shorter_so_that_cores_end_together(heard, monkeypatch):
    monkeypatch.setattr(hearing, "cores", lambda: 2)
    made, batches = heard(weights=10**9)
    made(signals(*[2.0] * 21))
    assert [len(batch) for batch in batches] == [4, 4, 4, 3, 2, 2, 2]


def test_a_batch_of_a_large_network_holds_no_more_than_so_many(heard, monkeypatch):
    monkeypatch.setattr(hearing, "cores", lambda: 1)
    made, batches = heard(weights=10**9)
    made(signals(*[0.1] * 20))
    assert [len(batch) for batch in batches] == [16, 4]


def test_a_small_network_hears_many_at_once(heard):
    made, batches = heard(weights=1)
    made(signals(*[3.0] * 20))
    assert [len(batch) for batch in batches] == [16, 4]
