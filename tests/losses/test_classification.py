import numpy as np
import pytest
import torch

from affekt.errors import RecipeError
from affekt.losses import Losses
from affekt.losses.classification import Classification, cross_entropy
from affekt.nn.recogniser import Output


@pytest.mark.parametrize("p", [0.0, 0.15, 0.25, 0.3])
def test_label_smoothing_is_equation_9(p):
    logits = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 1, 2, 3, 0, 1])
    hard = np.eye(4)[labels.numpy()]
    soft = hard * (1 - p) + p / 4
    z = logits.double().numpy()
    log_probability = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    expected = -(soft * log_probability).sum(axis=1).mean()
    got = cross_entropy(logits, labels, label_smoothing=p)
    assert float(got) == pytest.approx(expected, abs=1e-6)


def test_the_objective_names_its_part():
    logits = torch.randn(3, 4)
    losses = Classification(label_smoothing=0.1)(
        Output(logits, logits, logits), torch.tensor([0, 1, 2])
    )
    assert list(losses.parts) == ["cross_entropy"]
    torch.testing.assert_close(losses.total, losses.parts["cross_entropy"])


def test_the_encoders_own_task_weighs_beta():
    logits, labels = torch.randn(3, 4), torch.tensor([0, 1, 2])
    own = Losses(torch.tensor(700.0), {"contrastive": torch.tensor(700.0)})
    losses = Classification(beta=1e-3)(Output(logits, logits, logits, own), labels)
    expected = torch.nn.functional.cross_entropy(logits, labels) + 0.7
    torch.testing.assert_close(losses.total, expected)
    assert list(losses.parts) == ["cross_entropy", "contrastive"]
    with pytest.raises(RecipeError, match="beta must be 0 or more, not -1"):
        Classification(beta=-1.0)
