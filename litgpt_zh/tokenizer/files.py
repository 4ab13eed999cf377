"""The files of a tokenizer folder: what `tokenizers`, transformers, litgpt and the exporters read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xxhash

from litgpt_zh.prompts import ASSISTANT, CONTROL, EOS, PAD, SYSTEM, USER
from litgpt_zh.stage import UserError, write_text

if TYPE_CHECKING:
    import tokenizers

TOKENIZER, CONFIG, SPECIAL = "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"


def chat_template() -> str:
    """`prompts.chat_prompt` as a Jinja template: the same string for the same turns."""
    harmless = "".join(f" | replace('{piece}', '＜{piece[1:-1]}＞')" for piece in CONTROL)
    return (
        "{%- for message in messages -%}"
        f"{{%- set content = message['content']{harmless} -%}}"
        f"{{%- if message['role'] == 'system' -%}}{{{{- '{SYSTEM}' + content -}}}}"
        f"{{%- elif message['role'] == 'user' -%}}{{{{- '{USER}' + content -}}}}"
        f"{{%- elif message['role'] == 'assistant' -%}}{{{{- '{ASSISTANT}' + content + '{EOS}' -}}}}"
        "{%- else -%}{{- raise_exception('unknown role ' + message['role']"
        " + '; use system, user or assistant') -}}{%- endif -%}"
        "{%- endfor -%}"
        f"{{%- if add_generation_prompt -%}}{{{{- '{ASSISTANT}' -}}}}{{%- endif -%}}"
    )


def config(model_max_length: int) -> dict[str, Any]:
    """``tokenizer_config.json``: no bos (litgpt strips a leading one), eos that ends a story, a pad of its own."""
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": EOS,
        "pad_token": PAD,
        "add_bos_token": False,
        "add_eos_token": False,
        "clean_up_tokenization_spaces": False,
        "model_max_length": model_max_length,
        "chat_template": chat_template(),
    }


def save(tokenizer: tokenizers.Tokenizer, folder: Path, *, model_max_length: int) -> None:
    """Write ``tokenizer.json``, ``tokenizer_config.json`` and ``special_tokens_map.json`` into ``folder``."""
    write_text(folder / TOKENIZER, tokenizer.to_str(pretty=True))
    write_text(folder / CONFIG, json.dumps(config(model_max_length), ensure_ascii=False, indent=1))
    write_text(folder / SPECIAL, json.dumps({"eos_token": EOS, "pad_token": PAD}, indent=1))


def load(folder: Path | str) -> tokenizers.Tokenizer:
    """The tokenizer of a folder (ours, litgpt's checkpoint or Hugging Face's).

    Raises:
        UserError: no ``tokenizer.json`` there, or one that cannot be read.
    """
    from tokenizers import Tokenizer

    path = Path(folder) / TOKENIZER
    if not path.is_file():
        raise UserError(f"{path}: no such file; give a folder made by `litgpt-zh tokenizer` or one with a {TOKENIZER}")
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises a bare Exception
        raise UserError(f"{path}: not a tokenizer ({error}); copy or train it again") from None


def eos_id(folder: Path | str, tokenizer: tokenizers.Tokenizer) -> int:
    """The id that ends a document: ``eos_token`` of ``tokenizer_config.json``, else ``<|endoftext|>``.

    Raises:
        UserError: the vocabulary has no such piece.
    """
    path = Path(folder) / CONFIG
    piece = json.loads(path.read_text(encoding="utf-8")).get("eos_token") if path.is_file() else None
    piece = (piece.get("content") if isinstance(piece, dict) else piece) or EOS
    found = tokenizer.token_to_id(piece)
    if found is None:
        raise UserError(f"{folder}: no piece {piece!r} to end a document with; set eos_token in {CONFIG}")
    return found


def vocabulary_hash(tokenizer: tokenizers.Tokenizer) -> str:
    """xxh3-128 over all (id, piece) pairs: equal for a copy of the tokenizer, whatever version wrote its file."""
    pairs = sorted((index, piece) for piece, index in tokenizer.get_vocab(with_added_tokens=True).items())
    return xxhash.xxh3_128(json.dumps(pairs, ensure_ascii=False).encode()).hexdigest()
