"""A checkpoint folder, ready to sample from."""

from __future__ import annotations

import json
import pickle
from dataclasses import dataclass
from pathlib import Path

import torch
from litgpt.config import Config
from litgpt.model import GPT
from litgpt.tokenizer import Tokenizer

from litgpt_zh import processor, prompts
from litgpt_zh.checkpoints import WEIGHTS, flat_weights, require_checkpoint
from litgpt_zh.memory import keep_freed
from litgpt_zh.stage import UserError

PRECISIONS = {"32-true": torch.float32, "bf16-true": torch.bfloat16}


def batch_dtype(precision: str) -> torch.dtype | None:
    """For ``load``, where many rows are drawn together: ``auto`` is bfloat16 on a CPU that has instructions for it too.

    For a single row they are not faster, and figures are computed in float32.
    """
    return PRECISIONS.get(precision, torch.bfloat16 if processor.has_bfloat16() else None)


@dataclass
class Loaded:
    """A model in eval mode and what belongs to it."""

    model: GPT
    tokenizer: Tokenizer
    config: Config
    folder: Path

    @property
    def device(self) -> torch.device:
        return self.model.transformer.wte.weight.device

    @property
    def instruct(self) -> bool:
        """Whether the checkpoint was tuned on instructions (its folder holds ``prompt_style.yaml``)."""
        return (self.folder / "prompt_style.yaml").is_file()

    @property
    def eos_id(self) -> int:
        """The end of a story.

        Raises:
            UserError: the tokenizer names none, so no answer would ever end.
        """
        found = self.tokenizer.eos_id
        if found is None:
            found = self.tokenizer.processor.token_to_id(prompts.EOS)
        if found is None:
            raise UserError(f"{self.folder}/tokenizer_config.json: names no eos_token; add the piece that ends a text")
        return found

    @property
    def stop_ids(self) -> tuple[int, ...]:
        """Ids that end an answer: the end of text, and the user's marker, which only a person may write."""
        user = self.tokenizer.processor.token_to_id(prompts.USER)
        return (self.eos_id,) if user is None else (self.eos_id, user)

    def encode(self, text: str) -> list[int]:
        """Token ids of a prompt; control pieces in it count as such."""
        return self.tokenizer.encode(text).tolist()

    def decode(self, ids: list[int]) -> str:
        """Text of ``ids`` without control pieces; what a cut leaves of a last character is dropped."""
        return self.tokenizer.processor.decode(ids, skip_special_tokens=True).rstrip("\ufffd")


def load(checkpoint_dir: Path | str, device: str = "auto", dtype: torch.dtype | None = None) -> Loaded:
    """Load a litgpt checkpoint folder for inference: weights only, either form of the file, nothing executed from it.

    Args:
        checkpoint_dir: a folder with lit_model.pth, model_config.yaml and tokenizer.json (a run's ``final/``).
        device: ``auto`` is CUDA where there is one, the CPU otherwise; or any torch device.
        dtype: bfloat16 on CUDA and float32 elsewhere by default.

    Raises:
        UserError: a file is missing or broken, or tokenizer, weights and configuration do not belong together.
    """
    folder = Path(checkpoint_dir)
    if (folder / (WEIGHTS + ".lora")).is_file() and not (folder / WEIGHTS).is_file():
        raise UserError(f"{folder}: LoRA weights that are not merged; run: litgpt merge_lora {folder}")
    require_checkpoint(folder)
    target = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device)
    dtype = dtype or (torch.bfloat16 if target.type == "cuda" else torch.float32)
    config, tokenizer = read_config(folder), _tokenizer(folder)
    size = tokenizer.processor.get_vocab_size(with_added_tokens=True)
    if size > config.padded_vocab_size:
        raise UserError(
            f"{folder}/tokenizer.json: {size} entries, but the model has {config.padded_vocab_size} rows; "
            "put back the tokenizer.json the model was trained with"
        )
    return Loaded(_model(folder, config, target, dtype), tokenizer, config, folder)


def read_config(folder: Path) -> Config:
    """The model configuration of a checkpoint folder.

    Raises:
        UserError: ``model_config.yaml`` is not one.
    """
    try:
        return Config.from_file(folder / "model_config.yaml")
    except Exception as error:  # yaml, TypeError, ValueError: all say that this is not a litgpt configuration
        raise UserError(
            f"{folder}/model_config.yaml: not a litgpt model configuration ({_first_line(error)})"
        ) from None


def _tokenizer(folder: Path) -> Tokenizer:
    try:
        return Tokenizer(folder)
    except json.JSONDecodeError as error:
        raise UserError(f"{folder}: a tokenizer file is broken ({_first_line(error)}); copy it again") from None
    except KeyError as error:
        raise UserError(f"{folder}/tokenizer_config.json: lacks {error}; copy the tokenizer's own file again") from None
    except Exception as error:  # the Rust reader raises bare Exception
        raise UserError(f"{folder}: its tokenizer files cannot be read ({_first_line(error)})") from None


def _model(folder: Path, config: Config, device: torch.device, dtype: torch.dtype) -> GPT:
    try:
        weights = flat_weights(folder / WEIGHTS)
    except pickle.UnpicklingError:
        raise UserError(
            f"{folder / WEIGHTS}: holds more than weights and is not loaded; take the run's final/"
        ) from None
    with torch.device("meta"):
        model = GPT(config)
    try:
        model.load_state_dict(weights, assign=True)
    except (RuntimeError, AttributeError) as error:
        raise UserError(
            f"{folder / WEIGHTS}: does not fit model_config.yaml beside it ({_first_line(error, 1)}); "
            "take both from one run"
        ) from None
    model.cos, model.sin = model.rope_cache(torch.device("cpu"))  # buffers that no checkpoint holds
    if device.type == "cpu":
        keep_freed()
    # the copy frees the memory map of the file, which a next run may overwrite
    model = model.to(device=device, dtype=dtype) if device.type != "cpu" else _own(model.to(dtype))
    model.cos, model.sin = model.rope_cache(device)  # fp32 whatever the weights are
    return model.requires_grad_(False).eval()


def _own(model: GPT) -> GPT:
    for parameter in model.parameters():
        parameter.data = parameter.data.clone()
    return model


def _first_line(error: Exception, line: int = 0) -> str:
    lines = [part.strip() for part in str(error).splitlines() if part.strip()] or [type(error).__name__]
    return lines[min(line, len(lines) - 1)][:160]
