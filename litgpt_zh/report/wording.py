"""The page's words, in Chinese and English."""

from __future__ import annotations

from typing import Any

from litgpt_zh.evaluate.wording import FIGURES

_PAIRS: dict[str, tuple[str, str]] = {
    "lang": ("zh-CN", "en"),
    "title": ("训练报告", "Training report"),
    "machine": ("机器", "machine"),
    "date": ("日期", "date"),
    "synthetic": (
        "这次运行的故事来自内置的故事世界：由程序合成，不是 TinyStories。下面的数字只说明流程走得通、模型学会了这个小世界，"
        "不能当作 TinyStories 上的成绩，也不能与其他模型的成绩比较。",
        "The stories of this run come from the built-in story world: they are synthetic, not TinyStories. The numbers show "
        "that the pipeline works and that the model learnt this small world; they are not TinyStories results and cannot be "
        "compared with those of other models.",
    ),
    "stages": ("各个阶段", "Stages"),
    "stage": ("阶段", "stage"),
    "time": ("用时", "time"),
    "in_out": ("数量", "counts"),
    "drops": ("丢弃及原因", "dropped, and why"),
    "none": ("无", "none"),
    "funnel": ("数据漏斗", "Where the data went"),
    "funnel_note": (
        "蓝色是留下的，橙色是这一条原因去掉的；百分比按读入的算。",
        "Blue is what is left, orange what this reason took away; percentages are of what was read.",
    ),
    "read": ("读入", "read"),
    "kept": ("保留", "kept"),
    "samples_drawn": ("采样", "samples"),
    "cleaning": ("清洗了什么", "What cleaning did"),
    "cleaning_note": (
        "每条规则改动了、丢弃了多少个故事，和最先遇到的几个例子（⋯ 是省略；有箭头的是改动，没有的是丢弃的依据）。",
        "How many stories each rule changed or dropped, with the first examples met (⋯ is left out; with an arrow a change, "
        "without one the passage for which a story was dropped).",
    ),
    "rule": ("规则", "rule"),
    "changed": ("改动", "changed"),
    "dropped": ("丢弃", "dropped"),
    "examples": ("例子", "examples"),
    "nothing": ("（删去）", "(removed)"),
    "curves": ("训练曲线", "Curves"),
    "pretrain": ("预训练", "Pretraining"),
    "sft": ("指令微调", "Instruction tuning"),
    "sft-lora": ("低秩微调", "Instruction tuning with LoRA"),
    "pretrain-continue": ("继续预训练", "Continued pretraining"),
    "sft-domain": ("新领域的指令微调", "Instruction tuning on a new domain"),
    "loss": ("损失（nat/词元）", "loss (nat/token)"),
    "train": ("训练", "training"),
    "val": ("验证", "validation"),
    "learning_rate": ("学习率", "learning rate"),
    "throughput": ("每秒词元数", "tokens per second"),
    "iterations": ("微批次", "micro-batches"),
    "steps": ("步", "steps"),
    "preferences": ("偏好优化：边际与守卫", "Preference optimisation: margins and guards"),
    "preferences_note": (
        "边际往上，只说明两边分开了；模型变坏时它也往上。所以旁边是守卫量的：没见过的真故事变得多难，没见过的要求照做了多少，重复与长度。",
        "A rising margin only says that the two sides part; it rises as well while a model gets worse. Beside it therefore what "
        "the guards measure: how much less likely held-out true stories become, held-out requests met, repetition and length.",
    ),
    "margins": ("奖励之差（好的 − 差的）", "reward margin (chosen − rejected)"),
    "accuracies": ("好的一边在前的比例", "share with the chosen side ahead"),
    "guard_words": ("守卫：要求的词全部出现", "guard: all required words used"),
    "guard_repetition": ("守卫：四字重复", "guard: repeated 4-grams"),
    "guard_length": ("守卫：平均字数", "guard: mean characters"),
    "timeline": ("同一个提示，不同时刻", "One prompt, as training goes on"),
    "timeline_note": (
        "训练进行到不同比例时，模型对同一个提示的续写（贪心解码）。",
        "What the model makes of the same prompt at several points of the training (greedy decoding).",
    ),
    "prompt": ("提示", "prompt"),
    "trained": ("已训练", "trained"),
    "empty": ("（没有输出）", "(no output)"),
    "score": ("成绩单", "Score card"),
    "score_note": (
        "{count} 个没有见过的要求，贪心解码。线段是 95% 区间。",
        "{count} requests not seen in training, greedy decoding. The bars show 95% intervals.",
    ),
    "shuffled_note": (
        "对照是同一批故事碰巧满足另一个要求的比例：与它的差，才是模型听懂要求的证据。",
        "The control is how often the same stories happen to satisfy another request: only the distance from it shows that "
        "the model follows requests.",
    ),
    "rounds": ("偏好优化：每一轮", "Preference optimisation, round by round"),
    "rounds_note": (
        "每一轮：对新的要求采样，按能检查的奖励配对，DPO，再由关口用没见过的要求判断。没通过的一轮不算数。",
        "Each round: samples of new requests, paired by rewards that can be checked, DPO, then a gate with held-out requests. "
        "A round that does not pass does not count.",
    ),
    "round": ("轮", "round"),
    "pairs": ("对", "pairs"),
    "gain": ("提高（95% 区间）", "gain (95%)"),
    "nll_rise": ("真实故事的损失变化（nat/词元）", "loss of true stories (nat/token)"),
    "gate": ("关口", "gate"),
    "figure": ("指标", "figure"),
    "model": ("模型", "model"),
    "reference": ("原故事", "true stories"),
    "bits": ("每字比特数", "bits per character"),
    "samples": ("故事样本", "Sample stories"),
    "samples_note": (
        "按记录的顺序，没有挑选。标出的是要求的词：✓ 写到，✗ 没写到，– 没有规则可以检查。",
        "In recorded order, not chosen. Required words are marked: ✓ used, ✗ missed, – no rule can check it.",
    ),
    "unfinished": ("没有正常结束", "did not end properly"),
    "settings": ("设置与版本", "Settings and versions"),
    "versions": ("版本", "versions"),
    "next": ("接下来", "Next"),
    "not_run": ("没有运行", "not run"),
    "stories": ("故事", "stories"),
    "tokens": ("训练词元", "training tokens"),
    "total_time": ("总用时", "total time"),
    "cost": ("花费（按端点的价格）", "cost (by the endpoint's prices)"),
    "val_pretrain": ("预训练验证损失", "pretraining val. loss"),
    "val_sft": ("微调验证损失", "SFT val. loss"),
    "made_by": ("由 litgpt-zh 根据记录的数据生成", "rendered by litgpt-zh from recorded numbers"),
}

_COUNTS: dict[str, tuple[str, str]] = {
    "read": ("读入", "read"),
    "kept": ("保留", "kept"),
    "train": ("训练", "training"),
    "val": ("验证", "validation"),
    "stories": ("故事", "stories"),
    "documents": ("文档", "documents"),
    "records": ("记录", "records"),
    "items": ("条", "items"),
    "ok": ("译成", "translated"),
    "dead": ("死信", "dead letters"),
    "characters": ("字", "characters"),
    "corpus_characters": ("字", "characters"),
    "tokens": ("词元", "tokens"),
    "total_tokens": ("词元", "tokens"),
    "target_tokens": ("目标词元", "target tokens"),
    "rows": ("行", "rows"),
    "cut": ("被切开", "cut"),
    "empty": ("空", "empty"),
    "vocab_size": ("词表", "vocabulary"),
    "step": ("步", "steps"),
    "steps": ("步", "steps"),
    "micro_batches": ("微批次", "micro-batches"),
    "step_count": ("步", "steps"),
    "parameters": ("参数", "parameters"),
    "val_loss": ("验证损失", "validation loss"),
    "entries": ("词表", "vocabulary"),
    "characters_per_token": ("字/词元", "characters per token"),
    "fragment_share": ("不成整字的词元", "tokens that are no whole character"),
    "level1_single": ("一级汉字是一个词元的", "level 1 Hanzi that are one token"),
}
"""Counts of manifests that the stages table shows; every manifest has more."""


def words(language: str) -> dict[str, str]:
    """The table of one language, the names of the score card's figures included."""
    return {key: pair[language == "en"] for key, pair in (FIGURES | _PAIRS).items()}


def counted(key: str, language: str) -> str | None:
    """The name of a count, or None for one that the table leaves out."""
    pair = _COUNTS.get(key)
    return pair[language == "en"] if pair else None


def duration(seconds: Any, language: str) -> str:
    """``1 小时 02 分``, ``3 分 05 秒``, ``4.2 秒``; – when unknown."""
    if not isinstance(seconds, (int, float)):
        return "–"
    hour, minute, second = ("小时", "分", "秒") if language == "zh" else ("h", "min", "s")
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600} {hour} {whole % 3600 // 60:02d} {minute}"
    if whole >= 60:
        return f"{whole // 60} {minute} {whole % 60:02d} {second}"
    return f"{seconds:.1f} {second}"


def number(value: Any) -> str:
    """Thousands separated; up to four significant digits behind a point."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"
