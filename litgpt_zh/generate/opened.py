"""litgpt's GPT while rows are decoded: what stands in for its parts, and how it comes back."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from litgpt.model import GPT, Block, CausalSelfAttention, LLaMAMLP, RMSNorm
from torch import nn

from litgpt_zh.attention import standing_in
from litgpt_zh.generate.cache import PIECE, RowCache, View, attention_in_pieces, cache_dtype, interleave, scale_of

HEAD = 1024
"""Entries of the vocabulary in one product: MKL, which multiplies in float32, is a third slower on all of them at once."""


@contextlib.contextmanager
def kv_caches(model: GPT, rows: int, length: int) -> Iterator[tuple[list[RowCache], View]]:
    """Give every layer of ``model`` a cache of ``rows`` x ``length`` for the time of the block, in eval mode.

    What the model had before (mode, caches, mask) comes back afterwards, so a model in training can be sampled from.

    Raises:
        RuntimeError: the model has such caches already: two engines on one model would write into each other's.
    """
    config, view = model.config, View()
    weight, layers = model.transformer.wte.weight, [block.attn for block in model.transformer.h]
    if any(isinstance(layer.kv_cache, RowCache) for layer in layers):
        raise RuntimeError("another engine has this model open; close it first, or load the model a second time")
    training, cpu, changed = model.training, weight.device.type == "cpu", list[nn.Module]()
    piece = PIECE if cpu else length  # a GPU waits for the next launch, not for the memory
    heads = (-(-length // piece), rows, config.n_query_groups, piece)
    keys = (*heads, model.rope_cache_length() + config.head_size - config.rope_n_elem)
    caches = [RowCache(keys, (*heads, config.head_size), weight.device, cache_dtype(weight)) for _ in layers]
    for cache in caches:
        cache.view = view
    try:
        model.eval()
        with standing_in(model, caches, _attention):
            if cpu:
                _stand_in(model, changed)
            yield caches, view
    finally:
        for module in changed:
            module.__dict__.pop("forward", None)
        model.train(training)


def _stand_in(model: GPT, changed: list[nn.Module]) -> None:
    """Give modules of a model on a CPU, which waits for calls, a forward pass of fewer calls; put them into ``changed``."""
    norms: dict[nn.Module, tuple[torch.Tensor, torch.Tensor]] = {}
    for norm in (module for module in model.modules() if type(module) is RMSNorm):
        root, gain = norm.weight.numel() ** 0.5, norm.weight.detach().float() + norm.add_unit_offset
        weight, least = norms[norm] = gain * root, torch.tensor(root * norm.eps**0.5)
        norm.forward = partial(_norm, weight=weight, least=least)
        changed.append(norm)
    for block in filter(_plain, model.transformer.h):
        attn, mlp, groups = block.attn, block.mlp, block.config.n_query_groups
        heads = attn.qkv.weight.detach().unflatten(0, (-1, block.config.head_size))
        qkv = torch.cat([interleave(heads[:-groups].mT).mT, heads[-groups:]]).flatten(0, 1)
        wide = torch.cat([mlp.fc_1.weight.detach(), mlp.fc_2.weight.detach()])
        attn.kv_cache.interleaved = True
        block.forward = partial(_block, block, norms[block.norm_1], norms[block.norm_2], qkv, wide)
        changed.append(block)
    head = model.lm_head
    if type(head) is nn.Linear and head.bias is None and head.weight.dtype == torch.float32:
        head.forward = partial(_head, head.weight)
        changed.append(head)


def _plain(block: Block) -> bool:
    """Whether a block is that of Llama, without biases."""
    config, attn, mlp = block.config, block.attn, block.mlp
    if config.norm_qk or config.rope_interleave or config.rope_n_elem != config.head_size:
        return False
    if config.parallel_residual or config.rope_local_base_freq is not None or config.head_size % 2:
        return False
    if type(attn) is not CausalSelfAttention or type(mlp) is not LLaMAMLP:
        return False
    matrices = (attn.qkv, attn.proj, mlp.fc_1, mlp.fc_2, mlp.proj)
    return (
        all(type(matrix) is nn.Linear and matrix.bias is None for matrix in matrices)
        and all(type(norm) is RMSNorm for norm in (block.norm_1, block.norm_2))
        and all(type(norm) is nn.Identity for norm in (block.post_attention_norm, block.post_mlp_norm))
    )


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
        y = F.scaled_dot_product_attention(queries, keys, values, attn_mask=bias[0].to(q.dtype), scale=scale_of(layer))
    else:
        y = attention_in_pieces(queries, layer).to(q.dtype)
    return y.reshape(q.size(0), 1, layer.config.n_head, -1)


_Norm = tuple[torch.Tensor, torch.Tensor]


def _block(
    block: Block,
    norm_1: _Norm,
    norm_2: _Norm,
    qkv: torch.Tensor,
    wide: torch.Tensor,
    x: torch.Tensor,
    cos: torch.Tensor,
    sin: torch.Tensor,
    mask: Any = None,
    input_pos: Any = None,
    _: Any = None,
) -> torch.Tensor:
    """Stands in for ``Block.forward`` of a ``_plain`` block: litgpt's own in a prefill; in a step, its matrices called
    directly, queries and keys turned together (RoPE as one complex product, in the precision of the cache), the two inner
    products of the MLP as one.

    Args:
        norm_1, norm_2: weight and least of ``_norm``.
        qkv: ((heads + 2 groups) * size, n) the layer's, queries and keys interleaved.
        wide: (2 * inner size, n) fc_1 and fc_2.
        x: (B, 1, n).
    """
    attn, mlp = block.attn, block.mlp
    cache: RowCache = attn.kv_cache
    if cache.view.place is None:
        return type(block).forward(block, x, cos, sin, mask, input_pos)
    heads, groups, size = block.config.n_head, block.config.n_query_groups, block.config.head_size
    rows = x.flatten(0, 1)  # (B, n)
    heads_of = F.linear(_norm(rows, *norm_1), qkv).view(len(rows), heads + 2 * groups, size)
    pairs = torch.view_as_complex(heads_of[:, :-groups].to(cache.k.dtype).unflatten(-1, (-1, 2)))
    turned = torch.view_as_real(pairs * cache.view.turn(cos, sin)).flatten(2)
    cache(input_pos, turned[:, heads:], heads_of[:, -groups:])
    y = attention_in_pieces(turned[:, :heads].unflatten(1, (groups, -1)), attn)
    rows = rows + F.linear(y.view(len(rows), heads * size).to(rows.dtype), attn.proj.weight)
    gate, up = F.linear(_norm(rows, *norm_2), wide).chunk(2, dim=1)
    return (rows + F.linear(F.silu(gate).mul_(up), mlp.proj.weight)).view_as(x)


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


def _head(weight: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Stands in for ``nn.Linear.forward`` of the head: the vocabulary in parts.

    Args:
        weight: (V, n).
        x: (B, T, n).
    """
    rows, logits = x.flatten(0, 1), x.new_empty(x.shape[:2].numel(), len(weight))
    for part, out in zip(weight.split(HEAD), logits.split(HEAD, dim=1), strict=True):
        torch.mm(rows, part.mT, out=out)
    return logits.view(*x.shape[:2], -1)
