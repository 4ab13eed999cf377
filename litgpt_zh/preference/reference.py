"""Log-probabilities under the reference, the model as it was before training: computed once, kept in the run's folder.

A cached reference leaves one forward and one backward pass a step; a second model would add a forward pass, and memory.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xxhash

from litgpt_zh import checkpoints
from litgpt_zh.preference.logps import completion_logps
from litgpt_zh.sampling import unwrap
from litgpt_zh.stage import progress

FILE = "reference.npz"
SIDES = ("train", "val")


def key_of(inputs: dict[str, Any], precision: str) -> str:
    """What the log-probabilities depend on: the base weights, the pairs, the precision."""
    return xxhash.xxh3_128_hexdigest(json.dumps([inputs, precision], sort_keys=True).encode())


def reference(run: Any, fabric: Any, model: Any, call: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Reference log-probabilities of both sides of the data, from the run's folder or computed.

    Args:
        run: the loop; names data, inputs and how many steps the model has already learned.
        fabric: Fabric.
        model: in the state the run goes on from; put back as it was.
        call: what litgpt calls ``fit`` with.

    Returns:
        ``train`` and ``val``, float32 (records, 2) on the run's device: chosen, rejected; nats.
    """
    file = Path(call["out_dir"]) / FILE
    key = key_of(run.inputs, str(fabric.strategy.precision.precision))
    found = _read(file, key)
    if found is None:
        with as_reference(model, call["checkpoint_dir"] / checkpoints.WEIGHTS, run.step), torch.no_grad():
            found = {side: _side(fabric, model, run.data, side, call["train"].micro_batch_size) for side in SIDES}
        if fabric.global_rank == 0:
            _write(file, key, found)
    else:
        fabric.print(f"{file}: log-probabilities of the reference, computed before")
    return {side: torch.from_numpy(values).to(fabric.device) for side, values in found.items()}


def _side(fabric: Any, model: Any, data: Any, side: str, micro_batch: int) -> np.ndarray:
    """(records, 2) of one side, records of similar length together."""
    records = data.train_dataset if side == "train" else data.test_dataset
    collate, order = data.collator(records), np.argsort(-records.lengths, kind="stable")
    values = np.zeros((len(records), 2), dtype=np.float32)
    with progress(len(records), desc=f"reference ({side})", unit=" pairs", scale=False) as bar:
        for start in range(0, len(order), micro_batch):
            numbers = order[start : start + micro_batch].tolist()
            batch = fabric.to_device(collate(numbers))
            sums, _ = completion_logps(model, batch["input_ids"], batch["labels"])
            values[numbers] = sums.view(2, -1).T.cpu().numpy()
            bar.update(len(numbers))
    return values


@contextlib.contextmanager
def as_reference(model: Any, base: Path, step: int) -> Iterator[None]:
    """The model in eval mode with the weights of ``base``, whatever it has learned since: LoRA adapters are scaled to 0."""
    gpt = unwrap(model)
    adapters = [module for module in gpt.modules() if hasattr(module, "lora_A") and hasattr(module, "scaling")]
    scalings = [adapter.scaling for adapter in adapters]
    learned = None
    if not adapters and step:
        learned = {name: value.clone() for name, value in gpt.state_dict().items()}
        gpt.load_state_dict(checkpoints.flat_weights(base))
    for adapter in adapters:
        adapter.scaling = 0.0
    gpt.eval()
    try:
        yield
    finally:
        for adapter, scaling in zip(adapters, scalings, strict=True):
            adapter.scaling = scaling
        if learned is not None:
            gpt.load_state_dict(learned)
        gpt.train()


def _read(file: Path, key: str) -> dict[str, np.ndarray] | None:
    try:
        with np.load(file, allow_pickle=False) as found:
            return {side: found[side] for side in SIDES} if str(found["key"]) == key else None
    except (OSError, ValueError, KeyError):  # none, torn, or not ours
        return None


def _write(file: Path, key: str, values: dict[str, np.ndarray]) -> None:
    beside = file.with_name(file.name + ".tmp")
    file.parent.mkdir(parents=True, exist_ok=True)
    with open(beside, "wb") as handle:
        np.savez(handle, key=np.array(key), **values)  # type: ignore[arg-type]
    os.replace(beside, file)
