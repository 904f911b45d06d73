import numpy as np
import pytest
import scipy.fft
import torch

from affekt.audio import RATE
from affekt.encoders.spectral import FFT, MFCC, WINDOW, LogMel, delta, mel_filters


def signal(samples, seed=0):
    return np.random.default_rng(seed).normal(scale=0.1, size=samples).astype(np.float32)


def encoded(encoder, *signals):
    longest = max(len(s) for s in signals)
    wav = torch.from_numpy(np.stack([np.pad(s, (0, longest - len(s))) for s in signals]))
    return encoder(wav, torch.tensor([len(s) for s in signals]))


def log_mel_in_a_loop(samples, hop, bands):
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)
    rows = []
    for start in range(0, len(samples) - WINDOW + 1, hop):
        spectrum = np.fft.rfft(samples[start : start + WINDOW] * window, FFT)
        rows.append(np.abs(spectrum) ** 2 / WINDOW)
    return np.log(np.maximum(np.array(rows) @ filters_in_a_loop(bands), 1e-8))


def filters_in_a_loop(bands):
    def to_hertz(mel):
        return 700 * (10 ** (mel / 2595) - 1)

    low, high = (2595 * np.log10(1 + f / 700) for f in (20, RATE / 2))
    edges = [to_hertz(low + (high - low) * n / (bands + 1)) for n in range(bands + 2)]
    table = np.zeros((FFT // 2 + 1, bands))
    for n in range(FFT // 2 + 1):
        f = n * RATE / FFT
        for m in range(bands):
            left, centre, right = edges[m : m + 3]
            if left < f <= centre:
                table[n, m] = (f - left) / (centre - left)
            elif centre < f < right:
                table[n, m] = (right - f) / (right - centre)
    return table


def delta_in_a_loop(x):
    last = len(x) - 1
    slopes = [
        sum(k * (x[min(t + k, last)] - x[max(t - k, 0)]) for k in (1, 2)) for t in range(len(x))
    ]
    return np.array(slopes) / 10


def test_the_filters_are_triangles():
    np.testing.assert_allclose(mel_filters(40).numpy(), filters_in_a_loop(40), atol=1e-5)


@pytest.mark.parametrize("hop", [0.01, 0.02])
def test_log_mel_and_its_deltas_are_a_plain_loop(hop):
    samples = signal(8000)
    frames = encoded(LogMel(bands=40, deltas=2, hop=hop), samples)
    static = log_mel_in_a_loop(samples.astype(np.float64), round(hop * RATE), 40)
    slope = delta_in_a_loop(static)
    expected = np.concatenate([static, slope, delta_in_a_loop(slope)], axis=1)
    np.testing.assert_allclose(frames.layers[0, 0].numpy(), expected, atol=1e-3)


def test_mfcc_are_scipys_cosine_transform_of_the_log_mel_energies():
    samples = signal(8000)
    mel = encoded(LogMel(bands=40, deltas=0), samples).layers[0, 0].numpy()
    mfcc = encoded(MFCC(coefficients=13, bands=40, deltas=0), samples).layers[0, 0].numpy()
    expected = scipy.fft.dct(mel, type=2, norm="ortho", axis=1)[:, :13]
    np.testing.assert_allclose(mfcc, expected, atol=1e-3)


@pytest.mark.parametrize("encoder", [LogMel(), MFCC()])
def test_a_clip_gives_the_same_frames_alone_and_padded(encoder):
    clips = [signal(n, seed=n) for n in (16_000, 3200, 9999)]
    together = encoded(encoder, *clips)
    for n, clip in enumerate(clips):
        alone = encoded(encoder, clip)
        count = alone.layers.shape[2]
        assert together.mask[n].sum() == count
        torch.testing.assert_close(
            together.layers[n, :, :count], alone.layers[0], atol=1e-4, rtol=1e-5
        )


def test_the_delta_of_a_straight_line_is_its_slope():
    line = 3.0 * torch.arange(20.0)[None, :, None]
    torch.testing.assert_close(delta(line, torch.tensor([20]))[0, 2:-2, 0], torch.full((16,), 3.0))
