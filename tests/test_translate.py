"""Translation without a server: reading, replies, rules, samples, variants, limits, estimates."""

import asyncio
import json
import random
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import openai
import pytest

from litgpt_zh.constraints import Constraints, parse, render
from litgpt_zh.stage import UserError
from litgpt_zh.translate import limits, prompts
from litgpt_zh.translate.augment import record, variants
from litgpt_zh.translate.endpoint import Endpoint, redact
from litgpt_zh.translate.estimate import costs, table
from litgpt_zh.translate.faults import LONGEST_WAIT, Trouble, of_body, of_error
from litgpt_zh.translate.glossary import occurring, read_glossary
from litgpt_zh.translate.ledger import Answer, Ledger
from litgpt_zh.translate.names import names_in, winners
from litgpt_zh.translate.quality import chrf
from litgpt_zh.translate.read import ENGLISH, Item, Unread, parse_block, read_items, sources
from litgpt_zh.translate.reply import Parts, ReplyError, grade_in, parse_reply, quotes, schema, spoken
from litgpt_zh.translate.report import _RULES
from litgpt_zh.translate.sample import choose, fair_shares
from litgpt_zh.translate.validate import problems, salvage, settle_sentence, stands_in

STORY = (
    "One day Tom climbed a hill with his kite. He was a brave boy.\n\n"
    '"Look at my kite!" he said. The kite flew up and up.'
)
ZH = "有一天，汤姆带着风筝爬上了山。他是个勇敢的男孩。\n\n“看我的风筝！”他说。风筝飞得越来越高。"
ITEM = Item(
    0, "x:1", STORY, ("kite", "brave", "climb"), ("对话",), "Tom flies his kite.", "He was a brave boy.", group="g"
)
KEYS = ("words", "summary", "sentence", "story")
GOOD = Parts(("风筝", "勇敢", "爬"), "汤姆放风筝。", "他是个勇敢的男孩。", ZH)


def block(**parts: str) -> str:
    return "\n".join(f"{label.replace('_', ' ')}: {text}" for label, text in parts.items())


# Reading


@pytest.mark.parametrize("seed", range(24))
def test_blocks_in_any_order_and_layout(seed: int) -> None:
    dice = random.Random(seed)
    parts = {
        "Features": "Dialogue, BadEnding",
        "Words": "kite, brave",
        "Summary": "A kite is lost.",
        "Random sentence": "He cried.",
        "Story": "\n\nTom lost a kite.\n\nHe cried.",
    }
    names = dice.sample(list(parts), dice.randint(2, 5))  # the story may stand anywhere
    colon = dice.choice([":", "：", " : "])
    text = "\n".join(f"{name}{colon}{parts[name]}" for name in names) + "\n"
    found = parse_block(text)
    assert found == {{"Random sentence": "sentence"}.get(n, n.lower()): parts[n].strip() for n in names}


def test_labels_inside_a_story_are_the_storys() -> None:
    story = (
        'He wrote "Words: love" on a stone. The summary: none. My features:\n'
        "Words are nice. A story: long ago.\nSummary: it was good."
    )
    found = parse_block(f"Summary: S.\nWords: a, b\nStory:\n{story}")
    assert found == {"summary": "S.", "words": "a, b", "story": story}
    assert parse_block("Once upon a time there were no labels: none.") is None


def test_words_may_be_a_list_of_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text(
        "Words:\n- kite\n* hill\nFeatures:\n- Twist\nStory: A kite on a hill.\n<|endoftext|>\n", encoding="utf-8"
    )
    (item,) = read_items(str(path))
    assert isinstance(item, Item) and (item.words, item.features) == (("kite", "hill"), ("转折",))


def test_sources_are_checked_before_anything_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("A cat sat.\n")
    assert sources("english") == [ENGLISH] and sources(["english", str(tmp_path)]) == [ENGLISH, tmp_path]
    assert len(list(read_items(["english", str(tmp_path / "a.txt")]))) == 25
    with pytest.raises(UserError, match=r"b\.txt: no such file"):
        sources(["english", str(tmp_path / "b.txt")])


def test_the_built_in_sample_is_read_whole() -> None:
    items = list(read_items("english"))
    assert len(items) == 24 and all(isinstance(item, Item) for item in items)
    first, second = items[0], items[1]
    assert isinstance(first, Item) and isinstance(second, Item)
    assert first.words == ("kite", "brave", "climb") and first.features == ("对话",)
    assert first.summary.startswith("Tom's kite") and not first.sentence
    assert second.sentence == "The old man had not eaten all day."
    assert first.story.startswith("One windy day") and first.story.endswith("a nut.")
    for item in items:
        assert isinstance(item, Item) and "<|endoftext|>" not in item.story and "Words:" not in item.story


def test_forms_of_records(tmp_path: Path) -> None:
    lines = [
        {"story": "A dog ran.", "words": ["dog"], "features": "Twist", "summary": "S.", "sentence": "A dog ran."},
        {"text": "Words: cat\nStory: A cat sat."},
        {"instruction": {"prompt:": "p", "words": ["sun"], "features": ["Dialogue"]}, "story": "The sun.", "summary": "Sun.",
         "source": "GPT-4", "story_zh": "太阳。"},
        {"title_zh": "t", "story_zh": "山羊。", "story_en": "A goat."},
        {"story": "X.", "features": ["Sparkle"], "words": ["x"]},
        {"text": "Words: cat\nStory:"},
    ]  # fmt: skip
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(json.dumps(line) for line in lines) + "\n{broken\n", encoding="utf-8")
    dog, cat, sun, goat, sparkle, empty, broken = read_items(str(path))
    assert isinstance(dog, Item) and (dog.words, dog.features, dog.sentence) == (("dog",), ("转折",), "A dog ran.")
    assert isinstance(cat, Item) and (cat.words, cat.story) == (("cat",), "A cat sat.")
    assert isinstance(sun, Item) and (sun.given, sun.words, sun.summary) == ("太阳。", ("sun",), "Sun.")
    assert isinstance(goat, Item) and (goat.story, goat.given) == ("A goat.", "山羊。")
    assert isinstance(sparkle, Unread) and "unknown feature sparkle" in sparkle.reason
    assert isinstance(empty, Unread) and empty.reason == "no English story"
    assert isinstance(broken, Unread) and broken.place.endswith("a.jsonl:7")


# Messages: no label of the data set is ever in them


@pytest.mark.parametrize("style", ["json_schema", "delimiters"])
def test_messages_hold_no_labels_and_a_constant_prefix(style: prompts.Style) -> None:
    one = prompts.draft(ITEM, KEYS, style, "大陆", {"Tom": "汤姆"})
    other = prompts.draft(Item(1, "", "A cat.", ("cat",)), ("words", "story"), style, "大陆", {})
    assert one[0] == other[0]
    text = "".join(message["content"] for message in one)
    for label in ("Random sentence", "Features", "Dialogue", "对话", "词汇", "特征", "摘要", "随机句子"):
        assert label not in text
    assert "Tom = 汤姆" in text and STORY.split("\n")[0] in text


def test_country_is_in_every_step() -> None:
    build = prompts.draft(ITEM, KEYS, "json_object", "台湾", {})
    for messages in (build, prompts.reflect("s", "t", [], "台湾"), prompts.judge("s", "t", "台湾")):
        assert "Traditional" in messages[0]["content"] and "Taiwan" in messages[0]["content"]


# Replies

REPLY = {"words": list(GOOD.words), "summary": GOOD.summary, "sentence": GOOD.sentence, "story": ZH}


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(REPLY),
        json.dumps(REPLY, ensure_ascii=False, indent=1),
        "```json\n" + json.dumps(REPLY) + "\n```",
        "<think>well, {this}</think>\n" + json.dumps(REPLY),
        json.dumps(REPLY, ensure_ascii=False).replace("\\n", "\n"),
        json.dumps({**REPLY, "story": ZH.replace("“", '"').replace("”", '"')}),
        json.dumps({**REPLY, "words": ["风筝。", "“勇敢”", " 爬 "]}),
    ],
)
def test_replies_that_can_be_read(text: str) -> None:
    assert parse_reply(spoken(text), ITEM, KEYS, "json_schema") == GOOD


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("Sure! " + json.dumps(REPLY), "one JSON object"),
        (json.dumps(REPLY) + "\nHope this helps", "after"),
        (json.dumps({**REPLY, "note": "x"}), "keys"),
        (json.dumps({k: v for k, v in REPLY.items() if k != "summary"}), "keys"),
        (json.dumps({"词汇": [], "摘要": "", "随机句子": "", "故事": ZH}), "keys"),
        (json.dumps({**REPLY, "words": "风筝，勇敢，爬"}), "list"),
        (json.dumps({**REPLY, "words": ["风筝"]}), "must have 3"),
        (json.dumps({**REPLY, "story": None}), "story must be a string"),
        (json.dumps(REPLY)[:-20], "valid JSON"),
        ("词汇：风筝\n故事：从前", "one JSON object"),
        ("[]", "one JSON object"),
    ],
)
def test_replies_that_cannot(text: str, says: str) -> None:
    with pytest.raises(ReplyError, match=says):
        parse_reply(text, ITEM, KEYS, "json_schema")


def test_delimited_replies() -> None:
    text = f"<<<1>>>\n1. 风筝\n- 勇敢\n爬\n<<<2>>>\n{GOOD.summary}\n<<<3>>>\n{GOOD.sentence}\n<<<4>>>\n{ZH}\n"
    assert parse_reply(text, ITEM, KEYS, "delimiters") == GOOD
    for bad in (text.replace("<<<2>>>", ""), "好的：\n" + text, text + "<<<5>>>\n", text.replace("<<<1>>>", "<<<2>>>")):
        with pytest.raises(ReplyError):
            parse_reply(bad, ITEM, KEYS, "delimiters")


def test_schema_is_strict() -> None:
    found = schema(("words", "story"))
    assert found["required"] == ["words", "story"] and found["additionalProperties"] is False
    assert found["properties"]["words"]["type"] == "array"


def test_straight_quotes_become_curly_only_in_pairs() -> None:
    assert quotes('"走吧"，他说。"好"') == "“走吧”，他说。“好”"
    assert quotes('"走吧\n"好"') == '"走吧\n“好”'


def test_grades() -> None:
    said = {"4": 4, "Grade: 5/5": 5, "3 - awkward": 3, "10": None, "0": None, "no idea": None}
    assert {text: grade_in(text) for text in said} == said


# Rules


def rules(
    parts: Parts, item: Item = ITEM, glossary: dict[str, str] | None = None, country: prompts.Country = "大陆"
) -> set[str]:
    keys = prompts.keys_of(item, story=not item.given)
    return {problem.rule for problem in problems(item, parts, keys, country, glossary or {})}


def change(**parts: object) -> Parts:
    return Parts(**{**GOOD.__dict__, **parts})  # type: ignore[arg-type]


def test_a_good_translation_passes_every_rule() -> None:
    assert rules(GOOD) == set()
    assert rules(GOOD, glossary={"Tom": "汤姆"}) == set()


@pytest.mark.parametrize(
    ("parts", "rule"),
    [
        (change(story=ZH[:-1]), "closing"),
        (change(story=ZH.replace("高。", "高，然后")), "closing"),
        (change(story="他是个勇敢的男孩。爬\n\n“风筝”。"), "length"),
        (change(story=ZH.replace("\n\n", "。" * 3 + "他飞得高高的，风也吹着。" * 12 + "\n\n")), "length"),
        (change(story=ZH.replace("汤姆", "Tommy and his friend")), "chinese"),
        (change(story="以下是翻译：" + ZH), "preamble"),
        (change(story="好的，" + ZH), "preamble"),
        (change(story=ZH + "\n\n摘要：很好。"), "preamble"),
        (change(summary="摘要：汤姆放风筝。"), "preamble"),
        (change(story="**" + ZH), "marks"),
        (change(story="<story>" + ZH), "marks"),
        (change(story=ZH + "<|endoftext|>。"), "marks"),
        (change(story=ZH.replace("“", "").replace("”", "")), "dialogue"),
        (change(words=("风筝", "勇气", "爬")), "words"),
        (change(words=("风筝", "brave", "爬")), "words"),
        (change(sentence="他是一位有勇气的少年郎呀。"), "sentence"),
        (change(summary=""), "empty"),
        (change(story=ZH.replace("他说", "這個時候他們對媽媽說")), "script"),
        (change(words=("风筝", "勇敢", "爬，山")), "words"),
    ],
)
def test_each_rule_catches_its_case(parts: Parts, rule: str) -> None:
    assert rule in rules(parts)


def test_a_yes_is_a_preamble_only_where_the_english_has_none() -> None:
    item = Item(0, "", "Okay, said the cat and sat down.", sentence="Okay, said the cat and sat down.", group="g")
    text = "好的，猫说着坐了下来。"
    assert rules(Parts(sentence=text, story=text), item) == set()
    assert rules(Parts(summary="好的行为会有好结果。", story=text), replace(item, summary="S.", sentence="")) == set()
    assert "preamble" in rules(change(story="好的，" + ZH)) and "preamble" in rules(change(story="当然可以！" + ZH))


def test_every_rule_has_its_line_in_the_report() -> None:
    source = "".join(
        (ENGLISH.parents[2] / "translate" / name).read_text("utf-8") for name in ("agent.py", "validate.py")
    )
    assert set(re.findall(r'Problem\("(\w+)"', source)) == set(_RULES)


def test_translations_by_hand_pass_every_rule() -> None:
    lines = (Path(__file__).parent / "english_zh.jsonl").read_text(encoding="utf-8").splitlines()
    for item, line in zip(read_items("english"), lines, strict=True):
        assert isinstance(item, Item)
        keys = prompts.keys_of(item, story=True)
        parts = parse_reply(line, item, keys, "json_object")
        assert [problem.text for problem in problems(item, parts, keys, "大陆", {})] == [], item.story[:40]


def test_paragraphs_and_names() -> None:
    item = Item(0, "", "A cat sat.\n\nA dog ran.\n\nThe sun shone.\n\nAll slept.", group="g")
    joined = Parts(story="一只猫坐着。一只狗跑着。太阳照着。大家都睡了。")
    assert rules(joined, item) == {"paragraphs"}
    assert rules(Parts(story="一只猫坐着。\n一只狗跑着。\n太阳照着。\n大家都睡了。"), item) == set()
    assert rules(GOOD, glossary={"Tom": "汤米"}) == {"names"}


def test_an_english_story_without_an_end_asks_for_none() -> None:
    item = Item(0, "", "A cat sat on the mat and the dog ran", group="g")
    assert rules(Parts(story="一只猫坐在垫子上，小狗跑了"), item) == set()


def test_what_people_translated_passes() -> None:
    source = Path(__file__).parents[2] / "shared" / "data" / "storybooks.jsonl"
    if not source.is_file():
        pytest.skip("no shared data")
    found: Counter[str] = Counter()
    for item in read_items(str(source)):
        assert isinstance(item, Item)
        found.update(
            {problem.rule for problem in problems(item, Parts(story=item.given), ("story",), "大陆", {})} or {"none"}
        )
    # four stories have no punctuation at their end, and one has a 馬 among simplified characters
    assert found == {"none": 31, "closing": 4, "script": 1}


def test_traditional_is_asked_for_in_taiwan() -> None:
    simplified = "他们说这个时候还没来，妈妈让我们听话。"
    item = Item(0, "", "They say it is not yet time, and mother tells us to be good.", group="g")
    assert rules(Parts(story=simplified), item, country="台湾") == {"script"}
    assert rules(Parts(story="他們說這個時候還沒來，媽媽讓我們聽話。"), item, country="台湾") == set()


def test_words_are_required_only_where_the_english_story_has_them() -> None:
    assert stands_in("climb", STORY) and stands_in("Brave", STORY) and not stands_in("run", STORY)
    assert stands_in("happy", "They played happily.") and stands_in("make", "She was making it.")
    assert stands_in("run", "He was running.") and stands_in("carry", "She carried it.") and stands_in("box", "Boxes!")
    for word, story in (
        ("car", "A carrot, and care."),
        ("sun", "On Sunday."),
        ("cat", "Catch it!"),
        ("eat", "A feather."),
    ):
        assert not stands_in(word, story)
    item = Item(0, "", STORY, ("kite", "run"), group="g")
    assert rules(Parts(("风筝", "跑"), story=ZH), item) == set()


def test_the_substring_cases_of_a_hand_made_run() -> None:
    """名字叫 contains 字, a summary contains 总结, a story says 特点: none is a label, all come back whole."""
    story = "有一只小狗，名字叫：小明。老师总结：做事要用心。它的特点是跑得快。关键词是“爱”。"
    item = Item(0, "", 'A little dog was called Ming. The teacher said: "Do things with heart." It ran fast. Love.',
                ("dog",), ("道德价值",), "The teacher sums up.", group="g")  # fmt: skip
    parts = Parts(("小狗",), "老师总结了一句话，概要是：用心。", "", story)
    assert rules(parts, item) == set()
    made = record(item, parts)
    assert made["output"] == story
    assert parse(made["input"]) == Constraints(("小狗",), ("道德价值",), parts.summary)


def test_the_sentence_takes_the_storys_own_form() -> None:
    parts = settle_sentence(ITEM, change(sentence="他是一个勇敢的男孩。"))
    assert parts.sentence == "他是个勇敢的男孩。"
    other = change(sentence="天上下起了大雨。")
    assert settle_sentence(ITEM, other) == other


def test_salvage_leaves_out_what_is_not_in_the_story() -> None:
    parts = change(words=("风筝", "勇气", "爬"), sentence="天上下起了大雨。")
    left = salvage(ITEM, parts, problems(ITEM, parts, KEYS, "大陆", {}))
    assert left is not None and left.words == ("风筝", "爬") and left.sentence == ""
    cut = change(words=("风筝", "勇气", "爬"), story=ZH[:-1])
    assert salvage(ITEM, cut, problems(ITEM, cut, KEYS, "大陆", {})) is None
    alone = Item(0, "", STORY, ("brave",), group="g")
    bad = Parts(("勇气",), story=ZH)
    assert salvage(alone, bad, problems(alone, bad, ("words", "story"), "大陆", {})) is None


# Bodies and errors


def test_bodies() -> None:
    say = {
        "choices": [{"message": {"content": "好"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 1},
    }
    found = of_body(json.dumps(say).encode())
    assert (found.text, found.finish, found.tokens_in, found.tokens_out) == ("好", "stop", 3, 1)
    silent = json.dumps({"choices": [{"message": {"content": None, "refusal": "no"}}], "usage": None})
    assert of_body(silent.encode()).finish == "refusal" and of_body(silent.encode()).tokens_in == -1
    for body, kind in (
        (b"<html>", "retry"),
        (b'{"choices": [{"mess', "retry"),
        (b'{"error": {"message": "busy"}}', "retry"),
        (b'{"choices": null}', "retry"),
        (b'{"choices": []}', "retry"),
        (b"[]", "retry"),
        (b'{"error": {"message": "Insufficient Balance"}}', "fatal"),
        (b'{"error": {"code": "insufficient_quota", "message": "m"}}', "fatal"),
    ):
        with pytest.raises(Trouble) as caught:
            of_body(body)
        assert caught.value.kind == kind, body


def status(code: int, message: str = "m", headers: dict[str, str] | None = None, error: str | None = None) -> Trouble:
    import httpx2

    request = httpx2.Request("POST", "http://x")
    response = httpx2.Response(
        code, headers=headers, json={"error": {"message": message, "code": error}}, request=request
    )
    return of_error(openai.APIStatusError(message, response=response, body={"message": message, "code": error}))


def test_statuses() -> None:
    assert status(429, headers={"Retry-After": "7"}).wait == 7 and status(429).overload
    assert status(429, headers={"retry-after-ms": "1500"}).wait == 1.5
    assert status(429, headers={"Retry-After": "200"}).kind == "retry"  # openai's own retries give up above 120
    assert status(429, headers={"Retry-After": str(LONGEST_WAIT + 1)}).kind == "fatal"
    assert status(429, error="insufficient_quota").kind == "fatal"
    assert [status(code).kind for code in (401, 402, 403, 404)] == ["fatal"] * 4
    assert [status(code).kind for code in (408, 409, 500, 502, 503, 529)] == ["retry"] * 6
    assert status(400, "too long").kind == "item"
    assert status(400, "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead").kind == "adapt"
    assert status(400, "maximum context length is 4096, you asked for 5000 in max_tokens: unsupported").kind == "item"
    dated = status(503, headers={"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"})
    assert dated.wait == 0


@pytest.mark.parametrize(
    ("said", "about"),
    [  # as DeepSeek, LM Studio, Groq, Novita, Azure, OpenAI, Moonshot put it
        ("This response_format type is unavailable now", "response_format"),
        ("Failed to deserialize: response_format.type `json_schema` is unavailable now at line 1", "response_format"),
        ("'response_format.type' must be 'json_schema' or 'text'", "response_format"),
        ("This model does not support response format `json_schema`.", "response_format"),
        ("model: r1 does not support feature: structured-outputs", "response_format"),
        ("response_format value as json_schema is enabled only for api versions 2024-08-01-preview", "response_format"),
        ("Unsupported value: 'temperature' does not support 0.3 with this model.", "temperature"),
        ("invalid temperature: only 1 is allowed for this model", "temperature"),
        ("Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.", "max_completion_tokens"),
    ],
)
def test_refusals_in_the_words_of_real_servers(said: str, about: str) -> None:
    for code in (400, 422):
        trouble = status(code, said)
        assert (trouble.kind, trouble.reason) == ("adapt", about)
    assert status(400, "messages[1].content is too long; max_tokens must be less than 4096").kind == "item"


def test_a_defect_of_ours_is_no_trouble() -> None:
    with pytest.raises(ZeroDivisionError):
        of_error(ZeroDivisionError())


# Limits


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Time that only sleeping moves; the list holds every sleep."""
    now, slept = [100.0], []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    monkeypatch.setattr(limits.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(limits.asyncio, "sleep", sleep)
    return slept


def test_pace_keeps_to_the_minute(clock: list[float]) -> None:
    async def take() -> None:
        pace = limits.Pace(120)  # two a second
        for _ in range(10):
            await pace.take(1)
        assert sum(clock) == pytest.approx(
            3.5
        )  # 10 units at 2 a second, less one second's burst and the last unit's own time
        pace.give_back(4)
        await pace.take(1)
        assert sum(clock) == pytest.approx(3.5)

    asyncio.run(take())


def test_no_pace_no_wait(clock: list[float]) -> None:
    asyncio.run(limits.Pace(None).take(10**9))
    assert clock == []


def test_a_pause_is_shared_and_nobody_wakes_early_or_at_once(clock: list[float]) -> None:
    async def wait() -> None:
        pause = limits.Pause()
        pause.extend(10)
        pause.extend(3)
        await pause.over()
        first = clock[0]
        pause = limits.Pause()
        pause.extend(10)
        await pause.over()
        assert first >= 10 and clock[-1] >= 10 and first != clock[-1]

    asyncio.run(wait())


def test_the_gate_shrinks_only_when_overload_is_common() -> None:
    gate = limits.Gate(32)

    def reply(overloaded: bool) -> bool:
        gate.busy += 1
        return gate.leave(overloaded)

    for n in range(200):
        assert not reply(n % 64 == 10)  # a stray one now and then concerns its own call only
    assert gate.limit == 32
    assert any(list(map(reply, [True] * 8)))
    for _ in range(100):
        reply(True)
    assert gate.limit < 16
    for _ in range(5000):
        reply(False)
    assert gate.limit == 32


def test_the_gate_never_lets_in_more_than_its_limit() -> None:
    async def many() -> int:
        gate, most = limits.Gate(3), 0

        async def one() -> None:
            nonlocal most
            await gate.enter()
            most = max(most, gate.busy)
            await asyncio.sleep(0)
            gate.leave(False)

        await asyncio.gather(*(one() for _ in range(50)))
        return most

    assert asyncio.run(many()) == 3


def test_a_budget_is_never_passed() -> None:
    async def spend() -> limits.Budget:
        budget = limits.Budget(None, 1000)

        async def one() -> None:
            held = await budget.reserve(100, 0.0)
            await asyncio.sleep(0)
            budget.settle(held, 60, 0.0)

        ended = await asyncio.gather(*(one() for _ in range(40)), return_exceptions=True)
        assert {type(error) for error in ended} == {type(None), UserError}
        return budget

    spent = asyncio.run(spend())
    assert 900 < spent.tokens <= 1000  # it goes on while the worst case still fits, and stops before it does not


def test_a_budget_learns_how_the_server_counts() -> None:
    """The server takes 2.5 times what was asked for; one reservation of its own size may be too much, no more."""

    async def spend() -> tuple[limits.Budget, list[int]]:
        budget, together = limits.Budget(None, 2000), [0]

        async def one() -> None:
            held = await budget.reserve(100, 0.0)
            together.append(budget._in_flight)
            await asyncio.sleep(0)
            budget.settle(held, 250, 0.0)

        await asyncio.gather(*(one() for _ in range(40)), return_exceptions=True)
        return budget, together

    budget, together = asyncio.run(spend())
    assert budget.tokens == 2000 and together[:2] == [0, 1] and max(together) == 7  # the first alone, then 1750 / 250


def test_an_attempt_is_on_the_ledger_before_it_is_made(tmp_path: Path) -> None:
    path = tmp_path / "x.ledger"
    ledger = Ledger(path)
    answered, broken, free, killed = (ledger.begin(100, 0.5) for _ in range(4))
    assert ledger.spent().supposed == 400 and ledger.spent().cost == 2.0
    ledger.put(b"k", Answer("好", "stop", 30, 7), 0.25, 0.1, answered)
    ledger.lose(60, 40, 0.5, "timeout", broken)
    ledger.lose(0, 0, 0.0, "HTTP 500", free)
    ledger.close()
    spent = Ledger(path).spent()  # the last one's process was killed
    assert (spent.calls, spent.tokens_in, spent.tokens_out, spent.supposed, spent.cost) == (1, 30, 7, 200, 1.25)
    assert killed


# Samples and variants


def items_of(counts: dict[tuple[str, ...], int], features: tuple[str, ...] = ()) -> list[Item]:
    found = []
    for fields, n in counts.items():
        for _ in range(n):
            number = len(found)
            values = {"words": ("w",), "summary": "s", "sentence": "t"}
            found.append(Item(number, "", f"Story {number}", features=features if "features" in fields else (), group=str(number),
                              **{name: values[name] for name in fields if name in values}))  # type: ignore[arg-type]  # fmt: skip
    return found


def test_fair_shares_by_hand() -> None:
    assert fair_shares({"a": 100, "b": 3, "c": 100}, 30) == {"b": 3, "a": 13, "c": 14}
    assert fair_shares({"a": 1, "b": 2}, 30) == {"a": 1, "b": 2}
    assert fair_shares({"a": 5, "b": 5, "c": 5}, 3) == {"a": 1, "b": 1, "c": 1}


def test_a_sample_is_balanced_and_repeatable() -> None:
    items = items_of({("words",): 900, ("words", "summary"): 80, ("summary", "sentence"): 5})
    sample = choose(items, 45, seed=1)
    assert dict(sample.before) == {"words": 900, "words + summary": 80, "summary + sentence": 5}
    assert dict(sample.after) == {"words": 20, "words + summary": 20, "summary + sentence": 5}
    assert len(sample.indices) == 45 and sample.indices == choose(items, 45, seed=1).indices
    assert sample.indices != choose(items, 45, seed=2).indices
    assert sample.indices <= choose(items, 90, seed=1).indices
    torn = choose([*items, Unread(985, "a.jsonl:986", "broken json")], 45, seed=1)
    assert torn.indices == sample.indices | {985} and torn.after == sample.after  # named among the dead letters
    assert "900" in sample.table() and len(choose(items, 10**6, seed=1).indices) == 985


def test_variants_are_capped_grouped_and_true() -> None:
    item = Item(0, "", STORY, ITEM.words, ("对话", "转折"), ITEM.summary, ITEM.sentence, group="g")
    made = record(item, GOOD)
    constraints = parse(made["input"])
    assert constraints is not None and render(constraints) == made["input"]
    several = list(variants(made, constraints, 5, seed=3))
    assert several == list(variants(made, constraints, 5, seed=3))
    assert len(several) == 5 and several[0] == made
    assert {one["group"] for one in several} == {"g"} and {one["output"] for one in several} == {ZH}
    canonical = set()
    for one in several:
        asked = parse(one["input"])
        assert asked is not None and set(asked.words) <= set(GOOD.words) and asked.summary in ("", GOOD.summary)
        canonical.add(render(asked))
    assert len(canonical) == 5  # as training sees them, lines in the usual order
    assert list(variants(made, constraints, 1, seed=3)) == [made]
    single = Constraints(words=("风筝",))
    assert len(list(variants({**made, "input": render(single)}, single, 6, seed=0))) == 1


# Glossary


def test_glossary_files(tmp_path: Path) -> None:
    path = tmp_path / "g.tsv"
    path.write_text("# names\nLily\t莉莉\t莉莉 9, 丽丽 1\n\nMr. Fox\t狐狸先生\nTom\t汤姆\n", encoding="utf-8")
    found = read_glossary(path)
    assert found == {"Lily": "莉莉", "Mr. Fox": "狐狸先生", "Tom": "汤姆"}
    assert occurring(found, "Lily met Mr. Fox; Tomorrow came.") == {"Lily": "莉莉", "Mr. Fox": "狐狸先生"}
    for bad in ("Lily 莉莉\n", "Lily\tLily\n", "Lily\t莉莉\nLily\t丽丽\n"):
        path.write_text(bad, encoding="utf-8")
        with pytest.raises(UserError, match=r"g\.tsv:\d"):
            read_glossary(path)
    with pytest.raises(UserError, match=r"none\.tsv"):
        read_glossary(tmp_path / "none.tsv")


def test_names_and_votes() -> None:
    assert names_in("Lily ran. Then Lily saw Tom, and on Monday Tom and Ben sang. A cat.") == ["Lily", "Tom", "Ben"]
    votes = {"Lily": Counter({"莉莉": 5, "丽丽": 2}), "Tom": Counter({"汤姆": 1}), "Ben": Counter({"本": 3, "班": 3})}
    assert winners(votes, 2) == ["Lily\t莉莉\t莉莉 5, 丽丽 2", "Ben\t本\t本 3, 班 3"]


# Cost, quality, endpoint


def test_estimates_by_hand() -> None:
    item = Item(0, "", "one two three four five", ("one",), given="一二三四五。", group="g")
    count, found = costs([item, item], "大陆", {}, Endpoint(price_in=1.0, price_out=2.0), Endpoint())
    assert count == 2
    calls = {mode: cost.calls for mode, cost in found.items()}
    assert calls == {"constraints": 2, "once": 2, "auto": 3, "reflect": 6}
    once = found["once"]
    out = round(1.6 * 6) / 1.4  # six words -> ten characters -> seven tokens, and twenty for the JSON around
    assert once.tokens_out == 2 * (round(out) + 20)
    assert once.money == pytest.approx((once.tokens_in + 2 * once.tokens_out) / 1e6)
    assert found["reflect"].tokens_in > found["auto"].tokens_in > once.tokens_in
    assert "1,000,000" in table(count, found)


def test_the_pages_table_of_costs() -> None:
    """docs/translate.md, from the built-in sample (with its Chinese stories for mode constraints), at prices 1 and 2."""
    here = Path(__file__).parent
    lines = (here / "english_zh.jsonl").read_text(encoding="utf-8").splitlines()
    items = [
        replace(item, given=json.loads(line)["story"]) for item, line in zip(read_items("english"), lines, strict=True)
    ]  # type: ignore[type-var]
    prices = Endpoint(price_in=1.0, price_out=2.0)
    page = (here.parent / "docs" / "translate.md").read_text(encoding="utf-8")
    count, found = costs(items, "大陆", {}, prices, prices)  # type: ignore[arg-type]
    for mode, cost in found.items():
        small, large = 15_000 / count, 1_000_000 / count
        row = [
            f"{cost.calls * small:,.0f}", f"{cost.tokens_in * small / 1e4:,.0f} 万", f"{cost.tokens_out * small / 1e4:,.0f} 万",
            f"{cost.money * small:,.2f}", f"{cost.calls * large / 1e4:,.0f} 万", f"{cost.tokens_in * large / 1e8:,.2f} 亿",
            f"{cost.tokens_out * large / 1e8:,.2f} 亿", f"{cost.money * large:,.0f}",
        ]  # fmt: skip
        assert re.search(rf"\| {mode}[ ¹²]* \| " + re.escape(" | ".join(row)), page), (mode, row)


def test_chrf_needs_sacrebleu_only_where_it_is_used() -> None:
    pytest.importorskip("sacrebleu")
    assert chrf([("一只小狗在跑。", "一只小狗在跑。")]) == 100
    assert chrf([("一只小狗在跑。", "天上有云。")]) < 20  # type: ignore[operator]


def test_endpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with pytest.raises(UserError, match="OPENAI_BASE_URL"):
        Endpoint().resolved()
    monkeypatch.setenv("OPENAI_BASE_URL", "http://h:1/v1")
    monkeypatch.setenv("OPENAI_MODEL", "m")
    assert (Endpoint().resolved().base_url, Endpoint().resolved().model) == ("http://h:1/v1", "m")
    for url in ("http://user:secret@h/v1", "https://h/v1?key=secret"):
        with pytest.raises(UserError) as caught:
            Endpoint(url, "m").resolved()
        assert "secret" not in str(caught.value).replace("a secret", "")
    with pytest.raises(UserError, match="must look like"):
        Endpoint("h:1/v1", "m").resolved()
    with pytest.raises(UserError, match="NAME") as caught:
        Endpoint("http://h/v1", "m", key_env="sk-secret-key").resolved()
    assert "sk-secret" not in str(caught.value)
    assert "key_env" not in Endpoint("http://h/v1", "m").identity()
    assert redact("bad key sk-12345", "sk-12345") == "bad key ***"
