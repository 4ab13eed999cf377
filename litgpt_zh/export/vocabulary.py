"""Our tokenizer as llama.cpp reads it: sentencepiece-style pieces with scores.

llama.cpp's ``llama`` tokenizer starts from single characters and keeps joining the two neighbours whose union is a piece,
the highest score first, leftmost first among equals; a character without a piece becomes its UTF-8 bytes. With
score = -(rank of the merge) that is byte-pair encoding as `tokenizers` does it, but for one thing: `tokenizers` joins only
the pair a merge names, llama.cpp any two neighbours that spell the piece. The two agree on every text when

1. every piece that two pieces can spell together encodes to itself, and is made by one merge only, and
2. the parts of a merge are characters or made by earlier merges.

Why: as long as no piece reaches over the borders of a span that spells piece P, what happens inside is what happens when P
is encoded alone, and that ends in P by the named merge (1) at its turn (2); so no two other neighbours that spell P are
ever left standing there. Both conditions are checked here, piece by piece; training ensures them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from litgpt_zh.hf_config import read_json
from litgpt_zh.stage import UserError

NORMAL, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 3, 4, 5, 6
"""``gguf.TokenType``."""
SPACE = "\u2581"
"""What llama.cpp puts in place of a space before it tokenises, and back."""


@dataclass
class Vocabulary:
    """One entry per row of the embedding matrix."""

    pieces: list[str]
    scores: list[float]
    types: list[int]


def vocabulary(folder: Path, rows: int) -> Vocabulary:
    """The vocabulary of the tokenizer in ``folder``, filled up to ``rows`` entries.

    Raises:
        UserError: a tokenizer of another kind, or one that llama.cpp would read otherwise.
    """
    found = read_json(folder / "tokenizer.json")
    _require_kind(found, folder)
    model, added = found["model"], {t["content"]: t for t in found.get("added_tokens", [])}
    ids: dict[str, int] = {**model["vocab"], **{piece: token["id"] for piece, token in added.items()}}
    merges = [tuple(m.split(" ")) if isinstance(m, str) else tuple(m) for m in model["merges"]]
    ranks = _ranks(merges, folder)
    _require_same(ids, ranks, set(added), folder)
    result = Vocabulary([f"<|unused_{i}|>" for i in range(rows)], [0.0] * rows, [UNUSED] * rows)
    for piece, i in ids.items():
        result.pieces[i] = piece.replace(" ", SPACE)
        result.scores[i] = -float(ranks.get(piece, 0))
        result.types[i] = _type(piece, added, ranks)
    return result


def _require_kind(found: dict[str, Any], folder: Path) -> None:
    model = found["model"]
    kind = {
        "a BPE model": model.get("type") == "BPE",
        "byte_fallback": bool(model.get("byte_fallback")),
        "no normalizer": found.get("normalizer") is None,
        "no pre_tokenizer": found.get("pre_tokenizer") is None,
        "no post_processor": found.get("post_processor") is None,
        "no prefix or suffix": not model.get("continuing_subword_prefix") and not model.get("end_of_word_suffix"),
        "no ignore_merges": not model.get("ignore_merges"),
        "all 256 byte pieces": all(f"<0x{byte:02X}>" in model["vocab"] for byte in range(256)),
        f"no piece with {SPACE}": not any(SPACE in piece for piece in model["vocab"]),
    }
    if lacking := [name for name, true in kind.items() if not true]:
        raise UserError(
            f"{folder}/tokenizer.json: not a character BPE like ours (wanted: {', '.join(lacking)}); "
            "run litgpt-zh export and then llama.cpp's convert_hf_to_gguf.py on that folder"
        )


def _ranks(merges: list[tuple[str, ...]], folder: Path) -> dict[str, int]:
    """Piece -> number of the merge that makes it, from 1."""
    ranks: dict[str, int] = {}
    for rank, (left, right) in enumerate(merges, start=1):
        late = [part for part in (left, right) if len(part) > 1 and part not in ranks]
        if late or left + right in ranks:
            raise UserError(
                f"{folder}/tokenizer.json: merge {rank} ({left} {right}) "
                + (f"comes before the one that makes {late[0]}" if late else "makes a piece that an earlier one makes")
                + "; llama.cpp would cut text otherwise than this tokenizer does"
            )
        ranks[left + right] = rank
    return ranks


def _require_same(ids: dict[str, int], ranks: dict[str, int], added: set[str], folder: Path) -> None:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    spelt = [p for p in ids if p not in added and any(p[:i] in ids and p[i:] in ids for i in range(1, len(p)))]
    for piece, encoding in zip(spelt, tokenizer.encode_batch(spelt), strict=True):
        if encoding.ids != [ids[piece]]:
            raise UserError(
                f"{folder}/tokenizer.json: {piece!r} is a piece but is encoded as {' + '.join(encoding.tokens)}; "
                "llama.cpp would cut text otherwise than this tokenizer does"
            )


def _type(piece: str, added: dict[str, dict[str, Any]], ranks: dict[str, int]) -> int:
    if piece in added:
        return CONTROL if added[piece].get("special") else USER_DEFINED
    if len(piece) == 6 and piece.startswith("<0x") and piece.endswith(">"):
        return BYTE
    return NORMAL if len(piece) == 1 or piece in ranks else UNUSED  # the others, reserved ones, are never reached
