"""Stock ``litgpt evaluate`` (lm-eval) on our checkpoints: it loads them, and scores as the checkpoint itself does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import yaml
from llama_like import checkpoint

from litgpt_zh.checkpoints import write_hf_files
from litgpt_zh.generate.load import Loaded, load

QUESTIONS = [
    {"text": text, "choices": choices, "answer": n % 2}
    for n, (text, choices) in enumerate(
        [("小兔子在", ["草地上玩", "铲子"]), ("按照", ["故事", "下面输入的约束"]), ("随机", ["句子", "“兔”。"])] * 4
    )
]


def best(loaded: Loaded, text: str, choices: list[str]) -> int:
    """The choice with the highest log-probability behind ``text``."""
    sums = []
    for choice in choices:
        ids, start = loaded.encode(text + choice), len(loaded.encode(text))
        with torch.inference_mode():
            logps = loaded.model(torch.tensor([ids]))[0].log_softmax(-1)
        sums.append(sum(float(logps[i - 1, ids[i]]) for i in range(start, len(ids))))
    return max(range(len(choices)), key=sums.__getitem__)


def test_lm_eval_scores_a_checkpoint_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("lm_eval", reason="lm-eval is not installed (docs/export.md says how)")
    from litgpt.eval import evaluate as stock
    from lm_eval import evaluator
    from lm_eval.tasks import TaskManager

    model = checkpoint(tmp_path / "final", instruct=False)
    write_hf_files(tmp_path / "final", model.config)
    (tmp_path / "data.jsonl").write_text("\n".join(json.dumps(q, ensure_ascii=False) for q in QUESTIONS))
    task = {
        "task": "mini", "dataset_path": "json", "dataset_kwargs": {"data_files": {"test": str(tmp_path / "data.jsonl")}},
        "test_split": "test", "output_type": "multiple_choice", "doc_to_text": "{{text}}", "doc_to_choice": "choices",
        "doc_to_target": "answer", "target_delimiter": "", "metric_list": [{"metric": "acc"}],
    }  # fmt: skip
    (tmp_path / "mini.yaml").write_text(yaml.safe_dump(task, allow_unicode=True))
    simple = evaluator.simple_evaluate
    tasks = TaskManager(include_path=str(tmp_path), include_defaults=False)
    monkeypatch.setattr(evaluator, "simple_evaluate", lambda **kw: simple(**kw, task_manager=tasks, bootstrap_iters=0))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    stock.convert_and_evaluate(tmp_path / "final", tasks="mini", out_dir=tmp_path / "out", device="cpu")
    found = json.loads((tmp_path / "out" / "results.json").read_text())["results"]["mini"]["acc,none"]
    right = [best(load(tmp_path / "final"), q["text"], q["choices"]) == q["answer"] for q in QUESTIONS]
    assert found == sum(right) / len(right) and 0 < sum(right) < len(right)
