"""``translate`` against a model that litgpt serves: HTTP, our messages, its answers, records that feed SFT."""

from pathlib import Path

import pytest

from litgpt_zh.instruct.stage import instructions
from litgpt_zh.translate.endpoint import Endpoint
from litgpt_zh.translate.stage import translate

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_a_model_served_by_litgpt_translates_the_built_in_sample(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("litserve")
    from overfitted import conversations, served, write_checkpoint

    for name in ("http_proxy", "https_proxy", "all_proxy", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    _, loss = write_checkpoint(tmp_path / "by-heart")
    assert loss < 0.05
    with served(tmp_path / "by-heart", tmp_path / "serve.log") as url:
        endpoint = Endpoint(url, "by-heart", reply="delimiters", timeout=600)
        made = translate("english", tmp_path / "out", mode="once", endpoint=endpoint, concurrency=1)
    assert made is not None and made.counts["ok"] >= 20, made.counts["reasons"]
    text = (tmp_path / "out" / "records.jsonl").read_text(encoding="utf-8")
    stories = [reply.rpartition(">>>\n")[2].split("\n")[0] for _, reply in conversations()]
    assert sum(story in text for story in stories) >= 20  # the replies themselves, not some others
    sft = instructions(
        str(tmp_path / "out"), ROOT / "tokenizer", tmp_path / "sft", block_size=1024, val_share=0.2, workers=1
    )
    assert sft.counts["kept"] == made.counts["ok"] and sft.counts["dropped"] == {}
