import numpy as np
import pytest
import torch
from torch import nn

from affekt.encoders.speech import Speech
from affekt.errors import RecipeError
from affekt.nn.masking import spans
from affekt.pretraining.batches import MASK, Batch, generator
from affekt.pretraining.distillation import Distillation, distance
from affekt.pretraining.front import Front
from affekt.pretraining.masked_prediction import MaskedPrediction
from affekt.pretraining.module import network, parts, rate
from affekt.pretraining.objective import Setting
from affekt.pretraining.recipe import config

TWO = [
    {"features": {"name": "mfcc"}, "clusters": 8},
    {"features": {"name": "log-mel"}, "clusters": 5, "weight": 0.5},
]


def batch(step: int = 3, samples: int = 24_000) -> Batch:
    rng = torch.Generator().manual_seed(0)
    wave = torch.randn(4, samples, generator=rng)
    frames = Front((20, 8, 4, 4), (10, 4, 4, 2)).frames(samples)
    labels = [torch.randint(n, (4, frames), generator=rng) for n in (8, 5)]
    return Batch(step, wave, labels)


def test_the_loss_is_torchs_cross_entropy_of_masked_and_visible_frames(tiny):
    recipe = tiny(target=TWO, objective={"name": "masked-prediction", "unmasked": 0.3})
    model, objective = parts(recipe)
    model.eval()
    given = batch()
    losses = objective(model, given.wave, given, 1)
    frames = given.labels[0].shape[1]
    mask = spans(generator(0, 3, 1, MASK), 4, frames, share=0.65, span=10)
    h = model(given.wave, mask_time_indices=torch.from_numpy(mask)).last_hidden_state
    expected = 0.0
    for weight, head, labels in zip((2 / 3, 1 / 3), objective.heads, given.labels, strict=True):
        each = nn.functional.cross_entropy(
            head(h).flatten(0, 1), labels.flatten(), reduction="none"
        ).reshape(4, frames)
        expected += weight * (each[mask].mean() + 0.3 * each[~mask].mean())
    torch.testing.assert_close(losses.total, expected)
    guess = objective.heads[1](h).argmax(dim=2)
    right = (guess == given.labels[1])[mask].float().mean()
    torch.testing.assert_close(losses.parts["accuracy 1-log-mel"], right)


def test_labels_of_visible_frames_do_not_enter_the_loss(tiny):
    model, objective = parts(tiny(target=TWO))
    model.eval()
    given = batch()
    mask = spans(generator(0, 3, 0, MASK), 4, given.labels[0].shape[1], share=0.65, span=10)
    other = [
        torch.where(torch.from_numpy(mask), x, (x + 1) % n)
        for x, n in zip(given.labels, (8, 5), strict=True)
    ]
    changed = Batch(3, given.wave, other)
    same = [objective(model, b.wave, b, 0).total for b in (given, changed)]
    assert same[0] == same[1]


def test_masked_frames_are_hidden_from_the_network(tiny):
    """What the transformer is given of a masked frame does not depend on the audio."""
    model, _ = parts(tiny())
    model.eval()
    mask = torch.zeros(1, 73, dtype=torch.bool)
    mask[0, 30:40] = True
    seen = []
    model.encoder.register_forward_pre_hook(lambda _, given: seen.append(given[0].detach()))
    for _ in range(2):
        model(torch.randn(1, 24_000), mask_time_indices=mask)
    one, other = seen
    assert (one[mask] == other[mask]).all()
    assert not torch.isclose(one[~mask], other[~mask]).all()


def test_the_distance_is_eq_1_in_plain_numbers():
    student, teacher = np.random.default_rng(0).normal(size=(2, 3, 7, 5))
    l1 = np.abs(student - teacher).mean()
    norms = np.linalg.norm(student, axis=2) * np.linalg.norm(teacher, axis=2)
    cosine = (student * teacher).sum(axis=2) / norms
    expected = l1, -0.7 * np.log(1 / (1 + np.exp(-cosine))).mean()
    found = distance(torch.from_numpy(student), torch.from_numpy(teacher), 0.7)
    np.testing.assert_allclose([float(x) for x in found], expected)


@pytest.mark.parametrize("family", ["wavlm", "hubert-large", "whisper"])
def test_the_student_learns_the_frames_of_the_teacher_nearest_in_time(tiny, checkpoint, family):
    teacher = str(checkpoint(family))
    chosen = {"name": "distillation", "teacher": teacher, "layers": [1, 3]}
    recipe = tiny(target=[], objective=chosen, training={"precision": "fp32"})
    model, objective = parts(recipe)
    model.eval()
    given = batch(samples=16_000)
    losses = objective(model, given.wave, given, 0)
    h = model(given.wave).last_hidden_state
    lengths = torch.full((4,), 16_000)
    truth = Speech(model=teacher, precision="fp32")(given.wave, lengths).layers
    nearest = [min(t, truth.shape[2] - 1) for t in range(h.shape[1])]  # both of 20 ms
    terms = [
        sum(distance(head(h), truth[:, layer][:, nearest], 1.0))
        for layer, head in zip((1, 3), objective.heads, strict=True)
    ]
    torch.testing.assert_close(losses.total, (terms[0] + terms[1]) / 2)
    assert not any("teacher" in name for name in objective.state_dict())
    losses.total.backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)


def test_the_learning_rate_goes_up_and_down_in_straight_lines(tiny):
    training = tiny(training={"steps": 100, "warmup": 10, "lr": 1.0}).training
    rates = [rate(n, training) for n in range(100)]
    np.testing.assert_allclose(rates[:10], np.arange(1, 11) / 10)
    np.testing.assert_allclose(rates[10:], (100 - np.arange(10, 100)) / 90)


def test_options_that_do_not_fit_are_told(tiny, checkpoint):
    def refused(match: str, **changes: object) -> None:
        with pytest.raises(RecipeError, match=match):
            parts(tiny(**changes))

    masked = {"name": "masked-prediction"}
    refused(
        r"span = 2 s leaves nothing of the shortest of training", objective=masked | {"span": 2.0}
    )
    refused(r"expected 0 < share < 1", objective=masked | {"share": 1.5})
    refused(r"needs at least one \[\[target\]\]", target=[])
    refused(r"mask_time_prob = 0 leaves the network", model={"mask_time_prob": 0.0})
    distil = {"name": "distillation", "teacher": str(checkpoint("wavlm")), "layers": [4]}
    refused(r"no layer 4; it has the layers 0 to 3", objective=distil, target=[])
    refused(r"has no use for \[\[target\]\]", objective=distil)
    refused(r"objective 'mask' is not known", objective={"name": "mask"})


def test_both_objectives_take_the_setting(tiny, checkpoint):
    setting = Setting(tiny(), Front.of(config(tiny().model)), 16)
    assert MaskedPrediction(setting).heads[0].out_features == 8
    empty = Setting(tiny(target=[]), setting.front, 16)
    made = Distillation(empty, teacher=str(checkpoint("hubert")), layers=[0])
    assert made.heads[0].out_features == 16
    assert network({**tiny().model}, masks=False).masked_spec_embed.requires_grad is False
