"""Text encoders beside transformers."""

import pytest
import torch
import transformers as hf

from affekt.encoders.text import PACKAGED, Text, TextOptions, refuse_alike
from affekt.errors import EncoderError, RecipeError
from affekt.labels import CANONICAL
from affekt.prompts import of_emotions

SENTENCES = ["The emotion is angry", "The emotion is sad", "über"]


def options(folder, **changes) -> TextOptions:
    return TextOptions(model=str(folder), precision="fp32", **changes)


def hidden(folder, sentence: str) -> torch.Tensor:
    tokens = hf.AutoTokenizer.from_pretrained(folder)(sentence, return_tensors="pt")
    model = hf.AutoModel.from_pretrained(folder).eval()
    with torch.no_grad():
        return model(**tokens).last_hidden_state[0]


def test_the_first_token_or_the_mean_stands_for_a_sentence(roberta):
    for token in ("first", "mean"):
        with torch.no_grad():
            made = Text(options(roberta, token=token))(SENTENCES)
        for row, sentence in zip(made, SENTENCES, strict=True):  # alone: padding does not count
            h = hidden(roberta, sentence)
            expected = h[0] if token == "first" else h.mean(dim=0)
            torch.testing.assert_close(row, expected, rtol=0, atol=1e-5)


def test_what_is_frozen_has_no_gradient_and_no_dropout(roberta):
    frozen = Text(options(roberta, trainable="none")).train()
    assert not any(p.requires_grad for p in frozen.parameters())
    assert torch.equal(frozen(SENTENCES), frozen(SENTENCES))
    trained = Text(options(roberta)).train()
    assert not torch.equal(trained(SENTENCES), trained(SENTENCES))
    trained(SENTENCES).sum().backward()
    assert all(p.grad is not None for p in trained.parameters())


def test_gradient_checkpointing_changes_no_gradient(roberta):
    found = []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        text = Text(options(roberta, gradient_checkpointing=checkpointing)).train()
        text(SENTENCES).square().sum().backward()
        found.append([p.grad for p in text.parameters()])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b)


def test_what_is_no_text_encoder_is_told(checkpoint, roberta, checkpoints, tmp_path):
    with pytest.raises(EncoderError, match=r"no tokenizer.json and no .* is it a .* text encoder"):
        Text(options(checkpoint("hubert")))
    with pytest.raises(EncoderError, match="no such folder"):
        Text(options(tmp_path / "gone"))
    cut = checkpoints.save_text(tmp_path / "cut")
    weights = cut / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:500])
    with pytest.raises(EncoderError, match="cannot be loaded as a text encoder"):
        Text(options(cut))
    less = checkpoints.save_text(tmp_path / "less")
    checkpoints.rewrite(less, lambda w: w.pop("embeddings.LayerNorm.weight"))
    with pytest.raises(EncoderError, match="1 weights are missing: embeddings.LayerNorm.weight"):
        Text(options(less))


def test_names_that_are_read_as_the_same_tokens_are_refused(roberta):
    text = Text(options(roberta))
    refuse_alike(text, ["angry", "sad"], SENTENCES[:2])
    with pytest.raises(RecipeError, match=r"cannot tell 'b' \('aaa.*b'\) from 'c'.*same tokens"):
        refuse_alike(text, ["a", "b", "c"], ["a", "a" * 64 + "b", "a" * 64 + "c"])


def test_minilm_knows_no_chinese():
    name = "all-MiniLM-L6-v2"
    pytest.importorskip(PACKAGED[name])
    text = Text(TextOptions(model=name, trainable="none"))
    for names in (["angry", "sad"], ["angry", "happy", "neutral", "sad"]):
        with pytest.raises(RecipeError, match=rf"text encoder '{name}' cannot tell 'angry' \('情"):
            refuse_alike(text, names, of_emotions(names, language="zh"))
    for language in ("en", "de", "pl"):
        refuse_alike(text, CANONICAL, of_emotions(CANONICAL, language=language))
    with pytest.raises(RecipeError, match="cannot tell 'sad' .* from 'Sad'"):
        refuse_alike(text, ["sad", "Sad"], of_emotions(["sad", "Sad"]))


@pytest.mark.parametrize("name", PACKAGED)
def test_an_encoder_comes_in_a_package(name):
    pytest.importorskip(PACKAGED[name])
    text = Text(TextOptions(model=name, trainable="none", token="mean"))
    with torch.no_grad():
        near, far, like = text(["She is furious", "The soup is cold", "The woman is very angry"])
    near, far, like = (nn / nn.norm() for nn in (near, far, like))
    assert near @ like > 0.5 > near @ far


def test_what_writes_text_is_no_encoder_of_sentences(roberta, tmp_path):
    models = {
        "gpt2": hf.GPT2Model(hf.GPT2Config(vocab_size=300, n_embd=8, n_layer=1, n_head=2)),
        "t5": hf.T5Model(hf.T5Config(vocab_size=300, d_model=8, d_kv=4, num_layers=1, num_heads=2)),
    }
    for name, model in models.items():
        model.save_pretrained(tmp_path / name)
        hf.AutoTokenizer.from_pretrained(roberta).save_pretrained(tmp_path / name)
        with pytest.raises(EncoderError, match=f"a {name} writes text"):
            Text(options(tmp_path / name))
