import time

import numpy as np
import pytest

from affekt.errors import AffektError
from affekt.inference.predictor import Predictor
from affekt.server.batching import Batcher
from affekt.server.limits import Limits
from affekt.server.refusals import RefusedError


def predictor(logits):
    return Predictor(labels=["a", "b"], logits=logits, name="toy", activation="none")


def clip(level, seconds=0.1):
    return np.full(round(16_000 * seconds), level, np.float32)


def means(signals):
    return np.array([[s.mean(), 1.0] for s in signals], np.float64)


def made(logits=means, coming=lambda: 1, **limits):
    return Batcher(lambda: predictor(logits), Limits(**limits), coming=coming)


def test_every_clip_gets_the_scores_of_its_own_whoever_it_is_judged_with():
    sizes = []
    batcher = Batcher(lambda: predictor(means), Limits(clips=16), told=sizes.append)
    answers = [batcher.submit(clip(n / 100, 0.1 + n / 1000)) for n in range(100)]
    batcher.begin()
    for n, answer in enumerate(answers):
        np.testing.assert_allclose(answer.result(10.0), [n / 100, 1.0], rtol=1e-5)
    assert sizes == [16] * 6 + [4]
    batcher.close()


def test_a_batch_ends_at_its_seconds_but_a_long_clip_is_judged_alone():
    sizes = []
    batcher = Batcher(lambda: predictor(means), Limits(sound=1.0), told=sizes.append)
    for seconds in (0.4, 0.4, 0.4, 5.0, 0.5, 0.5):
        batcher.submit(clip(0.1, seconds))
    batcher.close()
    batcher.begin()
    batcher.join(10.0)
    assert sizes == [2, 1, 1, 2]


def test_what_nobody_waits_for_is_never_computed():
    heard = []

    def logits(signals):
        heard.extend(round(float(s.mean()), 1) for s in signals)
        return means(signals)

    batcher = made(logits)
    wanted, left = batcher.submit(clip(0.3)), batcher.submit(clip(0.7))
    assert left.cancel()
    batcher.begin()
    wanted.result(10.0)
    batcher.close()
    batcher.join(10.0)
    assert heard == [0.0, 0.3]  # the first warms the model


def test_one_clip_that_cannot_be_judged_spoils_no_other():
    def logits(signals):
        if any(s.mean() > 0.9 for s in signals):
            raise ValueError("too loud")
        return means(signals)

    batcher = made(logits)
    answers = [batcher.submit(clip(level)) for level in (0.1, 1.0, 0.2)]
    batcher.begin()
    with pytest.raises(ValueError, match="too loud"):
        answers[1].result(10.0)
    assert answers[0].result(10.0)[0] == pytest.approx(0.1)
    assert answers[2].result(10.0)[0] == pytest.approx(0.2)
    batcher.close()


def test_a_model_that_gives_too_few_rows_answers_nobody_with_those_of_another():
    batcher = made(lambda signals: means(signals)[:1])
    answers = [batcher.submit(clip(level)) for level in (0.1, 0.2, 0.3)]
    batcher.begin()
    assert [round(float(a.result(10.0)[0]), 1) for a in answers] == [0.1, 0.2, 0.3]
    batcher.close()
    nothing = made(lambda signals: means(signals)[: len(signals) - (signals[0].any())])
    answer = nothing.submit(clip(0.5))
    nothing.begin()
    with pytest.raises(AffektError, match="0 rows for 1 signals"):
        answer.result(10.0)
    nothing.close()


def test_a_clip_waits_for_those_on_their_way_and_no_longer_than_allowed():
    for coming, least, most in ((1, 0.3, 2.0), (0, 0.0, 0.25)):
        batcher = made(coming=lambda coming=coming: coming, wait=0.3)
        batcher.begin()
        batcher.model.result(10.0)
        begin = time.monotonic()
        batcher.submit(clip(0.5)).result(10.0)
        assert least <= time.monotonic() - begin < most
        batcher.close()


def test_a_full_queue_and_a_closed_one_take_nothing():
    batcher = made(queue=2)
    answers = [batcher.submit(clip(0.1)) for _ in range(2)]
    with pytest.raises(RefusedError, match="2 requests wait already") as refused:
        batcher.submit(clip(0.1))
    assert (refused.value.status, refused.value.headers) == (429, {"retry-after": "1"})
    batcher.close()
    with pytest.raises(RefusedError, match="shutting down"):
        batcher.submit(clip(0.1))
    batcher.begin()
    assert all(answer.result(10.0) is not None for answer in answers)


def test_many_signals_at_once_come_back_in_their_order():
    batcher = made(clips=3)
    batcher.begin()
    found = batcher.scores([clip(n / 10) for n in range(10)])
    np.testing.assert_allclose(found, [[n / 10, 1.0] for n in range(10)], atol=1e-6)
    batcher.close()


def test_a_model_that_cannot_be_loaded_says_so():
    def load():
        raise AffektError("no such model")

    batcher = Batcher(load, Limits())
    batcher.begin()
    with pytest.raises(AffektError, match="no such model"):
        batcher.model.result(10.0)
