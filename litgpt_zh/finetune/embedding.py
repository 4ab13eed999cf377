"""The input embedding and the output head, learnt whole beside the factors of LoRA.

Factors cannot teach a small model words it seldom saw: what a word is lies in its row of the embedding, and what it takes to
write it in its row of the head (docs/LOG.md). PEFT calls this ``modules_to_save``; here the two stay one matrix where they are.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from litgpt_zh import ranks
from litgpt_zh.configs import is_tied
from litgpt_zh.sampling import unwrap
from litgpt_zh.stage import UserError


def parts(config: Any, module: Any) -> dict[str, Callable[..., Any]]:
    """What stands in for named parts of ``litgpt.finetune.lora``.

    Raises:
        UserError: the head has factors too.
    """
    if config.lora_head:
        raise UserError("data.train_embeddings trains the head whole; set lora_head: false")
    mark, save = module.mark_only_lora_as_trainable, module.save_lora_checkpoint

    def unfreeze(model: Any, *arguments: Any, **named: Any) -> None:
        mark(model, *arguments, **named)
        embedding, head = model.transformer.wte, model.lm_head.linear
        if is_tied(config):
            embedding.weight = head.weight
        for layer in (embedding, head):
            layer.weight.requires_grad_(True)

    def save_all(fabric: Any, model: Any, file_path: Path) -> None:
        save(fabric, model, file_path)
        if ranks.is_first(fabric):
            add_embeddings(unwrap(model), file_path)

    return {"mark_only_lora_as_trainable": unfreeze, "save_lora_checkpoint": save_all}


def add_embeddings(model: Any, file: Path) -> None:
    """Put both matrices into litgpt's file of LoRA weights, by their names in a merged model: its merge takes them over."""
    state = torch.load(file, map_location="cpu", weights_only=True)
    state["model"]["transformer.wte.weight"] = model.transformer.wte.weight.detach().cpu()
    state["model"]["lm_head.weight"] = model.lm_head.linear.weight.detach().cpu()
    beside = file.with_name(file.name + ".tmp")
    torch.save(state, beside)
    os.replace(beside, file)
