import numpy as np
import pytest
import torch

from affekt.encoders.extract import summaries
from affekt.errors import RecipeError

CLIPS = {"a": torch.randn(3, 7, 5), "b": torch.randn(3, 2, 5).bfloat16(), "c": torch.randn(3, 1, 5)}


@pytest.mark.parametrize("layers", [[], [2], [2, 0]])
def test_summaries_are_mean_and_deviation_over_time(layers):
    made = summaries(CLIPS, ["a", "b", "c"], layers)
    for key, clip in CLIPS.items():
        looped = []
        for layer in layers or range(3):
            x = clip[layer].float().numpy()
            looped += [x.mean(axis=0), x.std(axis=0)]
        np.testing.assert_allclose(made[key], np.concatenate(looped), atol=1e-6)


def test_only_what_is_asked_for_is_read():
    assert list(summaries(CLIPS, ["b"], [])) == ["b"]


def test_a_layer_that_is_not_there_is_told():
    with pytest.raises(RecipeError, match=r"no layer 3; the encoder has 0 to 2"):
        summaries(CLIPS, ["a"], [1, 3])
