"""A KV cache for rows of different lengths in litgpt's own GPT, and the attention over it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from types import MethodType
from typing import Any

import torch
import torch.nn.functional as F
from litgpt.model import GPT, KVCache, RMSNorm, apply_rope, do_softcapping

from litgpt_zh.stage import UserError

PIECE = 32
"""Positions that a CPU reads at a time: memory without gaps comes faster, and a short row costs what it holds."""


@dataclass
class View:
    """What the next forward pass does to the caches; the layers share one.

    A prefill writes rows ``first ..`` from position 0. A step writes one position a row, at ``place``, and reads ``reads``.
    """

    first: int = 0
    place: torch.Tensor | None = None
    """(B * groups,) lines of the caches seen as (pieces * rows * groups * piece, head size); None: a prefill"""
    reads: Sequence[tuple[int, slice]] = ()
    """pieces, and the lines (rows * groups) that reach them"""
    bias: torch.Tensor | None = None
    """(pieces, B, 1, 1, width), 0 or -inf: the positions each row has, of the first ``width`` of a piece"""


class RowCache(KVCache):
    """litgpt's cache, (pieces, rows, groups, piece, head size): one write for all rows instead of one a row, and the
    positions in pieces, so that what rows of one length read has no gaps.

    It hands back what it is given: litgpt's attention then works on the new positions alone, which is all a prefill needs;
    a step reads the cache itself, in ``_attention`` or ``_step``.
    """

    k: torch.Tensor
    v: torch.Tensor
    view: View

    def forward(self, input_pos: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Write ``k, v`` (B, groups, T, head_size); returns them."""
        if self.k.dtype != (wanted := cache_dtype(k)):  # autocast
            self.k, self.v = self.k.to(wanted), self.v.to(wanted)
        for cache, new in ((self.k, k), (self.v, v)):
            if self.view.place is None:
                rows = slice(self.view.first, self.view.first + k.size(0))
                for piece, part in enumerate(new.split(cache.size(3), dim=2)):
                    cache[piece, rows, :, : part.size(2)] = part
            else:
                cache.view(-1, cache.size(-1)).index_copy_(
                    0, self.view.place, new.to(cache.dtype).reshape(-1, new.size(-1))
                )
        return k, v

    def copy_rows(self, source: torch.Tensor, target: torch.Tensor, length: int) -> None:
        """Copy the first ``length`` positions of rows over other rows."""
        size = self.k.size(3)
        pieces, width = slice(0, -(-length // size)), min(length, size)
        for cache in (self.k, self.v):
            cache[pieces, target, :, :width] = cache[pieces, source, :, :width]


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
    queries = q.reshape(q.size(0), cache.k.size(2), -1, q.size(-1))  # (B, groups, heads a group, size)
    if q.is_cuda and layer.config.attention_logit_softcapping is None:
        bias = cache.view.bias
        assert bias is not None
        keys, values = (x[0, : q.size(0), :, : bias.size(-1)] for x in (cache.k, cache.v))
        y = F.scaled_dot_product_attention(queries, keys, values, attn_mask=bias[0].to(q.dtype), scale=_scale(layer))
    else:
        y = _in_pieces(queries, layer).to(q.dtype)
    return y.reshape(q.size(0), 1, layer.config.n_head, -1)


def _step(
    layer: Any,
    x: torch.Tensor,
    cos: torch.Tensor,
    sin: torch.Tensor,
    mask: Any = None,
    input_pos: Any = None,
    _: Any = None,
) -> torch.Tensor:
    """Stands in for ``CausalSelfAttention.forward`` of a ``_plain`` model: litgpt's own, causal, in a prefill; in a step,
    queries and keys turned together, in the precision of the cache. A CPU waits for calls there, and these are fewer.
    """
    cache: RowCache = layer.kv_cache
    if cache.view.place is None:
        return type(layer).forward(layer, x, cos, sin, None, input_pos)
    heads, groups, size = layer.config.n_head, layer.config.n_query_groups, layer.config.head_size
    qkv = layer.qkv(x).view(x.size(0), heads + 2 * groups, 1, size)
    turned = apply_rope(qkv[:, :-groups].to(cache.k.dtype), cos, sin)
    cache(input_pos, turned[:, heads:], qkv[:, -groups:])
    y = _in_pieces(turned[:, :heads].reshape(x.size(0), groups, -1, size), layer)
    return layer.proj(y.reshape(x.size(0), 1, heads * size).to(x.dtype))


def _norm(x: torch.Tensor, weight: torch.Tensor, least: torch.Tensor) -> torch.Tensor:
    """Stands in for ``RMSNorm.forward``: x / sqrt(|x|^2 / n + eps) is x sqrt(n) / sqrt(|x|^2 + n eps), in fewer calls.

    Args:
        x: (..., n).
        weight: (n,) sqrt(n) times the norm's, float32.
        least: sqrt(n eps).
    """
    wide = x.float()
    length = torch.hypot(torch.linalg.vector_norm(wide, dim=-1, keepdim=True), least)
    return (wide / length).mul_(weight).to(x.dtype)


def _plain(config: Any) -> bool:
    """Whether queries and keys are only turned, whole, before they meet."""
    return not config.norm_qk and not config.rope_interleave and config.rope_n_elem == config.head_size


def _scale(layer: Any) -> float:
    return (layer.config.attention_scores_scalar or layer.config.head_size) ** -0.5 * layer.mscale * layer.mscale


def _in_pieces(q: torch.Tensor, layer: Any) -> torch.Tensor:
    """Attention of one query a row, piece by piece; on a CPU faster than the fused kernel, which is made for many queries.

    Args:
        q: (B, groups, heads a group, size).

    Returns:
        (B * groups, heads a group, size), in the precision of the cache.
    """
    cache: RowCache = layer.kv_cache
    bias, cap, dtype = cache.view.bias, layer.config.attention_logit_softcapping, cache.k.dtype
    assert bias is not None
    pieces, width = bias.size(0), bias.size(-1)
    lines, keys, values = q.to(dtype).flatten(0, 1), cache.k.flatten(1, 2), cache.v.flatten(1, 2)
    start = (bias if cap is None else torch.zeros_like(bias)).to(dtype)
    scores = start.expand(pieces, *q.shape[:3], width).clone(memory_format=torch.contiguous_format).flatten(1, 2)
    for piece, some in cache.view.reads:
        scores[piece, some].baddbmm_(lines[some], keys[piece, some, :width].mT, alpha=_scale(layer))
    if cap is not None:
        scores = do_softcapping(scores, cap) + bias.expand(pieces, *q.shape[:2], 1, width).flatten(1, 2)
    mass = scores.permute(1, 2, 0, 3).flatten(2).softmax(dim=-1, dtype=torch.float32).to(dtype)
    (_, every), *later = cache.view.reads  # the first piece is every row's
    y = torch.bmm(mass[every, :, :width], values[0, every, :width])
    for piece, some in later:
        y[some].baddbmm_(mass[some, :, piece * width : (piece + 1) * width], values[piece, some, :width])
    return y


def cache_dtype(computed: torch.Tensor) -> torch.dtype:
    """What a cache holds, for a model that computes like this: on a CPU small batched products are faster in float32."""
    return torch.float32 if computed.device.type == "cpu" else computed.dtype


def row_bytes(model: GPT, length: int) -> int:
    """Bytes that one row of ``length`` positions takes in the caches of all layers."""
    config = model.config
    keys = model.rope_cache_length() + config.head_size - config.rope_n_elem
    width = config.n_query_groups * (keys + config.head_size)
    padded = -(-length // PIECE) * PIECE
    return config.n_layer * width * padded * cache_dtype(model.lm_head.weight).itemsize


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
    norms = [m for m in model.modules() if type(m) is RMSNorm and weight.device.type == "cpu"]
    piece = PIECE if weight.device.type == "cpu" else length  # a GPU waits for the next launch, not for the memory
    heads = (-(-length // piece), rows, config.n_query_groups, piece)
    keys = (*heads, model.rope_cache_length() + config.head_size - config.rope_n_elem)
    caches = [RowCache(keys, (*heads, config.head_size), weight.device, cache_dtype(weight)) for _ in layers]
    try:
        model.eval()
        for layer, cache in zip(layers, caches, strict=True):
            cache.view = view
            layer.kv_cache = cache
            if weight.device.type == "cpu" and _plain(config):
                layer.forward = MethodType(_step, layer)
            else:
                layer.scaled_dot_product_attention = MethodType(_attention, layer)
        for norm in norms:
            root, gain = norm.weight.numel() ** 0.5, norm.weight.detach().float() + norm.add_unit_offset
            norm.forward = partial(_norm, weight=gain * root, least=torch.tensor(root * norm.eps**0.5))
        # litgpt looks a mask up for each row, which nothing here reads: one column instead of length x length
        model.mask_cache = torch.ones(1, 1, length, 1, dtype=torch.bool, device=weight.device)
        yield caches, view
    finally:
        for layer, cache in zip(layers, before[0], strict=True):
            layer.kv_cache = cache
            layer.__dict__.pop("scaled_dot_product_attention", None)
        for module in (*layers, *norms):
            module.__dict__.pop("forward", None)
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
