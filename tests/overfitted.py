"""A litgpt checkpoint that can translate one thing: the built-in English sample, learnt by heart in a minute.

A million parameters cannot translate; they can remember 24 replies. That is enough to let ``translate`` talk to a model
that litgpt serves, over HTTP and to the end. As a process: ``python tests/overfitted.py FOLDER`` makes the checkpoint.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import torch
from litgpt import GPT, Config
from litgpt.utils import save_config
from tokenizers import AddedToken, Tokenizer, decoders, models, trainers

from litgpt_zh.prompts import ASSISTANT, CONTROL, EOS
from litgpt_zh.translate import prompts
from litgpt_zh.translate.read import Item, read_items

TEMPLATE = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}" + ASSISTANT
BATCH, STEPS, RATE, ENOUGH = 6, 400, 4e-3, 0.015
"""Conversations a step, steps at most, learning rate, and the loss at which greedy decoding repeats every reply."""


def conversations() -> list[tuple[str, str]]:
    """(prompt as the server renders it, reply between numbered marks) for each item of the sample."""
    lines = (Path(__file__).parent / "english_zh.jsonl").read_text(encoding="utf-8").splitlines()
    found = []
    for item, line in zip(read_items("english"), lines, strict=True):
        assert isinstance(item, Item)
        keys, reply = prompts.keys_of(item, story=True), json.loads(line)
        messages = prompts.draft(item, keys, "delimiters", "大陆", {})
        prompt = "".join(f"<|{message['role']}|>{message['content']}" for message in messages) + ASSISTANT
        found.append((prompt, prompts.pack({name: reply[name] for name in keys})))
    return found


def tokenizer_of(texts: list[str]) -> Tokenizer:
    """Pieces of whole characters, so that a token decodes to the same text alone and among others."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token=None))
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    pieces = [*CONTROL, *(f"<0x{byte:02X}>" for byte in range(256))]
    trainer = trainers.BpeTrainer(vocab_size=3000, special_tokens=pieces, show_progress=False, max_token_length=24)
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_special_tokens([AddedToken(piece, special=True, normalized=False) for piece in CONTROL])
    return tokenizer


def learn(model: GPT, rows: list[tuple[list[int], int]]) -> tuple[int, float]:
    """Until every reply is known: (steps taken, last loss). A row is its token ids and where the reply begins."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, betas=(0.9, 0.95), weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda n: min(1.0, (n + 1) / 30) * (1 - n / STEPS))
    dice, losses = random.Random(1), [9.9] * 8
    for _ in range(STEPS):
        batch = dice.sample(rows, BATCH)
        width = max(len(ids) for ids, _ in batch)
        ids = torch.tensor([ids + [0] * (width - len(ids)) for ids, _ in batch])  # (BATCH, width)
        targets = torch.full_like(ids, -100)
        for row, (tokens, start) in enumerate(batch):
            targets[row, start : len(tokens)] = ids[row, start : len(tokens)]
        loss = torch.nn.functional.cross_entropy(model(ids)[:, :-1].flatten(0, 1), targets[:, 1:].flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        losses = [*losses[1:], loss.item()]
        if max(losses) < ENOUGH:
            break
    return schedule.last_epoch, losses[-1]


def write_checkpoint(folder: Path) -> tuple[int, float]:
    """A whole checkpoint folder; (steps, loss) of its training."""
    torch.manual_seed(0)
    pairs = conversations()
    tokenizer = tokenizer_of([prompt + reply for prompt, reply in pairs])
    rows = []
    for prompt, reply in pairs:
        start = len(tokenizer.encode(prompt).ids)
        rows.append((tokenizer.encode(prompt).ids + tokenizer.encode(reply + EOS).ids, start))
    config = Config(
        name="by-heart", n_layer=2, n_embd=128, n_head=4, n_query_groups=4, vocab_size=tokenizer.get_vocab_size(),
        padded_vocab_size=tokenizer.get_vocab_size(), block_size=2048, rotary_percentage=1.0, parallel_residual=False,
        bias=False, norm_class_name="RMSNorm", mlp_class_name="LLaMAMLP", intermediate_size=384,
    )  # fmt: skip
    model = GPT(config)
    model.apply(model._init_weights)
    model.max_seq_length = max(len(ids) for ids, _ in rows)
    found = learn(model, rows)
    folder.mkdir(parents=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": EOS, "chat_template": TEMPLATE}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    torch.save(model.state_dict(), folder / "lit_model.pth")
    save_config(config, folder)
    return found


@contextlib.contextmanager
def served(checkpoint: Path, log: Path, max_new_tokens: int = 700) -> Iterator[str]:
    """``litgpt serve`` with its OpenAI routes; the base_url."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    line = [
        sys.executable, "-m", "litgpt", "serve", str(checkpoint), "--openai_spec", "true", "--accelerator", "cpu",
        "--port", str(port), "--max_new_tokens", str(max_new_tokens), "--top_k", "1", "--timeout", "600",
    ]  # fmt: skip
    with open(log, "w") as file:
        process = subprocess.Popen(line, stdout=file, stderr=file, start_new_session=True)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        for _ in range(600):
            assert process.poll() is None, log.read_text()[-3000:]
            with contextlib.suppress(urllib.error.URLError, OSError):
                if opener.open(f"http://127.0.0.1:{port}/health", timeout=2).status == 200:
                    break
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


if __name__ == "__main__":
    print("steps and loss:", *write_checkpoint(Path(sys.argv[1])))
