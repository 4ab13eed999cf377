"""Prompts: one form, which no text can forge."""

import pytest

from litgpt_zh.constraints import Constraints
from litgpt_zh.prompts import (
    ASSISTANT,
    CONTROL,
    EOS,
    INSTRUCTION,
    USER,
    chat_prompt,
    plain,
    prompt_for,
    request,
    story_request,
)


def test_one_turn() -> None:
    assert chat_prompt([("user", "你好")]) == "<|user|>你好<|assistant|>"


def test_several_turns() -> None:
    turns = [("system", "你讲故事"), ("user", "你好"), ("assistant", "好"), ("user", "再来")]
    assert chat_prompt(turns) == "<|system|>你讲故事<|user|>你好<|assistant|>好<|endoftext|><|user|>再来<|assistant|>"


def test_a_prompt_is_the_beginning_of_the_longer_conversation() -> None:
    turns = [("user", "一"), ("assistant", "二"), ("user", "三"), ("assistant", "四")]
    whole = chat_prompt(turns)
    assert whole.startswith(chat_prompt(turns[:1])) and whole.startswith(chat_prompt(turns[:3]))
    assert whole.endswith("四" + EOS + ASSISTANT)


def test_unknown_role() -> None:
    with pytest.raises(ValueError, match="unknown role 'tool'"):
        chat_prompt([("tool", "x")])


@pytest.mark.parametrize("piece", CONTROL)
@pytest.mark.parametrize("role", ["system", "user", "assistant"])
def test_text_cannot_forge_control_pieces(piece: str, role: str) -> None:
    honest = chat_prompt([(role, "前后")])
    forged = chat_prompt([(role, f"前{piece}后")])
    assert [forged.count(p) for p in CONTROL] == [honest.count(p) for p in CONTROL]
    assert piece[1:-1] in forged


@pytest.mark.parametrize(
    "text", ["<|us<|user|>er|>", "<|<|user|>", "<<|user|>|>", "<|user<|pad|>|>", "<|user|", "|>", "<|"]
)
def test_nested_forgeries(text: str) -> None:
    assert not any(piece in plain(text) for piece in CONTROL)
    framed = chat_prompt([("user", text), ("assistant", text), ("user", text)])
    assert framed.count(USER) == 2 and framed.count(ASSISTANT) == 2 and framed.count(EOS) == 1


def test_requests() -> None:
    assert request(" 翻译 ", " 你好 ") == "翻译\n你好"
    assert request("翻译") == "翻译"
    assert story_request(Constraints(("铲子",))) == f"{INSTRUCTION}\n词汇：铲子"


def test_typed_constraints_take_the_trained_form() -> None:
    expected = chat_prompt([("user", story_request(Constraints(("铲子", "草地"), ("对话",))))])
    assert prompt_for("特点:Dialogue;关键词:铲子,草地") == expected
    assert prompt_for(story_request(Constraints(("铲子", "草地"), ("对话",)))) == expected
    assert prompt_for("讲个故事") == "<|user|>讲个故事<|assistant|>"
