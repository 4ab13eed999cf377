"""``CARD.md`` of a tokenizer folder, rendered from its manifest."""

from __future__ import annotations

from litgpt_zh.stage import Manifest

_LAYOUT = """# 分词器

字级 BPE，共 {vocab_size} 项：6 个控制符、10 个保留项、256 个字节、单字，其余为合并得到的词。没有归一化，也没有
预切分；任何 Unicode 文本编码后再解码都原样不变。没有单独一项的字按 UTF-8 字节拼写。

## 训练
- 语料：{about}{corpus_characters:,} 字（含加权的指定词；文件的哈希见 manifest.json 的 inputs）。
- 词典：{dictionary}。
- 汉字：{hanzi}。最长词 {max_piece} 字，指定词权重 {word_weight}，种子 {seed}。

## 量得的数（语料的验证部分）
| 字/词元 | 碎片词元 | GB2312 一级字为单个词元 | 解码后有变的文本 |
|---|---|---|---|
| {characters_per_token:.3f} | {fragment_share:.3%} | {level1_single:.2%} | {changed} |

## 用自己的语料重训
```
litgpt-zh tokenizer --corpus_dir 语料文件夹 --out_dir 输出文件夹
```
"""


def card(manifest: Manifest) -> str:
    """The card in Chinese: what it is, what it was trained on, what was measured, how to train another."""
    settings, counts = manifest.settings, manifest.counts
    dictionary = (
        f"jieba 词频表 dict.txt（MIT 许可），取 {counts['dictionary_words']:,} 词，权重 {settings['dictionary_weight']}"
    )
    hanzi = "GB2312 一级字 3,755 个全部各占一项" if settings["hanzi"] == "level1" else "只收语料中出现的字"
    values = {**settings, **counts, **counts["measured"]}
    values["about"] = f"{settings['about']}，" if settings["about"] else ""
    values.update(dictionary=dictionary if counts["dictionary_words"] else "不用", hanzi=hanzi)
    return _LAYOUT.format(**values)
