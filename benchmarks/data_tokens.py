"""The bars of tokenisation and packing: close to the tokenizer's ceiling, linear in cores, flat memory, whole stories.

    python benchmarks/data_tokens.py           # 200 MB of text, a million lines for the bad one; some minutes on 2 cores
    python benchmarks/data_tokens.py --quick   # 32 MB, for speed six times over; the same figures, about a minute

Documents are sentences of the built-in world, drawn at random, with lognormal lengths of about 250 tokens on average as in
the real data set; no two are alike. Every side reads the same file in a process of its own, in turn, and the best of the
rounds counts; speeds are ratios within one run. One line a figure, ``name: value (bar: ...)``; the exit status is 1 if a bar
is missed.

- per line: ``json.loads`` and ``litgpt.tokenizer.Tokenizer.encode`` for each line, one after another.
- ceiling: ``encode_batch_fast`` of the same tokenizer on texts in memory, one thread, nothing done with the result but taking
  its ids (a call without that has made no tokens one can use; it is printed too). Times the number of cores.
- batch: ``encode_batch`` in one process with a thread on each core.
- at once: as many such processes as there are cores, against one: what the cores of this machine give together (two that are
  threads of one core give less than twice).
- one thread: our encoding against the ceiling's call on the same texts in memory, in turn in one process, by its CPU time, so
  that other work on the machine matters little; classical Chinese too, where ``../shared/data`` has it.
- ours: the whole command, from starting its workers to the renamed folder. Starting them takes 0.4 seconds, so whether it
  is linear in cores is asked of three times as much text.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import io
import itertools
import json
import math
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from litgpt_zh.pool import cores
from litgpt_zh.stage import MANIFEST, Manifest, UserError, require_whole
from litgpt_zh.tokens.order import Source, distances, epoch_order
from litgpt_zh.tokens.stage import tokens

ROOT = Path(__file__).parents[1]
TOKENIZER = ROOT / "tokenizer"
BLOCK = 512
OK = True


def figure(name: str, value: float, bar: str, good: bool = True, form: str = ".3f") -> None:
    """Print one line, and remember a miss."""
    global OK
    OK = OK and good
    print(f"{name}: {value:{form}} (bar: {bar}){'' if good else '  MISSED'}", flush=True)


# ---- text


def sentences() -> list[str]:
    from litgpt_zh.corpus.world import generate

    text = "".join(story.record()["text"] for story in generate(11, 0, 2500, "short", ()))
    return re.findall(r"[^。！？]*[。！？]”?", text.replace("\n", ""))


def corpus(folder: Path, size: int, pool: list[str], clusters: int = 0) -> Path:
    """A corpus of about ``size`` bytes in shards of 32 MB; the first ``3 * clusters`` stories come in threes."""
    folder.mkdir()
    rng, mean = random.Random(size), sum(map(len, pool)) / len(pool)
    written = number = 0
    while written < size:
        with open(folder / f"train-{written >> 25:05d}.jsonl", "a", encoding="utf-8") as file:
            chars = rng.lognormvariate(math.log(340), 0.45)
            record: dict[str, Any] = {
                "text": f"第{number}个故事。" + "".join(rng.choices(pool, k=max(2, round(chars / mean))))
            }
            if number < 3 * clusters:
                record["cluster"] = number % clusters
            number += 1
            line = json.dumps(record, ensure_ascii=False) + "\n"
            file.write(line)
            written += len(line.encode())
    (folder / "val-00000.jsonl").write_text(
        json.dumps({"text": "从前有一只小兔子。"}, ensure_ascii=False) + "\n", "utf-8"
    )
    return folder


def texts(folder: Path, most: int) -> tuple[list[str], int]:
    """About the first ``most`` bytes of text, and their exact number."""
    found, size = [], 0
    for path in sorted(folder.glob("train-*.jsonl")):
        for line in path.read_text("utf-8").splitlines():
            found.append(json.loads(line)["text"])
            size += len(found[-1].encode())
            if size >= most:
                return found, size
    return found, size


def again(folder: Path, source: Path, times: int) -> Path:
    """The shards of ``source`` so many times over, as links: a length of text at which starting processes is no matter."""
    folder.mkdir()
    for path in source.glob("*.jsonl"):
        split, number = path.stem.split("-")
        for n in range(times if split == "train" else 1):
            os.link(path, folder / f"{split}-{int(number) * times + n:05d}.jsonl")
    return folder


# ---- sides, each run as a process of its own


def side(name: str, folder: Path, out: Path, most: int, workers: int) -> dict[str, float]:
    """Bytes of text and seconds of one side."""
    if name == "ours":
        started = time.perf_counter()
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            made = tokens(folder, TOKENIZER, out, BLOCK, workers=workers)
        seconds = time.perf_counter() - started
        size = (
            sum(path.stat().st_size for path in folder.glob("train-*.jsonl")) - 13 * made.counts["train"]["documents"]
        )
        return {"bytes": size, "seconds": seconds}
    found, size = texts(folder, most)
    if name == "per line":
        from litgpt.tokenizer import Tokenizer

        litgpt, lines = Tokenizer(TOKENIZER), [json.dumps({"text": text}, ensure_ascii=False) for text in found]
        started = time.perf_counter()
        for line in lines:
            litgpt.encode(json.loads(line)["text"], eos=True)
        return {"bytes": size, "seconds": time.perf_counter() - started}
    from litgpt_zh.tokenizer import files

    os.environ["TOKENIZERS_PARALLELISM"] = "true" if name == "batch" else "false"
    tokenizer = files.load(TOKENIZER)
    call = tokenizer.encode_batch if name == "batch" else tokenizer.encode_batch_fast
    started = time.perf_counter()
    for n in range(0, len(found), 1000):
        encoded = call(found[n : n + 1000], add_special_tokens=False)
        if name != "encode only":
            for one in encoded:
                _ = one.ids
    return {"bytes": size, "seconds": time.perf_counter() - started}


def process(name: str, folder: Path, out: Path, most: int, workers: int) -> subprocess.Popen[str]:
    command = [sys.executable, __file__, "--side", name, str(folder), str(out), str(most), str(workers)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)


def measured(name: str, folder: Path, out: Path, most: int = 0, workers: int = 0) -> float:
    """MB/s of one side."""
    with process(name, folder, out, most, workers) as running:
        assert running.stdout is not None
        found = json.loads(running.stdout.read().splitlines()[-1])
    return found["bytes"] / found["seconds"] / 1e6


def at_once(folder: Path, most: int, number: int) -> float:
    """MB/s of so many processes of the ceiling together."""
    running = [process("ceiling", folder, folder, most, 0) for _ in range(number)]
    found = [json.loads(one.communicate()[0].splitlines()[-1]) for one in running]
    return sum(one["bytes"] / one["seconds"] for one in found) / 1e6


def speeds(home: Path, folder: Path, longer: Path, most: int, rounds: int) -> None:
    """Ours beside the others, in turn; the output of one worker and of all."""
    number = cores()
    sides = {"per line": 0, "encode only": 0, "ceiling": 0, "batch": 0, "ours 1": 1, "ours": number}
    best, together, lasting = dict.fromkeys(sides, 0.0), 0.0, {1: 0.0, number: 0.0}
    for n in range(rounds):
        together = max(together, at_once(folder, 3 * most, number))
        for name, workers in sides.items():
            out = home / f"{name}-{n}"
            best[name] = max(best[name], measured(name.split(" 1")[0], folder, out, most, workers))
    for n in range(rounds + 1):  # in turn, as the speed of a machine wanders
        for workers in lasting:
            lasting[workers] = max(
                lasting[workers], measured("ours", longer, home / f"long-{workers}-{n}", workers=workers)
            )
    print("MB/s of text: " + ", ".join(f"{name} {value:.1f}" for name, value in best.items()), flush=True)
    ratio, share = best["ours"] / best["per line"], best["ours"] / number / best["ceiling"]
    linear, machine = lasting[number] / lasting[1] / number, together / best["ceiling"] / number
    least = min(0.85, 0.95 * machine)  # two threads of one core are not two cores
    figure(f"speed_over_litgpt_per_line_{number}_cores", ratio, ">= 4", ratio >= 4 or number < 2, ".2f")
    figure("share_of_ceiling", share, ">= 0.85", share >= 0.85)
    figure("share_of_encode_only", best["ours"] / number / best["encode only"], "none; the ids are not taken")
    figure("speed_over_batch_threads", best["ours"] / best["batch"], ">= 1", best["ours"] >= best["batch"], ".2f")
    figure("linear_in_cores", linear, f">= {least:.3f}: 0.85, or 0.95 of what the machine gives", linear >= least)
    one, all_of_them = (Manifest.read(home / f"{name}-0").outputs for name in ("ours 1", "ours"))
    figure("encode_batch_fast_at_once_over_cores_times_one", machine, "none; what the machine gives")
    figure("same_output_for_any_workers", one == all_of_them, "1", one == all_of_them, ".0f")


def one_thread(name: str, found: list[str]) -> None:
    """Our encoding over ``encode_batch_fast``, its tables made anew in each round."""
    from litgpt_zh.tokenizer import files
    from litgpt_zh.tokens.bulk import encoder

    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    tokenizer, parts = files.load(TOKENIZER), [found[n : n + 200] for n in range(0, len(found), 200)]
    best = {"ours": math.inf, "ceiling": math.inf}
    for side in list(best) * 3:
        started = time.process_time()
        if side == "ours":
            encode = encoder(tokenizer, 0)
            ours = np.concatenate([encode(part)[0] for part in parts])
        else:
            encoded = [tokenizer.encode_batch_fast(part, add_special_tokens=False) for part in parts]
            ids = [one.ids for part in encoded for one in part]
        best[side] = min(best[side], time.process_time() - started)
    equal = ours.tolist() == [n for one in ids for n in [*one, 0]]
    size = sum(len(text.encode()) for text in found)
    print(f"{name}: MB/s of CPU time: " + ", ".join(f"{side} {size / took / 1e6:.1f}" for side, took in best.items()))
    figure(f"one_thread_over_encode_batch_fast_{name}", best["ceiling"] / best["ours"], "none", form=".2f")
    figure(f"one_thread_same_ids_{name}", equal, "1", equal, ".0f")


def poems(most: int) -> list[str]:
    path = ROOT.parent / "shared" / "data" / "poems.jsonl.gz"
    if not path.is_file():
        return []
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line)["text"] for line in itertools.islice(file, most)]


# ---- memory, resume, packing, order, bad input


def peak(folder: Path, out: Path) -> float:
    """MB that the command and its workers hold together at the highest (proportional set size)."""
    highest = 0.0
    running = process("ours", folder, out, 0, cores())
    done = threading.Event()

    def watch() -> None:
        nonlocal highest
        while not done.wait(0.05):
            highest = max(highest, sum(map(_pss, _group(running.pid))))

    watcher = threading.Thread(target=watch)
    watcher.start()
    running.communicate()
    done.set()
    watcher.join()
    return highest / 1e3


def _group(leader: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if int((path / "stat").read_text().rpartition(")")[2].split()[2]) == leader:
                found.append(int(path.name))
    return found


def _pss(pid: int) -> int:
    with contextlib.suppress(OSError, StopIteration):
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("Pss:")).split()[1])
    return 0


def memory(home: Path, small: Path, large: Path) -> None:
    low, high = peak(small, home / "low"), peak(large, home / "high")
    figure("peak_memory_small_MB", low, "none", form=".0f")
    figure("peak_memory_large_MB", high, "none", form=".0f")
    figure("memory_of_more_text", high / low, "<= 1.15", high <= 1.15 * low, ".2f")


def resume(home: Path, folder: Path) -> None:
    """kill -9 on the command and its workers when a third is done; the same call goes on."""
    out, partial = home / "killed", home / "killed.partial"
    total = len(list((home / "low").glob("train-*.bin")))
    running = process("ours", folder, out, 0, cores())
    while running.poll() is None and len(list(partial.glob("train-*.json"))) < max(1, total // 3):
        time.sleep(0.005)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(running.pid, signal.SIGKILL)
    running.communicate()
    kept = {path.stem: path.with_suffix(".bin").stat().st_mtime_ns for path in partial.glob("train-*.json")}
    measured("ours", folder, out, workers=cores())
    again = sum((out / f"{name}.bin").stat().st_mtime_ns != at for name, at in kept.items())
    same = Manifest.read(out).outputs == Manifest.read(home / "low").outputs
    figure("slices_made_again_after_kill", again, f"0 of {len(kept)}", again == 0 < len(kept), ".0f")
    figure("same_output_after_kill", same, "1", same, ".0f")


def packing(out: Path) -> None:
    train = Manifest.read(out).counts["train"]
    cut, headless = train["cut"] / train["documents"], train["headless"] / train["rows"]
    cut_plain = train["cut_if_concatenated"] / train["documents"]
    headless_plain = train["headless_if_concatenated"] / train["rows"]
    figure("gap", train["gap"], "<= 0.05", train["gap"] <= 0.05, ".4f")
    off = abs(train["gap"] - train["gap_predicted"])
    figure("gap_predicted_off_by", off, "<= 0.01", off <= 0.01, ".4f")
    figure("stories_cut", cut, f"<= a quarter of concatenation's {cut_plain:.3f}", cut <= cut_plain / 4)
    figure(
        "headless_rows",
        headless,
        f"<= a quarter of concatenation's {headless_plain:.3f}",
        headless <= headless_plain / 4,
    )


def order(home: Path, pool: list[str], size: int) -> None:
    """Stories that come in threes: how far apart the first epoch keeps their rows."""
    folder = corpus(home / "threes", size, pool, clusters=size // 60_000)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        near = tokens(folder, TOKENIZER, home / "threes-tokens", BLOCK, workers=cores()).counts["near_duplicates"]
    pairs, rows = np.load(home / "threes-tokens" / "clusters.npy"), len(np.load(home / "threes-tokens" / "lengths.npy"))
    chance = distances(epoch_order(Source("", rows), 42, 0), pairs)
    print(
        f"near-duplicates in {len(pairs)} of {rows} rows; by chance at least {chance.min()} apart, median {np.median(chance):.0f}"
    )
    best = rows / 3
    least, median = near["least_distance"] / best, near["median_distance"] / best
    figure("least_distance_of_near_duplicates", least, ">= 0.2 of what three could have", least >= 0.2)
    figure("median_distance_of_near_duplicates", median, ">= 0.8 of what three could have", median >= 0.8)


def bad_input(home: Path, lines: int) -> None:
    """One broken line among so many; a file cut short."""
    folder = home / "bad"
    folder.mkdir()
    wrong = lines // 3 * 2
    with open(folder / "train-00000.jsonl", "w", encoding="utf-8") as file:
        file.writelines(
            f'{{"text": "第{n}天，小兔子去唱歌。"}}\n' if n != wrong else '{"text": "第\n' for n in range(lines)
        )
    (folder / "val-00000.jsonl").write_text('{"text": "从前。"}\n', encoding="utf-8")
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        counts = tokens(folder, TOKENIZER, home / "bad-tokens", BLOCK, workers=cores()).counts
    named = counts["examples"] == [{"file": "train-00000.jsonl", "line": wrong + 1, "reason": "broken json"}]
    good = named and counts["train"]["bad"] == 1 and counts["train"]["documents"] == lines - 1
    figure(f"bad_line_in_{lines}_named_and_counted", good, "1", good, ".0f")
    path = home / "bad-tokens" / "train-00000.bin"
    os.truncate(path, path.stat().st_size - 2)
    refused = False
    try:
        require_whole(home / "bad-tokens")
    except UserError as error:
        refused = str(path) in str(error) and (home / "bad-tokens" / MANIFEST).is_file()
    figure("truncated_rows_refused", refused, "1", refused, ".0f")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="32 MB instead of 200, within a minute")
    parser.add_argument("--side", nargs=5, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        name, folder, out, most, workers = arguments.side
        print(json.dumps(side(name, Path(folder), Path(out), int(most), int(workers))))
        return
    size, lines, rounds = (32_000_000, 50_000, 1) if arguments.quick else (200_000_000, 1_000_000, 3)
    with tempfile.TemporaryDirectory() as folder:
        home, pool = Path(folder), sentences()
        large, small = (
            corpus(home / "large", size, pool),
            corpus(home / "small", size // (2 if arguments.quick else 4), pool),
        )
        wide = again(home / "wide", large, 6) if arguments.quick else large
        longer = again(home / "long", large, 18 if arguments.quick else 3)
        speeds(home, wide, longer, min(size, 6_000_000 if arguments.quick else 30_000_000), rounds)
        one_thread("built_in_text", texts(large, 6_000_000)[0])
        if classical := poems(20_000):
            one_thread("poems", classical)
        memory(home, small, large)
        resume(home, small)
        packing(home / "high")
        order(home, pool, size // 5)
        bad_input(home, lines)
    sys.exit(not OK)


if __name__ == "__main__":
    main()
