"""The story world: the same stories everywhere, sound shape, constraints that hold, templates that can be told."""

from __future__ import annotations

import ast
import itertools
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from litgpt_zh.constraints import Constraints, check
from litgpt_zh.corpus.world import Story, generate, story
from litgpt_zh.corpus.world.engine import FEATURES, World
from litgpt_zh.corpus.world.lexicon import Lexicon
from litgpt_zh.corpus.world.phrases import GROUPS, group
from litgpt_zh.corpus.world.plots import PLOTS
from litgpt_zh.corpus.world.speech import VERBS, layout
from litgpt_zh.corpus.world.story import BOUNDS, sentences
from litgpt_zh.corpus.world.template import Alternatives, Node, Pick, Speech, Template, compile_template

HERE = Path(__file__).parent.parent / "litgpt_zh" / "corpus" / "world"
COUNT = 400


@pytest.fixture(scope="module", params=["short", "full"])
def told(request: pytest.FixtureRequest) -> tuple[str, list[Story]]:
    """A few hundred stories of each length."""
    return request.param, list(generate(7, 0, COUNT, request.param))


def _world(realm: str = "child", length: str = "short") -> World:
    return World(Random("test"), length, Lexicon.load(), realm)


def test_a_story_depends_on_seed_and_index_alone() -> None:
    assert list(generate(3, 0, 20)) == [story(3, index) for index in range(20)]
    few = list(generate(3, 0, 30, "short", ("搬家", "买菜")))
    assert {item.plot for item in few} == {"搬家", "买菜"}
    with pytest.raises(ValueError, match="no such plot: 没有"):
        story(3, 0, "short", ("没有",))
    assert list(generate(3, 10, 10)) == list(generate(3, 0, 20))[10:]
    assert story(3, 0) != story(4, 0)
    code = "from litgpt_zh.corpus.world import story; print(story(3, 5).text)"
    printed = subprocess.run([sys.executable, "-X", "utf8", "-c", code], capture_output=True, check=True)
    assert printed.stdout.decode("utf-8").strip() == story(3, 5).text


def test_an_unknown_length_is_refused() -> None:
    with pytest.raises(ValueError, match="short, full"):
        story(1, 1, "long")  # type: ignore[arg-type]


def test_shape(told: tuple[str, list[Story]]) -> None:
    length, stories = told
    low, high = BOUNDS[length]
    for item in stories:
        assert low <= len(re.findall("[一-鿿]", item.text)) <= high
        paragraphs = item.text.split("\n")
        assert len(paragraphs) == 1 if length == "short" else 2 <= len(paragraphs) <= 5
        assert all(paragraphs)
        assert item.text.count("“") == item.text.count("”")
        assert not re.search(r"[A-Za-z{}\[\]<>|]", item.text + item.summary), item.text
        assert not re.search("的的|了了|，，|，。|。。|(?<![十第])二[个只条]", item.text + item.summary), item.text


def test_constraints_hold(told: tuple[str, list[Story]]) -> None:
    _, stories = told
    for item in stories:
        assert 3 <= len(item.words) <= 12
        assert len(set(item.words)) == len(item.words)
        assert all(word in item.text for word in item.words)
        assert set(item.features) <= set(FEATURES)
        assert ("对话" in item.features) == ("“" in item.text)
        assert item.sentence in item.text
        assert 8 <= len(item.sentence) <= 40
        assert item.sentence[-1] in "。！？”"
        assert item.summary.endswith("。")
        asked = Constraints(item.words, item.features, item.summary, item.sentence)
        assert all(kept is not False for kept in check(asked, item.text).values())


def test_the_record() -> None:
    item = story(1, 2)
    record = item.record()
    assert set(record) == {"text", "words", "features", "summary", "sentence", "plot", "group"}
    assert record["group"] == "1-2"


def test_variety(told: tuple[str, list[Story]]) -> None:
    _, stories = told
    assert len({item.text for item in stories}) == COUNT
    assert len({item.plot for item in stories}) >= 40


def test_the_words_come_in_the_order_of_the_story() -> None:
    for item in generate(9, 0, 300):
        assert all(item.text.index(one) <= item.text.index(two) for one, two in itertools.pairwise(item.words))


@pytest.mark.parametrize("plot", PLOTS, ids=lambda plot: plot.name)
def test_every_plot_can_be_told_in_both_lengths(plot) -> None:
    for length in BOUNDS:
        for realm in plot.realms:
            for turn in range(30):
                world = World(Random(f"{plot.name}{turn}"), length, Lexicon.load(), realm)
                plot.run(world)
                assert world.text
                assert world.summary


def _templates() -> Iterator[tuple[str, Template]]:
    for path in [*sorted(HERE.glob("plots_*.py")), HERE / "framing.py", HERE / "speech.py"]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            source = node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
            if re.search(r"[{<\[]", source) and "``" not in source:
                yield f"{path.name}:{node.lineno}", compile_template(source)


def _nodes(template: Template) -> Iterator[Node]:
    for node in template.nodes:
        yield node
        if isinstance(node, Alternatives):
            for option in node.options:
                yield from _nodes(option)
        elif isinstance(node, Speech):
            yield from _nodes(node.line)


def test_every_word_that_a_template_draws_exists() -> None:
    worlds = [_world("child"), _world("animal")]
    worlds[0].scene(season="winter")
    worlds[1].scene(season="summer")
    for where, template in _templates():
        for node in _nodes(template):
            if isinstance(node, Pick):
                assert any(world._candidates(node.kind, node.tags) for world in worlds), (where, node)
            elif isinstance(node, Speech):
                assert node.verb in VERBS, (where, node)


def _words_put(function: ast.FunctionDef) -> Iterator[tuple[str, str]]:
    """The slots that a plot fills from its own list of words, with each word."""
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "put":
            key, words = node.args
            if isinstance(key, ast.Constant) and isinstance(words, ast.Constant):
                yield from ((key.value, word) for word in words.value.split())


def test_words_of_a_plot_that_are_counted_have_a_measure() -> None:
    lexicon = Lexicon.load()
    for path in sorted(HERE.glob("plots_*.py")):
        source = path.read_text(encoding="utf-8")
        for function in ast.parse(source).body:
            if isinstance(function, ast.FunctionDef):
                body = ast.get_source_segment(source, function) or ""
                for key, word in _words_put(function):
                    entry = lexicon.get(word)
                    if re.search(rf"{{{key}\.(one|onea|this|thisa|that|thata|two|few|m)}}", body):
                        assert entry and entry.measure, (path.name, function.name, key, word)
                    if f"{{{key}.in}}" in body:
                        assert entry and entry.kind == "place", (path.name, function.name, key, word)


def test_every_group_holds_words() -> None:
    for kind, groups in GROUPS.items():
        for name in groups:
            assert group(Lexicon.load(), kind, name), (kind, name)


@pytest.mark.parametrize("source", ["{h", "[a|b", "<h.say x", "<h x>", "a]", "{*}", "{h.a.b}"])
def test_a_broken_template_is_refused(source: str) -> None:
    with pytest.raises(ValueError, match="template"):
        compile_template(source)


def test_a_pronoun_stands_only_for_one_who_cannot_be_mistaken() -> None:
    world = _world()
    while True:
        hero, friend = world.hero("h"), world.friend("f")
        if hero.pronoun == friend.pronoun:
            break
    assert world.tell_slot("h", "ta") == hero.name  # not named yet
    assert world.tell_slot("h", "ta") == hero.pronoun
    assert world.tell_slot("f", "") == friend.name
    assert world.tell_slot("h", "ta") == hero.name  # two of the same pronoun are named
    assert world.tell_slot("h&f", "ta") == {"他": "他们", "她": "她们"}[hero.pronoun]


def test_quotations() -> None:
    assert layout("好呀，我们走吧！", "小明", "说", split=True) == "“好呀，”小明说，“我们走吧！”"
    assert layout("我们走吧！", "小明", "说", split=True) == "“我们走吧！”小明说。"
    text = "小明笑了。“好，”他说，“走吧！”大家走了。他问：“去哪儿？”“去河边！”小红喊。"
    assert sentences(text) == [
        "小明笑了。",
        "“好，”他说，“走吧！”",
        "大家走了。",
        "他问：“去哪儿？”",
        "“去河边！”小红喊。",
    ]


def test_the_english_samples_obey_their_own_constraints() -> None:
    text = (HERE / "english.txt").read_text(encoding="utf-8")
    blocks = [block.strip() for block in text.split("<|endoftext|>") if block.strip()]
    assert len(blocks) == 24
    for block in blocks:
        head, _, body = block.partition("Story:")
        assert body.strip(), block
        fields = dict(re.findall(r"^(Features|Words|Summary|Random sentence):\s*(.+)$", head, flags=re.M))
        assert fields, block
        for word in filter(None, fields.get("Words", "").split(", ")):
            assert re.search(rf"\b{word}", body, flags=re.I), (word, body)
        assert fields.get("Random sentence", "") in body
        if "Features" in fields:
            assert ("Dialogue" in fields["Features"]) == (body.count('"') >= 2), block
        assert text.endswith("<|endoftext|>\n") and set(re.findall(r"^([A-Z][a-z ]+):", head, flags=re.M)) == set(
            fields
        )
