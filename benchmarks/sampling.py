"""The bars of batched sampling: exact against litgpt's own generation, 20 times as fast, half as fast again as transformers.

    python benchmarks/sampling.py           # five rounds
    python benchmarks/sampling.py --quick   # two rounds, two minutes on 2 cores
    python benchmarks/sampling.py --precision 32-true

The 2m shape with random weights, ragged prompts of 10-60 tokens, answers of a forced length. Exactness is asked in float32.
Speed, all sides alike, in ``litgpt generate``'s own default, bf16-true, which ``sample_pairs`` uses too, or in float32 where
the processor has no bfloat16 instructions; the sides in turn (A B C A B C), the median of the rounds.

``sample_pairs`` writes in a process a core on a CPU, for matrices this small do not fill several cores. So that nobody loses
by it, every side gets the faster of two ways, found by a trial: one process with all threads, or a process a core with one
thread each. Only stock, which writes one prompt after another, stays one process.
Stock: ``litgpt.generate.base.generate_fn`` with litgpt's KV cache. transformers: its ``generate`` on the exported model,
left-padded batches, greedy, with its KV cache. One line a figure, ``name: value (bar: ...)``; the exit status is 1 if a bar
is missed.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from export import random_checkpoint
from litgpt import GPT, Config
from litgpt.generate.base import generate_fn

from litgpt_zh.configs import config_dict
from litgpt_zh.export.stage import export
from litgpt_zh.generate.batch import generate
from litgpt_zh.generate.engine import Engine
from litgpt_zh.generate.load import PRECISIONS, load
from litgpt_zh.generate.request import Request
from litgpt_zh.processor import has_bfloat16

BATCH = 64
NEW = 100
OK = True


def figure(name: str, value: float, bar: str, good: bool, form: str = ".2f") -> None:
    """Print one line, and remember a miss."""
    global OK
    OK = OK and good
    print(f"{name}: {value:{form}} (bar: {bar}){'' if good else '  MISSED'}", flush=True)


def ragged(count: int, vocabulary: int, low: int = 10, high: int = 60, seed: int = 0) -> list[list[int]]:
    rng = random.Random(seed)
    return [[rng.randrange(6, vocabulary) for _ in range(rng.randint(low, high))] for _ in range(count)]


def checkpoint(folder: Path) -> Path:
    """The 2m shape with random weights of the width that litgpt's pretraining begins with."""
    file = random_checkpoint(folder) / "lit_model.pth"
    weights = torch.load(file, weights_only=True)
    torch.manual_seed(0)
    drawn = {w.data_ptr(): torch.randn_like(w) * (0.4 / 128) ** 0.5 for w in weights.values() if w.dim() > 1}
    torch.save({name: drawn.get(w.data_ptr(), w) for name, w in weights.items()}, file)
    return folder


def stock(model: GPT, prompt: Sequence[int], new: int) -> list[int]:
    """litgpt's own greedy answer."""
    tokens = generate_fn(
        model, torch.tensor(prompt), len(prompt) + new, temperature=0.0, include_prompt=False, include_eos=False
    )
    return [int(token) for token in tokens]


def exactness(model: GPT) -> None:
    """Greedy answers against stock; log-probabilities against the whole forward pass; logits and draws whatever the batch."""
    prompts = ragged(BATCH, 6656)
    model.set_kv_cache(1)
    theirs = [stock(model, prompt, NEW) for prompt in prompts[:8]]
    model.clear_kv_cache()
    found = generate(model, prompts, max_new_tokens=NEW, stop_ids=[])
    share = sum(answer.ids == alone for answer, alone in zip(found, theirs, strict=False)) / len(theirs)
    figure("greedy answers equal to stock", share, "100%", share == 1, ".1%")
    prompts = ragged(BATCH, 6656, seed=1)
    worst = 0.0
    for prompt, answer in zip(prompts, generate(model, prompts, max_new_tokens=40, stop_ids=[], logprobs=True), strict=True):  # fmt: skip
        ids = torch.tensor([[*prompt, *answer.ids]])
        with torch.inference_mode():
            whole = model(ids).log_softmax(-1)[0, len(prompt) - 1 : -1].gather(1, ids[0, len(prompt) :, None])[:, 0]
        worst = max(worst, float((torch.tensor(answer.logprobs) - whole).abs().max()))
    figure("largest difference of a log-probability from litgpt's whole forward pass", worst, "<= 1e-4", worst <= 1e-4, ".1e")  # fmt: skip
    prompts.sort(key=len, reverse=True)
    seen: dict[int, list[torch.Tensor]] = {}
    for size in (1, BATCH):
        seen[size] = []
        hook = model.lm_head.register_forward_hook(lambda _, __, out, size=size: seen[size].append(out[:, 0]))
        generate(model, prompts, max_new_tokens=20, stop_ids=[], batch_size=size)
        hook.remove()
    alone, together = torch.cat(seen[1]).view(BATCH, 20, -1), torch.cat(seen[BATCH]).view(20, BATCH, -1).transpose(0, 1)
    off = float((alone - together).abs().max())
    figure(f"largest difference of a logit, batch {BATCH} and batch 1", off, "<= 1e-5", off <= 1e-5, ".1e")
    settings: dict[str, Any] = {"max_new_tokens": 40, "stop_ids": [], "temperature": 0.7, "top_k": 50, "seed": 1}
    drawn = [[a.ids for a in generate(model, prompts, batch_size=size, **settings)] for size in (1, 7, BATCH)]
    share = sum(a == b == c for a, b, c in zip(*drawn, strict=True)) / BATCH
    figure(f"answers sampled (0.7, top-k 50) equal in batches of 1, 7 and {BATCH}", share, "100%", share == 1, ".1%")


class Sides:
    """The models of the sides in one process.

    Args:
        lit: litgpt's checkpoint.
        hf: the exported one; None leaves transformers out.
        dtype: of the weights.
    """

    def __init__(self, lit: Path, hf: Path | None, dtype: torch.dtype) -> None:
        self._ours, self._stock = (load(lit, device="cpu", dtype=dtype).model for _ in range(2))
        self._stock.set_kv_cache(1)
        if hf:
            import transformers

            transformers.logging.set_verbosity_error()
            transformers.logging.disable_progress_bar()
            self._hf = transformers.AutoModelForCausalLM.from_pretrained(hf, dtype=dtype).eval()
            self._hf.generation_config.eos_token_id = None

    def ours(self, prompts: list[list[int]], new: list[int]) -> list[list[int]]:
        found: dict[int, list[int]] = {}
        with Engine(self._ours, batch_size=BATCH) as engine:
            order = sorted(range(len(prompts)), key=lambda i: -len(prompts[i]))
            which = {engine.add(Request(prompts[i], new[i])): i for i in order}
            for event in engine.run():
                assert event.answer
                found[which[event.handle]] = event.answer.ids
        return [found[i] for i in range(len(prompts))]

    def stock(self, prompts: list[list[int]], new: list[int]) -> list[list[int]]:
        return [stock(self._stock, prompt, count) for prompt, count in zip(prompts, new, strict=True)]

    def transformers(self, prompts: list[list[int]], new: list[int]) -> list[list[int]]:
        """Batch after batch; a row stops at its own length, a batch at its longest."""
        from transformers import StoppingCriteriaList

        found: list[list[int]] = []
        for start in range(0, len(prompts), BATCH):
            part, most = prompts[start : start + BATCH], new[start : start + BATCH]
            width, ends = max(map(len, part)), torch.tensor(most)
            ids = torch.tensor([[0] * (width - len(p)) + p for p in part])
            mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in part])
            stop = StoppingCriteriaList([lambda so_far, _, w=width, e=ends: so_far.size(1) - w >= e])
            with torch.inference_mode():
                out = self._hf.generate(
                    ids,
                    attention_mask=mask,
                    do_sample=False,
                    max_new_tokens=max(most),
                    pad_token_id=0,
                    stopping_criteria=stop,
                )
            found += [row[width : width + n].tolist() for row, n in zip(out, most, strict=True)]
        return found


def _serve(pipe: Any, *arguments: Any) -> None:
    """A process: does what it is asked with as many threads as it is told, until it is asked nothing."""
    sides = Sides(*arguments)
    pipe.send(None)
    while asked := pipe.recv():
        side, threads, prompts, new = asked
        torch.set_num_threads(threads)
        pipe.send(getattr(sides, side)(prompts, new))


class Machine:
    """A process a core, each with all sides; close it."""

    def __init__(self, *arguments: Any) -> None:
        self.cores = torch.get_num_threads()
        self._ways = dict.fromkeys(("ours", "stock", "transformers"), 1)
        context = multiprocessing.get_context("spawn")
        self._pipes: list[Any] = []
        for _ in range(self.cores):
            here, there = context.Pipe()
            context.Process(target=_serve, args=(there, *arguments), daemon=True).start()
            there.close()  # so that a process that died is an error here, not silence
            self._pipes.append(here)
        for pipe in self._pipes:
            pipe.recv()

    def close(self) -> None:
        for pipe in self._pipes:
            pipe.send(None)

    def tokens_per_second(
        self, side: str, prompts: list[list[int]], new: list[int], processes: int = 0
    ) -> tuple[float, list[list[int]]]:
        """Of ``processes`` (0: as many as ``choose`` found) that write the same at the same time, together; and what one of
        them wrote."""
        processes = processes or self._ways[side]
        started = time.perf_counter()
        for pipe in self._pipes[:processes]:
            pipe.send((side, self.cores // processes, prompts, new))
        found, *_ = [pipe.recv() for pipe in self._pipes[:processes]]
        return processes * sum(new) / (time.perf_counter() - started), found

    def choose(self, side: str, count: int, new: int) -> None:
        """One process or all, whichever writes ``count`` answers of ``new`` tokens faster. Each way warms up first."""
        prompts, rates = ragged(count, 6656), {}
        for processes in {1, self.cores}:
            self.tokens_per_second(side, prompts, [4] * count, processes)
            rates[processes], _ = self.tokens_per_second(side, prompts, [new] * count, processes)
        self._ways[side] = max(rates, key=lambda way: rates[way])
        told = ", ".join(f"{way} process{'es' * (way > 1)} {rate:.0f} tokens/s" for way, rate in sorted(rates.items()))
        print(f"  {side}: {told}")


def speed(machine: Machine, peer: str | None, exact: bool, rounds: int) -> None:
    """Over stock and over ``peer``, of one batch of equal lengths; over ``peer`` of twice as many answers that end at different
    times.

    Args:
        machine: its sides.
        peer: name and version of transformers; None where it is not installed.
        exact: whether the peer's answers must be ours; in bfloat16 near-ties fall either way.
        rounds: of the first; half as many of the second.
    """
    print(f"the faster way for each side, one process with {machine.cores} threads or {machine.cores} with one:")
    machine.choose("ours", BATCH, NEW // 2)
    if peer:
        machine.choose("transformers", BATCH, NEW // 2)
    prompts, part = ragged(BATCH, 6656, seed=3), 4
    ratios: dict[str, list[float]] = {"stock": [], "transformers": []}
    for number in range(rounds):
        some = prompts[number * part % BATCH :][:part]
        rate, mine = machine.tokens_per_second("ours", prompts, [NEW] * BATCH)
        one, _ = machine.tokens_per_second("stock", some, [NEW] * part)
        ratios["stock"].append(rate / one)
        told = f"  round {number + 1}: ours {rate:.0f} tokens/s, stock {one:.0f}"
        if peer:
            theirs, found = machine.tokens_per_second("transformers", prompts, [NEW] * BATCH)
            ratios["transformers"].append(rate / theirs)
            told += f", transformers {theirs:.0f}" + equal(mine, found) * exact
        print(told)
    figure(f"speed over stock one at a time, batch {BATCH}", middle := statistics.median(ratios["stock"]), ">= 20", middle >= 20, ".1f")  # fmt: skip
    if not peer:
        print("not measured, not installed: transformers")
        return
    figure(f"speed over {peer}, batch {BATCH}, {NEW} tokens each", middle := statistics.median(ratios["transformers"]), ">= 1.5", middle >= 1.5)  # fmt: skip
    rng, uneven = random.Random(2), []
    prompts = ragged(2 * BATCH, 6656, seed=4)
    new = [rng.randint(20, 180) for _ in prompts]
    for number in range(rounds // 2):
        rate, mine = machine.tokens_per_second("ours", prompts, new)
        theirs, found = machine.tokens_per_second("transformers", prompts, new)
        uneven.append(rate / theirs)
        print(f"  round {number + 1}: ours {rate:.0f} tokens/s, transformers {theirs:.0f}" + equal(mine, found) * exact)
    figure(f"speed over {peer}, {2 * BATCH} answers of 20-180 tokens", middle := statistics.median(uneven), ">= 1.5", middle >= 1.5)  # fmt: skip


def equal(mine: list[list[int]], found: list[list[int]]) -> str:
    share = sum(a == b for a, b in zip(mine, found, strict=True)) / len(mine)
    return f", answers equal to those of transformers: {share:.1%}"


def on_gpu() -> None:
    """Tokens a second of the 44m in bfloat16."""
    name = "44m, tokens/s on the GPU"
    if not torch.cuda.is_available():
        print(f"{name}: not measured: no GPU (bar: >= 150,000 on an H200-class card)")
        return
    torch.manual_seed(0)
    model = GPT(Config(**config_dict("zh-tinystories-44m"))).to(device="cuda", dtype=torch.bfloat16).eval()
    prompts = ragged(4096, 6656)
    rates = []
    for _ in range(3):
        started = time.perf_counter()
        generate(model, prompts, max_new_tokens=200, stop_ids=[], temperature=1.0, batch_size=1024)
        rates.append(len(prompts) * 200 / (time.perf_counter() - started))
    figure(f"{name} ({torch.cuda.get_device_name()})", max(rates), ">= 150,000 on an H200-class card", max(rates) >= 150_000, ",.0f")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two rounds instead of five")
    parser.add_argument("--precision", choices=list(PRECISIONS), default="bf16-true" if has_bfloat16() else "32-true")
    arguments = parser.parse_args()
    rounds, dtype = 2 if arguments.quick else 5, PRECISIONS[arguments.precision]
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads; speed in {arguments.precision}")
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        source = checkpoint(home / "lit")
        exactness(load(source, device="cpu", dtype=torch.float32).model)
        peer, hf = None, None
        if find_spec("transformers"):
            peer, hf = f"transformers {version('transformers')}", home / "hf"
            export(source, hf)
        with closing(Machine(source, hf, dtype)) as machine:
            speed(machine, peer, dtype == torch.float32, rounds)
    on_gpu()
    sys.exit(0 if OK else 1)


if __name__ == "__main__":
    main()
