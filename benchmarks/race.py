"""Trainings that take turns: each arm is litgpt's own ``setup`` in a process of its own, run a few steps at a time.

All arms start up (imports, compilation, preflight) before the first turn; then they go A B C A B C ..., one at a time, so that
what else the machine does hits all alike. ``Arm.turn`` tells the seconds and the tokens of its steps, padding not counted.
Used by pretrain.py, sft.py and gpu.py; as a process: ``python benchmarks/race.py SPEC.json``.
"""

from __future__ import annotations

import functools
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
MISSED: list[str] = []


def figure(name: str, value: float, bar: str = "none", good: bool = True, form: str = ".2f") -> None:
    """Print one line, and remember a miss."""
    if not good:
        MISSED.append(name)
    print(f"{name}: {value:{form}} (bar: {bar}){'' if good else '  MISSED'}", flush=True)


# the parent -----------------------------------------------------------------------------------------------------------


class Arm:
    """One training in its own process, waiting for its turn."""

    def __init__(self, name: str, spec: dict[str, Any], home: Path, threads: int) -> None:
        """
        Args:
            name: of the arm and its files.
            spec: see ``pretrain`` and ``sft`` below; ``compile: false`` turns torch.compile off.
            home: folder for the spec, the log and the checkpoints.
            threads: of the process.
        """
        self.name, self.spec = name, {**spec, "out": str(home / name)}
        self.log = home / f"{name}.log"
        file = home / f"{name}.json"
        file.write_text(json.dumps(self.spec), encoding="utf-8")
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONPATH": str(ROOT)}
        if not spec.get("compile", True):
            environment["TORCH_COMPILE_DISABLE"] = "1"
        reader, writer = os.pipe()
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(Path(__file__)), str(file)], stdin=subprocess.PIPE, stdout=log, stderr=log,
                pass_fds=(writer,), env={**environment, "RACE_FD": str(writer)}, text=True,
            )  # fmt: skip
        os.close(writer)
        self.answers = os.fdopen(reader, encoding="utf-8")
        self.micro_batches = spec["global"] // spec["micro"]
        self.answer()  # ready

    def answer(self) -> dict[str, Any]:
        """What the process says next.

        Raises:
            SystemExit: it has died; with the end of its log.
        """
        if not (line := self.answers.readline()):
            raise SystemExit(f"{self.name} died:\n{self.log.read_text(errors='replace')[-3000:]}")
        return json.loads(line)

    def turn(self, steps: int) -> float:
        """``steps`` optimizer steps; returns tokens per second."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{steps * self.micro_batches}\n")
        self.process.stdin.flush()
        answer = self.answer()
        self.losses, self.memory = answer["losses"], answer["memory"]
        return answer["tokens"] / answer["seconds"]

    def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()
        self.answers.close()


def race(specs: dict[str, dict[str, Any]], home: Path, *, threads: int, steps: int, rounds: int) -> dict[str, Any]:
    """All arms in turn.

    Returns:
        ``{name: {"rates": tokens per second of each round, "losses": logged losses, "memory": peak bytes}}``.
    """
    home.mkdir(parents=True, exist_ok=True)
    arms: list[Arm] = []
    try:
        for name, spec in specs.items():
            arms.append(Arm(name, spec, home, threads))
            arms[-1].turn(3)  # compiles, and fills the caches
        rates: dict[str, list[float]] = {arm.name: [] for arm in arms}
        for _ in range(rounds):
            for arm in arms:
                rates[arm.name].append(arm.turn(steps))
        return {arm.name: {"rates": rates[arm.name], "losses": arm.losses, "memory": arm.memory} for arm in arms}
    finally:
        for arm in arms:
            arm.end()


def ratio(found: dict[str, Any], one: str, other: str) -> float:
    """Median of the ratios of the rounds."""
    return statistics.median(a / b for a, b in zip(found[one]["rates"], found[other]["rates"], strict=True))


def median_rate(found: dict[str, Any], name: str) -> float:
    return statistics.median(found[name]["rates"])


def best(found: dict[str, Any], names: Sequence[str]) -> str:
    """The arm with the highest median rate."""
    return max(names, key=lambda name: median_rate(found, name))


# an arm ---------------------------------------------------------------------------------------------------------------


class Turns:
    """Stops the loop before each batch until it is this process's turn, and reports each turn."""

    def __init__(self, fd: int) -> None:
        self.out = os.fdopen(fd, "w", encoding="utf-8")
        self.left, self.tokens, self.losses = 0, 0, list[float]()
        self.started = 0.0

    def before(self) -> None:
        if self.left == 0:
            self._wait()
        self.left -= 1

    def _wait(self) -> None:
        import torch

        if torch.cuda.is_available():
            torch.cuda.synchronize()
        seconds = time.perf_counter() - self.started
        memory = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0
        answer = {"seconds": seconds, "tokens": self.tokens, "losses": self.losses, "memory": memory}
        self.out.write(json.dumps(answer) + "\n")
        self.out.flush()
        command = sys.stdin.readline()
        if not command:
            os._exit(0)  # the race is over; nothing of this training is wanted
        self.left, self.tokens, self.started = int(command), 0, time.perf_counter()

    def through(self, batches: Iterator[Any], tokens: Callable[[Any], int]) -> Iterator[Any]:
        """The batches, each after its turn has come."""
        while True:
            self.before()
            try:
                batch = next(batches)
            except StopIteration:
                self.left += 1
                return
            self.tokens += tokens(batch)
            yield batch

    def watch(self, module: Any, tokens: Callable[[Any], int]) -> None:
        """Let litgpt's own loop in ``module`` take turns, and note every loss that is logged."""
        import lightning as L

        original, log = module.CycleIterator, L.Fabric.log_dict

        class Cycle(original):
            def __next__(cycle) -> Any:
                self.before()
                batch = super().__next__()
                self.tokens += tokens(batch)
                return batch

        def log_dict(fabric: Any, metrics: Any, step: int | None = None) -> None:
            if "loss" in metrics:
                self.losses.append(float(metrics["loss"]))
            log(fabric, metrics, step)

        module.CycleIterator = Cycle
        L.Fabric.log_dict = log_dict


def pretrain(spec: dict[str, Any], turns: Turns) -> None:
    """``litgpt pretrain``: with ``data: packed`` its own loop over our rows, with ``data: ours`` our parts in it.

    The spec: model, tokens (folder), tokenizer (folder), micro, global, block, precision, optimizer, out; ``swaps`` (a list of
    ``loss`` and ``mean``) puts single parts of ours into stock's loop.
    """
    import litgpt.pretrain as module
    from litgpt.args import EvalArgs, TrainArgs

    from litgpt_zh.pretrain.data import Pretraining
    from litgpt_zh.tokens.data import PackedTokens

    turns.watch(module, lambda rows: rows.size(0) * spec["block"])
    swap(module, spec.get("swaps", ()))
    folder = Path(spec["tokens"])
    data = Pretraining(folder, sample_prompt="") if spec["data"] == "ours" else PackedTokens(folder)
    sys.argv = ["litgpt", spec["model"]]  # litgpt reads it again when it saves
    module.setup(
        model_name=spec["model"], out_dir=Path(spec["out"]), precision=spec["precision"], data=data, devices=1,
        tokenizer_dir=Path(spec["tokenizer"]), logger_name="csv", seed=42, optimizer=spec["optimizer"],
        train=TrainArgs(  # without a warm-up: litgpt's first step of one has rate 0, ours has not, and the losses part
            global_batch_size=spec["global"], micro_batch_size=spec["micro"], max_tokens=10**11, lr_warmup_steps=0,
            max_norm=1.0, min_lr=0.0, tie_embeddings=True, max_seq_length=spec["block"], log_interval=5,
            save_interval=None,
        ),
        eval=EvalArgs(interval=10**9, max_iters=2),
    )  # fmt: skip


def swap(module: Any, names: Sequence[str]) -> None:
    """Single parts of ours in stock's loop: the rungs of gpu.py's ladder."""
    import torch
    from torchmetrics.aggregation import RunningMean

    from litgpt_zh.pretrain.loss import cross_entropy

    if "loss" in names:
        module.chunked_cross_entropy = torch.compile(cross_entropy) if torch.cuda.is_available() else cross_entropy
    if "mean" in names:
        module.RunningMean = functools.partial(RunningMean, nan_strategy="disable")


def sft(spec: dict[str, Any], turns: Turns) -> None:
    """``litgpt finetune_full``: ``data: ours`` reads the instructions folder, ``data: json`` the same records as Alpaca json.

    The spec: checkpoint, records (folder), json (folder with train.json and val.json), micro, global, precision, optimizer, out.
    """
    import litgpt.finetune.full as module
    from litgpt.args import EvalArgs, TrainArgs
    from litgpt.data import JSON

    from litgpt_zh.instruct.data import Instructions
    from litgpt_zh.instruct.dataset import InstructionLoader
    from litgpt_zh.styles import Story

    def tokens(batch: dict[str, Any]) -> int:
        return int(batch["token_counts"]["raw_plus_prompt_template"].sum())

    turns.watch(module, tokens)
    batches = InstructionLoader.__iter__

    def paced(loader: Any) -> Iterator[Any]:
        found = batches(loader)
        return found if loader.batch_sampler.fixed else turns.through(found, tokens)

    InstructionLoader.__iter__ = paced  # type: ignore[method-assign,assignment]
    stock = {"json_path": Path(spec["json"]), "mask_prompt": True, "prompt_style": Story(), "num_workers": 0}
    data = Instructions(data_dir=Path(spec["records"])) if spec["data"] == "ours" else JSON(**stock)
    sys.argv = ["litgpt", spec["checkpoint"]]
    module.setup(
        checkpoint_dir=Path(spec["checkpoint"]), out_dir=Path(spec["out"]), precision=spec["precision"], devices=1,
        data=data, logger_name="csv", seed=0, optimizer=spec["optimizer"],
        train=TrainArgs(
            global_batch_size=spec["global"], micro_batch_size=spec["micro"], epochs=50, lr_warmup_steps=10, log_interval=5, save_interval=None,
        ),
        eval=EvalArgs(interval=10**9, max_iters=2, max_new_tokens=1),
    )  # fmt: skip


def main() -> None:
    spec = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    turns = Turns(int(os.environ["RACE_FD"]))
    {"pretrain": pretrain, "sft": sft}[spec["kind"]](spec, turns)


if __name__ == "__main__":
    main()
