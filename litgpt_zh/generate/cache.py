"""A KV cache for rows of different lengths in litgpt's own GPT."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from litgpt.model import GPT, KVCache, build_mask_cache

from litgpt_zh.stage import UserError

BUCKET = 64
"""Attention reads the cache up to the longest row, rounded up to this: litgpt says nothing when the length is short."""


class RowCache(KVCache):
    """litgpt's cache, with one write for all rows instead of one a row, and a first row to write from.

    Rows ``first .. first + B`` are written and returned. What right-padded prompts leave behind their end is masked until
    the row's own tokens overwrite it.
    """

    k: torch.Tensor
    v: torch.Tensor
    first = 0

    def forward(self, input_pos: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Write ``k, v`` (B, groups, T, head_size) at ``input_pos``, (T,) or (B, T); returns both (B, groups, S, head_size)."""
        if self.k.dtype != k.dtype:  # autocast
            self.k, self.v = self.k.to(k.dtype), self.v.to(v.dtype)
        rows = slice(self.first, self.first + k.size(0))
        keys, values = self.k[rows], self.v[rows]
        if input_pos.dim() == 1:
            keys.index_copy_(2, input_pos, k)
            values.index_copy_(2, input_pos, v)
        else:
            row = torch.arange(k.size(0), device=k.device)[:, None]  # (B, 1)
            keys[row, :, input_pos] = k.transpose(1, 2)  # (B, T, groups, head_size)
            values[row, :, input_pos] = v.transpose(1, 2)
        return keys, values

    def move(self, source: int, target: int) -> None:
        """Copy a row over another."""
        self.k[target].copy_(self.k[source])
        self.v[target].copy_(self.v[source])


@contextlib.contextmanager
def kv_caches(model: GPT, rows: int, length: int) -> Iterator[list[RowCache]]:
    """Give every layer of ``model`` a cache of ``rows`` x ``length`` for the time of the block, in eval mode.

    What the model had before (mode, caches, mask) comes back afterwards, so a model in training can be sampled from.

    Raises:
        UserError: the model has sliding windows or latent attention, which this cache does not serve.
    """
    config = model.config
    if getattr(config, "latent_attention", None) or config.sliding_window_size is not None:
        raise UserError(
            f"{config.name}: sliding-window and latent attention have no batched sampling; use litgpt generate"
        )
    layers = [block.attn for block in model.transformer.h]
    before = [layer.kv_cache for layer in layers], model.mask_cache, model.training
    weight = model.lm_head.weight
    heads = (rows, config.n_query_groups, length)
    keys = (*heads, model.rope_cache_length() + config.head_size - config.rope_n_elem)
    caches = [RowCache(keys, (*heads, config.head_size), weight.device, weight.dtype) for _ in layers]
    try:
        model.eval()
        for layer, cache in zip(layers, caches, strict=True):
            layer.kv_cache = cache
        model.mask_cache = build_mask_cache(length, weight.device)
        yield caches
    finally:
        for layer, cache in zip(layers, before[0], strict=True):
            layer.kv_cache = cache
        model.mask_cache = before[1]
        model.train(before[2])


def bucketed(length: int, limit: int) -> int:
    """``length`` rounded up to whole buckets, at most ``limit``."""
    return min(-(-length // BUCKET) * BUCKET, limit)
