"""A KV cache for rows of different lengths in litgpt's own GPT, and the attention over it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from litgpt.model import GPT, KVCache, do_softcapping

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
    kept: tuple[Sequence[Any], torch.Tensor, list[torch.Tensor]] | None = None
    turned: tuple[torch.Tensor, torch.Tensor] | None = None

    def scores(self, shape: Sequence[int], like: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Room for the scores of one layer (pieces, lines, heads, width), and the part of it that each read fills: the same
        for all layers and for the steps that read the same, since taking a view costs as much as adding two rows."""
        if self.kept is None or self.kept[0] is not self.reads or self.kept[1].shape != shape:
            room = like.new_empty(shape)
            self.kept = self.reads, room, [room[piece, some] for piece, some in self.reads]
        return self.kept[1:]

    def turn(self, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        """Rotations of a step, (B, 1, size / 2) complex, made once for all layers.

        Args:
            cos, sin: (B, 1, size), as litgpt hands them to every block; the second half repeats the first.
        """
        if self.turned is None or self.turned[0] is not cos:
            half = cos.size(-1) // 2
            self.turned = cos, torch.complex(cos[..., :half].float(), sin[..., :half].float())
        return self.turned[1]


class RowCache(KVCache):
    """litgpt's cache, (pieces, rows, groups, piece, head size): one write for all rows instead of one a row, and the
    positions in pieces, so that what rows of one length read has no gaps.

    It hands back what it is given: litgpt's attention then works on the new positions alone, which is all a prefill needs;
    a step reads the cache itself, in ``attention_in_pieces``.
    """

    k: torch.Tensor
    v: torch.Tensor
    view: View
    interleaved: bool = False
    """Whether steps bring keys whose two halves are; the keys of a prefill then become so"""
    kept: tuple[Sequence[Any], int, list[tuple[torch.Tensor, torch.Tensor]]] | None = None

    def forward(self, input_pos: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Write ``k, v`` (B, groups, T, head_size); returns them."""
        if self.k.dtype != (wanted := cache_dtype(k)):  # autocast
            self.k, self.v, self.kept = self.k.to(wanted), self.v.to(wanted), None
        kept = interleave(k) if self.interleaved and self.view.place is None else k
        for cache, new in ((self.k, kept), (self.v, v)):
            if self.view.place is None:
                rows = slice(self.view.first, self.view.first + k.size(0))
                for piece, part in enumerate(new.split(cache.size(3), dim=2)):
                    cache[piece, rows, :, : part.size(2)] = part
            else:
                cache.view(-1, cache.size(-1)).index_copy_(
                    0, self.view.place, new.to(cache.dtype).reshape(-1, new.size(-1))
                )
        return k, v

    def parts(self, width: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Keys (lines, size, width) and values (lines, width, size) of each of the view's reads; views, as in ``View.scores``."""
        reads = self.view.reads
        if self.kept is None or self.kept[0] is not reads or self.kept[1] != width:
            keys, values = self.k.flatten(1, 2), self.v.flatten(1, 2)
            self.kept = reads, width, [(keys[p, some, :width].mT, values[p, some, :width]) for p, some in reads]
        return self.kept[2]

    def copy_rows(self, source: torch.Tensor, target: torch.Tensor, length: int) -> None:
        """Copy the first ``length`` positions of rows over other rows."""
        size = self.k.size(3)
        pieces, width = slice(0, -(-length // size)), min(length, size)
        for cache in (self.k, self.v):
            cache[pieces, target, :, :width] = cache[pieces, source, :, :width]


def interleave(x: torch.Tensor) -> torch.Tensor:
    """(..., size): entries i and i + size / 2, which RoPE turns together, become neighbours."""
    return x.unflatten(-1, (2, -1)).mT.flatten(-2)


def scale_of(layer: Any) -> float:
    """What scores of queries and keys are multiplied with."""
    return (layer.config.attention_scores_scalar or layer.config.head_size) ** -0.5 * layer.mscale * layer.mscale


def attention_in_pieces(q: torch.Tensor, layer: Any) -> torch.Tensor:
    """Attention of one query a row, piece by piece; on a CPU faster than the fused kernel, which is made for many queries.

    Args:
        q: (B, groups, heads a group, size).

    Returns:
        (B * groups, heads a group, size), in the precision of the cache.
    """
    cache: RowCache = layer.kv_cache
    view, cap, dtype = cache.view, layer.config.attention_logit_softcapping, cache.k.dtype
    bias, scale = view.bias, scale_of(layer)
    assert bias is not None
    rows, (pieces, width) = q.shape[:3], (bias.size(0), bias.size(-1))
    lines, parts = q.to(dtype).flatten(0, 1), cache.parts(width)
    scores, rooms = view.scores((pieces, len(lines), rows[2], width), lines)
    if cap is None:
        scores.view(pieces, *rows, width).copy_(bias)
    else:
        scores.zero_()
    for (_, some), (keys, _), room in zip(view.reads, parts, rooms, strict=True):
        room.baddbmm_(lines[some], keys, alpha=scale)
    if cap is not None:
        scores = do_softcapping(scores, cap) + bias.expand(pieces, *rows[:2], 1, width).flatten(1, 2)
    mass = scores.permute(1, 2, 0, 3).flatten(2).softmax(dim=-1, dtype=torch.float32).to(dtype)
    y = torch.bmm(mass[:, :, :width], parts[0][1])  # the first piece is every row's
    for (piece, some), (_, values) in zip(view.reads[1:], parts[1:], strict=True):
        y[some].baddbmm_(mass[some, :, piece * width : (piece + 1) * width], values)
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
    return config.n_layer * width * padded * cache_dtype(model.transformer.wte.weight).itemsize


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
