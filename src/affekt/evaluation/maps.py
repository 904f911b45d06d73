"""Maps of embeddings on their two principal axes, each one an SVG text.

Axes: N utterances, D dimensions of an embedding.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Num

from affekt.evaluation import svg
from affekt.evaluation.plots import POINTS, WIDTH
from affekt.evaluation.sides import Side
from affekt.evaluation.svg import INK, MUTED, RULE, Number
from affekt.labels import order

SHAPES = ("dot", "triangle", "square", "diamond", "ring", "cross")  # of languages
UNKNOWN = "unknown language"
Look = tuple[str, str, Number, str]  # of a mark: colour, shape, size, hint


def embedding_map(
    embeddings: Num[np.ndarray, "N D"],
    truth: Sequence[str],
    label: Sequence[str],
    labels: Sequence[str],
) -> str:
    """Test utterances on the two principal axes: colour is the truth, a cross a wrong label."""
    step = len(truth) // POINTS + 1
    points, shares = principal(embeddings[::step])
    paint = svg.colours(labels)
    looks: list[Look] = []
    for true, given in zip(truth[::step], label[::step], strict=True):
        shape, size = ("dot", 4.2) if true == given else ("cross", 3.6)
        looks.append(
            (paint[true], shape, size, true if true == given else f"{true}, called {given}")
        )
    legend = [(name, paint[name], "dot") for name in labels]
    legend.append(("wrong label", MUTED, "cross"))
    return _map(points, looks, shares, legend=legend, among=points)


def side_maps(sides: Sequence[Side]) -> dict[str, str]:
    """A map per side, all on the same axes: colour is the emotion, shape the language.

    The axes are the principal ones of all points that are shown.
    """
    if not sides:
        return {}
    sides = [_thinned(side) for side in sides]
    points, shares = principal(np.concatenate([side.embeddings for side in sides]))
    parts = np.split(points, np.cumsum([len(side.truth) for side in sides])[:-1])
    paint = svg.colours(order({emotion for side in sides for emotion in side.truth}))
    spoken = sorted({name or UNKNOWN for side in sides for name in side.language})
    shapes = dict(zip(spoken, SHAPES * len(spoken), strict=False))
    legend = [(name, colour, "dot") for name, colour in paint.items()]
    if len(spoken) > 1:
        legend += [(name, INK, shape) for name, shape in shapes.items()]
    drawn = {}
    for side, part in zip(sides, parts, strict=True):
        looks: list[Look] = [
            (paint[emotion], shapes[spoken or UNKNOWN], 3.6, f"{key}: {emotion}")
            for key, emotion, spoken in zip(side.keys, side.truth, side.language, strict=True)
        ]
        drawn[side.name] = _map(part, looks, shares, legend=legend, among=points)
    return drawn


def _thinned(side: Side) -> Side:
    step = len(side.truth) // POINTS + 1
    return Side(
        name=side.name,
        embeddings=side.embeddings[::step],
        keys=side.keys[::step],
        truth=side.truth[::step],
        language=side.language[::step],
    )


def _map(
    points: Float[np.ndarray, "N 2"],
    looks: Sequence[Look],
    shares: Sequence[Number],
    *,
    legend: Sequence[svg.Entry],
    among: Float[np.ndarray, "M 2"],
) -> str:
    """The points within the range of `among`."""
    more = svg.legend_height(legend, WIDTH)
    height, edge, top = 460.0 + more, 30.0, 34.0 + more
    low, high = among.min(0), among.max(0)
    x = svg.scale(low[0], high[0], edge + 14, WIDTH - 20)
    y = svg.scale(low[1], high[1], height - 62, top + 16)
    parts = svg.legend(legend, 14, WIDTH)
    frame = f'rx="6" fill="none" stroke="{RULE}"'
    parts.append(svg.box(edge, top, WIDTH - edge - 4, height - 46 - top, more=frame))
    for (a, b), (colour, shape, size, hint) in zip(points, looks, strict=True):
        parts.append(svg.mark(x(a), y(b), colour, shape=shape, size=size, hint=hint))
    names = [f"principal axis {n} ({s:.0%} of the variance)" for n, s in enumerate(shares, 1)]
    middle = (top + height - 46) / 2
    turn = f'transform="rotate(-90 14 {middle:.1f})"'
    parts.append(svg.text(WIDTH / 2, height - 22, names[0], anchor="middle"))
    parts.append(svg.text(14, middle, names[1], anchor="middle", more=turn))
    return svg.picture(WIDTH, height - 8, parts, title="embedding map")


def principal(
    embeddings: Num[np.ndarray, "N D"],
) -> tuple[Float[np.ndarray, "N 2"], list[float]]:
    """Coordinates on the first two principal axes, and each axis's share of the variance."""
    centred = embeddings.astype(float) - embeddings.mean(0)
    u, s, _ = np.linalg.svd(centred, full_matrices=False)
    points = np.zeros((len(centred), 2))
    kept = min(2, len(s))
    points[:, :kept] = u[:, :kept] * s[:kept]
    # The sign of an axis is arbitrary: let the point farthest from the centre lie on the right.
    farthest = np.abs(points).argmax(0)
    points *= np.where(points[farthest, [0, 1]] < 0, -1.0, 1.0)
    shares = s[:2] ** 2 / max(float((s**2).sum()), np.finfo(float).tiny)
    return points, [*map(float, shares), 0.0][:2]
