"""What a model is called in transformers: ``config.json`` from a litgpt configuration, and back.

Three architectures of transformers say what litgpt's Llama-shaped models are: ``LlamaForCausalLM``; with a bias on q, k
and v ``Qwen2ForCausalLM``; with a norm on q and k ``Qwen3ForCausalLM``. Everything else is refused by name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from litgpt_zh.prompts import EOS, PAD
from litgpt_zh.stage import UserError

MODEL_TYPES = ("llama", "qwen2", "qwen3")

_LLAMA_SHAPED = {
    "norm_class_name": "RMSNorm", "mlp_class_name": "LLaMAMLP", "bias": False, "lm_head_bias": False,
    "parallel_residual": False, "shared_attention_norm": False, "norm_1": True, "norm_2": True,
    "post_attention_norm": False, "post_mlp_norm": False, "rotary_percentage": 1.0, "rope_interleave": False,
    "rope_condense_ratio": 1, "rope_local_base_freq": None, "sliding_window_size": None,
    "attention_logit_softcapping": None, "final_logit_softcapping": None, "scale_embeddings": False,
    "latent_attention": None, "n_expert": 0,
}  # fmt: skip
_NOT_LITGPT_DEFAULTS = ("norm_class_name", "mlp_class_name", "bias", "parallel_residual", "rotary_percentage")
_LLAMA3_ROPE = {  # litgpt's name -> transformers' name
    "factor": "factor",
    "low_freq_factor": "low_freq_factor",
    "high_freq_factor": "high_freq_factor",
    "original_max_seq_len": "original_max_position_embeddings",
}


def obstacle(config: Any) -> str | None:
    """Why a ``litgpt.Config`` has no form among ``MODEL_TYPES``, such as ``parallel_residual: true``; None if it has."""
    for name, value in _LLAMA_SHAPED.items():
        if getattr(config, name) != value:
            return f"{name}: {json.dumps(getattr(config, name))}"
    if config.attention_scores_scalar not in (None, config.head_size):
        return f"attention_scores_scalar: {config.attention_scores_scalar}"
    if config.norm_qk and (config.norm_qk_type != "default" or config.attn_bias):
        return f"norm_qk with norm_qk_type {config.norm_qk_type} and attn_bias {config.attn_bias}"
    if config.rope_adjustments is not None and set(config.rope_adjustments) != set(_LLAMA3_ROPE):
        return f"rope_adjustments: {', '.join(config.rope_adjustments)}"
    if "Gemma" in config.name:  # litgpt then adds 1 to the weight of every norm
        return f"name: {config.name} (litgpt takes it for a Gemma)"
    return None


def model_type(config: Any) -> str:
    """One of ``MODEL_TYPES``."""
    return "qwen3" if config.norm_qk else "qwen2" if config.attn_bias else "llama"


def hf_config(config: Any, ids: Mapping[str, int | None], *, tied: bool | None = None) -> dict[str, Any]:
    """``config.json`` of this very model (never copied from the tokenizer's folder, which serves all sizes).

    Args:
        config: a ``litgpt.Config`` without ``obstacle``.
        ids: ``bos_token_id``, ``eos_token_id``, ``pad_token_id`` as ``special_ids`` gives them.
        tied: input and output embedding are one matrix; by default what the configuration says.
    """
    kind, org = model_type(config), (config.hf_config or {}).get("org")
    found = {
        "architectures": [kind.capitalize() + "ForCausalLM"],
        "model_type": kind,
        "_name_or_path": f"{org}/{config.name}" if org else config.name,
        "vocab_size": config.padded_vocab_size,
        "hidden_size": config.n_embd,
        "intermediate_size": config.intermediate_size,
        "num_hidden_layers": config.n_layer,
        "num_attention_heads": config.n_head,
        "num_key_value_heads": config.n_query_groups,
        "head_dim": config.head_size,
        "max_position_embeddings": config.block_size,
        "rms_norm_eps": config.norm_eps,
        "rope_theta": float(config.rope_base),
        "hidden_act": "silu",
        "tie_word_embeddings": is_tied(config.hf_config or {}) if tied is None else tied,
        **ids,
    }
    if kind != "qwen2":
        found["attention_bias"] = False
    if kind == "llama":
        found["mlp_bias"] = False
    if config.rope_adjustments:
        scaling = {theirs: config.rope_adjustments[ours] for ours, theirs in _LLAMA3_ROPE.items()}
        found["rope_scaling"] = {"rope_type": "llama3", **scaling}
    return found


def litgpt_config(found: dict[str, Any], source: Path, name: str) -> dict[str, Any]:
    """The fields of a ``litgpt.Config`` for a ``config.json``; the way back of ``hf_config``.

    Args:
        found: the content of ``config.json``, of any version of transformers.
        source: the file, for messages.
        name: ``org/name`` or the name alone; the model's name in litgpt.

    Raises:
        UserError: another architecture, a variant litgpt's Llama does not know, or a size that is none.
    """
    kind = found.get("model_type")
    if kind not in MODEL_TYPES:
        raise UserError(
            f"{source}: model_type {kind!r} is not read; {', '.join(MODEL_TYPES)} are (for other models of the hub: "
            "litgpt download)"
        )
    _refuse_variants(found, source, kind)
    heads, width = _size(found, "num_attention_heads", source), _size(found, "hidden_size", source)
    groups = _size(found, "num_key_value_heads", source, heads)
    if heads % groups:
        raise UserError(f"{source}: num_attention_heads {heads} is no multiple of num_key_value_heads {groups}")
    org, _, short = name.rpartition("/")
    rope = _rope(found)
    return {
        "name": short,
        "hf_config": {"org": org or "local", "name": short, "tie_word_embeddings": is_tied(found)},
        "block_size": _size(found, "max_position_embeddings", source, 2048),
        "n_layer": _size(found, "num_hidden_layers", source),
        "n_embd": width,
        "n_head": heads,
        "n_query_groups": groups,
        "head_size": _size(found, "head_dim", source, width // heads),
        "intermediate_size": _size(found, "intermediate_size", source),
        "vocab_size": _size(found, "vocab_size", source),
        "padded_vocab_size": _size(found, "vocab_size", source),
        "norm_eps": float(found.get("rms_norm_eps", 1e-6)),
        "norm_qk": kind == "qwen3",
        "attn_bias": kind == "qwen2",
        "rope_base": int(rope["rope_theta"]),
        "rope_adjustments": _adjustments(rope, source),
        **{key: _LLAMA_SHAPED[key] for key in _NOT_LITGPT_DEFAULTS},
    }


def is_tied(found: dict[str, Any]) -> bool:
    """Whether a ``config.json`` says that input and output embedding are one matrix (not saying it means no)."""
    return bool(found.get("tie_word_embeddings"))


def _refuse_variants(found: dict[str, Any], source: Path, kind: str) -> None:
    wanted = {
        "hidden_act": ("silu", "swish", None), "attention_bias": (kind == "qwen2", None, False), "mlp_bias": (False, None),
        "use_sliding_window": (False, None), "quantization_config": (None,), "partial_rotary_factor": (1.0, None),
    }  # fmt: skip
    for key, allowed in wanted.items():
        if found.get(key) not in allowed:
            raise UserError(f"{source}: {key} {found[key]!r} has no form in litgpt's Llama; such a model is not read")


def _size(found: dict[str, Any], key: str, source: Path, default: int | None = None) -> int:
    value = found.get(key)
    value = default if value is None else value
    if type(value) is not int or not 0 < value < 2**31:
        raise UserError(f"{source}: {key} is {value!r}, a whole number above 0 is expected; take the model's own file")
    return value


def _rope(found: dict[str, Any]) -> dict[str, Any]:
    """transformers 5 has ``rope_parameters``; before it were ``rope_theta`` and ``rope_scaling``."""
    scaling = (found.get("rope_scaling") or {}) | (found.get("rope_parameters") or {})
    return {"rope_theta": found.get("rope_theta", 10000.0), **scaling}


def _adjustments(rope: dict[str, Any], source: Path) -> dict[str, Any] | None:
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind == "default":
        return None
    if kind == "llama3" and all(theirs in rope for theirs in _LLAMA3_ROPE.values()):
        return {ours: rope[theirs] for ours, theirs in _LLAMA3_ROPE.items()}
    raise UserError(f"{source}: RoPE of type {kind!r} is not read; default and llama3 are")


def name_in(found: dict[str, Any], folder: Path) -> str:
    """``org/name`` that a ``config.json`` carries, else the folder's name."""
    said = found.get("_name_or_path")
    if isinstance(said, str) and re.fullmatch(r"([\w-][\w.-]*/)?[\w-][\w.-]*", said):
        return said
    return folder.resolve().name


def special_ids(folder: Path) -> dict[str, int | None]:
    """``bos_token_id, eos_token_id, pad_token_id`` of the tokenizer in ``folder``; what it does not name is None.

    ``tokenizer_config.json`` names the pieces. A folder without eos or pad there has ours, where the vocabulary holds them.

    Raises:
        UserError: a tokenizer file is missing or no JSON.
    """
    tokenizer, named = read_json(folder / "tokenizer.json"), {}
    if (folder / "tokenizer_config.json").is_file():
        named = read_json(folder / "tokenizer_config.json")
    vocabulary = {t["content"]: t["id"] for t in tokenizer.get("added_tokens", [])}
    ids: dict[str, int | None] = {}
    for role, ours in (("bos", None), ("eos", EOS), ("pad", PAD)):
        piece = named.get(f"{role}_token")
        piece = piece.get("content") if isinstance(piece, dict) else piece
        ids[f"{role}_token_id"] = vocabulary.get(piece or ours)
    return ids


def read_json(file: Path) -> Any:
    """The content of a JSON file.

    Raises:
        UserError: no such file, or it is not JSON.
    """
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{file}: no such file; a whole model folder has it") from None
    except ValueError as error:
        raise UserError(f"{file}: not JSON ({error}); copy it again") from None
