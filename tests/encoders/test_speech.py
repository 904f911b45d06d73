from itertools import product

import numpy as np
import pytest
import torch
import transformers

from affekt.encoders import packed, positions, wave
from affekt.encoders.speech import Speech, has_bf16, identity
from affekt.encoders.wave import normalised
from affekt.errors import EncoderError

FAMILIES = [
    "hubert",
    "hubert-large",
    "hubert-batch-norm",
    "wavlm",
    "wavlm-large",
    "wav2vec2",
    "xlsr",
    "data2vec-audio",
    "whisper",
]
CPU = torch.device("cpu")
LENGTHS = torch.tensor([16_000, 9_000, 24_321, 3_200])


@pytest.fixture
def wav():
    """Waves of four lengths with an offset, zeros behind them."""
    made = torch.randn(4, 24_321, generator=torch.Generator().manual_seed(0)) + 0.1
    for row, length in zip(made, LENGTHS, strict=True):
        row[length:] = 0.0
    return made


def relative(a, b) -> float:
    return float((a - b).detach().abs().max() / b.detach().abs().max())


@pytest.fixture(params=["padded", "narrow", "packed", "finished"])
def way(request, monkeypatch, family):
    """Each way of an encoder without gradients: what makes it ready."""
    packs = request.param in ("packed", "finished")
    monkeypatch.setattr(wave, "WIDE", 0 if packs else 10_000)
    monkeypatch.setattr(positions, "SHORT", 0)
    taken = []

    def layers(*given, **options):
        taken.append(True)
        return through(*given, **options)

    through = packed.layers
    monkeypatch.setattr(packed, "layers", layers)

    def ready(encoder):
        if request.param in ("narrow", "finished"):
            encoder.narrow()
            one = family not in ("whisper", "data2vec-audio")
            assert not (packs and one) or encoder.network.spectrum is not None
        return encoder

    yield ready
    assert bool(taken) is (packs and family != "whisper")


@pytest.fixture(params=FAMILIES)
def family(request) -> str:
    return request.param


def test_the_layers_are_those_of_transformers(way, family, checkpoint, checkpoints, wav):
    folder = checkpoint(family)
    encoder = way(Speech(model=str(folder), precision="fp32"))
    reference = checkpoints.load(folder, family)
    prepare = transformers.AutoFeatureExtractor.from_pretrained(folder)
    for row, length in zip(wav[:2], LENGTHS[:2], strict=True):
        clip = row[:length]
        made = encoder(clip[None], length[None]).layers[0]
        ready = prepare(clip.numpy(), sampling_rate=16_000, return_tensors="pt")
        with torch.no_grad():
            found = reference(next(iter(ready.values())), output_hidden_states=True)
        expected = torch.stack([*found.hidden_states[:-1], found.last_hidden_state])[:, 0]
        assert made.shape[:2] == (encoder.layers, encoder.network.frames(length[None]).item())
        assert relative(made, expected[:, : made.shape[1]]) < 1e-5


def test_an_utterance_has_the_same_frames_alone_and_in_any_batch(way, family, checkpoint, wav):
    encoder = way(Speech(model=str(checkpoint(family)), precision="fp32"))
    batch = encoder(wav, LENGTHS)
    for n, length in enumerate(LENGTHS):
        alone = encoder(wav[n : n + 1, :length], LENGTHS[n : n + 1])
        assert alone.mask.all()
        assert relative(batch.layers[n][:, batch.mask[n]], alone.layers[0]) < 1e-5
        assert not batch.layers[n][:, ~batch.mask[n]].any()


def test_what_stands_in_padding_has_no_influence(way, family, checkpoint, wav):
    encoder = way(Speech(model=str(checkpoint(family)), precision="fp32"))
    dirty = torch.nn.functional.pad(wav, (0, 500))
    for row, length in zip(dirty, LENGTHS, strict=True):
        row[length:] = torch.nan
    clean = encoder(wav, LENGTHS)
    assert torch.equal(encoder(dirty, LENGTHS).layers, clean.layers)
    assert clean.layers.isfinite().all()


def test_transformers_itself_depends_on_batch_mates(checkpoint, checkpoints, wav):
    model = checkpoints.load(checkpoint("hubert"), "hubert")
    mask = torch.arange(wav.shape[1]) < LENGTHS[:, None]
    with torch.no_grad():
        batch = model(wav, attention_mask=mask).last_hidden_state
        alone = model(wav[:1, : LENGTHS[0]]).last_hidden_state
    assert relative(batch[:1, : alone.shape[1]], alone) > 0.1


def test_statistics_of_the_front_end_are_those_of_the_valid_frames():
    norm = torch.nn.GroupNorm(3, 3)
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    x, frames = torch.randn(2, 3, 9), torch.tensor([9, 5])
    made = normalised(x, frames, norm)
    for row, n, found in zip(x.numpy(), frames.tolist(), made.detach().numpy(), strict=True):
        z = (row - row[:, :n].mean(1, keepdims=True)) / np.sqrt(
            row[:, :n].var(1, keepdims=True) + norm.eps
        )
        weight, bias = norm.weight.detach().numpy(), norm.bias.detach().numpy()
        expected = (z * weight[:, None] + bias[:, None])[:, :n]
        np.testing.assert_allclose(found[:, :n], expected, atol=1e-5)
        assert not found[:, n:].any()


def test_a_preprocessor_that_does_not_normalise_is_obeyed_unless_told_otherwise(
    checkpoints, tmp_path, wav
):
    raw = checkpoints.save(tmp_path / "raw", "xlsr", do_normalize=False)
    louder = wav * 3 + 1
    for model, same in (
        (Speech(model=str(raw), precision="fp32"), False),
        (Speech(model=str(raw), precision="fp32", normalise=True), True),
    ):
        difference = relative(model(louder, LENGTHS).layers, model(wav, LENGTHS).layers)
        assert (difference < 1e-3) is same


def test_longer_than_whispers_window_are_several_windows(checkpoint):
    encoder = Speech(model=str(checkpoint("whisper")), precision="fp32")
    wav = torch.randn(1, 40_000)  # two windows of a second and a half
    whole = encoder(wav, torch.tensor([40_000]))
    assert whole.layers.shape[2] == 125
    second = encoder(wav[:, 16_000:32_000], torch.tensor([16_000]))
    assert relative(whole.layers[:, :, 50:100], second.layers) < 1e-5


def test_frozen_means_no_gradient_and_no_dropout(family, checkpoint, wav):
    encoder = Speech(model=str(checkpoint(family)), precision="fp32").train()
    frames = encoder(wav, LENGTHS)
    assert not frames.layers.requires_grad
    assert torch.equal(frames.layers, encoder(wav, LENGTHS).layers)
    assert not any(p.requires_grad for p in encoder.parameters())


@pytest.mark.parametrize("trainable", ["transformer", "all"])
def test_what_is_trainable_gets_a_gradient_and_nothing_else(family, checkpoint, wav, trainable):
    encoder = Speech(model=str(checkpoint(family)), trainable=trainable, precision="fp32").train()
    frames = encoder(wav, LENGTHS)
    frames.layers.square().sum().backward()
    front = {id(p) for part in encoder.network.front() for p in part.parameters()}
    for name, weight in encoder.named_parameters():
        learns = trainable == "all" or id(weight) not in front
        if "masked_spec_embed" in name or "embed_positions" in name or not learns:
            assert weight.grad is None, name
        elif "k_proj.bias" not in name:  # it cancels in the softmax
            assert weight.grad is not None, name
            assert weight.grad.isfinite().all()


def test_spec_augment_masks_in_training_alone(checkpoint, wav):
    options = {"model": str(checkpoint("hubert-large")), "precision": "fp32", "trainable": "all"}
    plain, masking = Speech(**options), Speech(**options, spec_augment=True)
    assert torch.equal(plain(wav, LENGTHS).layers, masking(wav, LENGTHS).layers)
    for part in (m for e in (plain, masking) for m in e.modules()):
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.0
    masking.network.model.config.mask_time_prob = 0.5
    first = masking.train()(wav, LENGTHS).layers
    assert relative(first, plain.train()(wav, LENGTHS).layers) > 0.01


def test_whisper_has_a_front_end_of_its_own(checkpoint):
    with pytest.raises(EncoderError, match="Whisper has a front end of its own"):
        Speech(model=str(checkpoint("whisper")), normalise=True)


@pytest.mark.parametrize(("name", "trainable"), [("whisper", "all"), ("hubert", "none")])
def test_masking_where_nothing_can_be_masked_is_refused(checkpoint, name, trainable):
    with pytest.raises(EncoderError, match="spec_augment masks frames while"):
        Speech(model=str(checkpoint(name)), trainable=trainable, spec_augment=True)


def test_clips_too_short_to_mask_are_left_as_they_are(checkpoint):
    encoder = Speech(model=str(checkpoint("hubert")), trainable="all", spec_augment=True).train()
    encoder.network.model.config.mask_time_length = 10
    assert encoder(torch.randn(2, 3_200), torch.tensor([3_200, 3_200])).layers.shape[2] == 9


def test_in_bf16_the_frames_stay_close(way, family, checkpoint, wav, monkeypatch):
    exact = way(Speech(model=str(checkpoint(family)), precision="fp32"))(wav, LENGTHS)
    for has in (True, False):
        monkeypatch.setattr("affekt.encoders.speech.has_bf16", lambda _, has=has: has)
        rough = way(Speech(model=str(checkpoint(family))))(wav, LENGTHS).layers
        assert rough.dtype == torch.float32
        assert relative(rough, exact.layers) < 0.2  # of eight bits, through three layers
        assert torch.equal(rough, exact.layers) is not has


def test_the_identity_changes_with_what_changes_the_frames(checkpoint):
    made = {
        identity(
            {
                "model": str(checkpoint(name)),
                "revision": None,
                "precision": precision,
                "normalise": normalise,
            },
            CPU,
        )
        for name in ("hubert", "wavlm")
        for precision, normalise in product(("fp32", "bf16"), (None, True, False))
    }
    # Not given, these normalise; without bf16 in the processor it is float32.
    assert len(made) == (8 if has_bf16(CPU) else 4)


@pytest.mark.parametrize("family", FAMILIES)
def test_gradient_checkpointing_changes_no_gradient(checkpoint, family):
    found = []
    for on in (False, True):
        options = {"trainable": "transformer", "gradient_checkpointing": on, "precision": "fp32"}
        encoder = Speech(model=str(checkpoint(family)), **options).train()
        torch.manual_seed(0)
        frames = encoder(torch.randn(2, 8000), torch.tensor([8000, 6000]))
        frames.layers[:, -1].square().sum().backward()
        found.append({n: p.grad for n, p in encoder.named_parameters() if p.grad is not None})
    assert found[0].keys() == found[1].keys() != set()
    for name, gradient in found[0].items():
        torch.testing.assert_close(gradient, found[1][name])
