"""The engine: every setting, mixed batches, requests that come and go, memory that runs out."""

from __future__ import annotations

import random
from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from litgpt import GPT
from tiny_checkpoint import LETTERS, tiny_model, tiny_tokenizer

from litgpt_zh.generate import engine as engine_module
from litgpt_zh.generate import opened
from litgpt_zh.generate import rows as rows_module
from litgpt_zh.generate.batch import generate
from litgpt_zh.generate.engine import Engine
from litgpt_zh.generate.memory import free_bytes, rows_that_fit
from litgpt_zh.generate.pick import Settings, grouped, pick, pick_each
from litgpt_zh.generate.request import Answer, Request
from litgpt_zh.generate.rows import Rows
from litgpt_zh.generate.text import Reader
from litgpt_zh.stage import UserError


@pytest.fixture(scope="module")
def model():
    return tiny_model()


def prompt_of(seed: int, longest: int = 60) -> list[int]:
    rng = random.Random(seed)
    return [rng.randrange(97) for _ in range(rng.randrange(1, longest))]


def answers_of(engine: Engine, *requests: Request) -> list[list[Answer]]:
    """The answers to each request, added all at once."""
    handles = [engine.add(request) for request in requests]
    found: dict = {}
    for event in engine.run():
        if event.answer:
            found[event.handle, event.sample] = event.answer
    return [[found[handle, k] for k in range(r.samples)] for handle, r in zip(handles, requests, strict=True)]


def assert_whole(model: GPT, prompt: list[int], answer: Answer) -> None:
    """The log-probabilities of an answer are those of the model's whole forward pass."""
    ids = torch.tensor([[*prompt, *answer.ids]])
    with torch.inference_mode():
        whole = model(ids).log_softmax(-1)[0, len(prompt) - 1 : -1]
    expected = whole.gather(1, ids[0, len(prompt) :, None])[:, 0]
    assert torch.allclose(torch.tensor(answer.logprobs), expected, atol=1e-4)


MIXED = [
    Request(prompt_of(1), 20),
    Request(prompt_of(2), 12, temperature=1.0, seed=3),
    Request(prompt_of(3), 25, stop_ids=(5, 6, 7), temperature=0.7, top_k=20, seed=4, samples=3),
    Request(prompt_of(4), 9, temperature=1.3, top_p=0.8, seed=5, logprobs=True),
    Request(prompt_of(5), None, stop_ids=(9,), temperature=1.0, min_p=0.1, seed=6),
    Request(prompt_of(6), 30, temperature=0.9, top_k=40, top_p=0.9, min_p=0.05, seed=7, samples=2),
]


# choosing a token ----------------------------------------------------------------------------------------------------


def shares(settings: Settings) -> list[float]:
    """How often each of four tokens with probabilities 0.5, 0.3, 0.15, 0.05 is drawn."""
    logits = torch.tensor([0.5, 0.3, 0.15, 0.05]).log().expand(4000, 4)
    uniform = (torch.arange(4000) + 0.5) / 4000
    drawn = pick_each(logits, uniform, grouped([settings] * 4000, logits.device))
    return [round(share, 3) for share in (torch.bincount(drawn, minlength=4) / 4000).tolist()]


def test_min_p_by_hand():
    # 0.4 x 0.5 = 0.2: 0.5 and 0.3 stay, as 5/8 and 3/8
    assert shares(Settings(1.0, min_p=0.4)) == [0.625, 0.375, 0, 0]
    assert shares(Settings(1.0, min_p=0.0)) == [0.5, 0.3, 0.15, 0.05]
    assert shares(Settings(1.0, min_p=1.0)) == [1, 0, 0, 0]
    # temperature 0.5 squares: 0.25, 0.09, 0.0225, 0.0025; 0.3 x 0.25 = 0.075 leaves the first two
    assert shares(Settings(0.5, min_p=0.3)) == [round(0.25 / 0.34, 3), round(0.09 / 0.34, 3), 0, 0]
    # behind top-k and top-p the threshold is the same: it compares with the most probable token
    assert shares(Settings(1.0, top_k=3, min_p=0.4)) == [0.625, 0.375, 0, 0]


def test_top_p_looks_at_the_whole_vocabulary_when_it_has_to():
    torch.manual_seed(3)
    logits, uniform = torch.randn(10, 3000), torch.rand(10)  # flat: 512 tokens hold less than 0.9
    whole, order = (logits / 1.5).softmax(-1).sort(-1, descending=True)
    whole[whole.cumsum(-1) - whole >= 0.9] = 0
    total = whole.cumsum(-1)
    places = torch.searchsorted(total, uniform[:, None] * total[:, -1:], right=True)
    assert torch.equal(pick(logits, uniform, 1.5, None, 0.9), order.gather(1, places)[:, 0])
    steep = 4 * logits
    same = pick(steep, uniform, 1.0, 3000, 0.5)  # a top-k of all takes the way without the narrow look
    assert torch.equal(pick(steep, uniform, 1.0, None, 0.5), same)


def test_mixed_settings_pick_as_alone():
    torch.manual_seed(1)
    logits, uniform = 3 * torch.randn(12, 600), torch.rand(12)
    kinds = [Settings(), Settings(0.8), Settings(1.0, 5), Settings(1.0, None, 0.7), Settings(1.2, min_p=0.2), Settings(2.0, 50, 0.9, 0.1)]  # fmt: skip
    rows = kinds * 2
    together = pick_each(logits, uniform, grouped(rows, logits.device)).tolist()
    alone = [
        pick(logits[n : n + 1], uniform[n : n + 1], s.temperature, s.top_k, s.top_p, s.min_p).item()
        for n, s in enumerate(rows)
    ]
    assert together == alone


# the engine ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [1, 3, 16])
def test_mixed_requests_equal_each_alone(model, batch_size):
    alone = []
    for request in MIXED:
        with Engine(model, batch_size=8) as engine:
            alone += answers_of(engine, request)
    with Engine(model, batch_size=batch_size) as engine:
        together = answers_of(engine, *MIXED)
    for one, other in zip(alone, together, strict=True):
        assert [a.ids for a in one] == [a.ids for a in other]
        assert [a.reason for a in one] == [a.reason for a in other]
    assert together[3][0].logprobs is not None and together[0][0].logprobs is None
    assert len({tuple(answer.ids) for answer in together[2]}) == 3


def test_logprobs_are_those_of_the_whole_forward(model):
    requests = [Request(prompt_of(n), 20, temperature=0.0 if n % 2 else 0.8, seed=n, logprobs=True) for n in range(9)]
    with Engine(model, batch_size=4) as engine:
        found = answers_of(engine, *requests)
    for request, (answer,) in zip(requests, found, strict=True):
        assert_whole(model, request.prompt, answer)


def test_logits_do_not_depend_on_the_batch(model):
    prompts = [prompt_of(n) for n in range(16)]
    given = [generate(model, prompts, max_new_tokens=25, stop_ids=[], batch_size=b, logprobs=True) for b in (1, 5, 16)]
    for one, other in ((given[0], given[1]), (given[0], given[2])):
        for a, b in zip(one, other, strict=True):
            assert a.ids == b.ids
            assert torch.allclose(torch.tensor(a.logprobs), torch.tensor(b.logprobs), atol=1e-5)


def test_bfloat16_on_a_cpu_rounds_what_the_model_rounds(model):
    """The cache and the attention of a step are in float32; the rest is the model's own."""
    half = deepcopy(model).bfloat16()
    requests = [Request(prompt_of(n), 20, temperature=0.8, seed=n, logprobs=True) for n in range(9)]
    with Engine(half, batch_size=4) as engine:
        found = answers_of(engine, *requests)
        assert half.transformer.h[0].attn.kv_cache.k.dtype == torch.float32
    for request, (answer,) in zip(requests, found, strict=True):
        ids = torch.tensor([[*request.prompt, *answer.ids]])
        with torch.inference_mode():
            whole = model(ids).log_softmax(-1)[0, len(request.prompt) - 1 : -1]
        expected = whole.gather(1, ids[0, len(request.prompt) :, None])[:, 0]
        assert torch.allclose(torch.tensor(answer.logprobs), expected, atol=0.2)


@pytest.mark.parametrize("piece", [5, 32, 1000])  # many; the usual; one, as on a GPU
def test_short_and_long_rows_between_each_other(model, monkeypatch, piece):
    monkeypatch.setattr(opened, "PIECE", piece)
    monkeypatch.setattr(rows_module, "TOGETHER", 2)
    lengths = [3, 4, 40, 41, 5, 6, 33, 7, 64]  # of neighbours by two only some reach the later pieces
    requests = [Request(prompt_of(n, 2) * length, 12, logprobs=True) for n, length in enumerate(lengths)]
    with Engine(model, batch_size=len(requests)) as engine:
        together = answers_of(engine, *requests)
    for request, (answer,) in zip(requests, together, strict=True):
        ids = torch.tensor([[*request.prompt, *answer.ids]])
        with torch.inference_mode():
            whole = model(ids).log_softmax(-1)[0, len(request.prompt) - 1 : -1]
        assert whole.argmax(-1).tolist() == answer.ids
        assert torch.allclose(torch.tensor(answer.logprobs), whole.max(-1).values, atol=1e-5)


def test_samples_of_one_prompt_read_it_once(model):
    request = Request([7] * 50, 5, temperature=1.0, samples=8, seed=1)
    with Engine(model, batch_size=8) as engine:
        (found,) = answers_of(engine, request)
        # the prompt once, its last token again for 7 copies, 4 or 5 steps each
        assert 50 + 7 + 8 * 4 <= engine.fed <= 50 + 7 + 8 * 5
    prompts = [[7] * 50] * 8  # as sample_pairs asks: equal prompts in a row, a stream each
    assert generate(model, prompts, max_new_tokens=5, stop_ids=[], temperature=1.0, seed=1) == found
    with Engine(model, batch_size=3) as engine:
        assert [a.ids for a in answers_of(engine, request)[0]] == [a.ids for a in found]
        assert engine.fed < 8 * 50  # a free row copies from a sibling in flight


def test_a_late_request_changes_nothing(model):
    with Engine(model, batch_size=4) as engine:
        expected = answers_of(engine, *MIXED)
    with Engine(model, batch_size=4) as engine:
        handles, found, steps = [], {}, 0
        while len(handles) < len(MIXED) or engine.busy:
            if steps % 3 == 0 and len(handles) < len(MIXED):
                handles.append(engine.add(MIXED[len(handles)]))
            found |= {(e.handle, e.sample): e.answer for e in engine.step() if e.answer}
            steps += 1
    for handle, answers in zip(handles, expected, strict=True):
        assert [found[handle, k].ids for k in range(len(answers))] == [a.ids for a in answers]


def test_cancel_frees_the_row(model):
    with Engine(model, batch_size=1) as engine:
        endless = engine.add(Request([1, 2, 3], stream=True))
        waiting = engine.add(Request([4, 5], 3))
        last = engine.add(Request(prompt_of(1), 4))
        for _ in range(5):
            assert {event.handle for event in engine.step()} == {endless}
        engine.cancel(endless)
        engine.cancel(waiting)
        events = list(engine.run())
        assert [event.handle for event in events] == [last] and not engine.busy
    assert events[0].answer.ids == generate(model, [prompt_of(1)], max_new_tokens=4, stop_ids=[])[0].ids
    with Engine(model, batch_size=1) as engine:
        engine.cancel(engine.add(Request([1])))
        assert engine.step() == [] and not engine.busy


def test_one_model_serves_one_engine(model):
    with Engine(model) as first:
        first.add(MIXED[0])
        first.step()
        second = Engine(model)
        second.add(MIXED[1])
        with pytest.raises(RuntimeError, match="another engine has this model open"):
            second.step()
        [event] = [event for event in first.run() if event.answer]
    assert event.answer.ids == generate(model, [MIXED[0].prompt], max_new_tokens=20, stop_ids=[])[0].ids


@pytest.mark.usefixtures("english")
def test_short_memory_loses_nothing(model, monkeypatch, capsys):
    with Engine(model, batch_size=16) as engine:
        expected = answers_of(engine, *MIXED)
    full = iter([False, True, False, True, *[False] * 3, True])

    def sometimes(method):
        def call(self, *arguments):
            if next(full, False):
                raise RuntimeError(
                    "[enforce fail] DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes"
                )
            return method(self, *arguments)

        return call

    monkeypatch.setattr(Rows, "step", sometimes(Rows.step))
    monkeypatch.setattr(Rows, "enter", sometimes(Rows.enter))
    streamed: dict = {}
    with Engine(model, batch_size=16) as engine:
        handles = [engine.add(Request(**{**vars(request), "stream": True})) for request in MIXED]
        found = {}
        for event in engine.run():
            streamed.setdefault((event.handle, event.sample), []).extend(event.ids)
            if event.answer:
                found[event.handle, event.sample] = event.answer
    for handle, answers in zip(handles, expected, strict=True):
        assert [found[handle, k].ids for k in range(len(answers))] == [a.ids for a in answers]
        assert [streamed[handle, k] for k in range(len(answers))] == [a.ids for a in answers]
        assert [found[handle, k].logprobs is None for k in range(len(answers))] == [a.logprobs is None for a in answers]
    said = capsys.readouterr().err.splitlines()
    assert [line.split()[-5] for line in said] == ["8", "4", "2"] and "not enough memory" in said[0]


def test_one_row_too_many_is_refused_in_one_line(model, monkeypatch):
    def never(*_):
        raise RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes")

    monkeypatch.setattr(engine_module, "Rows", never)
    with Engine(model, batch_size=5) as engine, pytest.raises(UserError, match="not even one row"):
        engine.add(Request([1]))
        list(engine.run())
    monkeypatch.setattr(engine_module, "Rows", lambda *_: 1 / 0)
    with Engine(model) as engine, pytest.raises(ZeroDivisionError):  # any other error is not hidden
        engine.add(Request([1]))
        list(engine.run())


def test_rows_are_planned_from_the_memory(model, monkeypatch):
    # 2 layers, 2 groups of 8, keys and values, 4 bytes: 256 bytes a position
    monkeypatch.setattr("litgpt_zh.generate.memory.free_bytes", lambda _: 10 * 96 * 256)
    assert rows_that_fit(model, 64, 96) == 8 and rows_that_fit(model, 3, 96) == 3
    monkeypatch.setattr("litgpt_zh.generate.memory.free_bytes", lambda _: 0)
    assert rows_that_fit(model, 64, 96) == 1
    monkeypatch.setattr("litgpt_zh.generate.memory.free_bytes", lambda _: None)
    assert rows_that_fit(model, 64, 96) == 64
    assert free_bytes(torch.device("cpu")) is None or free_bytes(torch.device("cpu")) > 2**20


@pytest.mark.parametrize(
    "settings",
    [
        {}, {"attention_logit_softcapping": 5.0}, {"attention_scores_scalar": 3}, {"norm_qk": True},
        {"rope_interleave": True}, {"rotary_percentage": 0.5}, {"bias": True},
        {"parallel_residual": True, "shared_attention_norm": True},
        {"post_attention_norm": True, "post_mlp_norm": True},
        {"mlp_class_name": "GemmaMLP"}, {"norm_class_name": "LayerNorm"},
        {"vocab_size": 2500, "padded_vocab_size": 2500},  # a head in three parts
    ],
    ids=str,
)  # fmt: skip
def test_attention_of_other_models(settings):
    config = replace(tiny_model().config, **settings)
    assert config.n_query_groups < config.n_head
    torch.manual_seed(0)
    model = GPT(config).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, mean=float(parameter.dim() == 1), std=0.3)
    prompts = [prompt_of(n) for n in range(4)]
    answers = generate(model, prompts, max_new_tokens=12, stop_ids=[], logprobs=True)
    for answer, prompt in zip(answers, prompts, strict=True):
        assert_whole(model, prompt, answer)


def test_bad_requests_are_refused_before_they_wait(model):
    with Engine(model) as engine:
        for request, word in (
            (Request([]), "0 tokens"),
            (Request([1] * 96), "shorten"),
            (Request([97]), "tokenizer"),
            (Request([1], 0), "max_new_tokens"),
            (Request([1], temperature=-1.0), "temperature"),
            (Request([1], temperature=float("nan")), "temperature"),
            (Request([1], min_p=1.5), "min_p"),
            (Request([1], samples=0), "samples"),
            (Request([1], samples=2, seed=[(0, 1)]), "seed"),
            (Request([1], stop=["。"]), "tokenizer"),
        ):
            with pytest.raises(UserError, match=word):
                engine.add(request)
        assert not engine.busy


# text ----------------------------------------------------------------------------------------------------------------


def read(ids: list[int], stop: tuple[str, ...]) -> tuple[list[str], Reader]:
    reader = Reader(tiny_tokenizer(), stop)
    pieces = []
    for token in ids:
        pieces.append(reader.step(token))
        if reader.stopped:
            break
    pieces.append(reader.flush())
    return pieces, reader


def test_stop_strings_span_tokens_and_are_never_shown():
    tokenizer = tiny_tokenizer()
    ids = tokenizer.encode("小兔子在草地上玩。😀小").ids
    for stop, shown, kept in (
        (("草地上",), "小兔子在", 4),
        (("上玩", "地上玩"), "小兔子在草", 5),
        (("草地小", "没有"), "小兔子在草地上玩。😀小", len(ids)),
        (("小",), "", 0),
        (("😀",), "小兔子在草地上玩。", 9),
        (("小兔子在玩", "。😀小"), "小兔子在草地上玩", 8),
    ):
        pieces, reader = read(ids, stop)
        assert "".join(pieces) == shown == reader.text
        assert reader.kept == kept and tokenizer.decode(ids[:kept]) == shown
        assert reader.stopped == (kept < len(ids))
    assert read(ids[:6], ("地上",))[0][-2:] == ["", "地"]  # held while it may begin a stop string, shown at the end
    assert read(tokenizer.encode("草😀").ids[:3], ())[1].text == "草"  # half a character is left out


def test_the_engine_stops_at_strings():
    letters = dict.fromkeys(LETTERS)
    tokenizer = tiny_tokenizer()
    model = tiny_model(tokenizer.get_vocab_size(), seed=2)
    prompt = tokenizer.encode("小兔子").ids
    with torch.no_grad():
        model.transformer.wte.weight[:, 0] = 100.0  # a constant that outlives every block: a bias for the head
        model.lm_head.weight[:, 0] = 0.0
        model.lm_head.weight[: tokenizer.token_to_id("小"), 0] = -5.0  # letters only
    request = Request(prompt, 60, temperature=1.0, seed=2, logprobs=True)
    with Engine(model, tokenizer) as engine:
        ((plain,),) = answers_of(engine, request)
        assert (
            plain.reason == "length" and plain.text == tokenizer.decode(plain.ids) and set(plain.text) <= set(letters)
        )
        stop = plain.text[20:23]
        place = plain.text.index(stop)
        for stream in (False, True):
            handle = engine.add(Request(**{**vars(request), "stop": ("没有的", stop), "stream": stream}))
            events = list(engine.run())
            answer = events[-1].answer
            assert answer.finished and answer.reason == "stop" and answer.text == plain.text[:place]
            assert answer.ids == plain.ids[:place] and answer.logprobs == plain.logprobs[:place]
            assert answer.drawn == place + 3 and all(event.handle == handle for event in events)
            assert "".join(event.text for event in events) == (answer.text if stream else "")
            assert (len(events) > 10) == stream
        assert not engine.busy
