"""The story page in a real browser: what a person sees and clicks. It may ask for nothing outside its own server."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from browser import Tab, browsing, chromium
from serving import listening
from test_web import folder, models  # noqa: F401  fixtures

from litgpt_zh.evaluate.page import highlighted
from litgpt_zh.generate.engine import Engine
from litgpt_zh.generate.load import Loaded
from litgpt_zh.generate.request import Event
from litgpt_zh.serve.app import Limits, Service
from litgpt_zh.web.app import Page
from litgpt_zh.web.votes import Votes

pytestmark = pytest.mark.skipif(not chromium(), reason="no Chromium here; install one, or name it in CHROMIUM")

ENDED = "document.querySelectorAll('.end').length && [...document.querySelectorAll('.end')].every(e => e.offsetParent !== null)"
WIDTH = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


class Unhurried(Engine):
    """Slow enough to watch, where told to be."""

    pause = 0.0

    def step(self) -> list[Event]:
        time.sleep(Unhurried.pause)
        return super().step()


@pytest.fixture
def votes(tmp_path: Path) -> Votes:
    return Votes(tmp_path / "votes")


@pytest.fixture
def root(models: dict[str, Loaded], votes: Votes, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:  # noqa: F811
    monkeypatch.setattr("litgpt_zh.serve.app.Engine", Unhurried)
    monkeypatch.setattr(Unhurried, "pause", 0.0)
    with listening(Page(Service(models, Limits(8, 8)), votes).app()) as found:
        yield found


@contextlib.asynccontextmanager
async def opened(root: str, **look: Any) -> AsyncIterator[Tab]:
    """The page with its models; afterwards: nothing was asked of anybody else, no script failed, no rule of the page's was hit."""
    async with browsing(**look) as tab:
        await tab.open(root + "/")
        await tab.until("document.querySelector('#left option') || document.querySelector('#locked').offsetParent")
        yield tab
        origins = {(urlsplit(url).scheme, urlsplit(url).netloc) for url in tab.requests if not url.startswith("data:")}
        assert origins == {("http", urlsplit(root).netloc)}
        assert tab.complaints == []


async def settings(tab: Tab, **values: str) -> None:
    """Fill fields; those behind the fold, too."""
    await tab.see("document.querySelector('details').open = true")
    for name, value in values.items():
        await tab.fill(f"#{name}", value)


async def stories(tab: Tab) -> list[dict[str, Any]]:
    """The sides as they are shown."""
    return await tab.see(
        "[...document.querySelectorAll('article')].map(one => ({text: one.querySelector('.story').textContent,"
        "marks: [...one.querySelectorAll('.story mark')].map(m => m.textContent),"
        "pieces: [...one.querySelector('.story').childNodes].map(n => [n.textContent, n.nodeName === 'MARK']),"
        "chips: [...one.querySelectorAll('.chip')].map(c => [c.innerText, c.className.replace('chip', '').trim()])}))"
    )


def test_a_person_opens_it_presses_one_button_compares_votes_and_exports(root: str, votes: Votes) -> None:
    async def walk() -> None:
        async with opened(root) as tab:
            assert await tab.see("document.querySelector('#words').value") == "电工，老师，休息"
            await settings(tab, words="小，兔，子，在，草地，龙", seed="3")
            await tab.click("#tell")
            await tab.until(ENDED)
            shown = await stories(tab)
            assert len(shown) == 2
            for side in shown:
                assert side["pieces"] == [
                    list(one) for one in highlighted(side["text"], ["小", "兔", "子", "在", "草地", "龙"])
                ]
                assert ["✗ 龙", "no"] in side["chips"]
                for word in "小兔子在":
                    assert ([f"✓ {word}", "yes"] if word in side["text"] else [f"✗ {word}", "no"]) in side["chips"]
            assert any(side["marks"] for side in shown)
            await tab.click("#vote-left")
            await tab.until("document.querySelector('#vote p').innerText.includes('甲')")
            await tab.until("document.querySelector('#next').offsetParent")
            await tab.click("#export")
            await tab.until("document.querySelector('#exported').offsetParent")
            assert "pairs.jsonl" in await tab.text("#exported")
            (vote,) = votes.read()
            assert (vote["vote"], vote["left"]["model"], vote["right"]["model"]) == ("left", "甲", "乙")
            assert [vote["left"]["text"], vote["right"]["text"]] == [side["text"] for side in shown]
            await tab.click("#next")  # another request, the same two models
            await tab.until("document.querySelector('#words').value !== '小，兔，子，在，草地，龙'")
            await tab.until(ENDED)

    asyncio.run(walk())


def test_it_grows_lights_up_while_it_grows_and_stops(root: str) -> None:
    async def walk() -> None:
        async with opened(root) as tab:
            Unhurried.pause = 0.05
            await settings(tab, words="小，龙", seed="3")
            await tab.click("#compare")
            await tab.click("#tell")
            await tab.until("document.querySelector('.growing .story').textContent.length > 2")
            (before,) = await stories(tab)
            assert ["… 龙", "wait"] in before["chips"]
            await tab.until(f"document.querySelector('.story').textContent.length > {len(before['text'])}")
            (after,) = await stories(tab)
            assert after["text"].startswith(before["text"])
            Unhurried.pause = 0.5
            await tab.click("#stop")
            await tab.until(ENDED)
            assert "停下了" in await tab.text(".end")
            assert ["✗ 龙", "no"] in (await stories(tab))[0]["chips"]
            assert (
                await tab.text("#problem") == ""
                and await tab.see("document.querySelector('#vote').offsetParent") is None
            )
            Unhurried.pause = 0.0
            await tab.click("#tell")
            await tab.until(ENDED + " && !document.querySelector('.end').innerText.includes('停下了')")

    asyncio.run(walk())


@pytest.mark.parametrize("language", ["zh-CN", "en-GB"])
@pytest.mark.parametrize("dark", [False, True])
def test_on_a_phone_nothing_lies_beside_the_screen(root: str, language: str, dark: bool) -> None:
    async def walk() -> None:
        async with opened(root, width=360, height=740, language=language, dark=dark) as tab:
            ground = await tab.see("getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0]")
            assert (int(ground) < 128) == dark
            assert await tab.see(WIDTH) == 0
            await settings(tab, words="小，" + "长" * 20 + "，longlonglonglonglonglonglonglonglonglonglong", seed="3")
            await tab.click("#tell")
            await tab.until(ENDED)
            assert await tab.see(WIDTH) == 0
            await tab.click("#vote-right")
            await tab.until("document.querySelector('#vote-right').getAttribute('aria-pressed') === 'true'")
            await tab.click("#export")
            await tab.until("document.querySelector('#exported').offsetParent")
            assert await tab.see(WIDTH) == 0

    asyncio.run(walk())


def test_both_languages_by_the_browser_and_by_the_switch(root: str) -> None:
    async def walk() -> None:
        async with opened(root, language="en-US") as tab:
            assert await tab.text("h1") == "Story time" and await tab.text("#tell") == "Tell a story"
            assert await tab.see("document.documentElement.lang") == "en"
            await tab.click("#language")
            assert await tab.text("h1") == "讲故事" and await tab.text("#tell") == "讲一个故事"
            await tab.open(root + "/")
            await tab.until("document.querySelector('#left option')")
            assert await tab.text("h1") == "讲故事" and await tab.see("document.documentElement.lang") == "zh-CN"

    asyncio.run(walk())


HOSTILE = "<script>window.hit = 1</script><img src=x onerror='window.hit = 1'><b>粗</b> {{say.title}}"


def test_texts_are_texts(root: str) -> None:
    """In a story (a pretrained model goes on with what is typed), in what is looked out for, and in messages."""

    async def walk() -> None:
        async with opened(root) as tab:
            await tab.click("#compare")
            await tab.select("#left", "丙")
            await tab.click("#by-text")
            await tab.fill("#text", HOSTILE)
            await tab.click("#tell")
            await tab.until(ENDED)
            (side,) = await stories(tab)
            assert side["text"].startswith(HOSTILE)
            await tab.select("#left", "甲")
            await tab.fill("#text", f"词汇：<img/src=x/onerror=hit=1>，小；摘要：{HOSTILE[:40]}")
            await tab.click("#tell")
            await tab.until(ENDED + " && document.querySelector('.chip')")
            assert ["✗ <img/src=x/onerror=hit=1>", "no"] in (await stories(tab))[0]["chips"]
            assert await tab.see("window.hit") is None
            assert await tab.see("document.querySelectorAll('main img, main script, main b:not([x-text])').length") == 0

    asyncio.run(walk())


def test_what_goes_wrong_is_one_line_on_the_page(models: dict[str, Loaded], tmp_path: Path) -> None:  # noqa: F811
    async def walk(root: str, down: Any) -> None:
        async with opened(root) as tab:

            async def problem(part: str) -> None:
                await tab.click("#tell")
                await tab.until(f"document.querySelector('#problem').innerText.includes({part!r})")
                assert "\n" not in await tab.text("#problem")
                assert await tab.see("document.querySelectorAll('article').length") == 0

            await tab.click(".pill[aria-pressed=true]")
            await tab.fill("#words", "")
            await problem("什么也没有要求")
            await tab.fill("#words", "小" * 200)
            await problem("要求太长")
            await tab.fill("#words", "小")
            await tab.select("#right", "丙")
            await problem("预训练模型没有学过")
            await tab.select("#right", "乙")
            down.close()
            await problem("连不上服务器")

    down = contextlib.ExitStack()
    root = down.enter_context(listening(Page(Service(models, Limits(8, 8)), Votes(tmp_path)).app()))
    try:
        asyncio.run(walk(root, down))
    finally:
        down.close()


def test_a_key_is_asked_for(models: dict[str, Loaded], tmp_path: Path) -> None:  # noqa: F811
    async def walk(root: str) -> None:
        async with opened(root) as tab:
            assert await tab.see("document.querySelector('.ask').offsetParent") is None
            await tab.fill("#locked input", "wrong")
            await tab.click("#locked button")
            await tab.until("document.querySelector('#problem').innerText.includes('密钥不对')")
            await tab.fill("#locked input", "secret")
            await tab.click("#locked button")
            await tab.until("document.querySelector('.ask').offsetParent && document.querySelector('#left option')")
            await tab.click("#tell")
            await tab.until(ENDED)
            assert "secret" not in " ".join(tab.requests)

    with listening(Page(Service(models, Limits(8, 8), "secret"), Votes(tmp_path)).app()) as root:
        asyncio.run(walk(root))


def test_names_can_be_hidden_until_the_vote(root: str, votes: Votes) -> None:
    async def walk() -> None:
        async with opened(root) as tab:
            await tab.click("#blind")
            orders = set()
            for _ in range(12):
                count = len(list(votes.read()))
                hidden = "[...document.querySelectorAll('.who')].every(e => e.innerText.includes('揭晓'))"
                await tab.click("#tell")
                await tab.until(f"document.querySelector('.who') && {hidden}")
                await tab.until(ENDED + " && document.querySelector('#vote').offsetParent")
                assert await tab.see(hidden)
                await tab.click("#vote-left")
                await tab.until("[...document.querySelectorAll('.who')].every(e => !e.innerText.includes('揭晓'))")
                vote = list(votes.read())[count]
                names = await tab.see("[...document.querySelectorAll('.who span:not(.soft)')].map(e => e.innerText)")
                assert names == [vote["left"]["model"], vote["right"]["model"]]
                orders.add(tuple(names))
                if len(orders) == 2:
                    return
            raise AssertionError(orders)

    asyncio.run(walk())
