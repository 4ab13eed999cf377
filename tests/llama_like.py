"""Checkpoints of every shape that transformers has a form for, with random weights, for the export tests."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from litgpt import GPT, Config
from litgpt.utils import save_config
from tiny_checkpoint import tiny_config, tiny_tokenizer

from litgpt_zh.tokenizer import files

SHAPES: dict[str, dict[str, Any]] = {
    "grouped queries": {},
    "tied": {"hf_config": {"org": "x", "name": "tiny", "tie_word_embeddings": True}},
    "wide heads": {"head_size": 24, "n_query_groups": 1},
    "llama3 rope": {
        "rope_adjustments": dict(factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_seq_len=32)
    },
    "qwen2": {"attn_bias": True, "n_query_groups": 4},
    "qwen3": {"norm_qk": True, "rope_base": 1_000_000, "norm_eps": 1e-6},
}


def checkpoint(
    folder: Path, shape: str = "tied", *, instruct: bool = True, dtype: torch.dtype = torch.float32, seed: int = 0
) -> GPT:
    """Write a whole checkpoint folder and return its model; tied embeddings are equal, as training leaves them."""
    folder.mkdir(parents=True)
    tokenizer = tiny_tokenizer()
    config = Config(**{**asdict(tiny_config(tokenizer.get_vocab_size())), **SHAPES[shape]})
    torch.manual_seed(seed)
    model = GPT(config).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, mean=float(parameter.dim() == 1), std=0.3)
    if shape == "tied":
        model.lm_head.weight = model.transformer.wte.weight
    model.to(dtype)
    tokenizer.save(str(folder / files.TOKENIZER))
    (folder / files.CONFIG).write_text(json.dumps(files.config(1024), ensure_ascii=False))
    torch.save(model.state_dict(), folder / "lit_model.pth")
    save_config(config, folder)
    if instruct:
        (folder / "prompt_style.yaml").write_text("class_path: litgpt_zh.styles.Story\n")
    return model


def ids(length: int, vocab_size: int, seed: int = 1) -> torch.Tensor:
    """(2, length) random token ids."""
    return torch.randint(0, vocab_size, (2, length), generator=torch.Generator().manual_seed(seed))
