"""The weights under transformers' names, and back: litgpt's own conversion, without what it gets wrong.

litgpt writes both embeddings of a tied model and no config.json; here a tied matrix stands in the file once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from litgpt.config import Config
from litgpt.model import GPT
from litgpt.scripts import convert_hf_checkpoint as theirs
from litgpt.scripts import convert_lit_checkpoint as ours

from litgpt_zh.hf_config import is_tied, model_type
from litgpt_zh.stage import UserError

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
INPUT, OUTPUT = "model.embed_tokens.weight", "lm_head.weight"
_FROM_LITGPT = {
    "llama": ours.copy_weights_llama,
    "qwen2": ours.copy_weights_qwen_2_5,
    "qwen3": ours.copy_weights_qwen_3,
}
_FROM_HF = {
    "llama": theirs.copy_weights_hf_llama,
    "qwen2": theirs.copy_weights_qwen_2_5,
    "qwen3": theirs.copy_weights_qwen_3,
}


def to_hf(state: Mapping[str, torch.Tensor], config: Config, *, tied: bool) -> dict[str, torch.Tensor]:
    """litgpt's state dict under transformers' names; tied, the matrix of both embeddings appears once."""
    found: dict[str, torch.Tensor] = {}
    _FROM_LITGPT[model_type(config)](config, found, dict(state), untie_weights=tied)
    return {name: tensor.contiguous() for name, tensor in found.items()}


def is_one_matrix(state: Mapping[str, torch.Tensor]) -> bool:
    """Whether the two embeddings are equal to the last bit. The weights decide, not what a configuration says of them."""
    return torch.equal(state["transformer.wte.weight"], state["lm_head.weight"])


def from_hf(folder: Path, config: Config) -> dict[str, torch.Tensor]:
    """The weights of a Hugging Face folder under litgpt's names, checked against ``config``; tied ones share memory.

    Raises:
        UserError: no safetensors, or they do not hold what ``config`` says.
    """
    tied = is_tied(config.hf_config)
    files = weight_files(folder)
    check_shapes({name: shape for file in files for name, shape in header(file).items()}, config, folder, tied=tied)
    from safetensors.torch import load_file

    loaded = {name: tensor for file in files for name, tensor in load_file(file).items() if not _is_buffer(name)}
    if tied and OUTPUT in loaded:
        if not torch.equal(loaded[INPUT], loaded[OUTPUT]):
            raise UserError(
                f"{folder}: config.json says tie_word_embeddings, but {OUTPUT} differs from {INPUT}; "
                "set it to false to keep both (transformers would drop the former)"
            )
        del loaded[OUTPUT]
    found: dict[str, torch.Tensor] = {}
    _FROM_HF[model_type(config)](config, {}, found, loaded)
    return found


def weight_files(folder: Path) -> list[Path]:
    """The safetensors of a folder: one file, or the parts that its index names.

    Raises:
        UserError: there is none, only a pickle; or the index names a file that is not there or lies elsewhere.
    """
    if (folder / INDEX).is_file():
        try:
            names = sorted(set(json.loads((folder / INDEX).read_text(encoding="utf-8"))["weight_map"].values()))
        except (ValueError, KeyError, TypeError, AttributeError):
            raise UserError(f"{folder / INDEX}: not an index of safetensors; copy it again") from None
        for name in names:
            if not isinstance(name, str) or Path(name).name != name or not (folder / name).is_file():
                raise UserError(f"{folder / INDEX}: names {name!r}, which is not in this folder; copy the whole folder")
        return [folder / name for name in names]
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    if pickles := [path.name for pattern in ("*.bin", "*.pth", "*.pt") for path in sorted(folder.glob(pattern))]:
        raise UserError(
            f"{folder}: only {pickles[0]}, a pickle, which can run code when it is read; on a machine you do not mind, "
            "AutoModelForCausalLM.from_pretrained(folder).save_pretrained(new) writes the same as safetensors"
        )
    raise UserError(f"{folder}: no {WEIGHTS}; a folder written by save_pretrained has it")


def header(file: Path) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every tensor in a safetensors file, without reading one.

    Raises:
        UserError: the file is cut short or is none.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="pt") as opened:
            return {name: tuple(opened.get_slice(name).get_shape()) for name in opened.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise UserError(f"{file}: not a whole safetensors file ({str(error)[:120]}); copy it again") from None


def check_shapes(found: dict[str, tuple[int, ...]], config: Config, folder: Path, *, tied: bool) -> None:
    """Compare what is in the files with the model that config.json describes.

    Raises:
        UserError: the first tensor that is missing, superfluous or of another shape.
    """
    found = {name: shape for name, shape in found.items() if not _is_buffer(name)}
    layers = len({name.split(".")[2] for name in found if name.startswith("model.layers.")})
    if layers != config.n_layer:  # before a model is built: the number may be anything
        raise UserError(f"{folder}: config.json says {config.n_layer} layers, the weights have {layers}; {_MISFIT}")
    with torch.device("meta"):
        wanted = {n: tuple(t.shape) for n, t in to_hf(GPT(config).state_dict(), config, tied=False).items()}
    for name in sorted({*wanted, *found}):
        if found.get(name) == wanted.get(name) or (tied and name == OUTPUT and name not in found):
            continue
        says, has = (_shown(shapes.get(name)) for shapes in (wanted, found))
        raise UserError(f"{folder}: {name}: config.json means {says}, the weights have {has}; {_MISFIT}")


_MISFIT = "take both from one model"


def _shown(shape: tuple[int, ...] | None) -> str:
    return "no such tensor" if shape is None else "x".join(map(str, shape))


def _is_buffer(name: str) -> bool:
    return name.endswith("rotary_emb.inv_freq")  # old files hold what is computed from config.json


def save(weights: dict[str, torch.Tensor], file: Path) -> None:
    """Write a safetensors file: data and names only, nothing that could run."""
    from safetensors.torch import save

    file.write_bytes(save(weights, metadata={"format": "pt"}))  # save_file would let nobody but its owner read it
