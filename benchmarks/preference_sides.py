"""The two sides of the race of benchmarks/preference.py, each a process of its own: ``preference_sides.py ours SPEC.json``.

Both train the same model on the same pairs in the same order and write ``{"seconds", "reference", "losses"}``: seconds of the
optimizer steps, seconds of the reference pass, the loss of each step. Imports, tokenising and validation are not counted.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def timed(owner: Any, name: str, spent: dict[str, float]) -> None:
    """Make ``owner.name`` add the seconds of its calls to ``spent[name]``."""
    original: Callable[..., Any] = getattr(owner, name)

    def call(*args: Any, **kwargs: Any) -> Any:
        started = time.perf_counter()
        try:
            return original(*args, **kwargs)
        finally:
            spent[name] = spent.get(name, 0.0) + time.perf_counter() - started

    setattr(owner, name, call)


def ours(spec: dict[str, Any]) -> dict[str, Any]:
    """litgpt's ``finetune_full`` with our data class and loop."""
    from litgpt.args import EvalArgs, TrainArgs
    from litgpt.finetune.full import setup

    from litgpt_zh import runlog
    from litgpt_zh.finetune.loop import Finetuning
    from litgpt_zh.preference import objective
    from litgpt_zh.preference.data import Preference

    spent: dict[str, float] = {}
    for owner, name in (
        (objective, "reference"),
        (Finetuning, "_fit"),
        (Finetuning, "_preflight"),
        (Finetuning, "_evaluate"),
    ):
        timed(owner, name, spent)
    data = Preference(
        pairs_dir=Path(spec["pairs"]), loss="dpo", beta=spec["beta"], min_lr=spec["lr"], guard=False, check_sft=False,
        resume=False,
    )  # fmt: skip
    optimizer = {"class_path": "torch.optim.AdamW", "init_args": {"lr": spec["lr"], "weight_decay": 0.0}}
    batch, sys.argv = spec["batch"], ["litgpt", spec["checkpoint"]]  # litgpt reads it again when it saves
    setup(
        checkpoint_dir=Path(spec["checkpoint"]), out_dir=Path(spec["out"]), precision="32-true", devices=1, data=data,
        train=TrainArgs(global_batch_size=batch, micro_batch_size=batch, epochs=1, lr_warmup_steps=0, log_interval=1,
                        save_interval=None),
        eval=EvalArgs(interval=10**9, max_iters=1, max_new_tokens=1, final_validation=False),
        optimizer=optimizer, logger_name="csv", seed=0,
    )  # fmt: skip
    losses = [line["loss"] for line in runlog.read(Path(spec["out"]) / "metrics.jsonl") if "loss" in line]
    steps = spent["_fit"] - spent["reference"] - spent["_preflight"] - spent["_evaluate"]
    return {"seconds": steps, "reference": spent["reference"], "losses": losses}


def trl(spec: dict[str, Any]) -> dict[str, Any]:
    """TRL's ``DPOTrainer`` on the same weights as a Hugging Face Llama."""
    import torch
    from datasets import Dataset
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
    from trl import DPOConfig, DPOTrainer

    class Tokenised(DPOTrainer):
        def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:
            return dataset  # token ids already

    def model() -> Any:
        made = LlamaForCausalLM(LlamaConfig(**spec["hf_config"])).float()
        made.load_state_dict(torch.load(spec["hf_weights"], weights_only=True))
        made.tie_weights()
        return made

    spent: dict[str, float] = {}
    timed(DPOTrainer, "_precompute_ref_logps", spent)
    arguments = DPOConfig(
        output_dir=spec["out"], per_device_train_batch_size=spec["batch"], num_train_epochs=1, learning_rate=spec["lr"],
        lr_scheduler_type="constant", weight_decay=0.0, max_grad_norm=1.0, beta=spec["beta"], max_length=None,
        gradient_checkpointing=False, bf16=False, fp16=False, precompute_ref_log_probs=spec["precompute"],
        train_sampling_strategy=spec["sampling"], logging_steps=1, report_to="none", save_strategy="no", use_cpu=True,
        disable_tqdm=True, dataloader_pin_memory=False, seed=0,
    )  # fmt: skip
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=spec["tokenizer"], pad_token="<|pad|>", eos_token="<|endoftext|>"
    )
    records = json.loads(Path(spec["records"]).read_text())
    trainer = Tokenised(
        model=model(), ref_model=None if spec["precompute"] else model(), args=arguments, processing_class=tokenizer,
        train_dataset=Dataset.from_list(records),
    )  # fmt: skip
    started = time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - started
    losses = [line["loss"] for line in trainer.state.log_history if "loss" in line]
    return {"seconds": seconds, "reference": spent.get("_precompute_ref_logps", 0.0), "losses": losses}


if __name__ == "__main__":
    side, spec_file = sys.argv[1:]
    spec = json.loads(Path(spec_file).read_text())
    Path(spec["result"]).write_text(json.dumps({"ours": ours, "trl": trl}[side](spec)))
