"""A tiny random checkpoint per family: real processor classes, a byte-level tokenizer made here, 2.5 MB."""

from __future__ import annotations

from collections.abc import Mapping
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
IMAGE_TOKEN, VIDEO_TOKEN = 262, 263  # after the 256 bytes, in the order above
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.content is string %}{{ m.content }}{% else %}"
    "{% for c in m.content %}{% if c.type == 'video' or 'video' in c %}<|vision_start|><|video_pad|><|vision_end|>"
    "{% elif c.type == 'image' or 'image' in c %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif 'text' in c %}{{ c.text }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@dataclass(frozen=True)
class Size:
    """Layers and widths. Heads are 64 wide, the minimum for vLLM's attention on a CPU.

    Attributes
    ----------
    hidden, layers : of the language model, whose heads share one pair of keys and values
    vision, depth : width and layers of the encoder
    """

    hidden: int
    layers: int
    vision: int
    depth: int


_ROPE = {"rope_type": "default", "rope_theta": 1e6}
TINY = Size(128, 2, 64, 2)
# The encoder's work per token of the language model is to the language model's as in the 7B model: about 0.4.
PROPORTIONED = Size(384, 8, 192, 3)


def write_checkpoint(folder: Path, family: str = "qwen2_5_vl", size: Size = TINY) -> None:
    """Write configuration, weights (fixed seed), tokenizer and processor of ``family`` into ``folder``."""
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = _tokenizer()
    ids = {token: tokenizer.convert_tokens_to_ids(token) for token in SPECIAL}
    if family == "llava_onevision":
        model, processor = _onevision(tokenizer, ids, size)
    else:
        model, processor = _qwen(tokenizer, ids, size, newer=family == "qwen2_5_vl")
    processor.save_pretrained(folder)
    model.float()
    generator = torch.Generator().manual_seed(0)
    for name, weight in model.named_parameters():
        if weight.ndim >= 2 or name.endswith("image_newline"):
            weight.data = torch.randn(weight.shape, generator=generator) * weight[0].numel() ** -0.5
    model.generation_config.eos_token_id = ids["<|im_end|>"]
    with redirect_stderr(StringIO()):  # a progress bar
        model.save_pretrained(folder)
    if family == "llava_onevision":
        _name_tower_as_published(folder / "model.safetensors")


def _qwen(tokenizer: Any, ids: Mapping[str, int], size: Size, newer: bool) -> tuple[Any, Any]:
    import transformers

    patches = {"patch_size": 14, "temporal_patch_size": 2, "merge_size": 2}
    processor_class = transformers.Qwen2_5_VLProcessor if newer else transformers.Qwen2VLProcessor
    most = 28 * 28 * 1280
    processor = processor_class(
        image_processor=transformers.Qwen2VLImageProcessor(**patches, min_pixels=56 * 56, max_pixels=most),
        tokenizer=tokenizer,
        video_processor=transformers.Qwen2VLVideoProcessor(
            **patches, size={"shortest_edge": 56 * 56, "longest_edge": most * 64}
        ),
        chat_template=TEMPLATE,
    )
    config_class = transformers.Qwen2_5_VLConfig if newer else transformers.Qwen2VLConfig
    config = config_class(
        text_config=_text_config(ids, size) | {"rope_parameters": {**_ROPE, "mrope_section": [8, 12, 12]}},
        vision_config=_vision_config(newer, size),
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
        tie_word_embeddings=False,
    )
    return getattr(transformers, f"Qwen2{'_5_' if newer else ''}VLForConditionalGeneration")(config), processor


def _onevision(tokenizer: Any, ids: Mapping[str, int], size: Size) -> tuple[Any, Any]:
    import transformers

    side, pinpoints = {"height": 112, "width": 112}, [[112, 112], [224, 224]]
    shared = {"vision_feature_select_strategy": "full"}
    processor = transformers.LlavaOnevisionProcessor(
        image_processor=transformers.LlavaOnevisionImageProcessor(size=side, image_grid_pinpoints=pinpoints),
        tokenizer=tokenizer,
        video_processor=transformers.LlavaOnevisionVideoProcessor(size=side),
        num_image_tokens=64,
        image_token="<|image_pad|>",
        video_token="<|video_pad|>",
        chat_template=TEMPLATE.replace("<|vision_start|>", "").replace("<|vision_end|>", ""),
        **shared,
    )
    config = transformers.LlavaOnevisionConfig(
        text_config={"model_type": "qwen2", **_text_config(ids, size), "rope_parameters": dict(_ROPE)},
        vision_config={
            "model_type": "siglip_vision_model",
            "hidden_size": size.vision,
            "intermediate_size": 2 * size.vision,
            "num_hidden_layers": size.depth,
            "num_attention_heads": max(2, size.vision // 64),
            "image_size": 112,
            "patch_size": 14,
            "vision_use_head": False,
        },
        image_token_index=ids["<|image_pad|>"],
        video_token_index=ids["<|video_pad|>"],
        vision_feature_layer=-1,
        image_grid_pinpoints=pinpoints,
        tie_word_embeddings=False,
        **shared,
    )
    return transformers.LlavaOnevisionForConditionalGeneration(config), processor


def _name_tower_as_published(path: Path) -> None:
    """Published checkpoints and vLLM have ``vision_tower.vision_model.``; transformers 5 reads that, but drops it."""
    from safetensors.torch import load_file, save_file

    weights = load_file(path)
    before, after = "vision_tower.", "vision_tower.vision_model."
    named = {name if after in name else name.replace(before, after): weight for name, weight in weights.items()}
    save_file(named, path, metadata={"format": "pt"})


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


def _text_config(ids: Mapping[str, int], size: Size) -> dict[str, Any]:
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
