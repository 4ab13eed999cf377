"""The bars of export: what transformers and llama.cpp make of an exported model is what the checkpoint itself makes.

    python benchmarks/export.py --checkpoint runs/quickstart/sft/final   # a trained model: 1,000 stories, 40 answers
    python benchmarks/export.py --quick                                  # random weights of the 2m shape, within a minute

One line a figure, ``name: value (bar: ...)``; the exit status is 1 if a bar is missed. llama.cpp is measured where
llama-cpp-python is installed, transformers where transformers is.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
import yaml

from litgpt_zh.configs import config_dict
from litgpt_zh.corpus.world import generate as tell
from litgpt_zh.evaluate.score import prompt_of, shown
from litgpt_zh.evaluate.stage import world_records
from litgpt_zh.export.importing import import_hf
from litgpt_zh.export.llamacpp import export_gguf
from litgpt_zh.export.stage import export
from litgpt_zh.generate.batch import generate
from litgpt_zh.generate.load import Loaded, load
from litgpt_zh.stage import Manifest

ROOT = Path(__file__).parents[1]
OK = True


def figure(name: str, value: float, bar: str, good: bool, form: str = "g") -> None:
    """Print one line, and remember a miss."""
    global OK
    OK = OK and good
    print(f"{name}: {value:{form}} (bar: {bar}){'' if good else '  MISSED'}", flush=True)


def random_checkpoint(folder: Path) -> Path:
    """The 2m shape with random weights and the shipped tokenizer."""
    from litgpt import GPT, Config
    from litgpt.utils import save_config

    shutil.copytree(ROOT / "tokenizer", folder, ignore=shutil.ignore_patterns("manifest.json"))
    torch.manual_seed(0)
    model = GPT(Config(**config_dict("zh-tinystories-2m")))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, mean=float(parameter.dim() == 1), std=0.15)
    model.lm_head.weight = model.transformer.wte.weight
    torch.save(model.state_dict(), folder / "lit_model.pth")
    save_config(model.config, folder)
    (folder / "prompt_style.yaml").write_text(yaml.safe_dump({"class_path": "litgpt_zh.styles.Story"}))
    return folder


def answers(loaded: Loaded, count: int) -> list[tuple[list[int], list[int]]]:
    """Prompts of held-out requests and the greedy answers of the checkpoint itself."""
    records = [record for record in world_records(2 * count, 1_000_003) if record["words"]][:count]
    prompts = [loaded.encode(prompt_of(shown(record, ("words",)))) for record in records]
    given = generate(loaded.model, prompts, stop_ids=loaded.stop_ids, max_new_tokens=120)
    return [(prompt, sample.ids) for prompt, sample in zip(prompts, given, strict=True)]


def round_trip(folder: Path, home: Path) -> None:
    """Checkpoint -> Hugging Face -> checkpoint."""
    import_hf(home / "hf", home / "back")
    before, after = (torch.load(at / "lit_model.pth", weights_only=True) for at in (folder, home / "back"))
    before = before.get("model", before)
    other = sum(not torch.equal(before[name], after[name]) for name in before)
    figure("import_hf: tensors that differ after the round trip", other, "0", other == 0 and set(before) == set(after))


def in_transformers(here: Loaded, home: Path, asked: list[tuple[list[int], list[int]]]) -> None:
    """Logits and greedy text of ``AutoModelForCausalLM``."""
    import transformers

    there = transformers.AutoModelForCausalLM.from_pretrained(home / "hf", dtype=torch.float32).eval()
    worst, same = 0.0, 0
    for prompt, answer in asked:
        ids = torch.tensor([prompt + answer])
        with torch.inference_mode():
            worst = max(worst, float((here.model(ids) - there(ids).logits).abs().max()))
        whole = there.generate(torch.tensor([prompt]), do_sample=False, max_length=len(prompt) + 120)
        found = whole[0, len(prompt) :].tolist()
        same += [i for i in found if i not in here.stop_ids] == answer
    name = f"transformers {transformers.__version__}"
    figure(f"{name}: largest difference of a logit, fp32", worst, "<= 1e-5", worst <= 1e-5, ".1e")
    figure(f"{name}: greedy answers that are the same", same / len(asked), "100%", same == len(asked), ".1%")


def in_llama_cpp(here: Loaded, home: Path, asked: list[tuple[list[int], list[int]]], stories: int) -> None:
    """Tokens of stories, and greedy text in each precision (a cache in f32, as litgpt's)."""
    import llama_cpp

    for precision in ("f32", "f16", "q8_0"):
        file = home / precision / Manifest.read(home / precision).counts["file"]
        kwargs: dict[str, Any] = dict(n_ctx=here.config.block_size, n_threads=1, verbose=False, type_k=0, type_v=0)
        there = llama_cpp.Llama(str(file), **kwargs)
        if precision == "f32":
            texts = [story.text for story in tell(seed=77, start=0, count=stories)]
            alike = sum(there.tokenize(t.encode(), add_bos=True, special=True) == here.encode(t) for t in texts)
            figure(f"llama.cpp: stories of {stories} cut into the same tokens", alike, "all", alike == stories)
        same = sum(greedy(there, prompt, len(answer), here.stop_ids) == answer for prompt, answer in asked)
        bar = ("100%", same == len(asked)) if precision == "f32" else ("none: rounding", True)
        figure(f"llama.cpp {precision}: greedy answers that are the same", same / len(asked), *bar, form=".1%")


def greedy(there: Any, prompt: list[int], length: int, stop: tuple[int, ...]) -> list[int]:
    """Up to ``length`` tokens and whether the next one ends it."""
    there.reset()
    found: list[int] = []
    for token in there.generate(prompt, temp=0.0, repeat_penalty=1.0):
        if token in stop or len(found) == length:
            break
        found.append(token)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, help="a run's final/; by default random weights")
    parser.add_argument("--quick", action="store_true", help="10 answers instead of 40")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        source = options.checkpoint or random_checkpoint(home / "lit")
        export(source, home / "hf")
        here = load(source, device="cpu", dtype=torch.float32)
        asked = answers(here, 10 if options.quick else 40)
        round_trip(source, home)
        if find_spec("transformers"):
            in_transformers(here, home, asked)
        if find_spec("gguf"):
            for precision in ("f32", "f16", "q8_0"):
                export_gguf(source, home / precision, precision=precision)  # type: ignore[arg-type]
                size = Manifest.read(home / precision).counts["bytes"] / 1e6
                figure(f"gguf {precision}: MB", size, "none: information", True, ".1f")
        if find_spec("gguf") and find_spec("llama_cpp"):
            in_llama_cpp(here, home, asked, 1000)
    skipped = [name for name in ("transformers", "gguf", "llama_cpp") if not find_spec(name)]
    if skipped:
        print(f"not measured, not installed: {', '.join(skipped)}")
    sys.exit(0 if OK else 1)


if __name__ == "__main__":
    main()
