import numpy as np
import pytest

from affekt.errors import AffektError, AudioError
from affekt.inference.predictor import UNCERTAIN, Predictor

LABELS = ["low", "high"]


def energy(signals):
    """Logits of two classes by loudness."""
    return np.array([[-1.0, 1.0] if np.abs(s).mean() > 0.25 else [1.0, -1.0] for s in signals])


def made(**given):
    return Predictor(**{"labels": LABELS, "logits": energy, "name": "toy"} | given)


def loud(seconds=1.0):
    return np.full(round(16_000 * seconds), 0.5, np.float32), 16_000


def quiet(seconds=1.0):
    return np.full(round(16_000 * seconds), 0.1, np.float32), 16_000


def test_one_recording_gives_labels_and_scores_from_high_to_low():
    best, rest = made()(loud())
    assert best["label"] == "high"
    assert best["score"] == pytest.approx(np.exp(1) / (np.exp(1) + np.exp(-1)))
    assert best["score"] + rest["score"] == pytest.approx(1.0)
    assert made()(loud(), top_k=1) == [best]


def test_a_list_gives_a_list_in_its_order_however_long():
    given = [loud() if n % 3 else quiet() for n in range(150)]
    found = made()(given)
    assert [row[0]["label"] for row in found] == ["high" if n % 3 else "low" for n in range(150)]
    assert made()([]) == []


def test_temperature_divides_the_logits_and_changes_no_label():
    cool, hot = made()(loud())[0], made(temperature=2.0)(loud())[0]
    assert hot["label"] == cool["label"]
    assert hot["score"] == pytest.approx(1 / (1 + np.exp(-1.0)))


def test_scores_may_be_those_of_several_labels_or_raw():
    assert made(activation="none").scores([loud()[0]]).tolist() == [[-1.0, 1.0]]
    sigmoid = made(activation="sigmoid").scores([loud()[0]])
    np.testing.assert_allclose(sigmoid, [[1 / (1 + np.exp(1)), 1 / (1 + np.exp(-1))]])


def test_what_is_less_sure_than_wanted_is_uncertain_and_keeps_its_scores():
    ((_, found),) = made().each([loud()], min_confidence=0.9)
    assert (found.label, found.start, found.end) == (UNCERTAIN, 0.0, 1.0)
    assert found.score == max(found.scores.values()) == pytest.approx(0.881, abs=1e-3)
    ((_, found),) = made().each([loud()], min_confidence=0.8)
    assert found.label == "high"


def test_a_recording_that_cannot_be_read_is_told_and_the_others_are_judged():
    rows = list(made().each([loud(), b"no sound", quiet()]))
    assert [type(found).__name__ for _, found in rows] == ["Segment", "AudioError", "Segment"]
    with pytest.raises(AudioError, match="not readable"):
        made()([loud(), b"no sound"])


def test_recordings_are_taken_as_they_are_needed():
    taken = []

    def endless():
        while True:
            taken.append(1)
            yield loud()

    stream = made().each(endless())
    for _ in range(3):
        next(stream)
    stream.close()
    assert len(taken) < 400


def test_scores_that_are_no_numbers_are_refused():
    with pytest.raises(AffektError, match="no numbers"):
        made(logits=lambda signals: np.full((len(signals), 2), np.nan))(loud())


def test_a_recording_that_a_model_cannot_judge_is_told_by_its_name_and_spoils_no_other():
    def of_sound(signals):
        if any(not s.any() for s in signals):
            raise AudioError("the recording: silent; leave it out")
        return energy(signals)

    given = [loud(), {"array": np.zeros(16_000), "sampling_rate": 16_000, "path": "a.wav"}, quiet()]
    rows = [found for _, found in made(logits=of_sound).each(given)]
    assert [getattr(r, "label", str(r)) for r in rows] == [
        "high",
        "a.wav: silent; leave it out",
        "low",
    ]


def test_silence_is_judged_and_told(caplog):
    silent = {"array": np.zeros(16_000), "sampling_rate": 16_000, "path": "a.wav"}
    assert [found.label for _, found in made().each([loud(), silent])] == ["high", "low"]
    assert [r.message for r in caplog.records] == [
        "a.wav: silence throughout; its scores mean nothing"
    ]
