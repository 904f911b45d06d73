"""The task of wav2vec 2.0 in fine-tuning, beside transformers' model of its pre-training."""

import pytest
import torch
from transformers import Wav2Vec2ForPreTraining

from affekt.encoders import own_task
from affekt.encoders.own_task import OwnTask
from affekt.encoders.speech import Speech
from affekt.errors import EncoderError

SAMPLES = 16_000
LENGTHS = torch.tensor([SAMPLES, SAMPLES])


@pytest.fixture
def wav():
    return torch.randn(2, SAMPLES, generator=torch.Generator().manual_seed(0))


def made(checkpoint, family="xlsr", **task) -> Speech:
    folder = str(checkpoint(family))
    return Speech(model=folder, precision="fp32", trainable="all", task=OwnTask(**task))


def without_dropout(module):
    for part in module.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.0
        if isinstance(getattr(part, "dropout", None), float):  # of attention
            part.dropout = 0.0
    return module


@pytest.mark.parametrize("family", ["wav2vec2", "xlsr"])
def test_loss_and_gradients_are_those_of_transformers_over_the_same_checkpoint(
    checkpoint, wav, family, monkeypatch
):
    encoder = without_dropout(made(checkpoint, family)).train()
    reference = Wav2Vec2ForPreTraining.from_pretrained(checkpoint(family))
    reference.config.num_negatives = encoder.task.distractors
    reference = without_dropout(reference).train()
    reference.config.layerdrop = 0.0
    reference.quantizer.temperature = encoder.task.quantizer.temperature
    mask = own_task.hidden(encoder.masking, encoder.network.frames(LENGTHS), 49)
    monkeypatch.setattr(own_task, "hidden", lambda *_: mask)
    negatives = drawn(mask, encoder.task.distractors)
    monkeypatch.setattr("affekt.losses.wav2vec2.sampled", lambda *_: negatives)
    ready = (wav - wav.mean(1, keepdim=True)) / (
        wav.var(1, correction=0, keepdim=True) + 1e-7
    ).sqrt()
    torch.manual_seed(3)
    task = encoder(wav, LENGTHS).task_losses
    torch.manual_seed(3)
    flat = negatives + torch.arange(2)[:, None, None] * mask.shape[1]
    found = reference(ready, mask_time_indices=mask, sampled_negative_indices=flat)
    assert task.total.item() == pytest.approx(found.loss.item(), rel=1e-5)
    task.total.backward()
    found.loss.backward()
    theirs = {name.removeprefix("wav2vec2."): w.grad for name, w in reference.named_parameters()}
    ours = {
        **dict(encoder.network.model.named_parameters()),
        **dict(encoder.task.named_parameters()),
    }
    assert ours.keys() == theirs.keys()
    for name, weight in ours.items():
        torch.testing.assert_close(weight.grad, theirs[name], rtol=1e-3, atol=1e-4)


def drawn(mask, count):
    """Distractors of every frame, others that are masked."""
    rng = torch.Generator().manual_seed(1)
    rows = []
    for row in mask:
        places = row.nonzero()[:, 0]
        rows.append([
            [int(p) for p in others[torch.randint(len(others), (count,), generator=rng)]]
            for t in range(len(row))
            for others in (places[places != t],)
        ])  # fmt: skip
    return torch.tensor(rows)


def test_nothing_is_masked_and_no_task_is_judged_outside_training(checkpoint, wav):
    encoder = made(checkpoint).eval()
    plain = Speech(model=str(checkpoint("xlsr")), precision="fp32")
    frames = encoder(wav, LENGTHS)
    assert frames.task_losses is None
    torch.testing.assert_close(frames.layers, plain(wav, LENGTHS).layers, rtol=1e-5, atol=1e-5)


def test_every_utterance_hides_its_share_and_padding_is_never_hidden():
    frames = torch.tensor([100, 60, 8])
    mask = own_task.hidden(OwnTask(share=0.5, span=10), frames, 100)
    assert mask.sum(dim=1).tolist() == [50, 30, 0]  # eight frames hold no span of ten
    assert not mask[1, 60:].any()


def test_the_task_reaches_encoder_and_heads(checkpoint, wav):
    encoder = made(checkpoint).train()
    encoder(wav, LENGTHS).task_losses.total.backward()
    network = encoder.network.model
    for weight in (
        network.feature_extractor.conv_layers[0].conv.weight,
        network.encoder.layers[0].attention.q_proj.weight,
        network.masked_spec_embed,
        encoder.task.quantizer.codevectors,
        encoder.task.project_hid.weight,
    ):
        assert weight.grad.abs().sum() > 0


@pytest.mark.parametrize("family", ["hubert", "hubert-large", "wavlm", "data2vec-audio"])
def test_fresh_heads_serve_encoders_without_a_quantizer(checkpoint, wav, family):
    encoder = made(checkpoint, family, heads="fresh").train()
    task = encoder(wav, LENGTHS).task_losses
    assert task.total.isfinite()
    assert set(task.parts) == {"contrastive", "diversity"}


def test_the_mean_is_the_sum_over_masked_frames(checkpoint, wav):
    losses = []
    for reduction in ("sum", "mean"):
        torch.manual_seed(0)
        encoder = without_dropout(made(checkpoint, reduction=reduction)).train()
        torch.manual_seed(1)
        losses.append(encoder(wav, LENGTHS).task_losses.total.item())
    masked = own_task.hidden(OwnTask(), torch.tensor([49, 49]), 49).sum()
    assert losses[0] == pytest.approx(losses[1] * int(masked), rel=1e-5)


def test_heads_that_are_not_there_are_told(checkpoint):
    with pytest.raises(EncoderError, match=r"has no quantizer.*heads = \"fresh\".*beta = 0"):
        made(checkpoint, "hubert")


def test_heads_that_do_not_fit_are_told(checkpoint, checkpoints, tmp_path):
    folder = checkpoints.save(tmp_path / "torn", "xlsr")
    checkpoints.rewrite(folder, lambda weights: weights.pop("project_q.weight"))
    with pytest.raises(EncoderError, match=r"quantizer does not fit its config.json"):
        Speech(model=str(folder), trainable="all", task=OwnTask())


@pytest.mark.parametrize(
    ("family", "options"),
    [
        ("xlsr", {"trainable": "none"}),
        ("xlsr", {"trainable": "all", "spec_augment": True}),
        ("whisper", {"trainable": "all"}),
    ],
)
def test_a_task_where_nothing_can_be_learnt_is_refused(checkpoint, family, options):
    with pytest.raises(EncoderError, match="goes on learning while it is trained"):
        Speech(model=str(checkpoint(family)), task=OwnTask(), **options)


def test_where_nothing_can_be_masked_the_task_is_zero(checkpoint):
    encoder = made(checkpoint).train()
    short = encoder(torch.randn(2, 3_200), torch.tensor([3_200, 3_200]))  # nine frames
    assert short.task_losses.total.item() == 0.0
    short.task_losses.total.backward()


def test_under_autocast_the_loss_stays_in_float32(checkpoint, wav, monkeypatch):
    encoder = without_dropout(made(checkpoint)).train()
    mask = own_task.hidden(encoder.masking, torch.tensor([49, 49]), 49)
    network = encoder.network
    z, frames = network.convolved(wav, LENGTHS), network.frames(LENGTHS)
    layers, latent = network.masked(z, frames, mask)
    losses = []
    for bf16 in (False, True):
        torch.manual_seed(0)
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            losses.append(encoder.task(layers[-1], latent, mask).total.item())
    assert losses[0] == losses[1]
