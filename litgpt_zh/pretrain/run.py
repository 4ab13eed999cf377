"""litgpt's pretraining ``main``, run with our loss, checkpoints, resume, log and timeline swapped in."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import torch
from litgpt.config import Config
from torchmetrics.aggregation import RunningMean

from litgpt_zh import aside, attention, checkpoints, configs, prompts, ranks, runlog, schedule, throughput
from litgpt_zh.compiling import by_blocks, eager, why_not
from litgpt_zh.language import say
from litgpt_zh.loops import swapped
from litgpt_zh.memory import keep_freed
from litgpt_zh.preflight import preflight
from litgpt_zh.pretrain.loss import cross_entropy, loss_without_requests
from litgpt_zh.sampling import continue_greedily, unwrap
from litgpt_zh.stage import UserError, disk_errors, progress
from litgpt_zh.tokenizer import files

if TYPE_CHECKING:
    from litgpt_zh.pretrain.data import Pretraining

TIMELINE = (0.0, 0.1, 0.3, 1.0)
"""Shares of the training after which the sample prompt is continued."""


def run(data: Pretraining, module: ModuleType, main: Callable[..., Any], arguments: dict[str, Any]) -> None:
    """Pretrain (``module`` is ``litgpt.pretrain``, ``main`` its own main, ``arguments`` what it was called with).

    Raises:
        UserError: settings that cannot be honoured, before any work.
    """
    out_dir, config = arguments["out_dir"], arguments["config"]
    _check(arguments)
    data.require_vocabulary(config.padded_vocab_size)
    plan, fabric = _plan(data, arguments), arguments["fabric"]
    with ranks.one_run(fabric, out_dir):
        if ranks.by_the_first(fabric, lambda: checkpoints.claim(out_dir, plan, resume=arguments["resume"])):
            fabric.print(checkpoints.finished_told(out_dir / "final"))
            return
        _choose_start(arguments)
        started = time.perf_counter()
        loss = loss_for(data, arguments["tokenizer"], fabric)
        watch = Watch(data, arguments, loss)
        parts = swapped(
            module,
            fit=functools.partial(watch.fit, module.fit),
            chunked_cross_entropy=loss,
            get_lr=watch.rate,
            RunningMean=functools.partial(MeanOfAll, fabric),
            ThroughputMonitor=functools.partial(_Speed, watch),
            validate=watch.validate,
            save_checkpoint=functools.partial(_save, module.save_checkpoint, watch),
            find_resume_path=checkpoints.find_resume_path,
        )
        if fabric.device.type == "cpu":
            keep_freed()
        kernel = attention.fastest(fabric, config.block_size)
        # logits as the model computed them: the loss makes them float32, in the same pass as everything else
        as_computed = swapped(fabric.strategy.precision, convert_output=lambda logits: logits)
        watched = runlog.diverging(out_dir, ranks.is_first(fabric))
        with disk_errors(out_dir), parts, kernel, as_computed, by_blocks(fabric.device), watched:
            main(**arguments)
        counts = {"steps": watch.state["step_count"], "micro_batches": watch.state["iter_num"]} | watch.counts()
        if ranks.is_first(fabric):
            checkpoints.finish(out_dir / "final", plan, config, counts, time.perf_counter() - started)
        fabric.barrier()


class MeanOfAll(RunningMean):
    """torchmetrics' ``RunningMean`` without its two device syncs an update, and over all processes when it is read."""

    def __init__(self, fabric: Any, window: int, **options: Any) -> None:
        super().__init__(window, nan_strategy="disable", **options)
        self._fabric = [fabric]  # in a list: torchmetrics takes what is a module for a part of itself

    def compute(self) -> torch.Tensor:
        mean, fabric = super().compute(), self._fabric[0]
        return ranks.summed(fabric, mean) / fabric.world_size


@torch.no_grad()
def validate(
    loss: Callable[..., torch.Tensor],
    fabric: Any,
    model: Any,
    val_dataloader: Any,
    max_iters: int,
    verbose: bool = True,
) -> torch.Tensor:
    """Takes the place of litgpt's function of that name: rows count alike, on whatever process and in whatever batch they are.

    (A process that has no row left for the last batch repeats the last row of all; see ``tokens.loader.InOrder``.)

    Returns:
        A scalar, nats per token: the mean over the rows of ``max_iters`` batches a process.
    """
    fabric.print(say("验证……", "Validating ...")) if verbose else None
    model.eval()
    length = model.max_seq_length
    sums = torch.zeros(2, dtype=torch.float64, device=fabric.device)
    for _, rows in zip(range(max_iters), val_dataloader, strict=False):
        mean = loss(model(rows[:, :length].contiguous().long()), rows[:, 1 : length + 1].contiguous().long())
        sums += torch.stack([mean.double() * rows.size(0), mean.new_tensor(rows.size(0)).double()])
    sums = ranks.summed(fabric, sums)
    model.train()
    return (sums[0] / sums[1]).float()


def loss_for(data: Pretraining, tokenizer: Any, fabric: Any) -> Callable[..., torch.Tensor]:
    """The loss for this data, compiled except in float32 on a CPU, where PyTorch's own kernels are faster (docs/LOG.md)."""
    user, assistant = (tokenizer.processor.token_to_id(piece) for piece in (prompts.USER, prompts.ASSISTANT))
    masked = data.mask_requests and None not in (user, assistant)
    plain = loss_without_requests(user, assistant) if masked else cross_entropy
    if fabric.device.type == "cpu" and fabric.strategy.precision.precision == "32-true":
        return plain
    compiled = torch.compile(plain)

    def loss(logits: torch.Tensor, targets: torch.Tensor, **options: Any) -> torch.Tensor:
        """On the meta device, where litgpt counts operations in a dispatch mode, torch would give up compiling it for good."""
        return (plain if targets.is_meta else compiled)(logits, targets, **options)

    return loss


def _check(arguments: dict[str, Any]) -> None:
    train, config, fabric = arguments["train"], arguments["config"], arguments["fabric"]
    if arguments["tokenizer_dir"] is None:
        raise UserError(
            "--tokenizer_dir is missing: the checkpoint could not be used for chat; give the tokenizer's folder"
        )
    if configs.is_tied(config) and not train.tie_embeddings:
        train.tie_embeddings = True
        fabric.print(
            say(
                f"{config.name}：输入与输出共用嵌入，所以 train.tie_embeddings 设为 true",
                f"{config.name}: tied embeddings, so train.tie_embeddings is set to true",
            )
        )
    if arguments["initial_checkpoint_dir"] is not None:
        _check_start(arguments["initial_checkpoint_dir"], config, arguments["tokenizer"])
    if reason := why_not(fabric.device):
        torch.compiler.set_stance("force_eager")
        fabric.print(
            say(
                f"torch.compile 在这里用不了（{reason}）：训练不用它，慢一些；它要 C++ 编译器（g++，macOS 上 clang++；CXX 可另指）和 Python 的头文件"
                "（python3-dev）",
                f"torch.compile does not work here ({reason}): training without it, slower; it wants a C++ compiler "
                "(g++, or clang++ on macOS; CXX names another) and Python's headers (python3-dev)",
            )
        )


def _check_start(folder: Path, config: Any, tokenizer: Any) -> None:
    """Refuse to go on from a model that this run would take for another one."""
    checkpoints.require_checkpoint(folder)
    checkpoints.flat_weights(folder / checkpoints.WEIGHTS)  # litgpt would run a pickle
    if configs.is_tied(config) and not configs.is_tied(Config.from_file(folder / "model_config.yaml")):
        raise UserError(
            f"{folder}: its embedding and its head are apart (lora_head does that), those of {config.name} are one matrix, and "
            "one of the two would be lost; start from a checkpoint without it"
        )
    pieces = tokenizer.processor.get_vocab()
    if any(
        pieces.get(piece) != index for piece, index in files.load(folder).get_vocab().items()
    ):  # more pieces may be there
        raise UserError(
            f"{folder}: trained with another tokenizer than tokenizer_dir; make the tokens with its own: "
            f"litgpt-zh tokens --tokenizer_dir {folder}"
        )


def _choose_start(arguments: dict[str, Any]) -> None:
    """litgpt refuses ``resume`` beside ``initial_checkpoint_dir``: give it the one that counts now."""
    if arguments["initial_checkpoint_dir"] is not None and arguments["resume"]:
        arguments["resume"] = checkpoints.find_resume_path(arguments["resume"], arguments["out_dir"]) or False
        if arguments["resume"]:
            arguments["initial_checkpoint_dir"] = None


def _plan(data: Pretraining, arguments: dict[str, Any]) -> Any:
    train, config = arguments["train"], arguments["config"]
    first, *others = data.sources()
    inputs = {"tokens": first, "tokenizer": arguments["tokenizer_dir"] / "tokenizer.json"}
    inputs |= {f"tokens {n}": folder for n, folder in enumerate(others, 2)}
    if arguments["initial_checkpoint_dir"] is not None:
        inputs["initial_checkpoint"] = arguments["initial_checkpoint_dir"] / checkpoints.WEIGHTS
    settings = {
        "model": vars(config) | {"name": config.name},
        "train": {k: v for k, v in vars(train).items() if k not in ("save_interval", "log_interval")},
        "optimizer": arguments["optimizer"],
        "seed": arguments["seed"],
        "precision": str(arguments["fabric"].strategy.precision.precision),
        "devices": arguments["devices"] * arguments["num_nodes"],
        "data_seed": data.seed,
        "mask_requests": data.mask_requests,
        **schedule.settings_of(data),
        **({"keep_best": True} if data.keep_best else {}),  # older runs are still known as the same
    } | data.order_settings()
    return checkpoints.plan_of("pretrain", inputs, settings)


def _save(original: Callable[..., Any], watch: Watch, fabric: Any, state: Any, tokenizer_dir: Path, file: Path) -> None:
    """litgpt's ``save_checkpoint``, with two differences: a folder appears whole, and ``final`` holds weights alone."""
    folder = file.parent
    if folder.name == "final":
        original(fabric, {"model": state["model"]}, tokenizer_dir, file)
        return
    with watch.meter.paused():
        with checkpoints.appearing_for_all(fabric, folder) as pending:
            original(fabric, state, tokenizer_dir, pending / file.name)
        if ranks.is_first(fabric):
            checkpoints.keep_newest(folder.parent, watch.data.keep)


class Watch:
    """Stands between litgpt's ``fit`` and its batches: preflight, progress bar, timeline of samples, merged log."""

    def __init__(self, data: Pretraining, arguments: dict[str, Any], loss: Callable[..., torch.Tensor]) -> None:
        self.data, self.arguments, self.loss = data, arguments, loss
        self.state: dict[str, Any] = {}
        self.validated = -1

    def fit(self, original: Callable[..., Any], **call: Any) -> None:
        """litgpt's ``fit`` with its training batches passing through us."""
        fabric, train, self.state = call["fabric"], call["train"], call["state"]
        model = self.state["model"]
        tokens = train.micro_batch_size * model.max_seq_length * fabric.world_size  # of all processes
        self.total = train.max_tokens // tokens
        accumulation = train.gradient_accumulation_iters(call["devices"], call["num_nodes"])
        if self.total < accumulation:
            raise UserError(
                f"train.max_tokens={train.max_tokens} is less than one step of {accumulation * tokens} tokens; raise it"
            )
        for line in self.data.told(self.total * train.micro_batch_size * fabric.world_size):
            fabric.print(line)
        self.accumulation, steps = accumulation, self.total // accumulation
        if train.lr_warmup_steps and train.lr_warmup_steps >= steps:
            warmup = schedule.fitted_warmup(train.lr_warmup_steps, steps)
            fabric.print(schedule.warmup_told(train.lr_warmup_steps, warmup, steps))
        self.first = ranks.is_first(fabric)
        if self.first:
            self.log = runlog.RunLog(call["out_dir"], self.state["iter_num"])
            fabric.loggers.append(self.log)
        self.shown = {line["share"] for line in runlog.read(call["out_dir"] / "samples.jsonl")}
        if self.data.keep_best:
            self.best = aside.Best(call["out_dir"], self.state["step_count"], self.first)
        cost, peak = throughput.flops_per_token(unwrap(model).config, model.max_seq_length), throughput.peak(fabric)
        self.meter = throughput.Meter(fabric.device, cost, peak)
        self._preflight(call, tokens, accumulation)
        self.bar = progress(
            self.total * tokens,
            desc="pretrain",
            unit=say("词元", " tokens"),
            initial=self.state["iter_num"] * tokens,
            disable=not self.first,
        )  # rate and time left in tokens
        self.tokens = tokens
        call["train_dataloader"] = _Passing(call["train_dataloader"], self)
        begun, started = self.state["iter_num"], time.perf_counter()
        original(**call)
        seconds = time.perf_counter() - started
        if self.data.keep_best:
            self._take_best(**call)
        self.at(self.state["iter_num"])
        self.bar.close()
        done = (self.state["iter_num"] - begun) * tokens
        fabric.print(
            say(
                f"pretrain：{done:,} 个词元，{seconds:,.1f} 秒（验证与样例在内），每秒 {done / seconds:,.0f} 个（下面 litgpt 的 Tok/sec "
                "除的是钟点，不是用时）",
                f"pretrain: {done:,} tokens in {seconds:,.1f} s, validation and samples included: {done / seconds:,.0f} tokens/s "
                "(litgpt's Tok/sec below divides by the time of day)",
            )
        )

    def rate(self, learning_rate: float, it: int, warmup_iters: int, max_iters: int, min_lr: float) -> float:
        """Takes the place of litgpt's ``get_lr``: one rate for all micro batches of a step, and the first step learns."""
        step, steps = it // self.accumulation, max_iters // self.accumulation
        warmup = schedule.fitted_warmup(-(-warmup_iters // self.accumulation), steps)
        return schedule.learning_rate(step, learning_rate, warmup, steps, min_lr, schedule.share_of(self.data))

    def validate(
        self, fabric: Any, model: Any, val_dataloader: Any, max_iters: int, verbose: bool = True
    ) -> torch.Tensor:
        """Takes the place of litgpt's function of that name; see ``validate`` below."""
        # a CPU takes longer to compile the model once more, for evaluation, than it saves
        compiled = eager() if fabric.device.type == "cpu" else contextlib.nullcontext()
        with self.meter.paused(), compiled:
            loss = validate(self.loss, fabric, model, val_dataloader, max_iters, verbose)
            if self.data.keep_best and verbose:  # without it, litgpt only tries two batches
                self.validated = self.state["step_count"]
                self.best.offer(model, self.validated, loss.item())
        return loss

    def _take_best(self, fabric: Any, val_dataloader: Any, eval: Any, **_: Any) -> None:
        """Go back to the weights with the lowest validation loss, where those of the last step are not they."""
        model, step = self.state["model"], self.state["step_count"]
        if self.validated != step:
            self.validate(fabric, model, val_dataloader, eval.max_iters)
        fabric.barrier()
        if self.best.step < step:
            fabric.print(self.best.take(model, fabric.device))
            fabric.log_dict({"step": step, "val_loss": self.best.loss}, step=self.state["iter_num"])

    def counts(self) -> dict[str, Any]:
        """For the manifest: which step's weights were kept."""
        return {"best_step": self.best.step, "val_loss": self.best.loss} if self.data.keep_best else {}

    def at(self, iteration: int) -> None:
        """Called before each micro batch, with the number already done."""
        self.bar.n = iteration * self.tokens
        self.bar.update(0)
        for share in TIMELINE:
            due = iteration == round(share * self.total) and share not in self.shown
            if due and self.first and self.data.sample_prompt:
                self.shown.add(share)
                self._sample(iteration, share)

    def _sample(self, iteration: int, share: float) -> None:
        with self.meter.paused(), eager():
            text = continue_greedily(
                self.state["model"], self.arguments["tokenizer"], self.data.sample_prompt, self.data.sample_tokens
            )
            self.log.sample(iteration, share, self.data.sample_prompt, text)
            self.bar.write(f"[{share:.0%}] {self.data.sample_prompt}{text}")

    def _preflight(self, call: dict[str, Any], tokens: int, accumulation: int) -> None:
        fabric, model, train = call["fabric"], self.state["model"], call["train"]
        rows = next(iter(call["val_dataloader"]))
        rows = rows.repeat(-(-train.micro_batch_size // rows.size(0)), 1)[: train.micro_batch_size].long()

        def micro_batch() -> None:
            length = model.max_seq_length
            with fabric.no_backward_sync(model, enabled=accumulation > 1):
                fabric.backward(self.loss(model(rows[:, :length].contiguous()), rows[:, 1 : length + 1].contiguous()))

        left = self.total - self.state["iter_num"]
        size = sum(p.numel() * p.element_size() for p in unwrap(model).parameters())
        preflight(
            "pretrain",
            micro_batch,
            micro_batch_size=train.micro_batch_size,
            tokens_per_micro_batch=tokens,
            micro_batches=left,
            steps=left // accumulation,
            out_dir=call["out_dir"],
            # each step-* with two moments; final/ twice while it is made
            disk_bytes=size * (3 * (self.data.keep + 1) + 2),
            device=fabric.device,
        )
        self.state["optimizer"].zero_grad()


class _Speed:
    """Takes the place of lightning's ``ThroughputMonitor`` in litgpt's loop: what it computes goes to every logger.

    Lightning's counts validation as training, and its peaks are not those of the tensor cores (``throughput.PEAKS``).
    """

    def __init__(self, watch: Watch, fabric: Any, **_: Any) -> None:
        self.watch, self.world_size = watch, fabric.world_size

    def update(self, *, lengths: int, **_: Any) -> None:
        """``lengths``: tokens of this process, since the beginning."""
        self.tokens = lengths * self.world_size

    def compute(self) -> dict[str, float]:
        """``tokens_per_second`` and ``mfu``, on the progress bar too."""
        speed = self.watch.meter.at(self.tokens)
        self.watch.bar.set_postfix(throughput.shown(speed), refresh=False)
        return speed


class _Passing:
    """The train loader, telling the watch before each micro batch. Not checkpointed: the loader itself is."""

    def __init__(self, loader: Any, watch: Watch) -> None:
        self.loader, self.watch = loader, watch

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[torch.Tensor]:
        for batch in self.loader:
            self.watch.at(self.watch.state["iter_num"])
            yield batch
