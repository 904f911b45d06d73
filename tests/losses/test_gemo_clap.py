"""The three objectives of GEmo-CLAP on what a head answers."""

import os
from functools import partial

import pytest
import torch
from torch import distributed, nn

from affekt.errors import RecipeError
from affekt.losses.clap import ground_truth, mean_kl
from affekt.losses.gemo_clap import GEmoClap
from affekt.nn.language import SentenceCosines, Space
from affekt.nn.recogniser import Output

N, K, R = 8, 4, 6
LABELS = torch.tensor([0, 1, 2, 3, 0, 0, 2, 1])
GENDERS = torch.tensor([0, 1, 1, 0, 1, 0, 0, 1])


def space(seed: int = 0) -> Space:
    torch.manual_seed(seed)
    return Space(R, 5, partial(nn.Linear, out_features=3), temperature=0.07, learn=True).train()


def drawn(seed: int = 1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(N, R, generator=generator), torch.randn(K, 5, generator=generator)


def output(emotion: SentenceCosines, gender: SentenceCosines | None = None) -> Output:
    return Output(emotion.vectors, emotion.vectors, emotion.logits, None, emotion, gender)


def loss_of(objective: GEmoClap, made: Space) -> torch.Tensor:
    return objective(output(made(*drawn())), LABELS, GENDERS).total


def gradients(objective: GEmoClap) -> list[torch.Tensor]:
    made = space()
    loss_of(objective, made).backward()
    return [p.grad for p in made.parameters()]


def test_sentences_of_a_batch_are_those_of_its_clips():
    """Eq. (3) with a sentence for each clip, as the paper has it, beside one for each class."""
    pooled, sentences = drawn()
    made = space()
    e_a = nn.functional.normalize(made.audio(pooled), dim=1)
    e_t = nn.functional.normalize(made.text(sentences[LABELS]), dim=1)  # N of them
    tau_a, tau_t = made.log_scales.exp()
    expected = mean_kl(tau_a * e_a @ e_t.T, tau_t * e_t @ e_a.T, ground_truth(LABELS))
    torch.testing.assert_close(loss_of(GEmoClap(), made), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("gender", ["soft-labels", "multi-task"])
def test_with_alpha_1_both_are_emo_clap_exactly(gender):
    made = space()
    assert torch.equal(loss_of(GEmoClap(gender=gender, alpha=1.0), made), loss_of(GEmoClap(), made))
    for a, b in zip(
        gradients(GEmoClap(gender=gender, alpha=1.0)), gradients(GEmoClap()), strict=True
    ):
        assert torch.equal(a, b)


@pytest.mark.parametrize("alpha", [0.7, 0.9])
def test_two_tasks_over_one_head_have_the_gradients_of_one_with_mixed_targets(alpha):
    """alpha KL(C, M_e) + (1 - alpha) KL(C, M_g) against alpha S(M_e) + (1 - alpha) S(M_g)."""
    made = space()
    answer = made(*drawn())
    c_a, c_t = answer.similarities(answer.cosines, LABELS)
    wanted = alpha * ground_truth(LABELS).softmax(1)
    wanted = wanted + (1 - alpha) * ground_truth(GENDERS).softmax(1)
    each = [-(wanted * c.log_softmax(1)).sum() / N for c in (c_a, c_t)]
    (sum(each) / 2).backward()
    mixed = [p.grad for p in made.parameters()]
    for a, b in zip(gradients(GEmoClap(gender="multi-task", alpha=alpha)), mixed, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-6)


def test_a_head_of_its_own_compares_genders_with_their_sentences():
    pooled, sentences = drawn()
    e, g = space(0), space(7)
    emotion, gender = e(pooled, sentences), g(pooled, sentences[:2])
    losses = GEmoClap(gender="multi-task", alpha=0.9)(output(emotion, gender), LABELS, GENDERS)
    pairs = gender.cosines[:, GENDERS]
    scales = g.log_scales.exp()
    l_g = mean_kl(scales[0] * pairs, scales[1] * pairs.T, ground_truth(GENDERS))
    torch.testing.assert_close(losses.parts["gender"], l_g)
    torch.testing.assert_close(losses.total, 0.9 * losses.parts["emotion"] + 0.1 * l_g)


def test_alpha_without_gender_is_refused():
    with pytest.raises(RecipeError, match="alpha = 0.9 weighs emotion against gender"):
        GEmoClap(alpha=0.9)


def _trained(rank: int, at: str, gender: str) -> None:
    """The half of a batch in one of two processes; gradients as DDP makes them."""
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "GLOO_SOCKET_IFNAME": "lo"}
    distributed.init_process_group("gloo", init_method=f"file://{at}/meet", rank=rank, world_size=2)
    made = space()
    pooled, sentences = drawn()
    own = slice(rank * N // 2, (rank + 1) * N // 2)
    answer = made(pooled[own], sentences)
    loss = GEmoClap(gender=gender)(output(answer), LABELS[own], GENDERS[own]).total
    loss.backward()
    found = [p.grad for p in made.parameters()]
    for gradient in found:
        distributed.all_reduce(gradient)
        gradient /= 2
    torch.save([loss.detach(), *found], f"{at}/{rank}.pt")
    distributed.destroy_process_group()


@pytest.mark.parametrize("gender", ["none", "soft-labels", "multi-task"])
def test_two_processes_are_one_with_the_whole_batch(tmp_path, gender):
    torch.multiprocessing.start_processes(
        _trained, (str(tmp_path), gender), nprocs=2, start_method="fork"
    )
    made = space()
    loss = loss_of(GEmoClap(gender=gender), made)
    expected = [loss.detach(), *gradients(GEmoClap(gender=gender))]
    for rank in (0, 1):
        for a, b in zip(torch.load(tmp_path / f"{rank}.pt"), expected, strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=1e-5)
