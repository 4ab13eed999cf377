"""The bars of batched sampling: exact against litgpt's own generation, 20 times as fast, half as fast again as transformers.

    python benchmarks/sampling.py           # five rounds
    python benchmarks/sampling.py --quick   # three rounds, within a minute on 2 cores
    python benchmarks/sampling.py --precision 32-true

The 2m shape with random weights, ragged prompts of 10-60 tokens, answers of a forced length; every side in this process, with
the same threads, the same prompts and the same number of tokens, in turn (A B A B), the median of the rounds. Exactness is
asked in float32. Speed, all sides alike, in ``litgpt generate``'s own default, bf16-true, which ``sample_pairs`` uses too, or
in float32 where the processor has no bfloat16 instructions.
Stock: ``litgpt.generate.base.generate_fn``, one prompt after another, with litgpt's KV cache. transformers: its ``generate``
on the exported model, left-padded batches, greedy, with its KV cache. One line a figure, ``name: value (bar: ...)``; the exit
status is 1 if a bar is missed.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
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
from litgpt_zh.preference.answers import Writing, written
from litgpt_zh.preference.requests import requests
from litgpt_zh.preference.sample import CHUNK
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


def seconds(work: Callable[[], Any]) -> float:
    """With one thread the time of this process alone: what others take of a busy machine is left out."""
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    started = clock()
    work()
    return clock() - started


def stock(model: GPT, prompt: Sequence[int], new: int) -> list[int]:
    """litgpt's own greedy answer."""
    tokens = generate_fn(
        model, torch.tensor(prompt), len(prompt) + new, temperature=0.0, include_prompt=False, include_eos=False
    )
    return [int(token) for token in tokens]


def against_stock(model: GPT, rounds: int) -> None:
    """Speed."""
    prompts, part = ragged(BATCH, 6656), 4
    generate(model, prompts, max_new_tokens=NEW, stop_ids=[])
    ratios = []
    for number in range(rounds):
        some = prompts[number * part % BATCH :][:part]
        model.set_kv_cache(1)
        slow = seconds(lambda some=some: [stock(model, p, NEW) for p in some]) / part
        model.clear_kv_cache()
        fast = seconds(lambda: generate(model, prompts, max_new_tokens=NEW, stop_ids=[])) / BATCH
        ratios.append(slow / fast)
        print(f"  round {number + 1}: stock {NEW / slow:.0f} tokens/s, batch of {BATCH} {NEW / fast:.0f} tokens/s")
    figure(f"speed over stock one at a time, batch {BATCH}", statistics.median(ratios), ">= 20", statistics.median(ratios) >= 20, ".1f")  # fmt: skip


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


def against_transformers(folder: Path, home: Path, dtype: torch.dtype, rounds: int) -> None:
    """Speed, of one batch of equal lengths and of twice as many answers that end at different times."""
    import transformers

    transformers.logging.set_verbosity_error()
    export(folder, home / "hf")
    ours = load(folder, device="cpu", dtype=dtype).model
    theirs = transformers.AutoModelForCausalLM.from_pretrained(home / "hf", dtype=dtype).eval()
    theirs.generation_config.eos_token_id = None
    rng = random.Random(2)
    in_engine(ours, ragged(BATCH, 6656), [20] * BATCH, {})  # warms up
    in_transformers(theirs, ragged(BATCH, 6656), [20] * BATCH)
    for name, count, lengths, times in (
        (f"batch {BATCH}, {NEW} tokens each", BATCH, lambda: NEW, rounds),
        (f"{2 * BATCH} answers of 20-180 tokens", 2 * BATCH, lambda: rng.randint(20, 180), rounds // 2),
    ):
        prompts, new = ragged(count, 6656, seed=3), [lengths() for _ in range(count)]
        ratios = []
        for number in range(times):
            found: list[list[int]] = []
            slow = seconds(lambda p=prompts, n=new, found=found: found.extend(in_transformers(theirs, p, n)))
            mine: dict[int, list[int]] = {}
            fast = seconds(lambda p=prompts, n=new, mine=mine: in_engine(ours, p, n, mine))
            ratios.append(slow / fast)
            print(f"  round {number + 1}: transformers {sum(new) / slow:.0f} tokens/s, ours {sum(new) / fast:.0f}")
        middle = statistics.median(ratios)
        figure(f"speed over transformers {transformers.__version__}, {name}", middle, ">= 1.5", middle >= 1.5)
        if dtype == torch.float32:  # in bfloat16 near-ties fall either way
            share = sum(mine[i] == found[i] for i in range(count)) / count
            print(f"  answers equal to those of transformers: {share:.1%}")


def in_engine(model: GPT, prompts: list[list[int]], new: list[int], found: dict[int, list[int]]) -> None:
    with Engine(model, batch_size=BATCH) as engine:
        order = sorted(range(len(prompts)), key=lambda i: -len(prompts[i]))
        which = {engine.add(Request(prompts[i], new[i])): i for i in order}
        for event in engine.run():
            assert event.answer
            found[which[event.handle]] = event.answer.ids


def in_transformers(model: Any, prompts: list[list[int]], new: list[int]) -> list[list[int]]:
    """Greedy answers, batch after batch; a row stops at its own length, a batch at its longest."""
    from transformers import StoppingCriteriaList

    found: list[list[int]] = []
    for start in range(0, len(prompts), BATCH):
        part, most = prompts[start : start + BATCH], new[start : start + BATCH]
        width, ends = max(map(len, part)), torch.tensor(most)
        ids = torch.tensor([[0] * (width - len(p)) + p for p in part])
        mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in part])
        stop = StoppingCriteriaList([lambda so_far, _, w=width, e=ends: so_far.size(1) - w >= e])
        with torch.inference_mode():
            out = model.generate(
                ids,
                attention_mask=mask,
                do_sample=False,
                max_new_tokens=max(most),
                pad_token_id=0,
                stopping_criteria=stop,
            )
        found += [row[width : width + n].tolist() for row, n in zip(out, most, strict=True)]
    return found


def side_by_side(folder: Path, dtype: torch.dtype, rounds: int) -> None:
    """Speed of ``sample_pairs``' processes, their start included, over one that has all threads."""
    threads = torch.get_num_threads()
    if threads == 1:
        print("processes side by side: not measured: one thread")
        return
    loaded = load(folder, device="cpu", dtype=dtype)
    how = {"temperature": 1.0, "max_new_tokens": NEW, "batch_size": BATCH, "logprobs": True}
    writing = Writing(folder, dtype, 0, 4, how)
    asked = list(requests(None, count=4 * threads * CHUNK, fields={}, seed=0, world_seed=1))
    chunks = [(first, asked[first : first + CHUNK]) for first in range(0, len(asked), CHUNK)]
    ratios = []
    for number in range(rounds):
        spent = {}
        for workers in (1, threads):
            started = time.perf_counter()
            found = [one for _, part in written(iter(chunks), writing, loaded, workers) for one in part]
            spent[workers] = time.perf_counter() - started
            assert len(found) == len(asked)
        ratios.append(spent[1] / spent[threads])
        print(
            f"  round {number + 1}: {4 * len(asked)} answers, one process {spent[1]:.1f} s, {threads} {spent[threads]:.1f} s"
        )
    figure(f"sample_pairs, {threads} processes over one", statistics.median(ratios), "none", True)


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
        spent = seconds(
            lambda: generate(model, prompts, max_new_tokens=200, stop_ids=[], temperature=1.0, batch_size=1024)
        )
        rates.append(len(prompts) * 200 / spent)
    figure(f"{name} ({torch.cuda.get_device_name()})", max(rates), ">= 150,000 on an H200-class card", max(rates) >= 150_000, ",.0f")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="three rounds instead of five")
    parser.add_argument("--precision", choices=list(PRECISIONS), default="bf16-true" if has_bfloat16() else "32-true")
    arguments = parser.parse_args()
    rounds, dtype = 3 if arguments.quick else 5, PRECISIONS[arguments.precision]
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads; speed in {arguments.precision}")
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        source = checkpoint(home / "lit")
        exactness(load(source, device="cpu", dtype=torch.float32).model)
        against_stock(load(source, device="cpu", dtype=dtype).model, rounds)
        if find_spec("transformers"):
            against_transformers(source, home, dtype, rounds)
        else:
            print("not measured, not installed: transformers")
        if not arguments.quick:
            side_by_side(source, dtype, 2)
    on_gpu()
    sys.exit(0 if OK else 1)


if __name__ == "__main__":
    main()
