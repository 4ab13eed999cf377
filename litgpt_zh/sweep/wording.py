"""The words of a sweep's page and table, in Chinese and English."""

from __future__ import annotations

_PAIRS: dict[str, tuple[str, str]] = {
    "lang": ("zh-CN", "en"),
    "title": ("扫参：{key}", "Sweep of {key}"),
    "head": (
        "{command}，{recipe}；每次试验 {steps}，种子和数据次序相同",
        "{command}, {recipe}; {steps} a trial, with the same seed and order of the data",
    ),
    "steps": ("{steps} 步", "{steps} steps"),
    "whole": ("按配方自己的长度", "the recipe's own length"),
    "figure": ("{metric} 与 {key}", "{metric} against {key}"),
    "figure_note": (
        "虚线是发散或被守卫停下的试验。橙色是推荐值。",
        "Dotted lines are trials that diverged or were stopped by a guard. The recommended value is orange.",
    ),
    "curves": ("训练损失", "Training loss"),
    "curves_note": (
        "每条线是一个完整的短训练：预热、衰减都在里面。中途的高低不算数，学习率大的要等衰减完才见分晓。",
        "Every line is a complete short training, warm-up and decay included. Who leads on the way says little: a large rate "
        "shows what it is worth only when it has decayed.",
    ),
    "step": ("步", "step"),
    "trials": ("全部试验", "All trials"),
    "trial": ("试验", "trial"),
    "state": ("结果", "state"),
    "reason": ("原因", "why"),
    "seconds": ("秒", "seconds"),
    "finished": ("完成", "finished"),
    "diverged": ("发散", "diverged"),
    "stopped": ("守卫停下", "stopped by a guard"),
    "recommended": ("推荐", "recommended"),
    "use": ("怎样用", "Use it"),
    "best": ("推荐 {values}：{metric} {figure}", "recommended: {values} ({metric} {figure})"),
    "low": (
        "它在网格的最小一端：更小的可能更好，请再往下试",
        "it stands at the low end of the grid: a smaller one may be better still",
    ),
    "high": (
        "它在网格的最大一端：更大的可能更好，请再往上试",
        "it stands at the high end of the grid: a larger one may be better still",
    ),
    "vertex": (
        "过最好的一点和左右两点的抛物线，最低处在 {vertex:g}（没有测过）",
        "the parabola through it and its neighbours is lowest at {vertex:g}, which was not tried",
    ),
    "same": (
        "第二名 {second} 只差 {gap}，比换一个种子的差别还小：分不出高下",
        "the second, {second}, is {gap} away, less than another seed changes: they cannot be told apart",
    ),
    "apart": (
        "第二名 {second} 差 {gap}，比换一个种子的差别大",
        "the second, {second}, is {gap} away, more than another seed changes",
    ),
    "one_seed": (
        "第二名 {second} 差 {gap}；只有一个种子，不知道换种子会差多少（--seeds 2 会测）",
        "the second, {second}, is {gap} away; one seed only, so the noise is not known (--seeds 2 measures it)",
    ),
    "made_by": (
        "由 litgpt-zh 根据 sweep.json 和 metrics.jsonl 生成",
        "rendered by litgpt-zh from sweep.json and metrics.jsonl",
    ),
}


def words(language: str) -> dict[str, str]:
    """The table of one language."""
    return {key: pair[language == "en"] for key, pair in _PAIRS.items()}
