"""A tiny random Qwen-VL checkpoint with the real processor classes and a byte-level tokenizer made here: 2.5 MB."""

from __future__ import annotations

from contextlib import redirect_stderr
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

SPECIAL = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
IMAGE_TOKEN, VIDEO_TOKEN = 262, 263  # behind the 256 bytes, in the order above
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.content is string %}{{ m.content }}{% else %}"
    "{% for c in m.content %}{% if c.type == 'video' or 'video' in c %}<|vision_start|><|video_pad|><|vision_end|>"
    "{% elif c.type == 'image' or 'image' in c %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif 'text' in c %}{{ c.text }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
FAMILIES = ("qwen2_5_vl", "qwen2_vl")


@dataclass(frozen=True)
class Size:
    """Layers and widths. Heads are 64 wide, the least the attention of vLLM takes on a CPU.

    Attributes
    ----------
    hidden, layers : of the language model, whose heads share one pair of keys and values
    vision, depth : width and layers of the encoder
    """

    hidden: int
    layers: int
    vision: int
    depth: int


TINY = Size(128, 2, 64, 2)
# The encoder's work per token of the language model is to the language model's as in the 7B model: about 0.4.
PROPORTIONED = Size(384, 8, 192, 3)


def write_checkpoint(folder: Path, family: str = "qwen2_5_vl", size: Size = TINY) -> None:
    """Write configuration, weights (fixed seed), tokenizer and processor of ``family`` into ``folder``."""
    import torch
    import transformers

    folder.mkdir(parents=True, exist_ok=True)
    newer = family == "qwen2_5_vl"
    tokenizer = _tokenizer()
    ids = {token: tokenizer.convert_tokens_to_ids(token) for token in SPECIAL}
    patches = {"patch_size": 14, "temporal_patch_size": 2, "merge_size": 2}
    processor_class = transformers.Qwen2_5_VLProcessor if newer else transformers.Qwen2VLProcessor
    most = 28 * 28 * 1280
    processor_class(
        image_processor=transformers.Qwen2VLImageProcessor(**patches, min_pixels=56 * 56, max_pixels=most),
        tokenizer=tokenizer,
        video_processor=transformers.Qwen2VLVideoProcessor(
            **patches, size={"shortest_edge": 56 * 56, "longest_edge": most * 64}
        ),
        chat_template=TEMPLATE,
    ).save_pretrained(folder)
    config_class = transformers.Qwen2_5_VLConfig if newer else transformers.Qwen2VLConfig
    config = config_class(
        text_config=_text_config(ids, size),
        vision_config=_vision_config(newer, size),
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
        tie_word_embeddings=False,
    )
    model_class = getattr(transformers, f"Qwen2{'_5_' if newer else ''}VLForConditionalGeneration")
    model = model_class(config).float()
    generator = torch.Generator().manual_seed(0)
    for weight in model.parameters():
        if weight.ndim >= 2:
            weight.data = torch.randn(weight.shape, generator=generator) * weight[0].numel() ** -0.5
    model.generation_config.eos_token_id = ids["<|im_end|>"]
    with redirect_stderr(StringIO()):  # a progress bar
        model.save_pretrained(folder)


def _tokenizer() -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocab = {character: i for i, character in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    raw = Tokenizer(models.BPE(vocab=vocab, merges=[]))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    raw.add_special_tokens(list(SPECIAL))
    return PreTrainedTokenizerFast(
        tokenizer_object=raw,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=list(SPECIAL[1:]),
        model_max_length=8192,
    )


def _text_config(ids: dict[str, int], size: Size) -> dict[str, Any]:
    return {
        "vocab_size": 320,
        "hidden_size": size.hidden,
        "intermediate_size": 2 * size.hidden,
        "num_hidden_layers": size.layers,
        "num_attention_heads": size.hidden // 64,
        "num_key_value_heads": 1,
        "max_position_embeddings": 8192,
        "tie_word_embeddings": False,
        "bos_token_id": ids["<|endoftext|>"],
        "eos_token_id": ids["<|im_end|>"],
        "pad_token_id": ids["<|endoftext|>"],
        "rope_parameters": {"rope_type": "default", "mrope_section": [8, 12, 12], "rope_theta": 1e6},
    }


def _vision_config(newer: bool, size: Size) -> dict[str, Any]:
    patches = {"depth": size.depth, "num_heads": max(2, size.vision // 64), "in_channels": 3}
    patches |= {"spatial_merge_size": 2, "temporal_patch_size": 2}
    if not newer:
        return {**patches, "patch_size": 14, "embed_dim": size.vision, "hidden_size": size.hidden, "mlp_ratio": 2}
    return {
        **patches,
        "patch_size": 14,
        "hidden_size": size.vision,
        "intermediate_size": 2 * size.vision,
        "out_hidden_size": size.hidden,
        "window_size": 112,
        "fullatt_block_indexes": [size.depth - 1],
        "tokens_per_second": 2,
    }
