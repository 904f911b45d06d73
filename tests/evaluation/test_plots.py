import xml.etree.ElementTree as ET

import numpy as np
import pytest

from affekt.evaluation import plots, svg
from affekt.evaluation.plots import Mark

NAME = "{http://www.w3.org/2000/svg}"


def parse(text):
    return ET.fromstring(text.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1))


def words(picture):
    return [t.text for t in picture.iter(f"{NAME}text")]


def test_a_confusion_matrix_shows_each_count_and_its_share_of_the_row():
    picture = parse(plots.confusion_matrix(np.array([[3, 1], [0, 0]]), ["angry", "<odd>"]))
    assert words(picture).count("3") == 1
    assert {"75%", "25%", "0%", "angry", "<odd>", "truth", "label given"} <= set(words(picture))
    shades = [float(r.get("fill-opacity", 0)) for r in picture.iter(f"{NAME}rect")]
    assert shades[0] > shades[1] > shades[2] == shades[3]


def test_strips_place_values_linearly_and_leave_out_what_is_not_defined():
    rows = {
        "one": [Mark(value=v, colour="red", hint=str(v)) for v in (0.0, 0.5, 1.0, np.nan)],
        "a name that is far too long for the margin of the picture": [],
    }
    picture = parse(plots.strips(rows, axis="score", band=(0.2, 0.5, 0.8)))
    at = [float(c.get("cx", "nan")) for c in picture.iter(f"{NAME}circle")]
    assert len(at) == 3
    assert at[1] - at[0] == pytest.approx(at[2] - at[1], abs=0.11)
    assert any(w and w.endswith("…") for w in words(picture))


def test_a_name_of_two_lines_takes_two_and_a_cut_one_tells_the_whole_under_the_pointer():
    long = "a name that is far too long for the margin"
    picture = parse(plots.strips({f"{long}\nb - c": []}, axis="score"))
    assert "b - c" in words(picture)
    assert [t.text for t in picture.iter(f"{NAME}title")] == [long]


def test_a_legend_that_is_too_long_for_a_line_goes_on_below():
    entries = [(f"quite a long name {n}", "red", "dot") for n in range(6)]
    marks = parse(f"<svg >{''.join(svg.legend(entries, 14, 480))}</svg>")
    at = [
        (float(c.get("cx", "nan")), float(c.get("cy", "nan"))) for c in marks.iter(f"{NAME}circle")
    ]
    assert len({y for _, y in at}) == 2
    assert max(y for _, y in at) == 14 + svg.legend_height(entries, 480)
    assert all(0 < x < 480 - 18 * svg.CHARACTER for x, _ in at)
    assert svg.legend_height(entries[:2], 480) == 0


@pytest.mark.parametrize("shape", ["ring", "target"])
def test_a_hollow_mark_has_the_colour_of_the_page_inside(shape):
    [outer, *inner] = parse(f"<svg >{svg.mark(1, 2, 'red', shape=shape, hint='x')}</svg>")
    assert "--card" in outer.get("fill", "")
    assert outer.get("stroke") == "red"
    assert [c.get("fill") for c in inner] == (["red"] if shape == "target" else [])


def test_the_mean_curve_ends_when_most_runs_have_stopped():
    runs = {
        (0, "a"): [(0, 1.0), (1, 2.0), (2, 9.0)],
        (0, "b"): [(0, 3.0), (1, 4.0)],
        (0, "c"): [(0, 5.0)],
    }
    assert plots.mean_curve(runs) == [(0, 3.0), (1, 3.0)]


def test_curves_draw_a_thin_line_per_run_and_a_thick_mean_per_measure():
    runs = {(seed, "a"): [(e, 1.0 / (e + 1)) for e in range(2000)] for seed in range(3)}
    picture = parse(plots.curves({"train_loss": runs, "dev_loss": runs}, axis="loss"))
    lines = list(picture.iter(f"{NAME}polyline"))
    assert len(lines) == 2 * 3 + 2
    assert all(len(line.get("points", "").split()) <= 2000 for line in lines)
    assert len(lines[0].get("points", "").split()) <= plots.POINTS


def test_emotions_keep_their_colour_whatever_else_is_there():
    assert svg.colours(["sad", "angry"])["sad"] == svg.colours(["joyless", "sad"])["sad"]
    many = svg.colours(["angry", "happy", "neutral", "sad", "weary", "proud"])
    assert len(set(many.values())) == 6


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0.31, 0.34), (-2.5, 17), (5, 5), (0, 1e-4)])
def test_ticks_are_evenly_spaced_and_enclose_the_values(low, high):
    ticks = svg.ticks(low, high)
    assert ticks[0] <= low <= high <= ticks[-1]
    assert np.diff(ticks) == pytest.approx(np.diff(ticks)[0] if len(ticks) > 1 else 0)
    assert 1 <= len(ticks) <= 8


def line_of(values, **more):
    return [(x, Mark(value=v, colour="red", hint=str(v), **more)) for x, v in values.items()]


def test_lines_go_through_the_marks_of_their_series_at_numbers_in_proportion():
    series = {"a": line_of({0.0: 0.5, 0.25: 0.7, 0.5: 0.6}), "b": line_of({0.0: 0.4, 0.5: 0.5})}
    loose = [(0.25, Mark(value=0.9, colour="red", hint="paper", shape="cross"))]
    picture = parse(plots.lines(series, axis="dropout", loose=loose))
    through = [line.get("points", "").split() for line in picture.iter(f"{NAME}polyline")]
    assert [len(points) for points in through] == [3, 2]
    x = [float(point.split(",")[0]) for point in through[0]]
    assert x[1] - x[0] == pytest.approx(x[2] - x[1], abs=0.11)
    assert {"0", "0.25", "0.5", "dropout"} <= set(words(picture))
    y = [float(point.split(",")[1]) for point in through[0]]
    assert y[1] < y[2] < y[0]  # a better score stands higher


def test_numbers_of_different_magnitude_stand_on_a_logarithmic_axis():
    series = {"a": line_of({1: 0.5, 4: 0.7, 16: 0.6, 64: 0.6}, span=(0.4, 0.8))}
    picture = parse(plots.lines(series, axis="heads"))
    [line] = picture.iter(f"{NAME}polyline")
    x = [float(point.split(",")[0]) for point in line.get("points", "").split()]
    assert np.diff(x) == pytest.approx([x[1] - x[0]] * 3, abs=0.11)


def test_one_number_is_a_mark():
    picture = parse(plots.lines({"a": line_of({4: 0.5})}, axis="heads"))
    assert len(list(picture.iter(f"{NAME}circle"))) == 1


def test_shares_stand_where_they_are_on_both_axes_and_marks_without_size_are_none():
    points = [
        (x, Mark(value=v, colour="red", hint=str(v), size=size))
        for x, v, size in ((0.0, 0.0, 3), (0.5, 1.0, 0), (1.0, 0.5, 3))
    ]
    loose = [(0.5, Mark(value=0.25, colour="red", hint="alone"))]
    legend = [("one", "red", "dot")]
    drawn = plots.shares(
        {"one": points}, across="x", up="y", legend=legend, loose=loose, square=True
    )
    picture = parse(drawn)
    line = next(picture.iter(f"{NAME}polyline")).get("points", "").split()
    places = np.array([[float(v) for v in place.split(",")] for place in line])
    assert places[1, 0] == pytest.approx(places[[0, 2], 0].mean(), abs=0.11)
    assert places[2, 1] == pytest.approx(places[:2, 1].mean(), abs=0.11)
    assert sum(1 for _ in picture.iter(f"{NAME}circle")) == 1 + 2 + 1  # legend, line, loose
    assert {"x", "y", "0.2", "1"} <= set(words(picture))
