"""Many prompts of any lengths at once, on litgpt's own GPT."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby

from litgpt.model import GPT

from litgpt_zh.generate.engine import Engine
from litgpt_zh.generate.pick import Settings
from litgpt_zh.generate.request import Answer, Request
from litgpt_zh.stage import UserError

Sample = Answer


def generate(
    model: GPT,
    prompts: Sequence[Sequence[int]],
    *,
    max_new_tokens: int | None = None,
    stop_ids: Sequence[int],
    temperature: float = 0.0,
    top_k: int | None = None,
    top_p: float = 1.0,
    min_p: float = 0.0,
    seed: int | Sequence[int] = 0,
    batch_size: int = 64,
    logprobs: bool = False,
    on_sample: Callable[[int, Sample], None] | None = None,
) -> list[Sample]:
    """Answer every prompt; ``batch_size`` of them are decoded together, and a finished row makes room for the next.

    Equal prompts in a row are read once. What an answer depends on: see ``Engine``.

    Args:
        model: litgpt's GPT (not compiled); its mode and caches are put back afterwards.
        prompts: token ids, at least one each.
        max_new_tokens: at most so many a prompt; None goes on to the end of the block, and the block always limits.
        stop_ids: ids that end an answer.
        temperature: 0 takes the most probable token.
        top_k: sample among so many of the most probable tokens.
        top_p: sample among the most probable tokens that together have this probability.
        min_p: sample among tokens at least this many times as probable as the most probable one.
        seed: one seed (prompt i draws from (seed, i)), or one per prompt (it draws from (its seed, 0)).
        batch_size: rows decoded together; fewer where the memory does not hold them.
        logprobs: whether the answers say how probable their tokens were.
        on_sample: called with a prompt's index and its answer as soon as it is there.

    Returns:
        The answers, in the order of ``prompts``.

    Raises:
        UserError: a prompt is empty or leaves no room in the block; a setting is out of range.
    """
    Settings(temperature, top_k, top_p, min_p).require()
    requests: list[tuple[int, Request]] = []
    for _, group in groupby(enumerate(prompts), key=lambda item: item[1]):
        members = [index for index, _ in group]
        streams = [(seed, i) if isinstance(seed, int) else (seed[i], 0) for i in members]
        request = Request(
            prompts[members[0]], max_new_tokens, stop_ids, (), temperature, top_k, top_p, min_p, len(members), streams,
            logprobs,
        )  # fmt: skip
        try:
            request.require(model.max_seq_length, model.config.padded_vocab_size, False)
        except UserError as error:
            raise UserError(f"prompt {members[0]}: {error}") from None
        requests.append((members[0], request))
    # the longest first: rows that enter together are alike, and the last ones to run are short
    requests.sort(key=lambda item: -len(item[1].prompt))
    length = max((len(r.prompt) + r.budget(model.max_seq_length) for _, r in requests), default=None)
    answers = [Sample() for _ in prompts]
    with Engine(
        model, batch_size=max(1, min(batch_size, len(prompts))) if batch_size > 0 else batch_size, length=length
    ) as engine:
        first = {engine.add(request): index for index, request in requests}
        for event in engine.run():
            index = first[event.handle] + event.sample
            assert event.answer is not None
            answers[index] = event.answer
            if on_sample:
                on_sample(index, event.answer)
    return answers
