"""The Modelfile of ollama: which file, our prompt as a Go template, where an answer ends, how to sample."""

from __future__ import annotations

import json

from litgpt_zh.prompts import ASSISTANT, EOS, SYSTEM, USER

CHAT = (
    "{{ range .Messages }}"
    f'{{{{ if eq .Role "system" }}}}{SYSTEM}{{{{ .Content }}}}'
    f'{{{{ else if eq .Role "user" }}}}{USER}{{{{ .Content }}}}'
    f'{{{{ else if eq .Role "assistant" }}}}{ASSISTANT}{{{{ .Content }}}}{EOS}{{{{ end }}}}'
    "{{ end }}"
    f"{ASSISTANT}"
)
"""``prompts.chat_prompt`` in Go's template language, but for ``prompts.plain``: it has no way to replace text."""
PLAIN = "{{ .Prompt }}"


def modelfile(gguf: str, *, chat: bool, stop: list[str], block: int, sampling: dict[str, object]) -> str:
    """The text of a Modelfile.

    Args:
        gguf: name of the file beside it.
        chat: a model tuned with our prompt; otherwise it goes on with the text as it is.
        stop: pieces that end an answer.
        block: the longest context in tokens.
        sampling: ollama's parameters.
    """
    lines = [f"FROM ./{gguf}", f'TEMPLATE """{CHAT if chat else PLAIN}"""', f"PARAMETER num_ctx {block}"]
    lines += [f"PARAMETER stop {json.dumps(piece, ensure_ascii=False)}" for piece in stop]
    lines += [f"PARAMETER {name} {value}" for name, value in sampling.items()]
    return "\n".join(lines) + "\n"
