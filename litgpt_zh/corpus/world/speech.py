"""Direct speech: the verbs of saying, and the ways to lay out a quotation."""

from __future__ import annotations

__all__ = ["VERBS", "layout"]

#: The ways of saying, as templates; a plot names the way, the engine draws the verb.
VERBS: dict[str, tuple[str, ...]] = {
    "say": ("说", "说", "说道", "认真地说", "想了想说", "点点头说", "开口说"),
    "ask": ("问", "问道", "好奇地问", "连忙问", "歪着头问", "轻声问", "{*manner:hushed}问"),
    "answer": ("回答", "回答说", "答道", "说", "点点头说", "想了想说"),
    "glad": ("高兴地说", "笑着说", "笑眯眯地说", "开心地说", "拍着手说", "{*manner:glad}地说"),
    "sad": ("难过地说", "小声说", "低着头说", "叹了口气说", "哽咽着说", "{*manner:sad}地说"),
    "cry": ("哭着说", "抹着眼泪说", "带着哭声说", "一边哭一边说", "抽抽搭搭地说", "{*manner:cry}地哭着说"),
    "shout": ("大喊", "喊道", "大声叫道", "叫了起来", "{*manner:loud}地喊"),
    "angry": ("生气地说", "大声说", "皱着眉头说", "气呼呼地说", "跺着脚说", "{*manner:angry}地说"),
    "soft": ("温和地说", "轻轻地说", "微笑着说", "慢慢地说", "柔声说", "{*manner:soft}地说"),
    "proud": ("得意地说", "骄傲地说", "挺起胸说", "昂着头说", "神气地说"),
    "shy": ("小声说", "红着脸说", "低着头说", "{*manner:shy}地说", "轻轻地说"),
    "sorry": ("红着脸说", "低下头说", "小声说", "不好意思地说", "惭愧地说"),
    "worry": ("着急地说", "焦急地说", "担心地说", "慌张地说", "皱着眉说"),
    "comfort": ("安慰道", "安慰说", "轻声安慰道", "柔声安慰道"),
    "laugh": ("哈哈大笑着说", "笑着说", "忍不住笑着说", "乐呵呵地说"),
}


def layout(words: str, speaker: str, said: str, *, split: bool) -> str:
    """A quotation that begins with its words: “……”小明说。, or with the speaker put in at its first pause."""
    if split:
        for mark in "，！":
            at = words.find(mark)
            if 2 <= at < len(words) - 3:
                return f"“{words[: at + 1]}”{speaker}{said}，“{words[at + 1 :]}”"
    return f"“{words}”{speaker}{said}。"
