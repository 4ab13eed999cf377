"""The command ``import_hf``: a Hugging Face folder in, a litgpt checkpoint out that every stage accepts."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from litgpt_zh.checkpoints import WEIGHTS as LIT_WEIGHTS
from litgpt_zh.checkpoints import write_hf_files
from litgpt_zh.export.stage import STYLE, summary
from litgpt_zh.hf_config import is_tied, litgpt_config, name_in, read_json
from litgpt_zh.language import stage_line
from litgpt_zh.stage import Manifest, UserError, open_stage, write_text
from litgpt_zh.tokenizer.files import CONFIG, TOKENIZER, chat_template, load


def import_hf(hf_dir: Path, out_dir: Path, name: str | None = None, overwrite: bool = False) -> Manifest:
    """Make a litgpt checkpoint of a Hugging Face folder: one that ``export`` wrote, or any Llama, Qwen2 or Qwen3.

    Only data is read: config.json, safetensors (one file or parts), tokenizer.json and tokenizer_config.json. Pickled
    weights and code in the folder are never opened. Sizes in config.json are checked against the weights.

    Args:
        hf_dir: the folder, as ``save_pretrained`` or a download from the hub leaves it.
        out_dir: the checkpoint folder to make.
        name: the model's name in litgpt, which may choose a prompt style by it; by default what config.json calls it.
        overwrite: move a folder imported from something else aside instead of refusing.

    Returns:
        The manifest.

    Raises:
        UserError: no such folder; another architecture; only pickled weights; weights that do not fit config.json; no
            tokenizer.json, or one larger than the model; out_dir holds something else; disk full.
    """
    hf_dir, out_dir = Path(hf_dir), Path(out_dir)
    if not hf_dir.is_dir():
        raise UserError(
            f"{hf_dir}: no such folder; download the model first (hf download OWNER/NAME --local-dir {hf_dir})"
        )
    if hf_dir.resolve() in out_dir.resolve().parents:
        raise UserError(f"{out_dir}: lies inside {hf_dir}; choose another out_dir")
    fields = _config(hf_dir, name)
    _require_tokenizer(hf_dir, fields["padded_vocab_size"])
    from litgpt_zh.export.weights import weight_files

    weight_files(hf_dir)
    settings = {"name": fields["name"]}
    with open_stage("import", out_dir, inputs={"model": hf_dir}, settings=settings, overwrite=overwrite) as work:
        if not work.finished:
            work.counts.update(_write(hf_dir, fields, work.folder))
    print(stage_line(out_dir, summary(fields["name"], work.counts["parameters"]), work.finished))
    return Manifest.read(out_dir)


def _config(hf_dir: Path, name: str | None) -> dict[str, Any]:
    source = hf_dir / "config.json"
    found = read_json(source)
    if not isinstance(found, dict):
        raise UserError(f"{source}: a JSON object is expected; take the model's own file")
    fields = litgpt_config(found, source, name or name_in(found, hf_dir))
    if "Gemma" in fields["name"]:
        raise UserError(f"{hf_dir}: litgpt takes every name with Gemma in it for a Gemma; give another with --name")
    return fields


def _require_tokenizer(hf_dir: Path, rows: int) -> None:
    if not (hf_dir / TOKENIZER).is_file():
        raise UserError(
            f"{hf_dir}: no {TOKENIZER}; AutoTokenizer.from_pretrained(folder).save_pretrained(folder) writes it"
        )
    size = load(hf_dir).get_vocab_size(with_added_tokens=True)
    if size > rows:
        raise UserError(f"{hf_dir}/{TOKENIZER}: {size} entries, but the model has {rows}; take both from one model")


def _write(hf_dir: Path, fields: dict[str, Any], folder: Path) -> dict[str, Any]:
    import torch
    from litgpt.config import Config
    from litgpt.utils import save_config

    from litgpt_zh.export.weights import from_hf

    config = Config(**fields)
    state = from_hf(hf_dir, config)
    torch.save(state, folder / LIT_WEIGHTS)
    save_config(config, folder)
    shutil.copyfile(hf_dir / TOKENIZER, folder / TOKENIZER)
    named = tokenizer_config(hf_dir)
    write_text(folder / CONFIG, json.dumps(named, ensure_ascii=False, indent=1))
    if named.get("chat_template") == chat_template():
        write_text(folder / "prompt_style.yaml", f"class_path: {STYLE}\n")
    write_hf_files(folder, config)
    tied = is_tied(config.hf_config)
    parameters = sum(tensor.numel() for name, tensor in state.items() if not (tied and name == "lm_head.weight"))
    return {"parameters": parameters, "tied": tied}


def tokenizer_config(hf_dir: Path) -> dict[str, Any]:
    """``tokenizer_config.json`` as litgpt and every version of transformers read it; no reference to code stays."""
    named = read_json(hf_dir / CONFIG) if (hf_dir / CONFIG).is_file() else {}
    named.pop("auto_map", None)
    if named.get("tokenizer_class") in (None, "TokenizersBackend"):  # what transformers 5 calls any tokenizer.json
        named["tokenizer_class"] = "PreTrainedTokenizerFast"
    if (hf_dir / "chat_template.jinja").is_file():  # where transformers 5 puts it
        named["chat_template"] = (hf_dir / "chat_template.jinja").read_text(encoding="utf-8")
    return named
