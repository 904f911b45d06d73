"""Which frames are hidden from the network. Axes: B batch, T frames."""

import numpy as np
from jaxtyping import Bool


def spans(
    rng: np.random.Generator, rows: int, frames: int, *, share: float, span: int
) -> Bool[np.ndarray, "B T"]:
    """True on spans of `span` frames that hide about `share` of each row.

    The spans of a row do not overlap and may lie anywhere; every row has as many of them, and
    some frame that is seen.
    Differs from wav2vec 2.0 and HuBERT, where they overlap and a row's share is left to chance:
    a short piece could be hidden whole, or not at all.
    """
    count = min(max(1, round(share * frames / span)), (frames - 1) // span)
    slots = frames - count * (span - 1)  # where spans are single frames
    chosen = np.argsort(rng.random((rows, slots)), axis=1)[:, :count]
    starts = np.sort(chosen, axis=1) + np.arange(count) * (span - 1)
    mask = np.zeros((rows, frames), bool)
    hidden = (starts[:, :, None] + np.arange(span)).reshape(rows, -1)
    np.put_along_axis(mask, hidden, True, axis=1)
    return mask
