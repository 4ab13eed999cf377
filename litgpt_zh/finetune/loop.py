"""One finetuning loop inside litgpt's ``finetune_full`` and ``finetune_lora``, for every objective.

What stock gets wrong for us and this does right: the loss of a step is the mean over its global batch (not the mean of
micro-batch means), gradients are clipped, ``min_lr`` and the warm-up are honoured whatever their length, tied embeddings
stay tied, a stopped run (LoRA too) goes on at the exact batch, and weights that are no numbers are never written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from litgpt.model import GPT

from litgpt_zh import aside, checkpoints, ranks, runlog, schedule, throughput
from litgpt_zh.compiling import compile_blocks, eager
from litgpt_zh.finetune.finite import Finite
from litgpt_zh.finetune.objective import Metrics, Objective
from litgpt_zh.language import say
from litgpt_zh.preflight import preflight
from litgpt_zh.sampling import continue_greedily, unwrap
from litgpt_zh.stage import progress

LORA_STATE = "train_state.ckpt"


def tied(config: Any) -> GPT:
    """A ``GPT`` whose output head is its input embedding, as it was pretrained (litgpt's finetune builds them apart)."""
    model = GPT(config)
    model.transformer.wte.weight = model.lm_head.weight
    return model


@dataclass
class Finetuning:
    """One run of the loop. ``step`` counts optimizer steps, ``iter`` micro batches, as in litgpt; ``tokens`` positions,
    padding included, so that a resumed run knows their number without reading the data again; ``inputs`` are fingerprints."""

    stage: str
    data: Any
    objective: Objective
    arguments: dict[str, Any]
    inputs: dict[str, Any]
    step: int = 0
    iter: int = 0
    tokens: int = 0
    val_loss: float | None = None
    stopped: str = ""
    best: aside.Best = field(init=False)
    best_step: int | None = field(default=None, init=False)
    steps: int = field(default=0, init=False)
    epoch: int = field(default=0, init=False)

    def get_dataloaders(self, original: Callable[..., Any], fabric: Any, data: Any, tokenizer: Any, train: Any) -> Any:
        """litgpt's, after telling the data the global batch; then the warm-up is fitted to the run's length."""
        data.global_batch(train.global_batch_size, fabric.global_rank, fabric.world_size)
        loaders = original(fabric, data, tokenizer, train)
        self.steps = self._steps(train, data)
        warmup = schedule.fitted_warmup(train.lr_warmup_steps or 0, self.steps)
        if warmup != train.lr_warmup_steps:
            fabric.print(schedule.warmup_told(train.lr_warmup_steps, warmup, self.steps))
        # litgpt builds a scheduler (ours replaces it) that divides by the warm-up and by what follows it
        train.lr_warmup_steps = max(1, warmup)
        self.warmup = warmup
        return loaders

    def _steps(self, train: Any, data: Any) -> int:
        steps = sum(len(data.batches(epoch)) for epoch in range(train.epochs))
        return min(steps, train.max_steps or steps)

    def fit_full(self, *, fabric: Any, state: dict[str, Any], resume: Any, **call: Any) -> dict[str, int]:
        """Takes the place of ``litgpt.finetune.full.fit``."""
        self.step, self.iter = state["step_count"], state["iter_num"]

        def save(folder: Path) -> None:
            fabric.save(folder / checkpoints.WEIGHTS, {**state, "step_count": self.step, "iter_num": self.iter})

        if self.objective.compiled and fabric.world_size == 1:
            compile_blocks(unwrap(state["model"]), fabric.device, self.steps)
        result = self._fit(fabric, state["model"], state["optimizer"], save, **call)
        state.update(step_count=self.step, iter_num=self.iter)
        return result

    def fit_lora(self, *, fabric: Any, model: Any, optimizer: Any, scheduler: Any, **call: Any) -> dict[str, int]:
        """Takes the place of ``litgpt.finetune.lora.fit``; adds resume, which stock LoRA does not have."""
        trained = {name: p for name, p in unwrap(model).named_parameters() if p.requires_grad}
        found = checkpoints.latest(call["out_dir"], LORA_STATE) if self.data.resume else None
        if found:
            fabric.print(say(f"接着 {found} 训练", f"Resuming training from {found}"))
            state = torch.load(found, map_location=fabric.device, weights_only=True)
            unwrap(model).load_state_dict(state["model"], strict=False)
            optimizer.load_state_dict(state["optimizer"])
            torch.set_rng_state(state["rng"].cpu())
            self.step, self.iter = state["step_count"], state["iter_num"]

        def save(folder: Path) -> None:
            state = {"model": {n: p.detach() for n, p in trained.items()}, "optimizer": optimizer.state_dict()}
            state |= {"step_count": self.step, "iter_num": self.iter, "rng": torch.get_rng_state()}
            if ranks.is_first(fabric):
                torch.save(state, folder / LORA_STATE)

        return self._fit(fabric, model, optimizer, save, **call)

    def _fit(
        self, fabric: Any, model: Any, optimizer: Any, save: Callable[[Path], None], **call: Any
    ) -> dict[str, int]:
        train, evaluation, out_dir = call["train"], call["eval"], call["out_dir"]
        unwrap(model).max_seq_length = unwrap(model).config.block_size
        self.finite, self.first = Finite(fabric.device), ranks.is_first(fabric)
        with eager():
            self.objective.prepare(self, fabric, model, call)
        if self.objective.guarded and not (self.step and (out_dir / aside.GUARD).is_file()):
            aside.keep(model, out_dir, self.step)
        if self.objective.keep_best:
            self.best = aside.Best(out_dir, self.step, self.first)
        if self.first:
            self.log = runlog.RunLog(out_dir, self.iter)
            fabric.loggers.append(self.log)
        self.meter = throughput.Meter(fabric.device)
        peak = optimizer.defaults["lr"]
        self._preflight(fabric, model, optimizer, call)
        model.train()
        done = self.step
        steps = progress(
            self.steps, desc=self.stage, unit=say("步", " steps"), scale=False, initial=done, disable=not self.first
        )  # fmt: skip
        batches = self._global_batches(call["train_dataloader"], skip=done)
        while self.step < self.steps and not self.stopped:
            micros = next(batches)
            rate = schedule.learning_rate(
                self.step, peak, self.warmup, self.steps, self.data.min_lr, schedule.share_of(self.data)
            )
            for group in optimizer.param_groups:
                group["lr"] = rate
            loss, extra = self._step(fabric, model, optimizer, micros)
            steps.update(1)
            if self.step % train.log_interval == 0 or self.step == self.steps:
                self._log(fabric, loss, extra, rate, steps)
            if self.step % evaluation.interval == 0 and self.step < self.steps:
                self._evaluate(fabric, model, call)
            if train.save_interval and self.step % train.save_interval == 0 and not self.stopped:
                with self.meter.paused():
                    self._save(fabric, out_dir, call["checkpoint_dir"], save)
        steps.close()
        if not self.stopped:
            self._evaluate(fabric, model, call)
        if self.objective.keep_best:
            self._take_best(fabric, model, call)
        self.tokens = count = int(self._of_all(fabric, self.tokens))
        return dict.fromkeys(
            ("raw_tokens", "raw_tokens_plus_prompt_template", "raw_tokens_plus_prompt_template_and_padding"), count
        )

    def _log(self, fabric: Any, loss: torch.Tensor, extra: Metrics, rate: float, bar: Any) -> None:
        """Tokens and tokens per second are of all processes, and count padding."""
        self.finite.require()
        value = loss.item()
        total = int(self._of_all(fabric, self.tokens))
        speed = self.meter.at(total)
        val = f"{self.val_loss:.3f}" if self.val_loss else "-"
        losses = {say("损失", "loss"): f"{value:.3f}", say("验证", "val"): val}
        bar.set_postfix(losses | throughput.shown(speed))
        metrics = {
            "iter": self.iter,
            "step": self.step,
            "epoch": self.epoch,
            "loss": value,
            "learning_rate": rate,
            **{name: mean.item() for name, mean in extra.items() if mean == mean},
            "total_tokens": total,
        }
        fabric.log_dict(metrics | speed, step=self.iter)

    def _step(
        self, fabric: Any, model: Any, optimizer: Any, micros: list[dict[str, Any]]
    ) -> tuple[torch.Tensor, Metrics]:
        """One optimizer step over a global batch given as micro batches; returns means over it: its loss, its metrics."""
        count = max(self._of_all(fabric, self.objective.count(micros)), 1)
        self.objective.begin_step(model, micros)
        total, extra = torch.zeros((), device=fabric.device), dict[str, torch.Tensor]()
        for number, micro in enumerate(micros, start=1):
            with fabric.no_backward_sync(model, enabled=number < len(micros)):
                loss, sums = self.objective.loss(model, micro)
                loss = loss / count
                fabric.backward(loss * fabric.world_size)  # the gradients of all processes are averaged
            total += loss.detach()
            extra = {name: value + extra.get(name, 0.0) for name, value in sums.items()}
        if fabric.world_size > 1:
            total = ranks.summed(fabric, total)
            extra = {name: ranks.summed(fabric, value) for name, value in sorted(extra.items())}
        norm = None
        if self.data.max_norm:
            norm = fabric.clip_gradients(
                unwrap(model), optimizer, max_norm=self.data.max_norm, error_if_nonfinite=False
            )
        optimizer.step()
        optimizer.zero_grad()
        self.step += 1
        self.iter += len(micros)
        self.finite.note(self.step, total, norm)
        return total, self.objective.means(extra, count)

    @staticmethod
    def _of_all(fabric: Any, value: float) -> float:
        """The sum over all processes of a number each of them has."""
        if fabric.world_size == 1:
            return value
        return ranks.summed(fabric, torch.tensor(value, dtype=torch.float64, device=fabric.device)).item()

    def _global_batches(self, loader: Any, skip: int) -> Iterator[list[dict[str, Any]]]:
        """Global batches as lists of micro batches, epoch after epoch, beginning after the first ``skip``."""
        inner = getattr(loader, "_dataloader", loader)
        for epoch in range(call_epochs := self.arguments["train"].epochs):
            plan = self.data.batches(epoch)
            self.epoch = epoch
            self.tokens += sum(map(self._tokens_of, plan[:skip]))
            if skip >= len(plan):
                skip -= len(plan)
                continue
            inner.set_epoch(epoch, skip)
            micros = iter(loader)
            for batch in plan[skip:]:
                self.tokens += self._tokens_of(batch)
                yield [next(micros) for _ in batch]
            skip = 0
        self.epoch = call_epochs - 1

    def _tokens_of(self, batch: list[list[int]]) -> int:
        return sum(self.data.micro_batch_tokens(micro) for micro in batch)

    def _evaluate(self, fabric: Any, model: Any, call: dict[str, Any]) -> None:
        """Every process validates on all records; what is kept is the first one's decision."""
        with self.meter.paused():
            self._validate_and_log(fabric, model, call)
            if self.first:
                self._sample(model, call)
            if self.objective.guarded:
                self._guard(fabric, model, call)
            if self.objective.keep_best and self.val_loss is not None:
                self.best.offer(model, self.step, self.val_loss)
            fabric.barrier()

    def _sample(self, model: Any, call: dict[str, Any]) -> None:
        """What the model answers to the first held-out request."""
        prompt = self.data.prompt_style.apply(self.data.test_dataset.data[0]["instruction"])
        tokenizer = self.data.tokenizer
        with eager():
            text = continue_greedily(model, tokenizer, prompt, call["eval"].max_new_tokens or 100)
        self.log.sample(self.iter, self.step / max(self.steps, 1), prompt, text)
        head = say(
            f"第 {self.step} 步：验证损失 {self.val_loss:.4f}", f"step {self.step}: val loss {self.val_loss:.4f}"
        )
        print(f"\n{head}\n{prompt}{text}")

    def _validate_and_log(self, fabric: Any, model: Any, call: dict[str, Any]) -> None:
        found = self.validate(fabric, model, call["val_dataloader"], call["eval"].max_iters)
        found |= self._watch(fabric, model)
        self.val_loss = found["val_loss"].item()
        self.finite.note(self.step, found["val_loss"])
        self.finite.require()
        found = {name: mean for name, mean in found.items() if mean == mean}
        fabric.log_dict({"iter": self.iter, "step": self.step, **found}, step=self.iter)

    def _take_best(self, fabric: Any, model: Any, call: dict[str, Any]) -> None:
        """Go back to the weights with the lowest validation loss, where those of the last step are not they."""
        if self.best.step < self.step:
            fabric.print(self.best.take(model, fabric.device))
            self._validate_and_log(fabric, model, call)
        self.best_step = self.best.step

    @torch.no_grad()
    def _watch(self, fabric: Any, model: Any) -> Metrics:
        model.eval()
        with eager():
            found = self.objective.watch(fabric, model)
        model.train()
        return found

    def _guard(self, fabric: Any, model: Any, call: dict[str, Any]) -> None:
        """Keep the weights when the objective has nothing against them; else go back to those kept last, and stop."""
        reason = self.objective.objection()
        if reason is None:
            aside.keep(model, call["out_dir"], self.step)
            return
        kept = aside.restore(model, call["out_dir"], fabric.device)
        told, recorded = reason
        self.stopped = f"step {self.step}: {recorded}; the weights are those of step {kept}"
        fabric.print(say(f"停在第 {self.step} 步：{told}；权重回到第 {kept} 步的", f"stopped at {self.stopped}"))
        self._validate_and_log(fabric, model, call)

    @torch.no_grad()
    def validate(self, fabric: Any, model: Any, loader: Any, max_iters: int) -> Metrics:
        """The objective's validation, in eval mode."""
        model.eval()
        with eager():
            found = self.objective.validate(fabric, model, loader, max_iters)
        model.train()
        return found

    def validate_for_litgpt(self, fabric: Any, model: Any, val_dataloader: Any, eval: Any, verbose: bool = True) -> Any:
        """litgpt's ``validate`` as its ``main`` calls it at the end."""
        return self.validate(fabric, model, val_dataloader, eval.max_iters)["val_loss"]

    def _save(self, fabric: Any, out_dir: Path, base: Path, save: Callable[[Path], None]) -> None:
        from litgpt.prompts import save_prompt_style
        from litgpt.utils import copy_config_files

        self.finite.require()
        with checkpoints.appearing_for_all(fabric, out_dir / f"step-{self.step:06d}") as pending:
            save(pending)
            if self.first:
                copy_config_files(base, pending)
                save_prompt_style(self.data.prompt_style, pending)
        if self.first:
            checkpoints.keep_newest(out_dir, self.data.keep)

    def _preflight(self, fabric: Any, model: Any, optimizer: Any, call: dict[str, Any]) -> None:
        train, plan = call["train"], self.data.batches(0)
        largest = max((micro for batch in plan for micro in batch), key=self.data.micro_batch_tokens)
        batch = fabric.to_device(self.data.collate(largest))
        mean = sum(self.data.micro_batch_tokens(m) for b in plan for m in b) / sum(len(b) for b in plan)
        per_step = sum(len(b) for b in plan) / len(plan)

        def micro_batch() -> None:
            with fabric.no_backward_sync(model, enabled=True):
                fabric.backward(self.objective.loss(model, batch)[0])

        size = sum(p.numel() * p.element_size() for p in unwrap(model).parameters())
        rng = torch.get_rng_state()
        preflight(
            self.stage,
            micro_batch,
            micro_batch_size=train.micro_batch_size,
            tokens_per_micro_batch=self.data.micro_batch_tokens(largest) * fabric.world_size,
            micro_batches=round((self.steps - self.step) * per_step * mean / self.data.micro_batch_tokens(largest)),
            steps=self.steps - self.step,
            out_dir=call["out_dir"],
            # each step-* with two moments; best.ckpt, guard.ckpt, and final/ twice while it is made
            disk_bytes=size * (3 * (self.data.keep + 1) + 4),
            device=fabric.device,
        )
        torch.set_rng_state(rng)
        optimizer.zero_grad()
