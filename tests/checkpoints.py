"""Tiny random checkpoints in Hugging Face's format: `save(folder, "hubert")`.

Every family with both kinds of front end and both orders of norms, as the published sizes have
them. Norms get random scales, so that leaving one out shows.
"""

from pathlib import Path
from typing import Any

import torch
import transformers as hf
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors

WAVE: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "conv_dim": (8,) * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
    "vocab_size": 8,
    "mask_time_length": 2,
}
LARGE: dict[str, Any] = {
    "feat_extract_norm": "layer",
    "conv_bias": True,
    "do_stable_layer_norm": True,
}
SMALL_QUANTIZER: dict[str, Any] = {
    "codevector_dim": 8,
    "proj_codevector_dim": 8,
    "num_codevectors_per_group": 4,
}
DATA2VEC = WAVE | {
    "num_conv_pos_embeddings": 3,
    "conv_pos_kernel_size": 5,
    "feat_extract_norm": "layer",
}
WHISPER: dict[str, Any] = {
    "d_model": 16,
    "encoder_layers": 3,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 24,
    "decoder_ffn_dim": 24,
    "max_source_positions": 50,  # one second
    "vocab_size": 20,
    "num_mel_bins": 80,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 1,
}

# name: class of the config, its values, class of what is saved, class of the bare encoder
FAMILIES: dict[str, tuple[Any, dict[str, Any], Any, Any]] = {
    "hubert": (hf.HubertConfig, WAVE, hf.HubertForCTC, hf.HubertModel),
    "hubert-large": (hf.HubertConfig, WAVE | LARGE, hf.HubertModel, hf.HubertModel),
    "hubert-batch-norm": (
        hf.HubertConfig,
        WAVE | {"conv_pos_batch_norm": True},
        hf.HubertModel,
        hf.HubertModel,
    ),
    "wavlm": (hf.WavLMConfig, WAVE, hf.WavLMModel, hf.WavLMModel),
    "wavlm-large": (hf.WavLMConfig, WAVE | LARGE, hf.WavLMModel, hf.WavLMModel),
    "wav2vec2": (
        hf.Wav2Vec2Config,
        WAVE | SMALL_QUANTIZER,
        hf.Wav2Vec2ForPreTraining,
        hf.Wav2Vec2Model,
    ),
    "xlsr": (
        hf.Wav2Vec2Config,
        WAVE | SMALL_QUANTIZER | LARGE,
        hf.Wav2Vec2ForPreTraining,
        hf.Wav2Vec2Model,
    ),
    "data2vec-audio": (
        hf.Data2VecAudioConfig,
        DATA2VEC,
        hf.Data2VecAudioForCTC,
        hf.Data2VecAudioModel,
    ),
    "whisper": (
        hf.WhisperConfig,
        WHISPER,
        hf.WhisperForConditionalGeneration,
        hf.WhisperModel,
    ),
}


def save(
    folder: Path, name: str, *, do_normalize: bool = True, seed: int = 0, **changes: Any
) -> Path:
    """Write the checkpoint of a family, some values of its config changed; the folder."""
    config, values, model, _ = FAMILIES[name]
    torch.manual_seed(seed)
    made = model(config(**values | changes))
    with torch.no_grad():
        for key, weight in made.named_parameters():
            if "norm" in key or "gru_rel_pos_const" in key:
                weight.add_(0.3 * torch.randn_like(weight))
            if "rel_attn_embed" in key or "masked_spec_embed" in key:
                weight.normal_()
    made.save_pretrained(folder)
    if name == "whisper":
        extractor = hf.WhisperFeatureExtractor(feature_size=80, chunk_length=1)
    else:
        extractor = hf.Wav2Vec2FeatureExtractor(do_normalize=do_normalize)
    extractor.save_pretrained(folder)
    return folder


def load(folder: Path, name: str) -> Any:
    """The bare encoder as transformers loads and runs it."""
    model = FAMILIES[name][3].from_pretrained(folder).eval()
    return model.encoder if name == "whisper" else model


def rewrite(folder: Path, change: Any) -> None:
    """Save the weights again after `change(weights)`, a function on {name: tensor}."""
    file = folder / "model.safetensors"
    weights = load_file(file)
    change(weights)
    save_file(weights, file, {"format": "pt"})


def save_text(folder: Path, *, seed: int = 0) -> Path:
    """Write a RoBERTa with a tokenizer of bytes; the folder."""
    torch.manual_seed(seed)
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: n for n, token in enumerate([*special, *letters])}
    tokenizer = Tokenizer(models.BPE(vocabulary, [], unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    hf.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        cls_token="<s>",
        eos_token="</s>",
        sep_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        mask_token="<mask>",
        model_max_length=64,
    ).save_pretrained(folder)
    config = hf.RobertaConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
        max_position_embeddings=66,
    )
    hf.RobertaModel(config).save_pretrained(folder)
    return folder
