"""The task of wav2vec 2.0 beside transformers' Wav2Vec2ForPreTraining and loops."""

import numpy as np
import pytest
import torch
from transformers import Wav2Vec2Config, Wav2Vec2ForPreTraining
from transformers.models.wav2vec2.modeling_wav2vec2 import (
    _compute_mask_indices,
    _sample_negative_indices,
)

from affekt.losses.wav2vec2 import Wav2Vec2Task, sampled
from affekt.nn.quantizer import Quantizer

ROWS, FRAMES, K = 3, 40, 7


@pytest.fixture
def reference() -> Wav2Vec2ForPreTraining:
    torch.manual_seed(0)
    nothing = dict.fromkeys(
        ("hidden_dropout", "attention_dropout", "activation_dropout", "feat_proj_dropout"), 0.0
    )
    return Wav2Vec2ForPreTraining(
        Wav2Vec2Config(
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=48,
            conv_dim=[16, 24],
            conv_kernel=[20, 8],
            conv_stride=[10, 8],
            num_codevectors_per_group=6,
            codevector_dim=16,
            proj_codevector_dim=12,
            num_conv_pos_embeddings=8,
            num_conv_pos_embedding_groups=2,
            layerdrop=0.0,
            feat_quantizer_dropout=0.0,
            **nothing,
        )
    )


@pytest.fixture
def wave() -> torch.Tensor:
    return torch.randn(ROWS, 80 * FRAMES + 20, generator=torch.Generator().manual_seed(1))


def drawn():
    """Masks, and distractors among the masked frames, by transformers."""
    np.random.seed(2)  # noqa: NPY002
    mask = _compute_mask_indices((ROWS, FRAMES), mask_prob=0.5, mask_length=4)
    numbers = _sample_negative_indices((ROWS, FRAMES), K, mask)
    own = numbers - np.arange(ROWS)[:, None, None] * FRAMES
    return torch.from_numpy(mask), torch.from_numpy(numbers), torch.from_numpy(own).long()


def ours(reference) -> Wav2Vec2Task:
    """The same heads."""
    config = reference.config
    quantizer = Quantizer(24, groups=2, entries=6, width=16)
    quantizer.load_state_dict(reference.quantizer.state_dict())
    task = Wav2Vec2Task(config.hidden_size, quantizer, width=12, distractors=K)
    for name in ("project_hid", "project_q"):
        getattr(task, name).load_state_dict(getattr(reference, name).state_dict())
    return task


@pytest.mark.parametrize("training", [False, True])
def test_the_loss_and_its_gradients_are_those_of_transformers(reference, wave, training):
    mask, numbers, own = drawn()
    reference.train(training)
    torch.manual_seed(3)  # of Gumbel's noise
    theirs = reference(wave, mask_time_indices=mask, sampled_negative_indices=numbers)
    theirs.loss.backward()
    expected = {n: p.grad.clone() for n, p in reference.named_parameters() if p.grad is not None}
    reference.zero_grad()
    task = ours(reference).train(training)
    said = reference.wav2vec2(wave, mask_time_indices=mask)
    torch.manual_seed(3)
    losses = task(said.last_hidden_state, said.extract_features, mask, own)
    losses.total.backward()
    torch.testing.assert_close(losses.total, theirs.loss, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(losses.parts["contrastive"], theirs.contrastive_loss)
    torch.testing.assert_close(losses.parts["diversity"], theirs.diversity_loss)
    found = dict(reference.named_parameters()) | dict(task.named_parameters())
    assert len(expected) > 20
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name].grad, gradient, rtol=1e-4, atol=1e-5)


def test_the_mean_is_the_sum_over_the_number_of_masked_frames(reference):
    mask, _, own = drawn()
    task = ours(reference).eval()
    context, latent = torch.randn(ROWS, FRAMES, 32), torch.randn(ROWS, FRAMES, 24)
    total = task(context, latent, mask, own).total
    task.reduction = "mean"
    torch.testing.assert_close(task(context, latent, mask, own).total, total / mask.sum())


def test_distractors_are_other_masked_frames_of_the_same_utterance_all_of_them_as_often():
    mask = torch.zeros(2, 12, dtype=torch.bool)
    mask[0, [1, 4, 5, 9]] = True
    mask[1, 2:12] = True
    numbers = sampled(mask, 6000)
    for row in range(2):
        masked = mask[row].nonzero()[:, 0].tolist()
        for frame in masked:
            seen, count = numbers[row, frame].unique(return_counts=True)
            assert seen.tolist() == [n for n in masked if n != frame]
            even = 6000 / (len(masked) - 1)
            assert (count - even).abs().max() < 5 * even**0.5


def test_utterances_with_one_masked_frame_or_none_add_nothing(reference):
    task = ours(reference).eval()
    context, latent = torch.randn(3, 9, 32), torch.randn(3, 9, 24)
    mask = torch.zeros(3, 9, dtype=torch.bool)
    mask[0, 2:6] = True
    mask[1, 4] = True
    numbers = sampled(mask, K)
    all_of_them = task(context, latent, mask, numbers).parts["contrastive"]
    first = task(context[:1], latent[:1], mask[:1], numbers[:1]).parts["contrastive"]
    torch.testing.assert_close(all_of_them, first)
