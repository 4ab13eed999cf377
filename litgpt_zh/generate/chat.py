"""Talk to a checkpoint in the terminal: Chinese streams whole, constraints are checked after each story."""

from __future__ import annotations

import contextlib
import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from litgpt_zh import prompts
from litgpt_zh.constraints import check, parse
from litgpt_zh.language import language
from litgpt_zh.stage import UserError

if TYPE_CHECKING:
    from litgpt_zh.generate.load import Loaded

_LEAVE = ("", "exit", "quit", "退出")
_TEXT = {
    "zh": {
        "story": "{model}（{device}）。写下约束或一句要求，例如：  词汇：铲子，草地；特征：对话",
        "plain": "{model}（{device}），预训练模型：写一个开头，它接着写。",
        "keys": "Ctrl-C 停止回答；空行、exit 或 Ctrl-D 离开。",
        "stopped": "（已停止）",
        "open": "– 表示没有规则可以检查",
    },
    "en": {
        "story": "{model} ({device}). Type constraints or a request, such as:  词汇：铲子，草地；特征：对话",
        "plain": "{model} ({device}), pretrained: type a beginning and it goes on.",
        "keys": "Ctrl-C stops the answer; an empty line, exit or Ctrl-D leaves.",
        "stopped": "(stopped)",
        "open": "– means that no rule can check it",
    },
}


def chat(
    checkpoint_dir: Path,
    max_new_tokens: int | None = None,
    temperature: float = 0.7,
    top_k: int | None = 50,
    top_p: float = 1.0,
    seed: int | None = None,
    prompt: str | None = None,
    plain: bool | None = None,
) -> None:
    """Talk to a checkpoint. Each line is one request; the model does not remember earlier ones.

    An instruction-tuned checkpoint (with prompt_style.yaml) takes constraints on one line, separated by semicolons, or any
    text; a pretrained one goes on with what you begin.

    Args:
        checkpoint_dir: a checkpoint folder, such as a run's final/.
        max_new_tokens: length of an answer; null goes on to the end of the model's block.
        temperature: 0 always takes the most probable token; higher is more varied.
        top_k: choose among so many of the most probable tokens; null for all.
        top_p: choose among the most probable tokens that together have this probability.
        seed: the same seed gives the same answers again.
        prompt: answer this and exit.
        plain: go on with the text as it is, without the chat form; null does so for pretrained checkpoints only.

    Raises:
        UserError: the checkpoint cannot be loaded, a setting is out of range, or ``prompt`` does not fit the block.
    """
    for output in (sys.stdout, sys.stderr):
        if hasattr(output, "reconfigure"):
            output.reconfigure(errors="replace")  # a terminal without Chinese must not end the program
    from litgpt_zh.generate.load import load
    from litgpt_zh.generate.pick import Settings
    from litgpt_zh.generate.stream import stream

    Settings(temperature, top_k, top_p).require()
    loaded = load(checkpoint_dir)
    as_is = not loaded.instruct if plain is None else plain
    seeds = _seeds(seed)

    def answer(text: str) -> Iterator[str]:
        ids = loaded.encode(prompts.plain(text) if as_is else _rendered(loaded, text))
        return stream(
            loaded,
            ids,
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            seed=next(seeds),
        )

    say = _TEXT[language()]
    if prompt is not None:
        _reply(prompt, answer, as_is, say)
        return
    if sys.stdin.isatty():
        with contextlib.suppress(ImportError):
            import readline  # noqa: F401  (arrow keys, history and editing of wide characters)
        print(say["plain" if as_is else "story"].format(model=loaded.config.name, device=loaded.device))
        print(say["keys"])
    _converse(answer, as_is, say)


def _seeds(seed: int | None) -> Iterator[int]:
    while True:
        yield random.getrandbits(31) if seed is None else seed
        seed = None if seed is None else seed + 1


def _rendered(loaded: Loaded, text: str) -> str:
    """The prompt in the form the checkpoint was tuned with."""
    if loaded.tokenizer.processor.token_to_id(prompts.ASSISTANT) is not None:
        return prompts.prompt_for(text)
    from litgpt.prompts import load_prompt_style  # a checkpoint of somebody else's

    return load_prompt_style(loaded.folder).apply(text)


def _converse(answer: Callable[[str], Iterator[str]], as_is: bool, say: dict[str, str]) -> None:
    while True:
        try:
            text = input(">>> " if sys.stdin.isatty() else "").strip()
        except EOFError:
            print()
            return
        except KeyboardInterrupt:
            print("\n" + say["keys"])
            continue
        if text.lower() in _LEAVE:
            return
        try:
            _reply(text, answer, as_is, say)
        except UserError as error:
            print(error)
        print()


def _reply(text: str, answer: Callable[[str], Iterator[str]], as_is: bool, say: dict[str, str]) -> None:
    """Show the answer as it grows, then which constraints it meets."""
    pieces: list[str] = []
    tokens = answer(text)
    if as_is:
        print(text, end="", flush=True)
    try:
        for piece in tokens:
            pieces.append(piece)
            print(piece, end="", flush=True)
    except KeyboardInterrupt:
        print(say["stopped"], end="")
    print()
    constraints = None if as_is else parse(text)
    if constraints:
        met = check(constraints, "".join(pieces))
        print(marks(met) + (f"    {say['open']}" if None in met.values() else ""))


def marks(met: dict[str, bool | None]) -> str:
    """One line: ✓ met, ✗ missed, – not measurable."""
    sign = {True: "✓", False: "✗", None: "–"}
    names = {"sentence": "随机句子", "summary": "摘要"}
    return "  ".join(f"{sign[value]} {names.get(key, key.partition(':')[2])}" for key, value in met.items())
