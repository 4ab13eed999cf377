"""Character BPE with byte fallback, trained on a corpus and a word-frequency dictionary."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from importlib import util
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from litgpt_zh.constraints import Constraints, render
from litgpt_zh.language import say
from litgpt_zh.prompts import CONTROL, INSTRUCTION, plain
from litgpt_zh.segment import Segmenter
from litgpt_zh.stage import Manifest, UserError, open_stage, progress, write_text
from litgpt_zh.tokenizer import alphabet, files
from litgpt_zh.tokenizer.card import card
from litgpt_zh.tokenizer.measure import corpus_figures
from litgpt_zh.tokenizer.read import chosen, records, shards

if TYPE_CHECKING:
    import tokenizers

# Merges stay inside a run of Hanzi or of Latin letters; anything else stands alone. As a piece then never mixes the
# kinds, no merge can cross a border in running text either, and the finished tokenizer needs no pre-tokeniser:
# its ids are equal with and without (tests/test_tokenizer.py), and without it encodes faster and exports simply.
RUN = r"\p{Han}+|[A-Za-z]+|[\s\S]"


_EVERY_FIELD = Constraints(("",), ("",), " ", " ")


def train_tokenizer(
    corpus_dir: Path,
    out_dir: Path,
    vocab_size: int = 6656,
    max_chars: int = 10_000_000,
    hanzi: Literal["level1", "seen"] = "level1",
    dictionary_weight: float = 0.5,
    segment: bool = False,
    word_weight: int = 6,
    max_piece: int = 4,
    model_max_length: int = 1024,
    about: str = "",
    seed: int = 0,
    overwrite: bool = False,
) -> Manifest:
    """Train a tokenizer on a corpus.

    Args:
        corpus_dir: A folder made by ``litgpt-zh corpus`` (``train-*.jsonl``).
        out_dir: The folder to make: tokenizer.json, tokenizer_config.json, special_tokens_map.json, CARD.md.
        vocab_size: Exact number of entries. 6656 = 52 x 128 needs no padding rows in the model.
        max_chars: Read about so many characters of the corpus, chosen by a hash of each text.
        hanzi: ``level1`` gives each of the 3,755 common Hanzi (GB2312 level 1) an entry, seen or not; ``seen`` only
            those of the corpus, which leaves more entries to longer pieces and suits a closed domain.
        dictionary_weight: Characters that the words of jieba's dictionary count for, as a share of the corpus; 0 leaves
            them out. They make the pieces suit text unlike the corpus.
        word_weight: How often each required word (``words`` of a record) counts besides its place in the text. A
            required word that is one piece is copied in one step, which small models need; no effect without ``words``.
        segment: Cut the text into words (jieba) before merges are learnt, so that none crosses a word's border: more of the
            words are one piece, each text is more pieces (docs/LOG.md).
        max_piece: Longest piece in characters.
        model_max_length: Context length noted in tokenizer_config.json.
        about: What the corpus is, for CARD.md.
        seed: Seed of the choice that ``max_chars`` makes.
        overwrite: Move an ``out_dir`` made with other settings aside instead of refusing.

    Returns:
        The manifest of ``out_dir``.

    Raises:
        UserError: No corpus; ``vocab_size`` leaves no room for the fixed entries or is more than the text can fill.
    """
    corpus_dir = Path(corpus_dir)
    settings = {
        "vocab_size": vocab_size, "max_chars": max_chars, "hanzi": hanzi, "dictionary_weight": dictionary_weight, "segment": segment,
        "word_weight": word_weight, "max_piece": max_piece, "model_max_length": model_max_length, "about": about,
        "seed": seed,
    }  # fmt: skip
    paths = shards(corpus_dir, "train")
    inputs = {"corpus": corpus_dir} | ({"dictionary": dictionary_path()} if dictionary_weight > 0 else {})
    with open_stage("tokenizer", out_dir, inputs=inputs, settings=settings, overwrite=overwrite) as work:
        if not work.finished:
            runs = corpus_runs(paths, max_chars=max_chars, word_weight=word_weight, segment=segment, seed=seed)
            characters = sum(len(run) * n for run, n in runs.items())
            words = dictionary_words(dictionary_path(), dictionary_weight * characters) if dictionary_weight > 0 else {}
            tokenizer = build(runs, words, vocab_size=vocab_size, level1=hanzi == "level1", max_piece=max_piece)
            files.save(tokenizer, work.folder, model_max_length=model_max_length)
            work.counts.update(corpus_characters=characters, dictionary_words=len(words))
            work.counts.update(measured=corpus_figures(tokenizer, corpus_dir))
            write_text(work.folder / "CARD.md", card(work.manifest))
    return Manifest.read(out_dir)


def corpus_runs(paths: list[Path], *, max_chars: int, word_weight: int, segment: bool, seed: int) -> Counter[str]:
    """How often each run (see ``RUN``) occurs in the sampled corpus; with ``segment``, runs of Hanzi are cut into words.

    The sample is a fixed share of the texts, chosen by hash, so memory and time do not grow with the corpus. Each word
    that a record asks for counts ``word_weight`` times more, and is known as a word to the segmenter.
    """
    from tokenizers import Regex, pre_tokenizers

    size = sum(path.stat().st_size for path in paths)
    share = min(1.0, max_chars * 3 / max(size, 1))  # 3 bytes of UTF-8 a character
    split = pre_tokenizers.Split(Regex(RUN), behavior="isolated")
    runs: Counter[str] = Counter()
    asked: Counter[str] = Counter()
    with progress(size, desc=say("tokenizer：读", "tokenizer: read"), unit="B") as bar:
        for path in paths:
            for record, read in records(path):
                if chosen(record["text"], share, seed):
                    runs.update(run for run, _ in split.pre_tokenize_str(plain(record["text"])))
                    for word in record.get("words") or ():
                        asked.update(run for run, _ in split.pre_tokenize_str(plain(word)))
                bar.update(read)
    segmenter = Segmenter(word for word in asked if len(word) > 1) if segment else None
    if segmenter:
        runs = _words(runs, segmenter)
    for word, count in asked.items():
        runs[word] += count * word_weight
    for run in re.findall(r"[\u4e00-\u9fff]+", INSTRUCTION + render(_EVERY_FIELD)):
        for word in segmenter.cut(run) if segmenter else [run]:
            runs[word] += max(runs.values(), default=1)  # stands in every request
    return runs


def _words(runs: Counter[str], segmenter: Segmenter) -> Counter[str]:
    """The same text, cut into words: a merge then never joins the end of one word to the beginning of the next, so a
    word has the same ids wherever it stands, and a model can copy it."""
    words: Counter[str] = Counter()
    bar = progress(
        desc=say("tokenizer：分词", "tokenizer: words"), unit=say("小句", " clauses"), iterable=runs.items(), total=len(runs)
    )  # fmt: skip
    for run, count in bar:
        for word in segmenter.cut(run):
            words[word] += count
    return words


def dictionary_path() -> Path:
    """jieba's ``dict.txt`` (MIT): 349,046 words with frequency.

    Raises:
        UserError: jieba is not installed.
    """
    found = util.find_spec("jieba")
    if found is None or not found.submodule_search_locations:
        raise UserError("jieba is not installed; pip install jieba, or pass --dictionary_weight 0")
    return Path(found.submodule_search_locations[0]) / "dict.txt"


def dictionary_words(path: Path, characters: float, *, longest: int = 4) -> dict[str, int]:
    """Words of 1 to ``longest`` Hanzi with counts that grow with the root of their frequency.

    The root keeps newspaper words of the dictionary's source from ruling; the counts add up to about ``characters``.
    """
    weights = {}
    with open(path, encoding="utf-8") as file:
        for line in file:
            word, frequency, *_ = line.split(" ")
            if len(word) <= longest and _is_simplified(word):
                weights[word] = math.sqrt(int(frequency))
    scale = characters / sum(len(word) * weight for word, weight in weights.items())
    return {word: count for word, weight in weights.items() if (count := round(weight * scale)) > 0}


def _is_simplified(word: str) -> bool:
    """All characters are Hanzi of GB2312; the dictionary also holds traditional ones and wrongly decoded ones."""
    try:
        code = word.encode("gb2312")
    except UnicodeEncodeError:
        return False
    return len(code) == 2 * len(word) and min(code[::2]) >= 0xB0


def build(
    runs: Counter[str], words: dict[str, int], *, vocab_size: int, level1: bool, max_piece: int
) -> tokenizers.Tokenizer:
    """Learn the merges and put the tokenizer together.

    Raises:
        UserError: ``vocab_size`` is below the fixed entries or above what the text can fill.
    """
    from tokenizers import Tokenizer, models, trainers

    counts: Counter[str] = Counter()
    for source in (runs, words):
        for run, n in source.items():
            for character in run:
                counts[character] += n
    characters = alphabet.choose(counts, level1=level1)
    least = len(alphabet.FIXED) + len(characters)
    if vocab_size < least:
        raise UserError(
            f"vocab_size {vocab_size}: {least} entries are fixed; raise it above{', or pass --hanzi seen' * level1}"
        )
    learner = Tokenizer(models.BPE())
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, min_frequency=2, special_tokens=list(alphabet.FIXED), initial_alphabet=characters,
        limit_alphabet=len(characters), max_token_length=max_piece, show_progress=False,
    )  # fmt: skip
    learner.train_from_iterator(_repeated(runs, words), trainer)
    model = json.loads(learner.to_str())["model"]
    if len(model["vocab"]) != vocab_size:
        raise UserError(f"vocab_size {vocab_size}: the text fills only {len(model['vocab'])}; lower it or add text")
    return assemble(model["vocab"], [tuple(pair) for pair in model["merges"]])


def _repeated(*sources: dict[str, int]) -> Iterator[str]:
    """Each run as often as it counts, in a fixed order."""
    for source in sources:
        for run in sorted(source):
            if run[0].isalpha():  # a lone mark or digit takes part in no merge
                yield from (run,) * source[run]


def assemble(vocab: dict[str, int], merges: list[tuple[str, str]], *, split: bool = False) -> tokenizers.Tokenizer:
    """The tokenizer as it is used: no normaliser, no pre-tokeniser, no prefix space, control pieces recognised.

    Args:
        vocab: piece -> id.
        merges: pairs in the order they apply.
        split: keep the pre-tokeniser of training (the ids are equal; for the proof of that).
    """
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges, byte_fallback=True))
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    if split:
        tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(RUN), behavior="isolated")
    tokenizer.add_special_tokens([AddedToken(piece, normalized=False, special=True) for piece in CONTROL])
    return tokenizer
