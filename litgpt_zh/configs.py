"""The model family: Llama-shaped, tied embeddings. Importing this module registers it in litgpt."""

from __future__ import annotations

from typing import Any

import litgpt.config

from litgpt_zh.stage import UserError

VOCAB_SIZE = 6656
"""Of every member but the smallest: 52 x 128, so no padding rows in the embedding matrix."""

_SHAPES: dict[str, dict[str, int]] = {
    "zh-tinystories-1m": dict(n_embd=128, n_layer=4, n_head=4, intermediate_size=384, block_size=256, vocab_size=4096),
    "zh-tinystories-2m": dict(n_embd=128, n_layer=6, n_head=4, intermediate_size=384, block_size=256),
    "zh-tinystories-10m": dict(n_embd=256, n_layer=10, n_head=4, intermediate_size=768, block_size=512),
    "zh-tinystories-44m": dict(n_embd=512, n_layer=12, n_head=8, intermediate_size=1536, block_size=512),
    "zh-tinystories-100m": dict(n_embd=768, n_layer=13, n_head=12, intermediate_size=2304, block_size=1024),
}
"""head_size is always n_embd / n_head and SwiGLU is 3 x n_embd, so every Llama loader reads the exported model."""


def config_dict(name: str) -> dict[str, Any]:
    """Every field of the ``litgpt.Config`` called ``name`` that differs from litgpt's GPT-NeoX-like defaults.

    Raises:
        KeyError: no such member of the family.
    """
    shape = {"vocab_size": VOCAB_SIZE, **_SHAPES[name]}
    return dict(
        name=name,
        hf_config={"org": "litgpt-zh", "name": name, "tie_word_embeddings": True},
        padded_vocab_size=shape["vocab_size"],
        head_size=shape["n_embd"] // shape["n_head"],
        n_query_groups=shape["n_head"],
        rotary_percentage=1.0,
        parallel_residual=False,
        bias=False,
        norm_class_name="RMSNorm",
        norm_eps=1e-5,
        mlp_class_name="LLaMAMLP",
        **shape,
    )


def register() -> None:
    """Make the family known to ``Config.from_name`` and to every litgpt command; calling it twice changes nothing."""
    for name in _SHAPES:
        if name not in litgpt.config.name_to_config:
            config = config_dict(name)
            litgpt.config.configs.append(config)
            litgpt.config.name_to_config[name] = config


def names() -> list[str]:
    """The family, smallest first."""
    return list(_SHAPES)


def require_name(name: str) -> None:
    """Refuse an unknown model name before litgpt's ``pretrain`` ends with exit status 0.

    Raises:
        UserError: with the nearest names.
    """
    import difflib

    known = litgpt.config.name_to_config
    if (
        name in known
        or name == "list"
        or any(name == f"{c['hf_config']['org']}/{c['hf_config']['name']}" for c in known.values())
    ):
        return
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
    raise UserError(f"unknown model name {name!r}; did you mean {', '.join(near or names())}?")


def is_tied(config: litgpt.config.Config) -> bool:
    """Whether input and output embeddings of this model are one matrix."""
    return bool((config.hf_config or {}).get("tie_word_embeddings"))


register()
