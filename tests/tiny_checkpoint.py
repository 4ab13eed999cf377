"""A checkpoint folder of a few kilobytes, with random weights and a byte-fallback tokenizer, for tests."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from litgpt import GPT, Config
from litgpt.utils import save_config
from tokenizers import AddedToken, Tokenizer, decoders, models

from litgpt_zh.prompts import CONTROL, EOS

torch.set_num_threads(1)  # threads cost more than they bring at this size, above all on a busy machine

LETTERS = "小兔子在草地上玩铲。按照下面输入的约束生成故事词汇特征对话随机句摘要，：\n“”"


def tiny_tokenizer(letters: str = LETTERS) -> Tokenizer:
    """Control pieces 0..5, the 256 bytes, then single characters."""
    pieces = [*CONTROL, *(f"<0x{byte:02X}>" for byte in range(256)), *dict.fromkeys(letters)]
    tokenizer = Tokenizer(models.BPE({piece: i for i, piece in enumerate(pieces)}, [], byte_fallback=True))
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.add_special_tokens([AddedToken(piece, special=True, normalized=False) for piece in CONTROL])
    return tokenizer


def tiny_config(vocab_size: int, block_size: int = 96) -> Config:
    return Config(
        name="tiny", n_layer=2, n_embd=32, n_head=4, n_query_groups=2, vocab_size=vocab_size, padded_vocab_size=vocab_size,
        block_size=block_size, rotary_percentage=1.0, parallel_residual=False, bias=False, norm_class_name="RMSNorm",
        mlp_class_name="LLaMAMLP", intermediate_size=64,
    )  # fmt: skip


def tiny_model(vocab_size: int = 97, block_size: int = 96, seed: int = 0) -> GPT:
    """Random weights large enough that greedy decoding wanders and sometimes stops."""
    torch.manual_seed(seed)
    model = GPT(tiny_config(vocab_size, block_size)).eval()
    for parameter in model.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.3)
    return model


def write_checkpoint(
    folder: Path,
    *,
    instruct: bool = False,
    nested: bool = False,
    seed: int = 0,
    letters: str = LETTERS,
    block_size: int = 96,
) -> GPT:
    """Write a whole checkpoint folder and return its model."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = tiny_tokenizer(letters)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": CONTROL[0]}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    model = tiny_model(tokenizer.get_vocab_size(), block_size, seed)
    torch.save({"model": model.state_dict()} if nested else model.state_dict(), folder / "lit_model.pth")
    save_config(model.config, folder)
    if instruct:
        (folder / "prompt_style.yaml").write_text("class_path: litgpt_zh.styles.Story\n")
    return model


LETTER = "小兔子在草地上玩铲"


def write_letters(folder: Path) -> None:
    """A checkpoint that writes letters at random, ends one text in twenty tokens, and never writes another control piece."""
    folder.mkdir(parents=True, exist_ok=True)
    pieces = [*CONTROL, *dict.fromkeys(LETTERS)]
    tokenizer = Tokenizer(models.BPE({piece: i for i, piece in enumerate(pieces)}, []))
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_special_tokens([AddedToken(piece, special=True, normalized=False) for piece in CONTROL])
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": EOS}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    model = tiny_model(len(pieces))
    with torch.no_grad():
        model.transformer.wte.weight[:, 0] = 10.0  # a constant that outlives every block: a bias for the head
        model.lm_head.weight[:, 0] = 0.0
        model.lm_head.weight[1:6, 0] = -5.0
        model.lm_head.weight[0, 0] = 0.1
    torch.save(model.state_dict(), folder / "lit_model.pth")
    save_config(model.config, folder)
    (folder / "prompt_style.yaml").write_text("class_path: litgpt_zh.styles.Story\n")


def letter_records(count: int, first: int = 0) -> list[dict]:
    """Requests for two letters, each with a story that has the first of them."""
    return [
        {"words": [LETTER[n % 9], LETTER[(n + 3) % 9]], "text": LETTER[n % 9] + "小兔子在玩。" * 3, "group": n}
        for n in range(first, first + count)
    ]


def write_records(file: Path, records: list[dict]) -> Path:
    file.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records), encoding="utf-8")
    return file
