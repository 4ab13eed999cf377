"""Log-probabilities under the reference, the model as it was before training: computed once, kept in the run's folder.

A cached reference leaves one forward and one backward pass a step; a second model would add a forward pass, and memory.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xxhash

from litgpt_zh import checkpoints
from litgpt_zh.language import say
from litgpt_zh.preference.logps import completion_logps
from litgpt_zh.sampling import unwrap
from litgpt_zh.stage import progress

FILE = "reference.npz"
SIDES = ("train", "val")


def key_of(*parts: Any) -> str:
    """A hash of JSON values: what the figures of a reference depend on (base weights, records, precision)."""
    return xxhash.xxh3_128_hexdigest(json.dumps(parts, sort_keys=True).encode())


def reference(
    run: Any, fabric: Any, model: Any, call: dict[str, Any], others: dict[str, np.ndarray] | None = None
) -> dict[str, torch.Tensor]:
    """Reference log-probabilities of both sides of the data, from the run's folder or computed.

    Args:
        run: the loop; names data, inputs and how many steps the model has already learned.
        fabric: Fabric.
        model: in the state the run goes on from; put back as it was.
        call: what litgpt calls ``fit`` with.
        others: ``train`` and ``val`` -> (epochs, records): whose answers stand behind a record's prompt for KTO's KL.

    Returns:
        ``train`` and ``val``, float32 (records, sides) on the run's device: chosen, rejected (or the only answer); nats. With
        ``others`` also ``train_kl`` and ``val_kl``, (epochs, records, sides), of the mismatched answers.
    """
    others = others or {}
    file = Path(call["out_dir"]) / FILE
    plan = {side: xxhash.xxh3_128_hexdigest(numbers.tobytes()) for side, numbers in others.items()}
    key = key_of(run.inputs, str(fabric.strategy.precision.precision), plan)
    found = _read(file, key, [*SIDES, *(f"{side}_kl" for side in others)])
    if found is None:
        with as_reference(model, call["checkpoint_dir"] / checkpoints.WEIGHTS, run.step), torch.no_grad():
            found = _compute(fabric, model, run.data, call["train"].micro_batch_size, others)
        if fabric.global_rank == 0:
            _write(file, key, found)
    else:
        fabric.print(
            say(f"{file}：参考模型的对数概率，以前算过", f"{file}: log-probabilities of the reference, computed before")
        )
    return {name: torch.from_numpy(values).to(fabric.device) for name, values in found.items()}


def _compute(
    fabric: Any, model: Any, data: Any, micro_batch: int, others: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Training records in training's own micro batches: in lower precision a batch of another shape rounds otherwise."""
    collates = {"train": data.collate, "val": data.collator(data.test_dataset)}

    def known(side: str, epoch: int, desc: str, numbers: np.ndarray | None = None) -> np.ndarray:
        if side == "train":
            groups = [micro for batch in data.batches(epoch) for micro in batch]
        else:
            groups = alike(data.test_dataset.lengths, micro_batch)
        flat = np.concatenate([np.asarray(group) for group in groups])
        by_record = np.empty((len(flat), collates[side].records.sides), dtype=np.float32)
        by_record[flat] = logps(fabric, model, collates[side], groups, numbers, desc)
        return by_record

    found = {}
    for side in SIDES:
        found[side] = known(side, 0, say(f"参考模型（{side}）", f"reference ({side})"))
        if side in others:
            names = [
                say(f"参考模型（{side}，KL {n}）", f"reference ({side}, KL {n})")
                for n in range(1, len(others[side]) + 1)
            ]
            epochs = [known(side, n, names[n], other) for n, other in enumerate(others[side])]
            found[f"{side}_kl"] = np.stack(epochs)
    return found


def alike(lengths: np.ndarray, micro_batch: int) -> list[list[int]]:
    """All record numbers in micro batches, those of similar length together."""
    order = np.argsort(-lengths, kind="stable")
    return [order[start : start + micro_batch].tolist() for start in range(0, len(order), micro_batch)]


def logps(
    fabric: Any,
    model: Any,
    collate: Any,
    groups: Sequence[Sequence[int]],
    others: np.ndarray | None = None,
    desc: str | None = None,
) -> np.ndarray:
    """Summed log-probabilities of the answers of records.

    Args:
        fabric: Fabric.
        model: in eval mode, called without gradients.
        collate: of the records, see ``PairCollate``.
        groups: record numbers of each forward pass.
        others: whose answers are put behind the records' prompts, (all records,); None: their own.
        desc: name of the progress bar; None shows none.

    Returns:
        Nats, float32 (records of all groups, in their order; sides).
    """
    block, values = unwrap(model).max_seq_length, []
    total = sum(map(len, groups))
    with progress(total, desc=desc or "", unit=say("条", " records"), scale=False, disable=desc is None) as bar:
        for group in groups:
            of = list(group)
            batch = collate(of) if others is None else collate.mismatched(of, others[of].tolist(), block)
            batch = fabric.to_device(batch)
            sums, _ = completion_logps(model, batch["input_ids"], batch["labels"])
            values.append(sums.view(collate.records.sides, -1).T.cpu().numpy())
            bar.update(len(of))
    return np.concatenate(values)


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


def _read(file: Path, key: str, names: list[str]) -> dict[str, np.ndarray] | None:
    try:
        with np.load(file, allow_pickle=False) as found:
            return {name: found[name] for name in names} if str(found["key"]) == key else None
    except (OSError, ValueError, KeyError):  # none, torn, or not ours
        return None


def _write(file: Path, key: str, values: dict[str, np.ndarray]) -> None:
    beside = file.with_name(file.name + ".tmp")
    file.parent.mkdir(parents=True, exist_ok=True)
    with open(beside, "wb") as handle:
        np.savez(handle, key=np.array(key), **values)  # type: ignore[arg-type]
    os.replace(beside, file)
