"""A few greedy tokens from a model that is in the middle of its training: no cache, nothing of the run disturbed."""

from __future__ import annotations

from typing import Any

import torch
from lightning.fabric.wrappers import _FabricModule
from torch._dynamo.eval_frame import OptimizedModule
from torch.nn.parallel import DistributedDataParallel


def unwrap(model: Any) -> Any:
    """The ``GPT`` inside the wrappers of Fabric, torch.compile and DDP."""
    while True:
        if isinstance(model, OptimizedModule):
            model = model._orig_mod
        elif isinstance(model, _FabricModule):
            model = model._forward_module
        elif isinstance(model, DistributedDataParallel):
            model = model.module
        else:
            return model


@torch.no_grad()
def continue_greedily(model: Any, tokenizer: Any, prompt: str, max_new_tokens: int) -> str:
    """The most likely continuation of ``prompt`` (as text, without it), up to the end-of-text token or the block's end."""
    gpt = unwrap(model)
    was_training = gpt.training
    gpt.eval()
    device = next(gpt.parameters()).device
    ids = tokenizer.encode(prompt, device=device).long()
    start = ids.numel()
    for _ in range(min(max_new_tokens, gpt.max_seq_length - start)):
        following = gpt(ids[None])[0, -1].argmax()
        if following.item() == tokenizer.eos_id:
            break
        ids = torch.cat([ids, following[None]])
    gpt.train(was_training)
    return tokenizer.decode(ids[start:])
