"""Tokenizers of checkpoints whose authors insert pictures without a token of the vocabulary, or with their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stgraph.errors import InputError

END_OF_TURN = "<|im_end|>"

# Chats as LLaVA-NeXT's conversation "qwen_1_5" and VILA's qwen2.jinja write them. {system} is the system message,
# {after} the text after a picture.
_CHAT = (
    "{% if messages[0]['role'] != 'system' %}{{ '<|im_start|>system\n{system}<|im_end|>\n' }}{% endif %}"
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}{% if part['type'] == 'text' %}{{ part['text'] }}"
    "{% elif part['type'] == 'video' %}{{ '{video}{after}' }}{% elif part['type'] == 'image' %}{{ '{image}{after}' }}"
    "{% endif %}{% endfor %}{% endif %}{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def chat_template(system: str, video: str, image: str, after: str) -> str:
    """A Qwen-like chat template; ``system`` is the default system message."""
    made = _CHAT.replace("{system}", system).replace("{after}", after)
    made = made.replace("{video}", video).replace("{image}", image)
    return made.replace("\n", "\\n")  # inside Jinja's strings


def read_tokenizer(folder: Path) -> Any:
    """The tokenizer of a folder, padding on the left; None if it has none.

    Raises
    ------
    InputError
        its files cannot be read
    """
    if not any((folder / name).is_file() for name in ("tokenizer.json", "tokenizer_config.json", "vocab.json")):
        return None
    from transformers import AutoTokenizer, Qwen2Config

    try:  # with a configuration given, config.json, which transformers does not know, is left alone
        return AutoTokenizer.from_pretrained(str(folder), config=Qwen2Config(), padding_side="left")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"cannot read the tokenizer of {folder}: {str(error).splitlines()[0]}") from None


def placeholder(tokenizer: Any, token: str, rows: int) -> int:
    """The id of a placeholder, which is added if the vocabulary lacks it.

    Raises
    ------
    InputError
        its id is beyond the ``rows`` of the embedding
    """
    if token not in tokenizer.get_vocab():
        tokenizer.add_tokens([token], special_tokens=True)
    found = int(tokenizer.convert_tokens_to_ids(token))
    if found >= rows:
        raise InputError(
            f"the tokenizer gives {token} the id {found:,}, but the embedding has {rows:,} rows; do the tokenizer and "
            "the weights belong together?"
        )
    return found
