"""The command ``export``: a litgpt checkpoint in, a folder out that ``from_pretrained`` and the hub take as it is."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from litgpt_zh.checkpoints import WEIGHTS as LIT_WEIGHTS
from litgpt_zh.checkpoints import flat_weights, require_checkpoint
from litgpt_zh.export.history import find_score, read_score, verify
from litgpt_zh.hf_config import hf_config, obstacle, read_json, special_ids
from litgpt_zh.language import say, stage_line
from litgpt_zh.stage import Manifest, UserError, open_stage, write_text
from litgpt_zh.tokenizer.files import CONFIG, SPECIAL, TOKENIZER, chat_template

if TYPE_CHECKING:
    import torch

    from litgpt_zh.generate.load import Loaded

STYLE = "litgpt_zh.styles.Story"
SAMPLING: dict[str, Any] = {"do_sample": True, "temperature": 0.7, "top_k": 50, "top_p": 1.0}
"""As in ``litgpt-zh chat``."""
_SPECIAL = ("bos_token", "eos_token", "pad_token", "unk_token")


@dataclass
class Source:
    """A checkpoint ready to be exported."""

    folder: Path
    loaded: Loaded
    tied: bool

    @property
    def instruct(self) -> bool:
        """Tuned with our prompt: its folder says so in ``prompt_style.yaml``."""
        style = self.folder / "prompt_style.yaml"
        return style.is_file() and (yaml.safe_load(style.read_text("utf-8")) or {}).get("class_path") == STYLE

    @property
    def state(self) -> dict[str, torch.Tensor]:
        return self.loaded.model.state_dict()


def export(
    checkpoint_dir: Path,
    out_dir: Path,
    score_dir: Path | None = None,
    overwrite: bool = False,
) -> Manifest:
    """Export a checkpoint for transformers and the Hugging Face hub.

    Writes config.json, model.safetensors (a tied matrix once), the tokenizer with the chat template,
    generation_config.json and README.md, the model card.

    Args:
        checkpoint_dir: a checkpoint (a run's ``final/``): pretrained, instruction-tuned, merged LoRA, DPO; or any Llama-shaped
            litgpt checkpoint.
        out_dir: the folder to make.
        score_dir: a folder made by ``evaluate_stories`` for this checkpoint, for the model card; one beside the run is
            found by itself.
        overwrite: move a folder exported from something else aside instead of refusing.

    Returns:
        The manifest.

    Raises:
        UserError: not a whole checkpoint; a file was changed since its training; the architecture has no form in
            transformers; the score card is of another checkpoint; out_dir holds something else; disk full.
    """
    checkpoint_dir, out_dir = Path(checkpoint_dir), Path(out_dir)
    check(checkpoint_dir, out_dir)
    score_dir = Path(score_dir) if score_dir else find_score(checkpoint_dir)
    inputs = {"checkpoint": checkpoint_dir}
    if score_dir:
        read_score(score_dir, checkpoint_dir)
        inputs["score"] = score_dir / "score.json"
    with open_stage("export", out_dir, inputs=inputs, overwrite=overwrite) as work:
        if not work.finished:
            source = open_source(checkpoint_dir)
            work.counts.update(_write(source, work.folder, score_dir))
    print(stage_line(out_dir, summary(work.counts["architecture"], work.counts["parameters"]), work.finished))
    return Manifest.read(out_dir)


def summary(name: str, parameters: int) -> str:
    """What the terminal is told of a model that was converted."""
    return say(f"{name}，{parameters:,} 个参数", f"{name}, {parameters:,} parameters")


def check(checkpoint_dir: Path, out_dir: Path, module: str | None = None) -> None:
    """What can be refused before any work.

    Raises:
        UserError: see ``export``.
    """
    from importlib.util import find_spec

    if module and find_spec(module) is None:
        raise UserError(f"{module} is not installed: pip install 'litgpt-zh[{module}]'")
    if (checkpoint_dir / (LIT_WEIGHTS + ".lora")).is_file() and not (checkpoint_dir / LIT_WEIGHTS).is_file():
        raise UserError(f"{checkpoint_dir}: LoRA weights that are not merged; run: litgpt merge_lora {checkpoint_dir}")
    require_checkpoint(checkpoint_dir)
    if checkpoint_dir.resolve() in (out_dir.resolve(), *out_dir.resolve().parents):
        raise UserError(f"{out_dir}: lies inside the checkpoint; choose another out_dir")
    verify(checkpoint_dir)
    from litgpt_zh.generate.load import read_config

    if (found := obstacle(read_config(checkpoint_dir))) is not None:
        raise UserError(
            f"{checkpoint_dir}/model_config.yaml: {found}: no form among LlamaForCausalLM, Qwen2ForCausalLM and "
            "Qwen3ForCausalLM, so it is not exported"
        )


def open_source(checkpoint_dir: Path) -> Source:
    """Load a checkpoint in the precision it was saved in.

    Raises:
        UserError: it does not load.
    """
    from litgpt_zh.export.weights import is_one_matrix
    from litgpt_zh.generate.load import load

    weights = flat_weights(checkpoint_dir / LIT_WEIGHTS)
    dtype = weights["lm_head.weight"].dtype if "lm_head.weight" in weights else None
    loaded = load(checkpoint_dir, device="cpu", dtype=dtype)
    return Source(checkpoint_dir, loaded, is_one_matrix(loaded.model.state_dict()))


def _write(source: Source, folder: Path, score_dir: Path | None) -> dict[str, Any]:
    from litgpt_zh.export.card import card
    from litgpt_zh.export.weights import WEIGHTS, save, to_hf

    config, ids = source.loaded.config, special_ids(source.folder)
    weights = to_hf(source.state, config, tied=source.tied)
    save(weights, folder / WEIGHTS)
    described = hf_config(config, ids, tied=source.tied)
    described["torch_dtype"] = str(weights["model.norm.weight"].dtype).removeprefix("torch.")
    _json(folder / "config.json", described)
    _json(folder / "generation_config.json", generation_config(source, ids))
    shutil.copyfile(source.folder / TOKENIZER, folder / TOKENIZER)
    named = tokenizer_config(source)
    _json(folder / CONFIG, named)
    _json(folder / SPECIAL, {key: named[key] for key in _SPECIAL if named.get(key)})
    parameters = sum(tensor.numel() for tensor in weights.values())
    tuned = (source.folder / "prompt_style.yaml").is_file() or "chat_template" in named
    write_text(
        folder / "README.md",
        card(source.folder, config, parameters, tuned=tuned, instruct=source.instruct, score_dir=score_dir),
    )
    return {
        "architecture": described["architectures"][0],
        "parameters": parameters,
        "tied": source.tied,
        "chat_template": "chat_template" in named,
    }


def generation_config(source: Source, ids: dict[str, int | None]) -> dict[str, Any]:
    """How to sample; an answer ends at the end of text or at the user's marker, and never passes the model's block."""
    stop = list(source.loaded.stop_ids) if source.instruct else ids["eos_token_id"]
    ends = {"eos_token_id": stop, "pad_token_id": ids["pad_token_id"]}
    return ends | SAMPLING | {"max_length": source.loaded.config.block_size}


def tokenizer_config(source: Source) -> dict[str, Any]:
    """``tokenizer_config.json`` of this model: its block as the longest input; with our prompt style, our chat template.

    A model that was never tuned gets no chat template of ours: nobody shall talk to it by mistake.
    """
    file = source.folder / CONFIG
    named = read_json(file) if file.is_file() else {}
    named.setdefault("tokenizer_class", "PreTrainedTokenizerFast")
    named["model_max_length"] = source.loaded.config.block_size
    if source.instruct:
        named["chat_template"] = chat_template()
    elif named.get("chat_template") == chat_template():
        del named["chat_template"]
    if "eos_token" not in named:
        named["eos_token"] = source.loaded.tokenizer.processor.id_to_token(source.loaded.eos_id)
    return named


def stop_words(source: Source) -> list[str]:
    """Pieces that end an answer."""
    id_to_token = source.loaded.tokenizer.processor.id_to_token
    return [id_to_token(i) for i in source.loaded.stop_ids] if source.instruct else [id_to_token(source.loaded.eos_id)]


def _json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, ensure_ascii=False, indent=1))
