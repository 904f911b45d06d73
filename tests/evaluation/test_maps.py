import xml.etree.ElementTree as ET

import numpy as np
import pytest
from sklearn.decomposition import PCA

from affekt.evaluation import maps
from affekt.evaluation.sides import Side

NAME = "{http://www.w3.org/2000/svg}"


def parse(text):
    return ET.fromstring(text.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1))


def hints(picture):
    return [t.text for t in picture.iter(f"{NAME}title")]


def test_principal_axes_are_those_of_scikit_learns_pca():
    x = np.random.default_rng(0).normal(size=(60, 12)) * np.linspace(3, 0.5, 12)
    points, shares = maps.principal(x)
    pca = PCA(2).fit(x)
    assert np.abs(points) == pytest.approx(np.abs(pca.transform(x)))
    assert shares == pytest.approx(list(pca.explained_variance_ratio_))
    assert np.allclose(maps.principal(-x)[0], points)  # signs are settled


def test_principal_axes_of_one_dimension_or_one_point_are_zero_where_there_is_nothing():
    points, shares = maps.principal(np.arange(4.0)[:, None])
    assert shares == [1.0, 0.0]
    assert not points[:, 1].any()
    assert not maps.principal(np.ones((1, 3)))[0].any()


def test_an_embedding_map_crosses_out_wrong_labels():
    x = np.random.default_rng(0).normal(size=(5, 3))
    truth, label = ["sad"] * 3 + ["angry"] * 2, ["sad", "sad", "angry", "angry", "angry"]
    picture = parse(maps.embedding_map(x, truth, label, ["angry", "sad"]))
    assert hints(picture).count("sad, called angry") == 1
    assert len(list(picture.iter(f"{NAME}circle"))) == 4 + 2  # right ones, legend


def side(name, x, truth, language):
    keys = [f"toy:{n}" for n in range(len(truth))]
    return Side(name=name, embeddings=x, keys=keys, truth=truth, language=language)


def test_the_maps_of_two_sides_lie_on_the_axes_of_both_together():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(9, 5)) * [5, 3, 1, 1, 1]
    train = side("train", x[:6], ["sad", "angry"] * 3, ["de", "en", None] * 2)
    dev = side("dev", x[6:], ["sad"] * 3, ["de"] * 3)
    drawn = {name: parse(text) for name, text in maps.side_maps([train, dev]).items()}
    assert list(drawn) == ["train", "dev"]
    # of dev all are dots; so are the first two entries of the legend, emotions, and 'de'
    dots = list(drawn["dev"].iter(f"{NAME}circle"))[3:]
    at = np.array([[float(c.get("cx", "nan")), -float(c.get("cy", "nan"))] for c in dots])
    expected = PCA(2).fit(x).transform(x[6:])
    for axis in range(2):
        assert abs(np.corrcoef(at[:, axis], expected[:, axis])[0, 1]) == pytest.approx(1, abs=1e-3)
    assert hints(drawn["train"])[:2] == ["toy:0: sad", "toy:1: angry"]


def test_every_language_has_a_shape_and_is_named_only_where_there_are_several():
    x, truth = np.random.default_rng(0).normal(size=(4, 3)), ["sad", "angry"] * 2
    several = parse(maps.side_maps([side("train", x, truth, ["de", "en", "de", None])])["train"])
    words = {t.text for t in several.iter(f"{NAME}text")}
    assert {"sad", "angry", "de", "en", "unknown language"} <= words
    assert len(list(several.iter(f"{NAME}path"))) == 2 + 2  # triangle and square, drawn and named
    one = parse(maps.side_maps([side("train", x, truth, ["de"] * 4)])["train"])
    assert "de" not in {t.text for t in one.iter(f"{NAME}text")}


def test_of_thousands_of_utterances_some_hundred_are_drawn():
    x, truth = np.random.default_rng(0).normal(size=(1200, 3)), ["sad", "angry"] * 600
    text = maps.side_maps([side("train", x, truth, ["de"] * 1200)])["train"]
    assert 300 <= len(hints(parse(text))) <= 500
