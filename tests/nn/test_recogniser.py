import numpy as np
import torch

from affekt.encoders.frames import Frames
from affekt.nn.heads import deep_wccn, linear, mlp
from affekt.nn.mixing import LayerMix
from affekt.nn.pooling import mean_pooling
from affekt.nn.recogniser import Recogniser
from affekt.nn.standardise import Standardise
from affekt.nn.wccn import DeepWCCN


def test_the_mix_is_a_convex_combination_of_the_layers():
    layers = torch.randn(2, 3, 4, 5)
    mix = LayerMix(3)
    torch.testing.assert_close(mix(layers), layers.mean(dim=1))
    with torch.no_grad():
        mix.weight.copy_(torch.tensor([0.5, -1.0, 2.0]))
    gamma = np.exp([0.5, -1.0, 2.0]) / np.exp([0.5, -1.0, 2.0]).sum()
    expected = sum(g * layers[:, n].numpy() for n, g in enumerate(gamma))
    np.testing.assert_allclose(mix(layers).detach(), expected, atol=1e-6)


def test_a_normalising_mix_brings_each_frame_to_mean_zero_and_variance_one():
    layers = torch.randn(2, 2, 4, 50) * 7 + 3
    mixed = LayerMix(2, normalise=True)(layers)
    expected = sum((x - x.mean(-1, True)) / x.std(-1, False, True) for x in layers.unbind(1)) / 2
    torch.testing.assert_close(mixed, expected, atol=1e-4, rtol=1e-4)


def test_standardising_uses_all_frames_of_the_training_clips():
    clips = [torch.randn(2, n, 3) * 5 + 2 for n in (4, 9, 1)]
    layer = Standardise(2, 3)
    torch.testing.assert_close(layer(clips[0]), clips[0])  # the identity before it is fitted
    layer.fit(clips)
    done = torch.cat([layer(c) for c in clips], dim=1)
    torch.testing.assert_close(done.mean(dim=1), torch.zeros(2, 3), atol=1e-5, rtol=0)
    torch.testing.assert_close(done.std(dim=1, correction=0), torch.ones(2, 3))


def test_a_channel_that_never_moves_becomes_zero():
    layer = Standardise(1, 2)
    clip = torch.tensor([[[3.0, 1.0], [3.0, 2.0]]])
    layer.fit([clip])
    torch.testing.assert_close(layer(clip), torch.tensor([[[0.0, -1.0], [0.0, 1.0]]]))


def test_a_channel_of_tiny_values_is_brought_to_scale_like_any_other():
    clip = torch.randn(1, 50, 2) * torch.tensor([1e-9, 1e6])
    layer = Standardise(1, 2)
    layer.fit([clip])
    torch.testing.assert_close(layer(clip).std(dim=1, correction=0), torch.ones(1, 2))


def test_the_embedding_is_what_enters_the_last_layer():
    frames = Frames(torch.randn(2, 1, 6, 3), torch.ones(2, 6, dtype=torch.bool))
    for head in (linear(8, [*"abcd"]), mlp(8, [*"abcd"], hidden=5, norm=True)):
        model = Recogniser(LayerMix(1), mean_pooling(3, dim=8), head).eval()
        output = model(frames)
        torch.testing.assert_close(head[-1](output.embedding), output.logits)
        assert output.logits.shape == (2, 4)


def test_deep_wccn_learns_from_the_labels_of_training_alone():
    frames = Frames(torch.randn(6, 1, 9, 3), torch.ones(6, 9, dtype=torch.bool))
    labels = torch.tensor([0, 0, 1, 1, 1, 0])
    model = Recogniser(
        LayerMix(1), mean_pooling(3, dim=8), deep_wccn(8, ["a", "b"], hidden=5, dropout=0.0)
    )
    (layer,) = (part for part in model.head if isinstance(part, DeepWCCN))
    model(frames)
    assert layer.batches.tolist() == [0, 0]
    output = model(frames, labels)
    assert layer.batches.tolist() == [1, 1]
    before = torch.relu(model.head[0](model.pooling(model.mix(frames.layers), frames.mask)))
    expected = model.head[-2]((before.double() @ layer.b).float())
    torch.testing.assert_close(output.embedding, expected)
    model.eval()(frames, labels)
    assert layer.batches.tolist() == [1, 1]
