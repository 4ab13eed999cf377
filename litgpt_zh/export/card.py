"""``README.md`` of an exported model, rendered from manifests and a score card; what is not recorded is said to be so."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from litgpt_zh.constraints import Constraints, render
from litgpt_zh.evaluate.page import shown
from litgpt_zh.evaluate.wording import FIGURES
from litgpt_zh.export.history import History, history, read_score
from litgpt_zh.prompts import story_request
from litgpt_zh.report.wording import counted, number
from litgpt_zh.stage import Manifest

SAMPLES = 3
NOT_MEASURED = "没有量过（not measured）。"
WORLD_SCORE = (
    "**要求与故事来自内置的故事世界：由程序合成，不是 TinyStories。** 下面的数字只说明模型学会了这个小世界，"
    "不是 TinyStories 上的成绩，也不能与别的模型比较。"
)
_FRONT = "---\nlanguage: zh\npipeline_tag: text-generation\ntags: [litgpt, litgpt-zh, stories]\nlibrary_name: transformers\n{data}---\n\n"
_USE = """## 使用 (Use)

```python
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("这个文件夹")
model = AutoModelForCausalLM.from_pretrained("这个文件夹")
{prompt}
output = model.generate(inputs, max_length={block})
print(tokenizer.decode(output[0, inputs.shape[1]:], skip_special_tokens=True))
```
"""
_CHAT = """messages = [{{"role": "user", "content": {request}}}]
inputs = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt", return_dict=True)["input_ids"]"""
_PLAIN = 'inputs = tokenizer("从前", return_tensors="pt")["input_ids"]'


def card(checkpoint: Path, config: Any, parameters: int, *, tuned: bool, instruct: bool, score_dir: Path | None) -> str:
    """The model card in Chinese.

    Args:
        checkpoint: the litgpt folder the model comes from.
        config: its ``litgpt.Config``.
        parameters: numbers in the model, a tied matrix counted once.
        tuned: made to answer, with whatever prompt.
        instruct: tuned with our prompt, which the chat template renders.
        score_dir: the score card of this very checkpoint, if there is one.
    """
    past = history(checkpoint)
    names = _downloaded(past)
    front = _FRONT.format(data=f"datasets: {json.dumps(names)}\n" if names else "")
    prompt = _CHAT.format(request=json.dumps(_EXAMPLE, ensure_ascii=False)) if instruct else _PLAIN
    parts = [
        f"{front}# {config.name}",
        f"{number(parameters)} 个参数的中文模型，由 [litgpt](https://github.com/Lightning-AI/litgpt) 与 litgpt-zh 训练"
        + ("，按指令微调过。" if tuned else "，没有微调过：它接着写，不会回答。"),
        _USE.format(prompt=prompt, block=config.block_size),
        _shape(config),
        _training(checkpoint, past),
        _data(past),
        _score(checkpoint, past, score_dir),
    ]
    return "\n\n".join(part.strip() for part in parts) + "\n"


_EXAMPLE = story_request(Constraints.of({"words": ["铲子", "草地"], "features": ["对话"]}))


def _shape(config: Any) -> str:
    rows = {
        "层": config.n_layer, "宽": config.n_embd, "头": f"{config.n_head}（键值 {config.n_query_groups}）× {config.head_size}",
        "前馈": config.intermediate_size, "词表": config.padded_vocab_size, "块（最长词元数）": config.block_size,
    }  # fmt: skip
    return "## 形状 (Shape)\n\n" + _table(("", ""), [(name, number(value)) for name, value in rows.items()])


def _training(checkpoint: Path, past: History) -> str:
    lines = ["## 训练 (Training)"]
    stages = [m for m in past.stages if m.stage not in ("evaluate", "download")]
    if not stages:
        lines.append("这个检查点没有 manifest.json，训练过程没有记录。")
    else:
        rows = [(m.stage, _counts(m), number(round(m.seconds)), str(m.settings.get("seed", "–"))) for m in stages]
        lines.append(_table(("阶段", "数量", "秒", "种子"), rows))
    if past.missing:
        lines.append("没有找到这些输入的文件夹，它们的来历没有列出：" + "；".join(past.missing) + "。")
    if (checkpoint / "hyperparameters.yaml").is_file():
        recipe = yaml.safe_load((checkpoint / "hyperparameters.yaml").read_text(encoding="utf-8"))
        lines.append("最后一个阶段的配方：")
        lines.append(f"```yaml\n{yaml.safe_dump(_without_paths(recipe), allow_unicode=True, sort_keys=False)}```")
    if stages:
        lines.append("版本：" + "，".join(f"{name} {version}" for name, version in stages[-1].versions.items()) + "。")
    return "\n\n".join(lines)


def _counts(manifest: Manifest) -> str:
    """Counts of one stage, those of its training part where it has two."""
    counts = manifest.counts | (manifest.counts["train"] if isinstance(manifest.counts.get("train"), dict) else {})
    shown = [(counted(key, "zh"), value) for key, value in counts.items() if isinstance(value, (int, float))]
    return "，".join(f"{name} {number(value)}" for name, value in shown if name) or "–"


def _without_paths(value: Any) -> Any:
    """A recipe without the folders of the machine it ran on: the last two parts of a path stay."""
    if isinstance(value, dict):
        return {
            key: "/".join(Path(inner).parts[-2:]) if str(key).endswith("_dir") and isinstance(inner, str) else _without_paths(inner)
            for key, inner in value.items()
            if inner is not None
        }  # fmt: skip
    return value


def _data(past: History) -> str:
    lines = ["## 数据 (Data)"]
    corpora = past.of("corpus")
    if any(is_world(m) for m in corpora):
        lines.append("内置的故事世界：由程序合成的儿童故事（litgpt-zh，Apache-2.0），不是 TinyStories。")
    if names := _downloaded(past):
        lines.append("下载的数据集：" + "，".join(names) + "。许可以数据集自己的说明为准。")
    elif corpora and not any(is_world(m) for m in corpora):
        lines.append("使用者自己的文件（哈希在语料文件夹的 manifest.json）。")
    if not corpora:
        lines.append("语料的来历没有记录。")
    return "\n\n".join(lines)


def _downloaded(past: History) -> list[str]:
    return sorted({str(m.settings.get("dataset")) for m in past.of("download")})


def is_world(manifest: Manifest) -> bool:
    """Whether a corpus was told by the built-in story world."""
    return manifest.settings.get("source") == "world"


def _score(checkpoint: Path, past: History, score_dir: Path | None) -> str:
    lines = ["## 成绩单 (Score card)"]
    if score_dir is None:
        return "\n\n".join([*lines, NOT_MEASURED])
    manifest, score = read_score(score_dir, checkpoint)
    lines.append(f"{score['count']} 个没有见过的要求，贪心解码；括号里是 95% 区间。")
    lines.append(WORLD_SCORE if score.get("synthetic") else _requests_from(manifest, past))
    found = score["figures"] | score.get("intervals", {})
    lines.append(_table(("指标", "模型"), [(FIGURES[k][0], _value(k, found[k])) for k in FIGURES if k in found]))
    lines.append("### 样例 (Samples)\n\n按记录的顺序，没有挑选。")
    for sample in score["samples"][:SAMPLES]:
        asked = "；".join(render(Constraints.of(sample)).splitlines())
        lines.append(f"{asked}\n\n> " + sample["text"].replace("\n", "\n> "))
    return "\n\n".join(lines)


def _requests_from(manifest: Manifest, past: History) -> str:
    """Where the requests of a score card come from; anything but a corpus known to be real gets the warning or a doubt."""
    if manifest.settings.get("world_seed") is not None:
        return WORLD_SCORE
    outputs = (manifest.inputs.get("records") or {}).get("outputs")
    corpus = next((m for m in past.of("corpus") if m.outputs == outputs), None)
    if corpus is None:
        return "要求的来历没有记录：不要当作某个公开数据集上的成绩。"
    if any(is_world(m) for m in past.of("corpus")):
        return WORLD_SCORE
    return "要求来自训练语料的验证部分，训练时没有见过。"


def _value(name: str, value: Any) -> str:
    if not isinstance(value, dict):
        return shown(name, value)
    return f"{shown(name, value['value'])}（{shown(name, value['low'])}–{shown(name, value['high'])}）"


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
