"""The bars of preference optimisation: its losses are TRL's, and it trains at three times the speed of TRL's DPOTrainer.

    python benchmarks/preference.py --trl-python /tmp/trl-venv/bin/python           # both sides in turn, five rounds
    python benchmarks/preference.py --trl-python /tmp/trl-venv/bin/python --quick   # one round, a minute or two

TRL 1.16 cannot share an environment with litgpt 0.5.13 (huggingface-hub), so it gets its own:

    python3 -m venv /tmp/trl-venv && /tmp/trl-venv/bin/pip install torch trl==1.16

The race: one model of 4M parameters, the same pairs of 120-310 tokens a side in batches of 8, fp32 on the CPU, no gradient
checkpointing, AdamW at a constant rate; the reference pass is counted on both sides. Each side makes its own batches (TRL at
random, we by length); in the first round TRL gets ours once more, for equal losses and for that ratio. Without --trl-python
only the golden values are checked. One line a figure, ``name: value (bar: ...)``; the exit status is 1 if a bar is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
GOLDEN = ROOT / "tests" / "golden" / "trl_losses.json"
TOKENS = (120, 310)
"""Of a side of a pair, prompt included."""
BATCH = 8
BINS = 8
OK = True


def figure(name: str, value: float, bar: str, good: bool, form: str = ".2f") -> None:
    """Print one line, and remember a miss."""
    global OK
    OK = OK and good
    print(f"{name}: {value:{form}} (bar: {bar}){'' if good else '  MISSED'}", flush=True)


def golden() -> None:
    """Value and gradient of every loss against what TRL's own trainers gave (tests/golden/make_trl_golden.py)."""
    import torch

    from litgpt_zh.preference import losses
    from litgpt_zh.preference.losses import LOSSES, Pairs

    known = json.loads(GOLDEN.read_text(encoding="utf-8"))
    given = {name: torch.tensor(values) for name, values in known["inputs"].items()}
    for name in ("dpo", "robust", "hinge", "ipo", "rpo", "simpo", "orpo"):
        sides = [given[side].clone().requires_grad_() for side in ("chosen", "rejected")]
        tokens = [torch.tensor(side) for side in known[name]["tokens"]]
        pairs = Pairs(*sides, *tokens, given["ref_chosen"], given["ref_rejected"])
        loss = LOSSES[name].function(pairs, **known[name]["settings"]).mean()
        loss.backward()
        off = [abs(loss.item() - known[name]["loss"])]
        for side, leaf in zip(("chosen", "rejected"), sides, strict=True):
            off.append((leaf.grad - torch.tensor(known[name][f"{side}_gradient"])).abs().max().item())
        figure(f"golden_{name}", max(off), "<= 1e-6", max(off) <= 1e-6, ".1e")
    policy = given["chosen"].clone().requires_grad_()
    kl = losses.kto_kl(given["mismatched"], given["ref_mismatched"])
    loss = losses.kto(policy, given["ref_chosen"], given["labels"], kl, **known["kto"]["settings"]).mean()
    loss.backward()
    gradient = (policy.grad - torch.tensor(known["kto"]["gradient"])).abs().max().item()
    worst = max(abs(loss.item() - known["kto"]["loss"]), abs(kl.item() - known["kto"]["kl"]), gradient)
    figure("golden_kto", worst, "<= 1e-6", worst <= 1e-6, ".1e")


def prepare(home: Path, pairs: int) -> dict[str, Any]:
    """Checkpoint, pairs, and the same for TRL; returns what both sides are told."""
    import torch
    from litgpt import GPT, Config
    from litgpt.utils import save_config

    from litgpt_zh.checkpoints import hf_config
    from litgpt_zh.prompts import CONTROL

    config = Config(
        name="race-4m", hf_config={"org": "litgpt-zh", "name": "race-4m", "tie_word_embeddings": True}, block_size=512,
        n_layer=3, n_head=4, n_embd=256, n_query_groups=4, intermediate_size=640, vocab_size=6656, padded_vocab_size=6656,
        rotary_percentage=1.0, parallel_residual=False, bias=False, norm_class_name="RMSNorm", norm_eps=1e-5,
        mlp_class_name="LLaMAMLP",
    )  # fmt: skip
    torch.manual_seed(0)
    model = GPT(config)
    model.apply(model._init_weights)
    model.transformer.wte.weight = model.lm_head.weight
    checkpoint = home / "checkpoint"
    checkpoint.mkdir()
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(ROOT / "tokenizer" / file, checkpoint / file)
    torch.save(model.state_dict(), checkpoint / "lit_model.pth")
    save_config(config, checkpoint)
    torch.save(hugging_face(model), home / "hf.pt")
    print(f"model: {sum(p.numel() for p in model.parameters()) / 1e6:.1f}M parameters")
    _pairs(home, checkpoint, pairs)
    return {
        "checkpoint": str(checkpoint), "pairs": str(home / "pairs"), "tokenizer": str(checkpoint / "tokenizer.json"),
        "hf_config": hf_config(config, {"eos_token_id": CONTROL.index("<|endoftext|>"), "pad_token_id": 1}),
        "hf_weights": str(home / "hf.pt"), "orders": _records(home), "batch": BATCH, "beta": 0.3, "lr": 1e-4,
    }  # fmt: skip


def hugging_face(model: Any) -> dict[str, Any]:
    """litgpt's weights under the names of a Hugging Face Llama."""
    found = {"model.embed_tokens.weight": model.transformer.wte.weight, "lm_head.weight": model.lm_head.weight}
    found["model.norm.weight"] = model.transformer.ln_f.weight
    for number, block in enumerate(model.transformer.h):
        q, k, v = block.attn.qkv.weight.chunk(3)  # as many groups as heads
        layer = {
            "self_attn.q_proj": q, "self_attn.k_proj": k, "self_attn.v_proj": v, "self_attn.o_proj": block.attn.proj.weight,
            "input_layernorm": block.norm_1.weight, "post_attention_layernorm": block.norm_2.weight,
            "mlp.gate_proj": block.mlp.fc_1.weight, "mlp.up_proj": block.mlp.fc_2.weight,
            "mlp.down_proj": block.mlp.proj.weight,
        }  # fmt: skip
        found |= {f"model.layers.{number}.{name}.weight": weight for name, weight in layer.items()}
    return {name: weight.detach().clone() for name, weight in found.items()}


def _pairs(home: Path, checkpoint: Path, count: int) -> None:
    """``count`` training pairs (and two for validation) of the story world, lengths spread evenly over ``TOKENS``.

    A story against one of another request whose length suits it, as ``sample_pairs`` has it (0.8 to 1.25).
    """
    from litgpt_zh.corpus.world import generate
    from litgpt_zh.evaluate.score import FIELDS, prompt_of, shown
    from litgpt_zh.instruct.encode import Encoder
    from litgpt_zh.preference.stage import pairs

    encoder, low, width = Encoder(checkpoint), TOKENS[0], (TOKENS[1] - TOKENS[0]) / BINS
    bins: list[list[dict[str, str]]] = [[] for _ in range(BINS)]
    stories = [story for kind in ("short", "full") for story in generate(1, 0, 12 * count, kind)]
    lengths = [len(ids) for ids in encoder._ids([story.text for story in stories])]
    order = sorted(range(len(stories)), key=lambda n: (lengths[n], n))
    for here, after in pairwise(order):
        one, other = stories[here], stories[after]
        prompt = prompt_of(shown(one.record(), FIELDS))
        total = len(encoder._ids([prompt])[0]) + lengths[after] + 1
        if low <= total < TOKENS[1] and one.text != other.text:
            request = prompt.removeprefix("<|user|>").removesuffix("<|assistant|>")
            bins[int((total - low) / width)].append({"prompt": request, "chosen": one.text, "rejected": other.text})
    most = -(-count * 5 // 4 // BINS)
    kept = [record for records in bins for record in random.Random(0).sample(records, min(most, len(records)))]
    random.Random(1).shuffle(kept)
    source = home / "pairs.jsonl"
    source.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in kept), encoding="utf-8")
    made = pairs(str(source), checkpoint, home / "all", val_share=0.1)
    assert made.counts["train"] >= count, f"only {made.counts['train']} pairs of the right length"
    _first(home / "all", home / "pairs", count)


def _first(folder: Path, out: Path, count: int) -> None:
    """A folder with the first ``count`` training pairs and two validation pairs of another."""
    import numpy as np

    from litgpt_zh.stage import Manifest, fingerprint

    shutil.copytree(folder, out)
    for side, number in (("train", count), ("val", 2)):
        offsets = np.load(out / f"{side}_offsets.npy")[: 2 * number + 1]
        np.save(out / f"{side}_offsets.npy", offsets)
        np.save(out / f"{side}_ids.npy", np.load(out / f"{side}_ids.npy")[: offsets[-1]])
        np.save(out / f"{side}_prompts.npy", np.load(out / f"{side}_prompts.npy")[:number])
    manifest = Manifest.read(out)
    manifest.outputs = {name: fingerprint(out / name) for name in manifest.outputs}
    manifest.write(out)


def _records(home: Path) -> dict[str, str]:
    """The pairs as TRL takes them: in the order of the file, and in that of our batches."""
    from litgpt_zh.preference.data import Preference

    data = Preference(pairs_dir=home / "pairs")
    data.setup()
    data.batch_size = BATCH
    data.global_batch(BATCH)
    orders = {"own": range(len(data.train_dataset)), "same": [n for step in data.batches(0) for n in step[0]]}
    for name, numbers in orders.items():
        records = []
        for item in (data.train_dataset[number] for number in numbers):
            sides = {f"{side}_ids": item[side][item["prompt"] :].tolist() for side in ("chosen", "rejected")}
            records.append({"prompt_ids": item["chosen"][: item["prompt"]].tolist(), **sides})
        (home / f"{name}.json").write_text(json.dumps(records))
    tokens = sum(len(item[side]) for item in data.train_dataset for side in ("chosen", "rejected"))  # type: ignore[attr-defined]
    print(
        f"pairs: {len(records)}, {tokens / len(records):.0f} tokens a pair; padding in our batches {data.padding_share():.0%}"
    )
    return {name: str(home / f"{name}.json") for name in orders}


def run(side: str, python: str, spec: dict[str, Any], home: Path, name: str, **own: Any) -> dict[str, Any]:
    """One side, in a process of its own."""
    told = {**spec, "out": str(home / name), "result": str(home / f"{name}.json"), **own}
    (home / f"{name}-spec.json").write_text(json.dumps(told))
    command = [python, str(ROOT / "benchmarks" / "preference_sides.py"), side, str(home / f"{name}-spec.json")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    if side == "trl":
        environment.pop("PYTHONPATH")
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stdout[-1500:]}{done.stderr[-3000:]}")
    return json.loads((home / f"{name}.json").read_text())


def race(trl_python: str, rounds: int, pairs: int) -> None:
    """Both sides in turn. TRL has its own batches, as it comes; once it gets ours, which must give our losses."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        spec = prepare(home, pairs)

        def theirs(name: str, order: str, precompute: bool) -> dict[str, Any]:
            own = {"records": spec["orders"][order], "precompute": precompute}
            return run(
                "trl", trl_python, spec, home, name, **own, sampling="random" if order == "own" else "sequential"
            )

        mine, other, ratios, precompute = [], [], [], True
        for number in range(rounds):
            us = run("ours", sys.executable, spec, home, f"ours-{number}")
            them = theirs(f"trl-{number}", "own", precompute)
            if number == 0:
                same = theirs("trl-same", "same", True)
                if rounds > 1 and total(live := theirs("trl-live", "own", False)) < total(them):
                    them, precompute = live, False  # the faster way for TRL
            mine.append(pairs / total(us))
            other.append(pairs / total(them))
            ratios.append(mine[-1] / other[-1])
            seconds = [f"reference {side['reference']:.1f} s, steps {side['seconds']:.1f} s" for side in (us, them)]
            print(
                f"round {number + 1}: ours {mine[-1]:.2f} pairs/s ({seconds[0]}), TRL {other[-1]:.2f} ({seconds[1]}), "
                f"ratio {ratios[-1]:.2f}",
                flush=True,
            )
            if number == 0:
                off = max(abs(a - b) for a, b in zip(us["losses"][:4], same["losses"][:4], strict=True))
                in_ours = total(same) / total(us)
    figure("loss_deviation_steps_0_3", off, "<= 1e-4", off <= 1e-4, ".1e")
    figure("ours_pairs_per_second", statistics.median(mine), "none", True)
    figure("trl_pairs_per_second", statistics.median(other), "none", True)
    figure("speed_ratio_when_trl_gets_our_batches", in_ours, "none", True)
    figure("speed_ratio", statistics.median(ratios), ">= 3", statistics.median(ratios) >= 3)


def total(side: dict[str, Any]) -> float:
    """Seconds, the reference pass included."""
    return side["seconds"] + side["reference"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trl-python", help="python of an environment with trl==1.16")
    parser.add_argument("--quick", action="store_true", help="one round of 32 pairs")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    golden()
    if not arguments.trl_python:
        print("race with TRL: skipped, no --trl-python (how to make one: --help)")
    elif arguments.quick:
        race(arguments.trl_python, rounds=1, pairs=4 * BATCH)
    else:
        race(arguments.trl_python, rounds=arguments.rounds, pairs=8 * BATCH)
    return 0 if OK else 1


if __name__ == "__main__":
    sys.exit(main())
