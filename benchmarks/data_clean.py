"""The bars of cleaning: fast, nothing done to good Chinese, and planted faults found.

    python benchmarks/data_clean.py           # 20,000 stories of the built-in world, all real texts
    python benchmarks/data_clean.py --quick   # 3,000 stories, one poem in forty; within a minute
    python benchmarks/data_clean.py --show 5  # and five examples of every rule on every real text, to judge by eye

Seconds are CPU seconds of this one process, so figures are a core's. Real texts are looked for in ``--data`` (storybooks.jsonl,
alpaca_zh_demo.json, dpo_zh_demo.json, poems.jsonl.gz) and left out where they are not. One line a figure,
``name: value (bar: ...)``; the exit status is 1 if a bar is missed.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from pathlib import Path

from litgpt_zh.corpus.clean import RULES, Drop, Limits, clean
from litgpt_zh.corpus.clean_rule import difference
from litgpt_zh.corpus.prepare import Log, prepare
from litgpt_zh.corpus.readers import Record
from litgpt_zh.corpus.world import generate

DATA = Path(__file__).parents[2] / "shared" / "data"
LIMITS = Limits()
OK = True


def figure(name: str, value: float, bar: str = "none", good: bool = True, form: str = ",.0f") -> None:
    """Print one line, and remember a miss."""
    global OK
    OK = OK and good
    print(f"{name}: {value:{form}} (bar: {bar}){'' if good else '  MISSED'}", flush=True)


def rate(work: Callable[[str], object], texts: list[str], rounds: int = 3) -> float:
    """Texts a CPU second, the best of some rounds (the machine may be doing other things)."""
    best = 0.0
    for _ in range(rounds):
        start = time.process_time()
        for text in texts:
            work(text)
        best = max(best, len(texts) / (time.process_time() - start))
    return best


def world(count: int) -> tuple[list[dict], list[dict]]:
    short = [story.record() for story in generate(31, 0, count, "short")]
    return short, [story.record() for story in generate(32, 0, count // 4, "full")]


def speed(short: list[dict], full: list[dict]) -> None:
    texts = [record["text"] for record in short]
    reached = rate(lambda text: clean(text, LIMITS), texts)
    figure("clean_stories_per_second_core, short", reached, ">= 10,000", reached >= 10_000)
    reached = rate(lambda text: clean(text, LIMITS), [record["text"] for record in full])
    figure("clean_stories_per_second_core, full", reached, ">= 10,000", reached >= 10_000)
    dirty = [text.replace("，", ",").replace("“", '"').replace("”", '"') for text in texts]
    figure("clean_stories_per_second_core, short, all marks half-width", rate(lambda t: clean(t, LIMITS), dirty))
    records = {record["text"]: Record(record, "world", n) for n, record in enumerate(short)}
    log = Log()
    figure(
        "prepare_stories_per_second_core, short",
        rate(lambda text: prepare(records[text], LIMITS, 0, log), list(records)),
    )
    costs = {name: 1e6 / rate(lambda text, rule=rule: rule(text, LIMITS), texts[:1000]) for name, rule in RULES.items()}
    print("microseconds a short story:", ", ".join(f"{name} {cost:.1f}" for name, cost in costs.items()))


def untouched(short: list[dict], full: list[dict]) -> None:
    found = [clean(record["text"], LIMITS) for record in (*short, *full)]
    changed, dropped = sum(bool(c.changed) for c in found), sum(c.text is None for c in found)
    figure(f"world_changed, of {len(found):,}", changed, "0", changed == 0)
    figure(f"world_dropped, of {len(found):,}", dropped, "0", dropped == 0)


def half_width(text: str) -> str:
    for full, half in zip("，！？：；“”（）", ',!?:;""()', strict=True):
        text = text.replace(full, half)
    return text.replace("……", "...").replace("。", ".")


def sloppy(data: bytes) -> str:
    return "".join(bytes([b]).decode("cp1252", "ignore") or chr(b) for b in data)


REFUSALS = (
    "作为一个AI语言模型，我无法",
    "很抱歉，我不能翻译这个故事，因为",
    "As an AI language model, I cannot. ",
    "作为人工智能助手，我",
)
REMARKS = ("以下是翻译：\n\n", "好的，以下是这个故事的中文翻译：\n", "译文：", "Here is the translated story:\n\n")
ENGLISH = "Once upon a time there was a little rabbit who lived in the woods."


def planted(short: list[dict]) -> None:
    """Each fault put into world stories: how many are put right exactly, or dropped for the right reason."""
    rng = random.Random(0)
    texts = [record["text"] for record in short]
    restored: dict[str, tuple[Callable[[str], str], float]] = {
        "utf-8 read as latin-1": (lambda text: text.encode().decode("latin-1"), 0.999),
        "utf-8 read as cp1252": (lambda text: sloppy(text.encode()), 0.999),
        "gb2312 read as latin-1": (lambda text: text.encode("gb2312").decode("latin-1"), 0.999),
        "marks half-width": (half_width, 0.99),
        "html": (lambda text: "<p>" + text.replace("\n", "</p><p>") + "</p>", 0.999),
        "remarks of a translator model": (lambda text: rng.choice(REMARKS) + text, 0.999),
    }
    for name, (spoil, least) in restored.items():
        usable = [text for text in texts if name != "gb2312 read as latin-1" or _encodable(text)]
        right = sum(clean(spoil(text), LIMITS).text == text for text in usable) / len(usable)
        figure(f"put_right, {name}", right, f">= {least:.1%}", right >= least, ".2%")
    dropped: dict[str, tuple[str, Callable[[str], str]]] = {
        "utf-8 read as gbk, bytes lost": ("mojibake", lambda text: text.encode().decode("gbk", "replace")),
        "a refusal": ("refusals", lambda text: rng.choice(REFUSALS) + text),
        "english left in": ("untranslated", lambda text: text + ENGLISH),
        "last clause 40 times": ("repetition", lambda text: text + text.split("，")[-1] * 40),
        "a character lost": ("broken characters", lambda text: text[:9] + "\ufffd" + text[10:]),
    }
    for name, (reason, spoil) in dropped.items():
        found = [clean(spoil(text), LIMITS) for text in texts]
        right = sum(c.reason == reason or (reason == "mojibake" and c.reason == "broken characters") for c in found)
        figure(f"dropped, {name}", right / len(texts), ">= 99.0%", right / len(texts) >= 0.99, ".2%")
    cut = [(text, text[: rng.randrange(len(text) * 2 // 3, len(text))]) for text in texts]
    cut = [(text, part) for text, part in cut if part[-1] not in "。！？”…"]
    found = [clean(part, LIMITS) for _, part in cut]
    right = sum(c.reason == "endings" or bool(c.text and c.text[-1] in "。！？”…") for c in found) / len(cut)
    figure("endings, stories broken off at any place", right, ">= 99.0%", right >= 0.99, ".2%")


def _encodable(text: str) -> bool:
    try:
        return bool(text.encode("gb2312"))
    except UnicodeEncodeError:
        return False


def real(data: Path, every: int) -> dict[str, list[str]]:
    """Real texts by name."""
    found: dict[str, list[str]] = {}
    if (path := data / "storybooks.jsonl").is_file():
        found["storybooks"] = [json.loads(line)["story_zh"] for line in path.read_text(encoding="utf-8").splitlines()]
    if (path := data / "alpaca_zh_demo.json").is_file():
        found["alpaca"] = [record["output"] for record in json.loads(path.read_text(encoding="utf-8"))]
    if (path := data / "dpo_zh_demo.json").is_file():
        pairs = json.loads(path.read_text(encoding="utf-8"))
        found["dpo"] = [pair[side]["value"] for pair in pairs for side in ("chosen", "rejected")]
    if (path := data / "poems.jsonl.gz").is_file():
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            found["poems"] = [json.loads(line)["text"] for n, line in enumerate(lines) if n % every == 0]
    return found


def on_real(texts: dict[str, list[str]], show: int) -> None:
    for name, many in texts.items():
        changed: Counter[str] = Counter()
        dropped: Counter[str] = Counter()
        wrong = 0
        for text in many:
            cleaned = clean(text, LIMITS)
            changed.update(change.rule for change in cleaned.changed)
            if cleaned.text is None:
                dropped[cleaned.reason] += 1
                gone = 2 * text.count("□") > len(text)  # old books mark a lost character so: nothing to keep
                wrong += cleaned.reason not in ("too short", "broken characters") and not gone
            for change in cleaned.changed:
                if changed[change.rule] <= show:
                    print(f"  {name}, {change.rule}: {' -> '.join(map(repr, difference(*change[1:])))}")
            if cleaned.text is None and dropped[cleaned.reason] <= show:
                print(f"  {name}, {cleaned.reason}: {cleaned.where!r}")
        print(f"{name}, {len(many):,} texts: changed {dict(changed)}; dropped {dict(dropped)}")
        if name in ("storybooks", "poems"):
            figure(f"false_drops, {name}", wrong, "0", wrong == 0)


def against_ftfy(short: list[dict], texts: Iterable[str]) -> None:
    if not find_spec("ftfy"):
        print("ftfy: not installed, not compared")
        return
    import ftfy

    good = [record["text"] for record in short[:1000]]
    rows = {
        "utf-8 read as latin-1": [(text.encode().decode("latin-1"), text) for text in good],
        "utf-8 read as cp1252": [(sloppy(text.encode()), text) for text in good],
        "gb2312 read as latin-1": [(t.encode("gb2312").decode("latin-1"), t) for t in good if _encodable(t)],
        "real texts, to be left alone": [(text, text) for text in texts],
    }
    for name, pairs in rows.items():
        ours = sum(RULES["mojibake"](bad, LIMITS) == text for bad, text in pairs) / len(pairs)
        theirs = sum(ftfy.fix_encoding(bad) == text for bad, text in pairs) / len(pairs)
        whole = sum(ftfy.fix_text(bad) == text for bad, text in pairs) / len(pairs)
        print(f"right, {name}: ours {ours:.2%}, ftfy.fix_encoding {theirs:.2%}, ftfy.fix_text {whole:.2%}")
    print(
        f"good stories a CPU second: ours {rate(lambda t: RULES['mojibake'](t, LIMITS), good):,.0f}, "
        f"ftfy.fix_encoding {rate(ftfy.fix_encoding, good):,.0f}"
    )


def traditional(poems: list[str]) -> None:
    if not find_spec("opencc"):
        print("opencc: not installed, not measured")
        return
    limits = Limits(simplified=True)
    rule = RULES["traditional characters"]
    changed = sum(rule(text, limits) != text for text in poems)
    reached = rate(lambda text: rule(text, limits), poems[:2000])
    print(f"traditional characters: {changed:,} of {len(poems):,} poems changed, {reached:,.0f} a CPU second")
    same = sum(len(found) == len(text) for text in poems if not isinstance(found := rule(text, limits), Drop))
    figure("traditional_length_kept", same / len(poems), ">= 99.9%", same / len(poems) >= 0.999, ".2%")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="3,000 stories, one poem in forty")
    parser.add_argument("--show", type=int, default=0, help="examples of every rule on every real text")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the real texts")
    arguments = parser.parse_args()
    short, full = world(3000 if arguments.quick else 20_000)
    texts = real(arguments.data, 40 if arguments.quick else 1)
    untouched(short, full)
    speed(short, full)
    planted(short[:2000] if arguments.quick else short)
    on_real(texts, arguments.show)
    if not texts:
        print(f"real texts: none in {arguments.data}, not measured")
    against_ftfy(short, [text for many in texts.values() for text in many[:2000]])
    traditional(texts.get("poems", []))
    sys.exit(not OK)


if __name__ == "__main__":
    main()
