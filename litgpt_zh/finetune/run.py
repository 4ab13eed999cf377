"""litgpt's finetune ``main``, full or LoRA, run over our data with our loop swapped in."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any

from lightning.fabric.plugins import BitsandbytesPrecision

from litgpt_zh import attention, checkpoints, configs, ranks, runlog, schedule
from litgpt_zh.finetune import embedding
from litgpt_zh.finetune.loop import Finetuning, tied
from litgpt_zh.finetune.objective import Objective
from litgpt_zh.loops import FULL, swapped
from litgpt_zh.memory import keep_freed
from litgpt_zh.stage import UserError, disk_errors


def train_with(
    data: Any, objective: Objective, module: ModuleType, main: Callable[..., Any], arguments: dict[str, Any]
) -> None:
    """Run litgpt's finetune ``main`` over ``data`` with our parts swapped in.

    Raises:
        UserError: settings that cannot be honoured, before any work.
    """
    out_dir, base, config = arguments["out_dir"], arguments["checkpoint_dir"], arguments["config"]
    full = module.__name__ == FULL
    stage = objective.stage if full else f"{objective.stage}-lora"
    checkpoints.require_checkpoint(base)
    checkpoints.flat_weights(base / checkpoints.WEIGHTS)  # litgpt's reader would run what a pickle says
    fabric = arguments["fabric"]
    if fabric.world_size > 1 and not objective.in_parallel:
        raise UserError(f"{stage}: on one device only; set devices: 1 and num_nodes: 1")
    if isinstance(fabric.strategy.precision, BitsandbytesPrecision):
        raise UserError(
            "--quantize: litgpt trains such a model with a LayerNorm behind its embedding that the merge leaves out, so the "
            "merged model would not be the trained one; leave --quantize out (a model of this size needs little memory)"
        )
    whole = embedding.parts(config, module) if objective.train_embeddings and not full else {}
    plan = _plan(stage, objective, arguments)
    with ranks.one_run(fabric, out_dir):
        resume = arguments.get("resume") or (data.resume and "auto")
        if ranks.by_the_first(fabric, lambda: checkpoints.claim(out_dir, plan, resume=resume)):
            fabric.print(checkpoints.finished_told(out_dir / "final"))
            return
        started = time.perf_counter()
        if fabric.device.type == "cpu":
            keep_freed()
        run = Finetuning(stage, data, objective, arguments, plan.inputs)
        parts: dict[str, Any] = {
            "fit": run.fit_full if full else run.fit_lora,
            "validate": run.validate_for_litgpt,
            "get_dataloaders": functools.partial(run.get_dataloaders, module.get_dataloaders),
            **whole,
        }
        if full:
            parts["find_resume_path"] = checkpoints.find_resume_path
            parts["GPT"] = tied if configs.is_tied(config) else module.GPT
            arguments["resume"] = resume
        # on several devices litgpt leaves weights empty for FSDP to fill; LoRA's would stay so
        begun = functools.partial(fabric.init_module, empty_init=False)
        filled = swapped(fabric, init_module=lambda **_: begun())
        kernel = attention.fastest(fabric, config.block_size)
        watched = runlog.diverging(out_dir, ranks.is_first(fabric))
        with disk_errors(out_dir), swapped(module, **parts), filled, kernel, watched:
            main(**arguments)
        if ranks.is_first(fabric):
            if not full and config.lora_head and configs.is_tied(config):
                config = checkpoints.untie(out_dir / "final", base)
            checkpoints.finish(out_dir / "final", plan, config, _counts(run), time.perf_counter() - started)
        fabric.barrier()


def _counts(run: Finetuning) -> dict[str, Any]:
    counts: dict[str, Any] = {
        "steps": run.step,
        "tokens": run.tokens,
        "val_loss": run.val_loss,
    } | run.objective.counts()
    if run.best_step is not None:
        counts["best_step"] = run.best_step
    if run.stopped:
        counts["stopped"] = run.stopped
    return counts


def _plan(stage: str, objective: Objective, arguments: dict[str, Any]) -> Any:
    train, config = arguments["train"], arguments["config"]
    settings = {
        "model": config.name,
        "train": {k: v for k, v in vars(train).items() if k not in ("save_interval", "log_interval")},
        "data": objective.settings | schedule.settings_of(arguments["data"]),
        "optimizer": arguments["optimizer"],
        "seed": arguments["seed"],
        "precision": str(arguments["fabric"].strategy.precision.precision),
        "devices": arguments["devices"] * arguments["num_nodes"],
        "lora": {k: v for k, v in vars(config).items() if k.startswith("lora_")},
    }
    inputs = {
        **objective.inputs,
        "records": objective.records,
        "base": arguments["checkpoint_dir"] / checkpoints.WEIGHTS,
    }
    return checkpoints.plan_of(stage, inputs, settings)
