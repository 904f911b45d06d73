import numpy as np
import pytest

from affekt.nn.masking import spans
from affekt.pretraining.batches import Draw
from affekt.pretraining.front import Front

STRIDE = 320
LENGTHS = np.random.default_rng(0).integers(16_000, 160_000, 300)


PIECES = [1.0, 2.0, 4.0, 20.0]


def draw(seed: int = 0, seconds: float = 20.0, lengths: np.ndarray = LENGTHS) -> Draw:
    return Draw(lengths, seconds=seconds, pieces=PIECES, stride=STRIDE, seed=seed)


def test_pieces_lie_within_their_utterances_and_fill_the_budget():
    for step in range(200):
        pieces = draw()(step, 0)
        assert len(pieces.utterances) == 20.0 * 16_000 // pieces.length
        assert len(set(pieces.utterances.tolist())) == len(pieces.utterances)
        assert (pieces.starts % STRIDE == 0).all()
        assert (pieces.starts + pieces.length <= LENGTHS[pieces.utterances]).all()


def test_steps_have_every_length_that_an_utterance_has():
    seen = {draw()(step, 0).length / 16_000 for step in range(100)}
    assert seen == {1.0, 2.0, 4.0}


def test_a_step_is_the_same_whenever_it_is_drawn_and_other_for_seed_and_rank():
    def key(seed: int, step: int, rank: int) -> tuple[tuple[int, int], ...]:
        pieces = draw(seed)(step, rank)
        return tuple(zip(pieces.utterances.tolist(), pieces.starts.tolist(), strict=True))

    assert key(0, 7, 0) == key(0, 7, 0)
    assert len({key(0, 7, 0), key(1, 7, 0), key(0, 8, 0), key(0, 7, 1)}) == 4


def test_all_that_are_long_enough_are_drawn_alike():
    counts = np.zeros(len(LENGTHS))
    made = draw()
    for pieces in (made(step, 0) for step in range(6000)):
        if pieces.length == 32_000:
            counts[pieces.utterances] += 1
    long_enough = LENGTHS >= 32_000
    assert (counts[~long_enough] == 0).all()
    expected = counts.sum() / long_enough.sum()
    assert abs(counts[long_enough] - expected).max() < 5 * np.sqrt(expected)


def test_pieces_start_anywhere_in_their_utterances():
    made = draw(lengths=np.array([64_000]))
    starts = {int(made(step, 0).starts[0]) for step in range(500) if made(step, 0).length == 32_000}
    assert min(starts) == 0
    assert max(starts) == 32_000
    assert len(starts) > 50


@pytest.mark.parametrize("count", [1, 2, 3])
def test_very_few_utterances_are_enough(count):
    made = draw(lengths=np.array([20_000, 50_000, 90_000])[:count])
    seen = {n for step in range(50) for n in made(step, 0).utterances.tolist()}
    assert seen == set(range(count))


@pytest.mark.parametrize(("frames", "share"), [(199, 0.65), (49, 0.65), (199, 0.3), (49, 0.9)])
def test_a_mask_is_spans_that_hide_the_share(frames, share):
    mask = spans(np.random.default_rng(0), 64, frames, share=share, span=10)
    assert (mask.sum(axis=1) == mask.sum(axis=1)[0]).all()
    assert abs(mask.mean() - share) <= 5 / frames + 1e-9 or share * frames > frames // 10 * 10
    for row in mask:
        edges = np.flatnonzero(np.diff(np.concatenate([[0], row.astype(int), [0]])))
        assert ((edges[1::2] - edges[::2]) % 10 == 0).all()
    assert (mask.mean(axis=0) > 0).all()
    assert len({row.tobytes() for row in mask}) > 50


def test_some_frame_of_the_shortest_row_is_seen():
    mask = spans(np.random.default_rng(0), 64, 10, share=0.9, span=5)
    assert (mask.sum(axis=1) == 5).all()


def test_the_front_counts_frames_as_the_convolutions_do():
    import torch
    from transformers import HubertConfig, HubertModel

    config = HubertConfig(conv_kernel=[20, 8, 4, 4], conv_stride=[10, 4, 4, 2], conv_dim=[2] * 4)
    front = Front.of(config)
    convolutions = HubertModel(
        HubertConfig(
            **{
                **{"hidden_size": 4, "num_attention_heads": 1, "intermediate_size": 4},
                **{"num_hidden_layers": 1, "num_conv_pos_embedding_groups": 1},
                **{"conv_kernel": [20, 8, 4, 4], "conv_stride": [10, 4, 4, 2]},
                **{"conv_dim": [2] * 4},
            }
        )
    ).feature_extractor
    assert front.stride == 320
    for samples in (front.reach, front.reach + 319, front.reach + 320, 16_000, 23_456):
        made = convolutions(torch.zeros(1, samples)).shape[2]
        assert front.frames(samples) == made
    assert front.frames(front.reach - 1) == 0
