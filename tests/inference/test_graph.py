"""The pieces that are exported say what the recogniser says, whatever stands in padding."""

import pytest
import torch

import exportable
from affekt.encoders.frames import Waves
from affekt.encoders.text import TextOptions
from affekt.errors import ModelError
from affekt.inference import graph
from affekt.methods.attentive_correlation import correlation_pooling
from affekt.nn.recogniser import Recogniser


def alone(model: Recogniser, waves: list[torch.Tensor]):
    outputs = [model(Waves(w[None], torch.tensor([len(w)]))) for w in waves]
    return torch.cat([o.logits for o in outputs]), torch.cat([o.embedding for o in outputs])


def padded(waves: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    lengths = torch.tensor([len(w) for w in waves])
    batch = torch.full((len(waves), int(lengths.max()) + 500), 7.0)  # loud, where nothing is
    for row, wave in zip(batch, waves, strict=True):
        row[: len(wave)] = wave
    return batch, lengths


def assert_same(model: Recogniser) -> None:
    waves = exportable.waves()
    with torch.no_grad():
        wanted = alone(model, waves)
        given = graph.Graph(model)(*padded(waves))
    for found, expected in zip(given, wanted, strict=True):
        spread = float(expected.std(dim=0).max())
        assert spread > 0
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=2e-5 * max(1.0, spread))


@pytest.mark.parametrize(
    "name",
    [
        *("hubert", "hubert-large", "hubert-batch-norm", "wavlm", "wavlm-large", "wav2vec2"),
        *("xlsr", "data2vec-audio", "log-mel", "mfcc"),
    ],
)
def test_every_encoder_is_heard_as_by_the_recogniser(name, tmp_path):
    assert_same(exportable.recogniser(exportable.encoder(name, tmp_path)))


@pytest.mark.parametrize(
    "pooling", ["mean", "mean-std", "self-attention", "correlation", "attentive-correlation"]
)
def test_padding_reaches_no_pooling(pooling, checkpoint, tmp_path):
    heard = exportable.encoder("hubert", tmp_path)
    assert_same(exportable.recogniser(heard, pooling=pooling))


@pytest.mark.parametrize("head", ["mlp", "deep-wccn"])
@pytest.mark.parametrize("mix", ["weighted-sum", "layer"])
def test_heads_and_mixes_are_those_of_the_recogniser(head, mix, tmp_path):
    heard = exportable.encoder("wavlm", tmp_path)
    assert_same(exportable.recogniser(heard, mix=mix, head=head, hidden=5))


def test_sentences_of_classes_are_constants(roberta, tmp_path):
    heard = exportable.encoder("hubert", tmp_path)
    text = TextOptions(model=str(roberta), precision="fp32")
    assert_same(exportable.recogniser(heard, head="clap", text=text, dim=8))


def test_an_encoder_that_was_trained_is_settled_first(tmp_path):
    heard = exportable.encoder("hubert", tmp_path)
    heard.requires_grad_(True).trainable = "all"
    assert_same(exportable.recogniser(heard))


def test_windows_are_those_of_unfold():
    x = torch.randn(2, 1003, 3)
    for size, hop in ((400, 160), (3, 2), (2, 2), (10, 5), (5, 9)):
        wanted = x.unfold(1, size, hop).transpose(2, 3).flatten(2)
        assert torch.equal(graph.windows(x, size, hop), wanted)


def test_a_convolution_is_the_product_of_its_windows(tmp_path):
    layers = exportable.encoder("hubert-large", tmp_path).network.model.feature_extractor
    layer = layers.conv_layers[0]
    x = torch.randn(2, 300, 1)
    with torch.no_grad():
        found, _ = graph.Convolution(layer)(x, torch.tensor([300, 300]))
        torch.testing.assert_close(found, layer(x.transpose(1, 2)).transpose(1, 2))


def test_what_cannot_be_exported_is_refused(tmp_path):
    with pytest.raises(ModelError, match="over WhisperEncoder cannot be exported"):
        graph.Graph(exportable.recogniser(exportable.encoder("whisper", tmp_path)))
    model = exportable.recogniser(exportable.encoder("log-mel", tmp_path))
    model.pooling = correlation_pooling(12, dim=6, reading="released-code")
    with pytest.raises(ModelError, match="strict reading"):
        graph.Graph(model)
