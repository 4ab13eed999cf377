"""Stage ``average``: a model part of the way back to the one it was tuned from.

What a tuning teaches grows about evenly along the straight line between the two sets of weights; what it costs (here: the
cross entropy of true text) grows faster than that, so a step back gives up little of the first and much of the second.
WiSE-FT (Wortsman et al. 2022, arXiv:2109.01903); for rewards "linear interpolation towards initialization" of WARP (Ramé et
al. 2024, arXiv:2406.16768).
"""

from __future__ import annotations

import time
from pathlib import Path

import torch
from litgpt.config import Config

from litgpt_zh import checkpoints
from litgpt_zh.stage import UserError, exclusive, is_made

TOKENIZER = "tokenizer.json"


def average(checkpoint_dir: Path, toward_dir: Path, out_dir: Path = Path("out/averaged"), share: float = 0.8) -> Path:
    """The weighted average of a tuned model and the one it was tuned from: weights of both, one by one.

    Args:
        checkpoint_dir: the tuned model (a run's ``final/``); all files but the weights are its own.
        toward_dir: the model it was tuned from.
        out_dir: the checkpoint folder that appears when all is done.
        share: of the tuned model: 1 is that model itself, 0 the other one.

    Returns:
        ``out_dir``.

    Raises:
        UserError: the share is out of range, a folder is no checkpoint, or the two are not of one model and tokenizer.
    """
    checkpoint_dir, toward_dir, out_dir = Path(checkpoint_dir), Path(toward_dir), Path(out_dir)
    if not 0 <= share <= 1:
        raise UserError(f"average: --share {share} is out of range, use 0 to 1")
    for folder in (checkpoint_dir, toward_dir):
        checkpoints.require_checkpoint(folder)
    plan = checkpoints.plan_of("average", {"checkpoint": checkpoint_dir, "toward": toward_dir}, {"share": share})
    with exclusive(out_dir):
        if is_made(out_dir, plan):
            print(checkpoints.finished_told(out_dir))
            return out_dir
        started = time.perf_counter()
        weights = _between(checkpoint_dir, toward_dir, share)
        with checkpoints.appearing(out_dir) as pending:
            checkpoints.copy_model(checkpoint_dir, pending)
            torch.save(weights, pending / checkpoints.WEIGHTS)
            config = Config.from_file(checkpoint_dir / "model_config.yaml")
            checkpoints.finish(pending, plan, config, {"tensors": len(weights)}, time.perf_counter() - started)
    print(f"{out_dir}: {share:g} x {checkpoint_dir} + {1 - share:g} x {toward_dir}")
    return out_dir


def _between(tuned: Path, base: Path, share: float) -> dict[str, torch.Tensor]:
    """``base + share (tuned - base)``, in float32, in the tuned model's own types; what shares its memory goes on to."""
    new, old = (checkpoints.flat_weights(folder / checkpoints.WEIGHTS) for folder in (tuned, base))
    if {n: w.shape for n, w in new.items()} != {n: w.shape for n, w in old.items()}:
        raise UserError(f"{tuned}: not of the same model as {base}; give the checkpoint it was tuned from")
    if (tuned / TOKENIZER).read_bytes() != (base / TOKENIZER).read_bytes():
        raise UserError(f"{tuned}: not with the same tokenizer.json as {base}; give the checkpoint it was tuned from")
    found: dict[int, torch.Tensor] = {}
    for name, weight in new.items():
        if weight.data_ptr() not in found:
            found[weight.data_ptr()] = old[name].float().lerp(weight.float(), share).to(weight.dtype)
    return {name: found[weight.data_ptr()] for name, weight in new.items()}
