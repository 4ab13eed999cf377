"""What training leaves goes out: every kind of checkpoint to transformers, a quickstart's model all the way to a browser."""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
import torch
from browser import browsing, chromium
from conftest import QUICK, Walk
from llama_like import ids
from test_export import in_transformers
from test_preference_training import pairs_dir  # noqa: F401  a fixture
from test_serve import alone, no_proxy  # noqa: F401  the latter a fixture for all
from test_web_page import ENDED
from trainings import finetune, same_weights

from litgpt_zh.export.importing import import_hf
from litgpt_zh.export.stage import export
from litgpt_zh.generate.batch import generate
from litgpt_zh.generate.load import Loaded, load
from litgpt_zh.preference.data import Preference
from litgpt_zh.prompts import prompt_for
from litgpt_zh.stage import Manifest
from litgpt_zh.web.votes import Votes

KINDS = {
    "pretrain": "pretrain", "sft": "sft", "sft-lora": "sft-lora", "sft-lora of the head": "sft-lora", "dpo": "dpo",
    "dpo-lora": "dpo-lora",
}  # fmt: skip
"""Name -> stage in the manifest."""
ASKED = "词汇：铲子，草地；特征：对话"


@pytest.fixture(scope="module")
def trained(
    home: Path,
    base: Path,
    pairs_dir: Path,  # noqa: F811
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[str], Path]:
    """The ``final/`` of a kind, trained by litgpt's own ``setup``; once each."""
    place, found = tmp_path_factory.mktemp("kinds"), {"pretrain": base}

    def final(kind: str) -> Path:
        if kind not in found:
            given: dict[str, Any] = {"lora_head": True} if kind.endswith("head") else {}
            if kind.startswith("dpo"):
                given["data"] = Preference(pairs_dir=pairs_dir, guard=False, check_sft=False)
            with pytest.MonkeyPatch.context() as patch, torch.compiler.set_stance("force_eager"):
                train = {"max_steps": 6, "epochs": 1}
                found[kind] = finetune(home, base, place / kind, patch, "lora" in kind, train=train, **given)
        return found[kind]

    return final


@pytest.mark.parametrize("kind", list(KINDS))
def test_every_kind_of_checkpoint_is_itself_in_transformers(
    trained: Callable[[str], Path], tmp_path: Path, kind: str
) -> None:
    final = trained(kind)
    assert Manifest.read(final).stage == KINDS[kind] and (
        kind == "pretrain" or not same_weights(final, trained("pretrain"))
    )
    export(final, tmp_path / "hf")
    here, there = load(final), in_transformers(tmp_path / "hf")
    assert there.config.tie_word_embeddings is not kind.endswith("head")
    tokens = ids(100, here.config.padded_vocab_size)
    with torch.inference_mode():
        ours, theirs = here.model(tokens), there(tokens).logits
    assert ours.std() > 0.05 and (ours - theirs).abs().max() <= 1e-5
    for text in ("小猫", prompt_for(ASKED)):
        assert greedy_there(there, here, text) == greedy_here(here, text)
    said = there.generation_config.eos_token_id
    assert sorted([said] if isinstance(said, int) else said) == sorted(
        here.stop_ids if kind != "pretrain" else [here.eos_id]
    )
    assert ("chat_template" in (tmp_path / "hf/tokenizer_config.json").read_text("utf-8")) == (kind != "pretrain")
    import_hf(tmp_path / "hf", tmp_path / "back")
    assert same_weights(tmp_path / "back", final)


def greedy_here(here: Loaded, text: str, most: int = 40) -> list[int]:
    return generate(here.model, [here.encode(text)], stop_ids=here.stop_ids, max_new_tokens=most)[0].ids


def greedy_there(there: Any, here: Loaded, text: str, most: int = 40) -> list[int]:
    prompt = torch.tensor([here.encode(text)])
    whole = there.generate(prompt, do_sample=False, max_new_tokens=most, eos_token_id=list(here.stop_ids))
    return [i for i in whole[0, prompt.shape[1] :].tolist() if i not in here.stop_ids]


# a quickstart's model ------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def started(*argv: str) -> Iterator[str]:
    """The address that a command of ours prints, as long as it runs; then Ctrl-C."""
    line = [sys.executable, "-m", "litgpt_zh", *argv, "--port", "0"]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=QUICK) as process:
        try:
            assert process.stdout is not None
            said = ""
            while not (found := re.search(r"http://[0-9.:]+", said)):
                text = process.stdout.readline()
                assert text, f"it ended: {said}"
                said += text
            yield found[0]
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(240) == 0


def test_a_quickstarts_model_is_exported_loaded_served_and_chatted_with(walk: Walk, tmp_path: Path) -> None:
    final = walk.folder / "online" / "final"
    export(final, tmp_path / "hf")
    here, there = load(final, device="cpu"), in_transformers(tmp_path / "hf")
    tokens = ids(200, here.config.padded_vocab_size)
    with torch.inference_mode():
        assert (here.model(tokens) - there(tokens).logits).abs().max() <= 1e-5
    wanted = alone(here, prompt_for(ASKED), max_new_tokens=40)
    assert greedy_there(there, here, prompt_for(ASKED)) == wanted.ids
    with started("serve", str(final)) as root, openai.OpenAI(base_url=root + "/v1", api_key="none") as client:
        model = client.models.list().data[0].id
        asked: Any = [{"role": "user", "content": ASKED}]
        how: dict[str, Any] = dict(model=model, messages=asked, temperature=0, max_tokens=40)
        answer = client.chat.completions.create(**how)
        assert answer.choices[0].message.content == wanted.text
        chunks = client.chat.completions.create(**how, stream=True)
        streamed = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
        assert streamed == answer.choices[0].message.content


@pytest.mark.skipif(not chromium(), reason="no Chromium here; install one, or name it in CHROMIUM")
def test_a_quickstarts_models_are_played_with_in_a_browser(walk: Walk, tmp_path: Path) -> None:
    async def play(root: str) -> None:
        async with browsing() as tab:
            await tab.open(root + "/")
            await tab.until("document.querySelector('#left option')")
            names = await tab.see("[...document.querySelectorAll('#left option')].map(one => one.value)")
            assert names == ["pretrain", "sft", "online"]
            await tab.select("#left", "sft")
            await tab.select("#right", "online")
            await tab.click("#tell")
            await tab.until(ENDED + " && document.querySelector('#vote').offsetParent")
            told = await tab.see("[...document.querySelectorAll('.story')].map(one => one.textContent)")
            await tab.click("#vote-right")
            await tab.until("document.querySelector('#vote-right').getAttribute('aria-pressed') === 'true'")
            (vote,) = Votes(tmp_path / "votes").read()
            assert (vote["vote"], vote["left"]["model"], vote["right"]["model"]) == ("right", "sft", "online")
            assert [vote["left"]["text"], vote["right"]["text"]] == told and all(told)
            assert tab.complaints == []

    with started("web", str(walk.folder), "--votes_dir", str(tmp_path / "votes")) as root:
        asyncio.run(play(root))
