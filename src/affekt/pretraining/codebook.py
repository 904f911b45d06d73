"""From features of utterances to centres and labels: scaled, averaged, clustered.

Axes: F frames of features, T frames of the network, C channels of features, D of what is
clustered, K centres.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, UInt

AT_ONCE = 10_000  # frames in a batch of k-means, as in the code of HuBERT's authors
LEAST = 1e-6  # a standard deviation below it is taken for none


@dataclass(frozen=True)
class Codebook:
    """Centres, and how features are scaled before they are compared with them.

    `mean` and `deviation` are those of the features, `spread` is the standard deviation of what
    becomes of them: averaged over frames, or running statistics.
    """

    centres: Float[np.ndarray, "K D"]
    mean: Float[np.ndarray, " C"]
    deviation: Float[np.ndarray, " C"]
    spread: Float[np.ndarray, " D"]

    def nearest(self, x: Float[np.ndarray, "T D"]) -> UInt[np.ndarray, " T"]:
        """The number of the centre next to each frame, in as few bytes as hold all numbers."""
        far = (self.centres**2).sum(axis=1) - 2 * (x / self.spread) @ self.centres.T
        return far.argmin(axis=1).astype(np.uint8 if len(self.centres) <= 2**8 else np.uint16)


def statistics(
    frames: Iterable[Float[np.ndarray, "_ C"]],
) -> tuple[Float[np.ndarray, " C"], Float[np.ndarray, " C"]]:
    """Mean and standard deviation of each channel over all finite values."""
    x = np.concatenate([*frames])
    finite = np.isfinite(x)
    count = np.maximum(finite.sum(axis=0), 1)
    mean = x.sum(axis=0, where=finite, dtype=np.float64) / count
    variance = np.square(x - mean).sum(axis=0, where=finite, dtype=np.float64) / count
    deviation = np.sqrt(variance)
    deviation[deviation < LEAST] = 1.0
    return mean.astype(np.float32), deviation.astype(np.float32)


def scaled(
    x: Float[np.ndarray, "F C"], mean: Float[np.ndarray, " C"], deviation: Float[np.ndarray, " C"]
) -> Float[np.ndarray, "F C"]:
    """Zero mean and unit variance over all speech; what is not finite becomes the mean."""
    return np.nan_to_num((x - mean) / deviation, nan=0.0, posinf=0.0, neginf=0.0)


def running(x: Float[np.ndarray, "F C"], width: int) -> Float[np.ndarray, "F D"]:
    """Mean and standard deviation of each channel over `width` frames around each frame.

    From width // 2 frames before it to (width - 1) // 2 behind it, at the ends over those there.
    """
    frames = np.arange(len(x))
    first = np.maximum(frames - width // 2, 0)
    last = np.minimum(frames + (width - 1) // 2 + 1, len(x))

    def mean(values: Float[np.ndarray, "F C"]) -> Float[np.ndarray, "F C"]:
        total = np.concatenate([np.zeros((1, values.shape[1])), values.cumsum(axis=0)])
        return (total[last] - total[first]) / (last - first)[:, None]

    wide = x.astype(np.float64)
    centre = mean(wide)
    variance = np.maximum(mean(wide**2) - centre**2, 0)
    return np.concatenate([centre, np.sqrt(variance)], axis=1).astype(np.float32)


def aligned(
    x: Float[np.ndarray, "F D"], hop: int, stride: int, frames: int
) -> Float[np.ndarray, "T D"]:
    """The mean of the features in each frame's stride; the last ones are repeated at the end.

    Where the stride is no multiple of the hop, the features in the middle of the stride.
    """
    if stride % hop:
        middle = ((np.arange(frames) + 0.5) * stride / hop).astype(int)
        return x[np.minimum(middle, len(x) - 1)]
    each = stride // hop
    missing = max(0, frames * each - len(x))
    padded = np.pad(x, ((0, missing), (0, 0)), mode="edge")[: frames * each]
    return padded.reshape(frames, each, -1).mean(axis=1)


def cluster(frames: Float[np.ndarray, "F D"], count: int, seed: int) -> Float[np.ndarray, "K D"]:
    """The centres that k-means finds.

    Differs from HuBERT's released script, which tries 20 beginnings and moves no empty cluster.
    """
    from sklearn.cluster import MiniBatchKMeans

    tries: Any = 2  # the type checker of scikit-learn knows "auto" only
    kmeans: Any = MiniBatchKMeans(count, n_init=tries, batch_size=AT_ONCE, random_state=seed)
    return kmeans.fit(frames).cluster_centers_.astype(np.float32)
