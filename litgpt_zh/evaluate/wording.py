"""Names of the figures, and the words of the score page, in Chinese and English."""

from __future__ import annotations

FIGURES: dict[str, tuple[str, str]] = {
    "constraints_all": ("查得出来的要求全部做到", "everything checkable met"),
    "words_all": ("要求的词全部写到", "all required words used"),
    "words_each": ("单个词写到", "single words used"),
    "sentence": ("写到指定的句子", "required sentence used"),
    "dialogue": ("要求对话时有对话", "dialogue where asked"),
    "summary_overlap": ("摘要的二字组写到（近似）", "summary's 2-grams used (a proxy)"),
    "finished": ("自己结束，句末完整", "ended by itself, properly"),
    "copied": ("照抄训练故事的字", "characters copied from training"),
    "longest_copied": ("最长的照抄，平均字数", "longest copied span, mean"),
    "repetition_4": ("四字重复率", "repeated 4-grams"),
    "distinct_2": ("不同二字组比例", "distinct 2-grams"),
    "characters": ("平均字数", "mean characters"),
    "bits_asked": ("每字比特数，有提示", "bits per character, prompted"),
    "bits_plain": ("每字比特数，无提示", "bits per character, no prompt"),
    "words_all_shuffled": ("对照：换成别人的要求", "control: another request's words"),
    "words_each_shuffled": ("单个词（对照）", "single words (control)"),
    "summary_overlap_shuffled": ("摘要的二字组（对照）", "summary's 2-grams (control)"),
}
"""Every figure of a score card, in the order of the page."""

_PAIRS: dict[str, tuple[str, str]] = {
    "lang": ("zh-CN", "en"),
    "title": ("成绩单", "Score card"),
    "asked": (
        "{count} 个没有见过的要求，贪心解码。提示里有：{fields}。",
        "{count} requests not seen in training, greedy decoding. The prompt shows: {fields}.",
    ),
    "words": ("词汇", "words"),
    "features": ("特征", "features"),
    "summary": ("摘要", "summary"),
    "sentence_field": ("随机句子", "a sentence"),
    "checkpoint": ("检查点", "checkpoint"),
    "baseline": ("基线", "baseline"),
    "passed_over": ("跳过", "passed over"),
    "shares": ("做到多少", "What share does it"),
    "shares_note": (
        "点是比例，线是 95% 区间。菱形是记录自带的故事，空心圆是对照：同一批故事碰巧满足别人要求的比例。",
        "Points are shares, lines 95% intervals. The diamond is the records' own stories, the hollow circle the control: how "
        "often the same stories happen to meet another request.",
    ),
    "gains": ("与基线 {name} 的差", "Difference from the baseline {name}"),
    "gains_note": (
        "百分点；同一个要求成对比较，线是 95% 区间。线碰到 0 的，这么多要求还分不出高下。指标多了，二十个里大约有一个碰巧不含 0。",
        "Percentage points, paired by request; lines are 95% intervals. Where the line touches 0, these requests do not tell "
        "the two apart. Of many figures, about one in twenty misses 0 by chance.",
    ),
    "all": ("全部数字", "All figures"),
    "all_note": ("方括号里是 95% 区间。", "95% intervals in brackets."),
    "gain_note": (
        "第二行是与基线的差（比例用百分点）：绿色更好，红色更差，灰色分不出来。",
        "The second line is the difference from the baseline (shares in percentage points): green is better, red worse, grey "
        "cannot be told.",
    ),
    "synthetic": (
        "这些要求和原故事来自内置的故事世界：由程序合成，不是 TinyStories，数字不能与其他模型的成绩比较。",
        "These requests and true stories come from the built-in story world: they are synthetic, not TinyStories, and the "
        "figures cannot be compared with those of other models.",
    ),
    "figure": ("指标", "figure"),
    "reference": ("原故事", "true stories"),
    "control": ("对照", "control"),
    "most_copied": ("最长的照抄，最多字数", "longest copied span of all"),
    "open": ("怎么读，没有量什么", "How to read it, and what is not measured"),
    "open_note": (
        "没有规则可以检查这些特征，不计入任何比例（括号里是提出它的要求数）：{features}。",
        "No rule can check these features, and no share counts them (in brackets, the requests that ask for them): {features}.",
    ),
    "summary_note": (
        "摘要只有近似：摘要里相邻两字有多少出现在故事里，不懂同义词，也不懂先后。",
        "For the summary there is only a proxy: the share of its neighbouring characters that stand in the story. It knows "
        "no synonyms and no order.",
    ),
    "copied_note": (
        "照抄：连续 {run} 字以上（含标点）与某个训练故事一字不差。原故事一列是没有照抄也会有的水平。",
        "Copied: {run} characters or more in a row, punctuation included, that stand in a training story. The column of true "
        "stories is what happens without any copying.",
    ),
    "not_copied": (
        "没有给训练语料（--train_dir），所以没有量照抄。",
        "Copying was not measured: no training corpus was given (--train_dir).",
    ),
    "bits_note": (
        "每字比特数越低，对没见过的故事预测得越好；提示不同的两种不能互相比较。",
        "Bits per character: the lower, the better the unseen stories are predicted. The two contexts cannot be compared "
        "with each other.",
    ),
    "stories": ("同一个要求，并排读", "The same request, side by side"),
    "stories_note": (
        "前 {shown} 个要求，没有挑选；全部在 score.json 里。标出的是要求的词：✓ 写到，✗ 没写到，– 没有规则可以检查。",
        "The first {shown} requests, not chosen; score.json has them all. Required words are marked: ✓ used, ✗ missed, – no "
        "rule can check it.",
    ),
    "unfinished": ("没有正常结束", "did not end properly"),
    "unanswered": ("提示比块长，没有写", "not written: the prompt is longer than the block"),
    "empty": ("（没有输出）", "(no output)"),
    "made_by": ("由 litgpt-zh 根据记录的数据生成", "rendered by litgpt-zh from recorded numbers"),
}


def words(language: str) -> dict[str, str]:
    """The table of one language, the figures' names included."""
    return {key: pair[language == "en"] for key, pair in (_PAIRS | FIGURES).items()}
