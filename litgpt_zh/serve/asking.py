"""What a client asked, as requests to the sampler: prompts rendered and cut into tokens, budgets within the block."""

from __future__ import annotations

import secrets

from litgpt_zh import prompts
from litgpt_zh.generate.load import Loaded
from litgpt_zh.generate.request import Request
from litgpt_zh.serve.errors import bad, too_long
from litgpt_zh.serve.fields import Ask
from litgpt_zh.stage import UserError

COMPLETION_TOKENS = 16
"""``max_tokens`` of /v1/completions where none is asked for: OpenAI's own default."""


def requests(ask: Ask, loaded: Loaded) -> list[Request]:
    """One request a prompt, ``ask.n`` samples each; the seed decides the answers, whatever else is in the batch.

    Raises:
        ApiError: the checkpoint does not chat, or a prompt with its answer is longer than the block.
    """
    texts = (
        [chat_text(ask, loaded)] if ask.chat else [p if isinstance(p, tuple) else prompts.plain(p) for p in ask.prompts]
    )
    seed = secrets.randbits(63) if ask.seed is None else ask.seed % 2**63
    return [
        _request(ask, loaded, _ids(text, loaded), [(seed, i * ask.n + k) for k in range(ask.n)])
        for i, text in enumerate(texts)
    ]


def chat_text(ask: Ask, loaded: Loaded) -> str:
    """The prompt of a chat, in the form the checkpoint was tuned with.

    Raises:
        ApiError: it was never tuned, or its own prompt style knows a single turn only.
    """
    if not loaded.instruct:
        raise bad(
            "messages",
            f"{loaded.config.name} is a pretrained model that was never tuned to answer (its folder has no "
            "prompt_style.yaml); ask /v1/completions to go on with a text",
            "model_does_not_chat",
        )
    if loaded.tokenizer.processor.token_to_id(prompts.ASSISTANT) is not None:
        return prompts.chat_prompt(
            [(role, prompts.asked(text) if role == "user" else text) for role, text in ask.turns]
        )
    *before, (_, text) = ask.turns  # a checkpoint of somebody else's
    if any(role != "system" for role, _ in before):
        raise bad("messages", f"the prompt style of {loaded.config.name} knows one user message and no earlier turns")
    from litgpt.prompts import load_prompt_style

    return load_prompt_style(loaded.folder).apply(text, sys_prompt="\n".join(said for _, said in before) or None)


def _ids(prompt: str | tuple[int, ...], loaded: Loaded) -> list[int]:
    if not isinstance(prompt, str):
        return list(prompt)
    return loaded.encode(prompt) or [loaded.eos_id]  # nothing: the beginning of a new text, as it was trained


def _request(ask: Ask, loaded: Loaded, ids: list[int], streams: list[tuple[int, int]]) -> Request:
    block, field = loaded.model.max_seq_length, "messages" if ask.chat else "prompt"
    if len(ids) >= block:
        raise too_long(
            field, f"{field} has {len(ids)} tokens; this model's block is {block}, prompt and answer together"
        )
    if ask.max_tokens and len(ids) + ask.max_tokens > block:
        raise too_long(
            ask.max_tokens_field,
            f"{len(ids)} tokens in {field} and {ask.max_tokens} in the answer are {len(ids) + ask.max_tokens}; "
            f"this model's block is {block}",
        )
    request = Request(
        ids,
        max_new_tokens=ask.max_tokens or (None if ask.chat else COMPLETION_TOKENS),
        stop_ids=loaded.stop_ids,
        stop=ask.stop,
        temperature=ask.temperature,
        top_k=ask.top_k,
        top_p=ask.top_p,
        min_p=ask.min_p,
        samples=ask.n,
        seed=streams,
        logprobs=ask.logprobs,
        stream=ask.stream,
    )
    try:
        request.require(block, loaded.config.padded_vocab_size, True)
    except UserError as error:
        raise bad(field, str(error)) from None
    return request
