"""The bars of the first journey: story world, start-up time of the command, and what the quickstart model can do.

    python benchmarks/journey.py --run runs/quickstart     # everything; runs quickstart (20 to 30 minutes) if not done
    python benchmarks/journey.py --quick                   # the world at 5,000 stories, start-up, the command's size

One line a figure, ``name: value (bar: ...)``; the exit status is 1 if a bar is missed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from world_quality import measure

from litgpt_zh.evaluate.figures import paired
from litgpt_zh.preference.gate import met
from litgpt_zh.stage import Manifest

OK = True


def figure(name: str, value: float, bar: str, good: bool, form: str = ".3f") -> None:
    """Print one line, and remember a miss."""
    global OK
    OK = OK and good
    print(f"{name}: {value:{form}} (bar: {bar}){'' if good else '  MISSED'}", flush=True)


def seconds(*argv: str) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, "-m", "litgpt_zh", *argv], check=True, capture_output=True)
    return time.perf_counter() - started


def start_up() -> None:
    """The command answers ``--help`` at once."""
    median = statistics.median(seconds("--help") for _ in range(5))
    figure("help_seconds", median, "< 1", median < 1)


def quickstart(run: Path) -> None:
    """Walk (or find walked) the quickstart, then its second call and its score cards."""
    subprocess.run([sys.executable, "-m", "litgpt_zh", "quickstart", "--out_dir", str(run)], check=True)
    record = json.loads((run / "run.json").read_text(encoding="utf-8"))
    minutes = {stage["name"]: stage["seconds"] / 60 for stage in record["stages"]}
    total = sum(minutes.values())
    figure("minutes_without_online", total - minutes["online"], "<= 20", total - minutes["online"] <= 20, ".1f")
    figure("minutes", total, "<= 30", total <= 30, ".1f")
    again = seconds("quickstart", "--out_dir", str(run))
    figure("second_call_seconds", again, "<= 15", again <= 15, ".1f")
    score = json.loads((run / "score" / "score.json").read_text(encoding="utf-8"))
    figure("prompts", score["count"], ">= 200", score["count"] >= 200, "d")
    for model in [score, *score["others"]][:-1]:  # what the next stage started from
        card(model, least=0.50)
    card(score["others"][-1], least=0.60)  # the model quickstart leaves
    gains(run / "online", score)


def gains(online: Path, score: dict) -> None:
    """By how much the last accepted model beats SFT: on the gate's requests, on the held-out ones, on both together."""
    rounds = Manifest.read(online / "final").counts["rounds"]
    accepted = [found["round"] for found in rounds if found["accepted"]]
    if not accepted:
        print("  no round passed its gate")
        return
    gate = [online / name / "score" / "score.json" for name in ("start", f"round-{accepted[-1]}")]
    asked = {
        "gate": [met(json.loads(file.read_text(encoding="utf-8"))) for file in gate],
        "held_out": [met(score), met(score["others"][-1])],
    }
    asked["together"] = [np.concatenate(pair) for pair in zip(*asked.values(), strict=True)]
    for name, (before, after) in asked.items():
        gain = paired(before, after)
        print(
            f"  {name}: {before.mean():.1%} -> {after.mean():.1%} of {len(before)},"
            f" {gain['value']:+.1%} [{gain['low']:+.1%}, {gain['high']:+.1%}]"
        )


def card(score: dict, least: float) -> None:
    """What a model did with the held-out requests."""
    name = score["name"]
    values = {key: entry["value"] for key, entry in score["figures"].items() if isinstance(entry, dict)}
    figure(f"{name}_words_all", values["words_all"], f">= {least:.2f}", values["words_all"] >= least)
    chance = values["words_all_shuffled"]
    figure(f"{name}_words_all_shuffled", chance, "< words_all / 4", chance < values["words_all"] / 4)
    figure(f"{name}_ends_properly", values["finished"], ">= 0.95", values["finished"] >= 0.95)
    figure(f"{name}_bits_per_character", score["bits"]["bits_per_character"]["value"], "told", True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="at most a minute: no quickstart run")
    parser.add_argument("--run", type=Path, default=Path("runs/quickstart"), help="folder of the quickstart run")
    arguments = parser.parse_args()
    start_up()
    world = measure(5_000 if arguments.quick else 50_000, seed=1, length="short")
    if not arguments.quick:
        quickstart(arguments.run)
    return 0 if OK and world else 1


if __name__ == "__main__":
    sys.exit(main())
