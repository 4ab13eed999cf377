"""Our prompt as a litgpt ``PromptStyle``: what stock ``litgpt chat, generate, serve`` read from ``prompt_style.yaml``."""

from __future__ import annotations

from litgpt.prompts import PromptStyle
from litgpt.tokenizer import Tokenizer

from litgpt_zh import prompts


class Story(PromptStyle):
    """Renders what a person typed (free text, or constraints such as ``词汇：铲子，草地``) by ``prompts.prompt_for``."""

    def apply(self, prompt: str, *, sys_prompt: str | None = None, **kwargs: str) -> str:
        """The prompt text; ``input=`` is the Alpaca field of that name, ``sys_prompt`` becomes the system turn."""
        text = prompts.request(prompt, kwargs.get("input") or "")
        if sys_prompt:
            return prompts.chat_prompt([("system", sys_prompt), ("user", text)])
        return prompts.prompt_for(text)

    def stop_tokens(self, tokenizer: Tokenizer) -> tuple[list[int], ...]:
        return ([tokenizer.eos_id], [tokenizer.token_to_id(prompts.USER)])
