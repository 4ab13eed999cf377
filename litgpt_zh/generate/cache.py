"""A KV cache for rows of different lengths in litgpt's own GPT, and the attention over it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import MethodType
from typing import Any

import torch
import torch.nn.functional as F
from litgpt.model import GPT, KVCache, do_softcapping

from litgpt_zh.stage import UserError


@dataclass
class Part:
    """Neighbouring rows of a step: they read the first ``end`` positions, but for those that ``bias`` hides."""

    rows: slice
    end: int
    bias: torch.Tensor
    """(rows, 1, 1, end), 0 or -inf"""


@dataclass
class View:
    """What the next forward pass does to the caches; the layers share one.

    A prefill writes rows ``first ..`` from position 0. A step writes one position a row, at ``place``, and reads ``parts``.
    """

    first: int = 0
    place: torch.Tensor | None = None
    """(B * groups,) lines of the caches seen as (rows * groups * length, head size); None: a prefill"""
    parts: Sequence[Part] = ()


class RowCache(KVCache):
    """litgpt's cache with one write for all rows instead of one a row.

    It hands back what it is given: litgpt's attention then works on the new positions alone, which is all a prefill needs;
    a step reads the cache itself, in ``_attention``.
    """

    k: torch.Tensor
    v: torch.Tensor
    view: View

    def forward(self, input_pos: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Write ``k, v`` (B, groups, T, head_size); returns them."""
        if self.k.dtype != k.dtype:  # autocast
            self.k, self.v = self.k.to(k.dtype), self.v.to(v.dtype)
        if self.view.place is None:
            rows = slice(self.view.first, self.view.first + k.size(0))
            self.k[rows, :, : k.size(2)] = k
            self.v[rows, :, : k.size(2)] = v
        else:
            for cache, new in ((self.k, k), (self.v, v)):
                cache.view(-1, cache.size(-1)).index_copy_(0, self.view.place, new.reshape(-1, new.size(-1)))
        return k, v

    def copy_rows(self, source: torch.Tensor, target: torch.Tensor, length: int) -> None:
        """Copy the first ``length`` positions of rows over other rows."""
        self.k[target, :, :length] = self.k[source, :, :length]
        self.v[target, :, :length] = self.v[source, :, :length]


def _attention(
    layer: Any, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor | None = None
) -> torch.Tensor:
    """Stands in for ``CausalSelfAttention.scaled_dot_product_attention``: litgpt's own, causal, in a prefill; in a step,
    over the cache.

    The heads that share a key are queries of one group, so that no key is repeated; (B, heads, 1, size) -> (B, 1, heads, size).
    """
    cache: RowCache = layer.kv_cache
    if cache.view.place is None:
        return type(layer).scaled_dot_product_attention(layer, q, k, v, None)
    y = [_over(layer, cache, part, q[part.rows]) for part in cache.view.parts]
    return (y[0] if len(y) == 1 else torch.cat(y)).reshape(q.size(0), 1, layer.config.n_head, -1)


def _over(layer: Any, cache: RowCache, part: Part, q: torch.Tensor) -> torch.Tensor:
    """(rows, heads, 1, size) -> (rows, groups, heads a group, size)."""
    config = layer.config
    keys, values = cache.k[part.rows, :, : part.end], cache.v[part.rows, :, : part.end]
    q = q.reshape(q.size(0), keys.size(1), -1, q.size(-1))
    scale = (config.attention_scores_scalar or config.head_size) ** -0.5 * layer.mscale * layer.mscale
    if q.is_cuda and config.attention_logit_softcapping is None:
        return F.scaled_dot_product_attention(q, keys, values, attn_mask=part.bias.to(q.dtype), scale=scale)
    # on a CPU a tenth faster than the fused kernel, which is made for many queries
    scores = (q * scale) @ keys.mT  # (rows, groups, heads a group, end)
    if config.attention_logit_softcapping is not None:
        scores = do_softcapping(scores, config.attention_logit_softcapping)
    return scores.float().add_(part.bias).softmax(dim=-1).to(values.dtype) @ values


def row_bytes(model: GPT, length: int) -> int:
    """Bytes that one row of ``length`` positions takes in the caches of all layers."""
    config = model.config
    keys = model.rope_cache_length() + config.head_size - config.rope_n_elem
    width = config.n_query_groups * (keys + config.head_size)
    return config.n_layer * width * length * model.lm_head.weight.element_size()


@contextlib.contextmanager
def kv_caches(model: GPT, rows: int, length: int) -> Iterator[tuple[list[RowCache], View]]:
    """Give every layer of ``model`` a cache of ``rows`` x ``length`` for the time of the block, in eval mode.

    What the model had before (mode, caches, mask) comes back afterwards, so a model in training can be sampled from.

    Raises:
        RuntimeError: the model has such caches already: two engines on one model would write into each other's.
    """
    config, view = model.config, View()
    layers = [block.attn for block in model.transformer.h]
    if any(isinstance(layer.kv_cache, RowCache) for layer in layers):
        raise RuntimeError("another engine has this model open; close it first, or load the model a second time")
    before = [layer.kv_cache for layer in layers], model.mask_cache, model.training
    weight = model.lm_head.weight
    heads = (rows, config.n_query_groups, length)
    keys = (*heads, model.rope_cache_length() + config.head_size - config.rope_n_elem)
    caches = [RowCache(keys, (*heads, config.head_size), weight.device, weight.dtype) for _ in layers]
    try:
        model.eval()
        for layer, cache in zip(layers, caches, strict=True):
            cache.view = view
            layer.kv_cache = cache
            layer.scaled_dot_product_attention = MethodType(_attention, layer)
        # litgpt looks a mask up for each row, which nothing here reads: one column instead of length x length
        model.mask_cache = torch.ones(1, 1, length, 1, dtype=torch.bool, device=weight.device)
        yield caches, view
    finally:
        for layer, cache in zip(layers, before[0], strict=True):
            layer.kv_cache = cache
            layer.__dict__.pop("scaled_dot_product_attention", None)
        model.mask_cache = before[1]
        model.train(before[2])


def require_plain(model: GPT) -> None:
    """Refuse attention that this cache does not serve.

    Raises:
        UserError: the model has sliding windows or latent attention.
    """
    config = model.config
    if getattr(config, "latent_attention", None) or config.sliding_window_size is not None:
        raise UserError(
            f"{config.name}: sliding-window and latent attention have no batched sampling; use litgpt generate"
        )
