"""Does preference optimisation make the model better, and is it worth more than SFT on the same samples? One table.

    python benchmarks/proof.py --checkpoint runs/quickstart/sft/final --plots-as-quickstart   # at most an hour, 2 cores
    python benchmarks/proof.py --quick                                                        # a minute, a toy model

Every arm starts from the same SFT checkpoint and, within a seed, from the same samples of it: requests are sampled once, in
the first round of the online arm. Every model is then asked the same held-out requests, greedily. Differences from SFT are
paired; intervals are 95%, by bootstrap over requests and seeds. A stopped run goes on; a changed setting does again only
what it changes. Writes proof.json and proof.md; prints ``name: value (bar: ...)``, and the exit status is 1 on a miss.
"""

from __future__ import annotations

import argparse
import contextlib
import inspect
import json
import math
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import yaml

from litgpt_zh import __main__ as command_line
from litgpt_zh import scales
from litgpt_zh.evaluate import figures
from litgpt_zh.evaluate.stage import world_records
from litgpt_zh.preference.gate import Gate, met, share
from litgpt_zh.preference.online import table as rounds_of
from litgpt_zh.preference.pairing import pair_samples
from litgpt_zh.stage import Manifest, write_text

ROOT = Path(__file__).parents[1]
OK = True

SETTINGS: dict[str, Any] = {
    # of the first round and of each later one
    "pairs": {
        "count": 800, "samples": 8, "margin": 0.1, "val_share": 0.05, "batch_size": 128,
        "no_worse": ["repetition"], "balanced": ["surprise"],
        "prompt_fields": scales.SHOWN,  # as quickstart's SFT shows them
    },
    "rounds": 4,
    "gate": {"count": 400, "tolerance": 0.05},
    "after_refusal": "continue",
    "best_of": {"level": 0.9},
    "held_out": 400,
    # seeds of the story world: of the pairs (plus the seed of the run), of the gate, of the table
    "worlds": {"pairs": 31_000_000, "gate": 32_000_000, "held_out": 33_000_000},
    "train": {"global_batch_size": 16, "micro_batch_size": 16},
    "precision": scales.SCALES[scales.for_cpu()].precision,  # --precision
    # no guards while training: the table is to show what each arm does; the rounds have their gate
    "preference": {"guard": False},
    # data: settings of the data class; each arm has its own learning rate and epochs
    "dpo": {"data": {"loss": "dpo", "beta": 0.3}, "lr": 8e-5, "epochs": 2},
    "simpo": {"data": {"loss": "simpo", "beta": 2.5, "gamma": 1.25}, "lr": 8e-5, "epochs": 1},
    "kto": {"data": {"loss": "kto", "beta": 0.3}, "lr": 8e-5, "epochs": 1},
    "sft": {"data": {}, "lr": 1e-4, "epochs": 1},
}  # fmt: skip
"""Everything that was found by trying."""
QUICK: dict[str, Any] = {
    "pairs": {
        "count": 48, "samples": 6, "margin": 0.3, "length_ratio": 0.5, "band": [1, 60], "val_share": 0.3,
        "weights": {"words": 1.0}, "batch_size": 128, "no_worse": [], "balanced": [],
    },
    "rounds": 2,
    "gate": {
        "count": 16, "min_gain": -1.0, "tolerance": 1.0, "max_nll_rise": 100.0, "max_repetition_rise": 1.0,
        "max_finished_drop": 1.0, "max_length_change": 99.0,
    },
    "best_of": {"level": 0.5, "val_share": 0.3},
    "held_out": 24,
    "train": {"global_batch_size": 2, "micro_batch_size": 2},
    "preference": {"guard": False, "check_sft": False},
}  # fmt: skip
ARMS = {
    "sft": "SFT, where all begin",
    "chosen": "SFT goes on with the chosen side",
    "best-of": "SFT on the best of {samples} (rejection sampling)",
    "classic": "DPO, true story against sample (off-policy)",
    "dpo": "DPO on own samples, 1 round",
    "online": "DPO on own samples, {rounds} rounds, gated",
    "simpo": "SimPO on own samples, 1 round",
    "kto": "KTO on own samples, 1 round",
}
"""Rows of the table."""


@dataclass
class Proof:
    """Where everything is, and what is asked."""

    out: Path
    checkpoint: Path
    settings: dict[str, Any]
    plots: list[str]
    toy: bool

    def __post_init__(self) -> None:
        self.out.mkdir(parents=True, exist_ok=True)
        self.log = open(self.out / "log.txt", "a", encoding="utf-8")  # noqa: SIM115  loggers hold on to it to the end

    def run(self, command: str, recipe: dict[str, Any], name: str) -> None:
        """A command with its recipe, in this process (starting litgpt takes longer than many a stage); output to the log."""
        file = self.out / "recipes" / f"{name}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        plain = json.loads(json.dumps(recipe, default=str))
        write_text(file, yaml.safe_dump(plain, allow_unicode=True, sort_keys=False))
        started = time.perf_counter()
        try:
            with contextlib.redirect_stdout(self.log), contextlib.redirect_stderr(self.log):
                command_line.main([command, "--config", str(file)])
        except SystemExit as stop:
            if stop.code:
                self.log.flush()
                tail = (self.out / "log.txt").read_text(encoding="utf-8")[-2000:]
                sys.exit(f"{tail}\n{name}: {stop.code} (log: {self.out / 'log.txt'})")
        print(f"  {name}: {time.perf_counter() - started:.0f} s", flush=True)

    def asked(self, what: str, count: int, seed: int) -> dict[str, Any]:
        """Requests of ``evaluate_stories``."""
        if self.toy:
            return {"corpus_dir": toy_records(self.out, what, count), "count": count}
        return {"count": count, "seed": seed} | ({"plots": self.plots} if self.plots else {})

    def source(self, seed: int) -> Path:
        """The requests of a seed, for all its rounds: of as many words as the held-out ones."""
        count = self.settings["pairs"]["count"] * self.settings["rounds"]
        if self.toy:
            return toy_records(self.out, f"pairs-{seed}", count)
        file = self.out / f"requests-{seed}.jsonl"
        if not file.is_file():
            records = world_records(count, self.settings["worlds"]["pairs"] + seed, self.plots)
            write_text(file, "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records))
        return file

    def training(self, kind: str, data: dict[str, Any], seed: int) -> dict[str, Any]:
        """A recipe of ``litgpt finetune_full``, without its folders."""
        own = self.settings[kind]
        name = "litgpt_zh.instruct.data.Instructions" if kind == "sft" else "litgpt_zh.preference.data.Preference"
        shared = {"seed": seed} | ({} if kind == "sft" else self.settings["preference"])
        return {
            "precision": self.settings["precision"],
            "devices": 1,
            "resume": "auto",
            "logger_name": "csv",
            "seed": seed,
            "data": {"class_path": name, "init_args": {**shared, **own["data"], **data}},
            "train": {**self.settings["train"], "epochs": own["epochs"], "lr_warmup_steps": 3, "save_interval": 50, "log_interval": 5},
            "eval": {"interval": 1000, "max_new_tokens": 20, "max_iters": 20},
            "optimizer": {
                "class_path": "torch.optim.AdamW",
                "init_args": {"lr": own["lr"], "weight_decay": 0.0, "betas": [0.9, 0.95]},
            },
        }  # fmt: skip

    def train(self, kind: str, arm: str, data: dict[str, Any], seed: int) -> Path:
        folder = self.out / f"seed-{seed}" / arm / "train"
        recipe = self.training(kind, data, seed) | {"checkpoint_dir": self.checkpoint, "out_dir": folder}
        self.run("finetune_full", recipe, f"seed-{seed}-{arm}-train")
        return folder / "final"

    def online(self, seed: int) -> Path:
        """All rounds; keeps the samples of each."""
        out = self.out / f"seed-{seed}" / "online"
        given = {name: self.settings[name] for name in ("rounds", "after_refusal")}
        recipe = {
            "checkpoint_dir": self.checkpoint,
            "out_dir": out,
            "train": self.training("dpo", {}, seed),
            "pairs": {**self.settings["pairs"], "source": self.source(seed), "keep_samples": True},
            "gate": self.settings["gate"] | self.asked("gate", self.settings["gate"]["count"], self.settings["worlds"]["gate"]),
            "seed": seed,
            **given,
        }  # fmt: skip
        self.run("online", recipe, f"seed-{seed}-online")
        return out

    def arm(self, arm: str, seed: int) -> Path:
        """Train an arm; returns its model."""
        folder = self.out / f"seed-{seed}"
        first, own = folder / "online" / "round-1" / "pairs", {"out_dir": folder / arm / "data", "overwrite": True}
        if arm in ("dpo", "online"):
            return folder / "online" / ("final" if arm == "online" else "round-1/train/final")
        if arm in ("simpo", "kto"):
            return self.train(arm, arm, {"pairs_dir": first}, seed)
        if arm == "classic":
            taken = inspect.signature(pair_samples).parameters.keys()
            rules = {
                name: value
                for name, value in self.settings["pairs"].items()
                if name in taken - {"no_worse", "balanced"}
            }
            given = {"checkpoint_dir": self.checkpoint, "samples_dir": first, "kind": "classic", **rules}
            self.run("pair_samples", given | own, f"seed-{seed}-{arm}")
            return self.train("dpo", arm, {"pairs_dir": folder / arm / "data"}, seed)
        if arm == "chosen":
            self.run("chosen", {"pairs_dir": first} | own, f"seed-{seed}-{arm}")
        else:
            self.run("best_of", {"samples_dir": first} | own | self.settings["best_of"], f"seed-{seed}-{arm}")
        return self.train("sft", arm, {"data_dir": folder / arm / "data"}, seed)

    def score(self, model: Path, out: Path, name: str) -> dict[str, Any]:
        asked = self.asked("held-out", self.settings["held_out"], self.settings["worlds"]["held_out"])
        self.run("evaluate_stories", {"checkpoint_dir": model, "out_dir": out, **asked, "overwrite": True}, name)
        return json.loads((out / "score.json").read_text(encoding="utf-8"))


def toy_records(out: Path, what: str, count: int) -> Path:
    """Requests for letters, for a model that writes letters (tests/tiny_checkpoint.py)."""
    from tiny_checkpoint import letter_records, write_records

    first = sum(map(ord, what)) * 1000
    return write_records(out / f"{what}.jsonl", letter_records(count, first))


def bootstrap(values: np.ndarray, resamples: int = 2000) -> dict[str, float]:
    """Mean of (seeds, requests) with its 95% interval: seeds and requests are drawn anew, each with replacement."""
    rng, (seeds, requests) = np.random.default_rng(0), values.shape
    drawn = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=resamples) / seeds
    asked = rng.multinomial(requests, np.full(requests, 1 / requests), size=resamples) / requests
    means = ((drawn @ values) * asked).sum(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return {"value": round(float(values.mean()), 4), "low": round(float(low), 4), "high": round(float(high), 4)}


def row(cards: list[dict[str, Any]], sft: dict[str, Any]) -> dict[str, Any]:
    """The figures of an arm, one card a seed."""
    hits, base = np.stack([met(card) for card in cards]), met(sft)[None]
    repeated = np.array([[figures.repetition(s["text"]) for s in card["samples"]] for card in cards])
    return {
        "words_all": bootstrap(hits),
        "gain": bootstrap(hits - base),
        "words_all_by_seed": hits.mean(axis=1).round(4).tolist(),
        "nll": round(float(np.mean([card["bits"]["loss_per_token"] for card in cards])), 4),
        "nll_rise": bootstrap(np.stack([nats(card) for card in cards]) - nats(sft)),
        "repetition_4": bootstrap(repeated),
        **{
            name: round(float(np.mean([share(card, name) for card in cards])), 4) for name in ("finished", "distinct_2")
        },
        "characters": round(float(np.mean([share(card, "characters") for card in cards])), 1),
    }


def page(result: dict[str, Any], settings: dict[str, Any]) -> str:
    """The table, and what the gate said of each round of each seed."""
    gate = Gate(**settings["gate"])
    rounds = "\n\n".join(f"Seed {n}\n\n```\n{rounds_of(r, gate)}\n```" for n, r in enumerate(result["rounds"], start=1))
    return table(result["rows"], settings) + "\n" + rounds + "\n"


def nats(card: dict[str, Any]) -> np.ndarray:
    """(requests,) cross entropy of the true stories; their mean is that of all tokens, in nats a token."""
    bits = np.array(card["bits"]["per_story"]["bits"])
    return bits * math.log(2) * card["bits"]["stories"] / card["bits"]["tokens"]


def table(rows: dict[str, dict[str, Any]], settings: dict[str, Any]) -> str:
    """Markdown."""
    head = "| arm | words_all | over SFT | true stories, nats a token | repetition_4 | distinct_2 | finished | characters |"
    lines = [head, "|---" * 8 + "|"]
    names = {"samples": settings["pairs"]["samples"], "rounds": settings["rounds"]}
    for arm, found in rows.items():
        gain = "" if arm == "sft" else f"{_interval(found['gain'], '+')}"
        lines.append(
            f"| {ARMS[arm].format(**names)} | {_interval(found['words_all'])} | {gain} | {_number(found['nll_rise'], '+')} | "
            f"{_interval(found['repetition_4'])} | {found['distinct_2']:.3f} | {found['finished']:.1%} | {found['characters']:.0f} |"
        )
    return "\n".join(lines) + "\n"


def _interval(value: dict[str, float], sign: str = "") -> str:
    return f"{value['value']:{sign}.1%} [{value['low']:{sign}.1%}, {value['high']:{sign}.1%}]"


def _number(value: dict[str, float], sign: str = "") -> str:
    return f"{value['value']:{sign}.3f} [{value['low']:{sign}.3f}, {value['high']:{sign}.3f}]"


def inline(argv: list[str], env: Any = None) -> int:
    """A step of the online arm, in this process too."""
    try:
        command_line.main(argv[3:])
    except SystemExit as stop:
        print(stop.code)
        return int(bool(stop.code))
    return 0


def prove(proof: Proof, seeds: int, arms: list[str]) -> tuple[dict[str, Any], dict[str, list[dict[str, Any]]]]:
    """Train and score every arm of every seed; the table's rows, and the score cards."""
    cards = {arm: [] for arm in arms}
    sft = proof.score(proof.checkpoint, proof.out / "sft", "sft-score")
    with mock.patch.object(subprocess, "call", inline):
        for seed in range(1, seeds + 1):
            proof.online(seed)
            for arm in arms:
                model, folder = proof.arm(arm, seed), proof.out / f"seed-{seed}" / arm / "table"
                cards[arm].append(proof.score(model, folder, f"seed-{seed}-{arm}-score"))
    found = {"sft": row([sft], sft)} | {arm: row(cards[arm], sft) for arm in arms}
    rounds = [Manifest.read(proof.out / f"seed-{s}" / "online" / "final").counts["rounds"] for s in range(1, seeds + 1)]
    return {"rows": found, "rounds": rounds}, {"sft": [sft] * seeds, **cards}


def figure(name: str, value: float, bar: str, good: bool) -> None:
    """Print one line, and remember a miss."""
    global OK
    OK = OK and good
    print(f"{name}: {value:.4f} (bar: {bar}){'' if good else '  MISSED'}", flush=True)


def bars(rows: dict[str, Any], cards: dict[str, list[dict[str, Any]]]) -> None:
    """What the rounds must beat, and what they may cost."""
    hits = {arm: np.stack([met(card) for card in found]) for arm, found in cards.items()}
    for other in ("sft", "chosen", "best-of", "classic"):
        if other in hits and "online" in hits:
            gain = bootstrap(hits["online"] - hits[other])
            figure(f"online_over_{other}", gain["value"], f"lower end {gain['low']:+.4f} > 0", gain["low"] > 0)
    if "online" not in rows:
        return
    own, sft = rows["online"], rows["sft"]
    gain, failures = own["gain"]["value"], 1 - sft["words_all"]["value"]
    figure("online_gain", gain, f">= 0.10, or half of the {failures:.4f} failures", gain >= min(0.1, failures / 2))
    rise = own["nll_rise"]["value"]
    figure("online_nll_rise", rise, "<= 0.03", rise <= 0.03)
    most = sft["repetition_4"]["high"]
    figure("online_repetition_4", own["repetition_4"]["value"], f"<= {most}", own["repetition_4"]["value"] <= most)
    least = sft["finished"] - 0.01
    figure("online_finished", own["finished"], f">= {least:.4f}", own["finished"] >= least)
    change = own["characters"] / sft["characters"] - 1
    figure("online_length_change", change, "within 0.15", abs(change) <= 0.15)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, help="an SFT checkpoint (a run's final/)")
    parser.add_argument(
        "--plots-as-quickstart", action="store_true", help="ask for the plots quickstart is trained on here"
    )
    parser.add_argument(
        "--precision",
        choices=("32-true", "bf16-mixed"),
        default=SETTINGS["precision"],
        help="of the training; as quickstart",
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--arms", nargs="+", choices=list(ARMS)[1:], default=list(ARMS)[1:])
    parser.add_argument("--out", type=Path, default=Path("runs/proof"))
    parser.add_argument(
        "--quick", action="store_true", help="every arm with a toy model: shows that it runs, proves nothing"
    )
    arguments = parser.parse_args()
    if not arguments.quick and arguments.checkpoint is None:
        parser.error("give --checkpoint, or --quick")
    started = time.perf_counter()
    if arguments.quick:
        with tempfile.TemporaryDirectory() as folder:
            quick(Path(folder), arguments.arms)
    else:
        plots = list(scales.SCALES[scales.for_cpu()].plots) if arguments.plots_as_quickstart else []
        settings = SETTINGS | {"precision": arguments.precision}
        proof = Proof(arguments.out, arguments.checkpoint, settings, plots, toy=False)
        result, cards = prove(proof, arguments.seeds, arguments.arms)
        write_text(proof.out / "proof.json", json.dumps({"settings": settings, **result}, ensure_ascii=False, indent=1))
        write_text(proof.out / "proof.md", page(result, settings))
        print((proof.out / "proof.md").read_text(encoding="utf-8"))
        bars(result["rows"], cards)
    minutes = (time.perf_counter() - started) / 60
    figure("minutes", minutes, "<= 1" if arguments.quick else "<= 60", minutes <= (1 if arguments.quick else 60))
    return 0 if OK else 1


def quick(folder: Path, arms: list[str]) -> None:
    """The whole way with a model of a few kilobytes that writes letters."""
    sys.path.insert(0, str(ROOT / "tests"))
    from tiny_checkpoint import write_letters

    write_letters(folder / "letters")
    settings = SETTINGS | QUICK | {kind: SETTINGS[kind] | {"lr": 1e-3} for kind in ("dpo", "simpo", "kto", "sft")}
    result, _ = prove(Proof(folder, folder / "letters", settings, [], toy=True), 1, arms)
    print(page(result, settings))
    losses = {found["nll"] for found in result["rows"].values()}
    figure("different_models", len(losses), f">= {len(arms) + 1}", len(losses) > len(arms))
    figure("arms", len(result["rows"]), f"{len(arms) + 1}", len(result["rows"]) == len(arms) + 1)


if __name__ == "__main__":
    sys.exit(main())
