"""The bars of translation, against a real HTTP server on loopback whose latency and faults are set and whose log is the truth.

    python benchmarks/translate.py           # everything (about 20 minutes, most of it the memory of 200,000 items)
    python benchmarks/translate.py --quick   # the same figures from smaller runs, within a minute; no served model

One line a figure, ``name: value (bar: ...)``; the exit status is 1 if a bar is missed. The shares of throughput want a
quiet machine (a call that waits 10 ms for a core has lost 2% at 500 ms latency; --quick runs the three at once); the CPU
figure is a ratio measured in one run.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import io
import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
SERVER = ROOT / "tests" / "translate_server.py"
OK = True


def figure(name: str, value: float, bar: str, good: bool, form: str = ".3f") -> None:
    """Print one line, and remember a miss."""
    global OK
    OK = OK and good
    print(f"{name}: {value:{form}} (bar: {bar}){'' if good else '  MISSED'}", flush=True)


class Remote:
    """The server in a process of its own, so that its CPU is not counted as ours."""

    def __init__(self, **settings: Any) -> None:
        command = [sys.executable, str(SERVER), json.dumps(settings)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.address = f"http://127.0.0.1:{int(self._process.stdout.readline())}"
        self.url = self.address + "/v1"

    def __enter__(self) -> Remote:
        return self

    def __exit__(self, *exc: object) -> None:
        self._process.kill()
        self._process.wait()

    def log(self) -> dict[str, int]:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        return json.load(opener.open(self.address + "/log"))


def source(folder: Path, items: int) -> Path:
    """So many different items, made from the built-in ones."""
    from litgpt_zh.translate.read import read_items

    path = folder / f"{items}-{os.getpid()}.txt"
    built_in: list[Any] = list(read_items("english"))
    with open(path, "w", encoding="utf-8") as file:
        for number in range(items):
            item = built_in[number % len(built_in)]
            file.write(
                f"Words: {', '.join(item.words)}\nSummary: Item {item.summary or 'None.'}\nStory:\n\nTale {number}.\n\n{item.story}\n<|endoftext|>\n"
            )
    return path


def run(server: Remote, path: Path, out: Path, concurrency: int, mode: str = "once") -> tuple[float, dict[str, Any]]:
    """Seconds and counts of one translation in this process."""
    from litgpt_zh.translate.endpoint import Endpoint
    from litgpt_zh.translate.stage import translate

    started = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        made = translate(str(path), out, mode=mode, endpoint=Endpoint(server.url, "m"), concurrency=concurrency)  # type: ignore[arg-type]
    assert made is not None
    return time.perf_counter() - started, made.counts


SCENES = ((32, 0.5, 0.0, 0.95), (100, 1.0, 0.0, 0.90), (32, 0.5, 0.05, 0.85))
"""Concurrency, latency in seconds, share of first calls that fail, least share of the ideal throughput."""


def scene(folder: Path, seconds: float, concurrency: int, latency: float, faults: float) -> dict[str, Any]:
    """One run of about ``seconds``, in a process of its own, warmed up by a short one."""
    items = round(seconds / latency) * concurrency
    name = f"{concurrency}-{faults}"
    with Remote() as server:
        run(server, source(folder, concurrency), folder / f"warm-{name}", concurrency)
    with Remote(latency=latency, faults=faults, seed=3) as server:
        took, counts = run(server, source(folder, items), folder / name, concurrency)
        return {"items": items, "share": items * latency / concurrency / took, "counts": counts, "log": server.log()}


def throughput(folder: Path, seconds: float, at_once: int) -> None:
    """Share of the ideal, calls x latency / concurrency over the seconds of the whole command; so many scenes at once."""
    with ProcessPoolExecutor(at_once, multiprocessing.get_context("spawn")) as pool:
        found = [pool.submit(scene, folder, seconds, *settings[:3]) for settings in SCENES]
    for (concurrency, latency, faults, least), result in zip(
        SCENES, (future.result() for future in found), strict=True
    ):
        name = f"throughput_share_{concurrency}_at_{latency}s" + (f"_{faults:.0%}_faults" if faults else "")
        figure(name, result["share"], f">= {least}", result["share"] >= least)
        if faults:
            counts, ledger = result["counts"], result["counts"]["ledger"]
            billed = ledger["tokens_in"] + ledger["tokens_out"] - result["log"]["billed"]
            lost = result["items"] - counts["ok"] - counts["dead"]
            figure("fault_kinds_met", len(counts["troubles"]), ">= 5", len(counts["troubles"]) >= 5, "d")
            figure("unaccounted_items", lost, "0", lost == 0, "d")
            figure("dead_letters_under_passing_faults", counts["dead"], "0", counts["dead"] == 0, "d")
            figure("billed_tokens_minus_servers", billed, "0", billed == 0, "d")


async def _bare(url: str, transport: Any, messages: list[Any], concurrency: int) -> None:
    import httpx2
    import openai

    limits = httpx2.Limits(max_connections=concurrency + 8, max_keepalive_connections=concurrency + 8)
    client = openai.AsyncOpenAI(base_url=url, api_key="none", http_client=transport(limits=limits, timeout=60))
    todo = iter(messages)

    async def worker() -> None:
        for message in todo:
            answer = await client.chat.completions.create(
                model="m", messages=message, max_tokens=2048, temperature=0.3, response_format={"type": "json_object"}
            )
            assert answer.choices[0].message.content

    await asyncio.gather(*(worker() for _ in range(concurrency)))
    await client.close()


def cpu(folder: Path, items: int) -> None:
    """CPU of a call, everything included, over that of the openai client alone with the same requests."""
    import openai

    from litgpt_zh.translate import prompts
    from litgpt_zh.translate.read import read_items

    path, spent = source(folder, items), {}
    found: list[Any] = list(read_items(str(path)))
    messages = [prompts.draft(item, prompts.keys_of(item, story=True), "json_object", "大陆", {}) for item in found]
    with Remote(latency=0.02) as server:
        asyncio.run(_bare(server.url, openai.DefaultAioHttpClient, messages[:50], 32))  # imports and first connections
        run(server, source(folder, 50), folder / "warm", 32)
        for name, transport in (("default", openai.DefaultAsyncHttpxClient), ("aiohttp", openai.DefaultAioHttpClient)):
            started = time.process_time()
            asyncio.run(_bare(server.url, transport, messages, 32))
            spent[name] = time.process_time() - started
        started = time.process_time()
        run(server, path, folder / "cpu", 32)
        ours = time.process_time() - started
    print(f"cpu_ms_per_call: {ours / items * 1000:.2f}, bare {spent['default'] / items * 1000:.2f}, "
          f"bare with aiohttp {spent['aiohttp'] / items * 1000:.2f}")  # fmt: skip
    for name, seconds in spent.items():
        figure(f"cpu_over_bare_client_{name}", ours / seconds, "<= 1.3", ours / seconds <= 1.3)


def command(server: Remote, path: Path, out: Path, concurrency: int, mode: str) -> list[str]:
    return [
        sys.executable, "-m", "litgpt_zh", "translate", "--source", str(path), "--out_dir", str(out), "--mode", mode,
        "--concurrency", str(concurrency), "--endpoint.base_url", server.url, "--endpoint.model", "m",
    ]  # fmt: skip


def resident(server: Remote, path: Path, out: Path) -> float:
    """Peak resident MB of the command."""
    process = subprocess.Popen(
        command(server, path, out, 64, "once"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=ROOT
    )
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0
    return usage.ru_maxrss / 1024


def memory(folder: Path, few: int, many: int, most: float) -> None:
    with Remote() as server:
        small, large = (resident(server, source(folder, n), folder / f"memory-{n}") for n in (few, many))
    name = f"memory_mb_{many}_minus_{few}_items"
    figure(name, large - small, f"<= {most:g}; {small:.0f} MB at {few}", large - small <= most, ".1f")


def kills(folder: Path, items: int, count: int, concurrency: int, latency: float) -> None:
    """SIGKILL at random moments; then the same file, byte by byte, as from one quiet run."""
    path, dice = source(folder, items), random.Random(5)
    with Remote(latency=latency) as server:
        run(server, path, folder / "quiet", concurrency, "reflect")
    with Remote(latency=latency) as server:
        line = command(server, path, folder / "killed", concurrency, "reflect")
        for _ in range(count):
            before = server.log()["calls"]
            process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=ROOT)
            while server.log()["calls"] == before and process.poll() is None:
                time.sleep(0.01)
            time.sleep(dice.uniform(0.02, 1.4 * 3 * items * latency / concurrency / count * 0.6))
            assert process.poll() is None, "finished before it was killed"
            process.send_signal(signal.SIGKILL)
            process.wait()
        subprocess.run(line, check=True, capture_output=True, cwd=ROOT)
        calls = server.log()["calls"]
        subprocess.run(line, check=True, capture_output=True, cwd=ROOT)
        rerun = server.log()["calls"] - calls
    names = ("records.jsonl", "dead.jsonl")
    same = all((folder / "killed" / name).read_bytes() == (folder / "quiet" / name).read_bytes() for name in names)
    records = (folder / "killed" / "records.jsonl").read_text(encoding="utf-8").splitlines()
    groups = [json.loads(record)["group"] for record in records]
    figure(f"files_identical_after_{count}_kills", same, "1", same, "d")
    figure("lost_items", items - len(set(groups)), "0", len(set(groups)) == items, "d")
    figure("duplicated_items", len(groups) - len(set(groups)), "0", len(groups) == len(set(groups)), "d")
    extra, most = calls - 3 * items, count * concurrency
    figure("extra_calls", extra, f"<= {most}", extra <= most, "d")
    figure("calls_of_a_finished_rerun", rerun, "0", rerun == 0, "d")


def blocks(count: int) -> Iterator[tuple[str, dict[str, str]]]:
    """Blocks with their labels in any order and colon, and stories that speak of words, summaries and features."""
    dice = random.Random(11)
    traps = [
        "His name: Tom.",
        'He said: "Words: none."',
        "In short, a summary: fine.",
        "The features: many.",
        "Story: old.",
    ]
    for _ in range(count):
        story = "A story about a dog.\n\n" + " ".join(dice.choices(traps, k=4)) + "\nHe said: Summary of it all."
        parts = {"features": "Twist", "words": "dog, sun", "summary": "A dog: good.", "sentence": "It ran."}
        chosen = {name: parts[name] for name in dice.sample(list(parts), dice.randint(1, 4))} | {"story": story}
        chosen = dict(dice.sample(list(chosen.items()), len(chosen)))  # the story may stand anywhere
        label = {"sentence": "Random sentence"}
        colon = dice.choice([": ", ":", "：", ":\n"])
        yield "\n".join(label.get(n, n.capitalize()) + colon + text for n, text in chosen.items()), chosen


def labels(count: int) -> None:
    from litgpt_zh.translate.read import parse_block

    wrong = sum(parse_block(text) != parts for text, parts in blocks(count))
    figure(f"misparsed_of_{count}_blocks", wrong, "0", wrong == 0, "d")


def served(folder: Path) -> None:
    """The built-in sample through a model that litgpt serves: one that has learnt the 24 replies by heart."""
    import importlib.util

    if importlib.util.find_spec("litserve") is None:
        print("served_model_records: not measured, pip install 'litgpt-zh[web]'")
        return
    sys.path.insert(0, str(ROOT / "tests"))
    import overfitted

    from litgpt_zh.instruct.stage import instructions
    from litgpt_zh.translate.endpoint import Endpoint
    from litgpt_zh.translate.stage import translate

    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        overfitted.write_checkpoint(folder / "by-heart")
        with overfitted.served(folder / "by-heart", folder / "serve.log") as url:
            endpoint = Endpoint(url, "by-heart", reply="delimiters", timeout=600)
            made = translate("english", folder / "served", mode="once", endpoint=endpoint, concurrency=1)
        sft = instructions(str(folder / "served"), ROOT / "tokenizer", folder / "sft", block_size=1024, workers=1)
    assert made is not None
    ok, kept = made.counts["ok"], sft.counts["kept"]
    figure("served_model_records_of_24", ok, ">= 20", ok >= 20, "d")
    figure("served_model_records_not_fit_for_sft", ok - kept, "0", ok == kept, "d")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="smaller runs")
    quick = parser.parse_args().quick
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        labels(5000)
        cpu(folder, 1200 if quick else 4000)
        throughput(folder, *((26, len(SCENES)) if quick else (60, 1)))
        kills(folder, *((48, 3, 16, 0.2) if quick else (500, 20, 32, 0.5)))
        memory(folder, *((100, 1000, 12) if quick else (10_000, 200_000, 60)))
        if not quick:
            served(folder)
    return 0 if OK else 1


if __name__ == "__main__":
    sys.exit(main())
