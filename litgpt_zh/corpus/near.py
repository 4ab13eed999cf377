"""Near-duplicates, the maths: character 3-grams, MinHash, banding (LSH), exact similarity, clusters. Pure functions.

A story is the set of the 3-grams of its `clean.content`: punctuation, width and case do not count. 160 MinHash values a
story, in 40 bands of 4, propose pairs; nothing is joined before the two sets themselves have been compared.
(Broder 1997, "On the resemblance and containment of documents"; Leskovec, Rajaraman, Ullman, "Mining of Massive
Datasets", chapter 3.)
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import xxhash

GRAM, HASHES, BANDS = 3, 160, 40
ROWS = HASHES // BANDS
CROWD, WINDOW = 200, 32
"""A bucket of more than `CROWD` stories is not compared whole: each with the `WINDOW` that follow it."""
SURE, FEW, APART, AROUND = 0.75, 0.11, 1.5, 0.77
"""Two stories of a Jaccard similarity below `SURE` are alike only if at most `FEW` of the longer one is changed, and no more
than `APART` times what `scattered` says (1.5: words of two characters); or if they share `AROUND` of the shorter one at the
beginning and at the end."""
Pairs = np.ndarray
"""(P, 2) int64, the smaller index first."""

_FACTORS = np.array([xxhash.xxh3_64_intdigest(b"factor", n) >> 32 | 1 for n in range(HASHES)], dtype=np.uint32)
_PLACES = np.array([xxhash.xxh3_64_intdigest(b"place", n) | 1 for n in range(GRAM)], dtype=np.uint64)
_MIX = np.uint64(0xFF51AFD7ED558CCD)
_HIGH = np.uint64(32)
_PIECES, _TOGETHER, _AT_ONCE = 1 << 16, 1 << 11, 1 << 20
_GOLDEN = (5**0.5 - 1) / 2


def grams(contents: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray]:
    """The 3-grams of every text, in order and with repetitions, each as a 32-bit hash.

    Args:
        contents: `clean.content` of each story (UTF-8); one of fewer than three characters is filled up with NUL.

    Returns:
        all hashes (uint32) one after another; where each story begins in them, and the end (n + 1, int64).
    """
    texts = [content.decode("utf-8").ljust(GRAM, "\0") for content in contents]
    codes = np.frombuffer("".join(texts).encode("utf-32-le"), dtype="<u4").astype(np.uint64)
    ends = np.cumsum([len(text) for text in texts], dtype=np.int64)
    whole = np.ones(len(codes), dtype=bool)
    for back in range(1, GRAM):
        whole[ends - back] = False  # it would reach into the next story
    mixed = codes * _PLACES[0]
    for place in range(1, GRAM):
        mixed[:-place] += codes[place:] * _PLACES[place]
    mixed = mixed[whole]
    mixed ^= mixed >> np.uint64(33)
    mixed *= _MIX
    starts = np.zeros(len(texts) + 1, dtype=np.int64)
    np.subtract(ends, np.arange(1, len(texts) + 1) * (GRAM - 1), out=starts[1:])
    return (mixed >> np.uint64(32)).astype(np.uint32), starts


def signatures(contents: Sequence[bytes]) -> np.ndarray:
    """MinHash: for each of 160 bijections x -> a x mod 2**32 of the 32-bit numbers, the least value in a story's set.

    Two stories agree in a place with the probability of their Jaccard similarity J, so the share of places that agree
    estimates J with a standard deviation of sqrt(J (1 - J) / 160): 0.040 at J = 0.5.

    Returns:
        (n, 160) uint32.
    """
    found = np.empty((len(contents), HASHES), dtype=np.uint32)
    if not len(contents):
        return found
    values, starts = grams(contents)
    turns = np.flatnonzero(np.diff(starts[:-1] // _PIECES)) + 1  # pieces that stay in the cache
    for first, last in itertools.pairwise([0, *turns.tolist(), len(contents)]):
        piece = values[starts[first] : starts[last]]
        at = starts[first:last] - starts[first]
        hashed = np.empty_like(piece)
        for place, factor in enumerate(_FACTORS):
            np.multiply(piece, factor, out=hashed)
            found[first:last, place] = np.minimum.reduceat(hashed, at)
    return found


def chance(similarity: float, bands: int = BANDS, rows: int = ROWS) -> float:
    """The probability that two stories of this Jaccard similarity meet in a band: 1 - (1 - s**rows)**bands."""
    return 1 - (1 - similarity**rows) ** bands


def candidates(marks: np.ndarray, band: int) -> tuple[Iterator[Pairs], int]:
    """The pairs of stories that agree in all rows of one band.

    Args:
        marks: (n, 160) signatures.
        band: 0 to 39.

    Returns:
        the pairs, about a million at a time; how many were left out because a bucket was a crowd (`CROWD`).
    """
    rows = np.ascontiguousarray(marks[:, band * ROWS : (band + 1) * ROWS]).view(np.uint64)
    keys = rows[:, 0] * _PLACES[0] + rows[:, 1] * _PLACES[1]  # a collision costs a comparison, no more
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    edges = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1], [True]]))
    sizes = np.diff(edges)
    reach = np.where(sizes > CROWD, WINDOW, sizes - 1)
    left_out = sizes - 1 - reach
    after = np.repeat(edges[1:], sizes) - np.arange(1, len(keys) + 1)  # members of the bucket behind this one
    follow = np.minimum(np.repeat(reach, sizes), after)
    return _followed(order, follow), int((left_out * (left_out + 1) // 2).sum())


def _followed(order: np.ndarray, follow: np.ndarray) -> Iterator[Pairs]:
    """Pair each member of ``order`` with as many of the next ones as ``follow`` says."""
    total = np.cumsum(follow)
    turns = np.flatnonzero(np.diff(total // _AT_ONCE)) + 1
    for first, last in itertools.pairwise([0, *turns.tolist(), len(order)]):
        some = follow[first:last]
        one = np.repeat(np.arange(first, last), some)
        step = np.arange(1, len(one) + 1) - np.repeat(np.cumsum(some) - some, some)
        yield np.stack([order[one], order[one + step]], axis=1)


def estimates(marks: np.ndarray, pairs: Pairs) -> np.ndarray:
    """The share of places in which the signatures of each pair agree: an estimate of their Jaccard similarity."""
    found = np.empty(len(pairs), dtype=np.float32)
    for at in range(0, len(pairs), _TOGETHER):
        one, other = pairs[at : at + _TOGETHER].T
        found[at : at + _TOGETHER] = np.count_nonzero(marks[one] == marks[other], axis=1) / np.float32(HASHES)
    return found


def sets(contents: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray]:
    """Like `grams`, each story's hashes sorted and without repetitions."""
    values, starts = grams(contents)
    owned = distinct(_owned(np.arange(len(contents)), np.diff(starts)) | values)
    return owned.astype(np.uint32), np.searchsorted(owned, np.arange(len(contents) + 1, dtype=np.uint64) << _HIGH)


def distinct(values: np.ndarray) -> np.ndarray:
    """Sorted, without repetitions (``np.unique`` of NumPy 2.3 and later hashes, which is 15 times slower here)."""
    values = np.sort(values)
    return values[np.concatenate([[True], values[1:] != values[:-1]])] if len(values) else values


def _owned(owners: np.ndarray, counts: np.ndarray) -> np.ndarray:
    return np.repeat(owners.astype(np.uint64) << _HIGH, counts)


def common(contents: Sequence[bytes], share: float) -> np.ndarray:
    """The grams that more than ``share`` of the stories have (and more than 20 of them), sorted."""
    values = np.sort(sets(contents)[0])
    edges = np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1], [True]]))
    return values[edges[:-1][np.diff(edges) > max(20, share * len(contents))]]


def _among(values: np.ndarray, some: np.ndarray) -> np.ndarray:
    at = np.minimum(np.searchsorted(some, values), max(0, len(some) - 1))
    return some[at] == values if len(some) else np.zeros(len(values), dtype=bool)


def jaccard(contents: Sequence[bytes], pairs: Pairs, usual: np.ndarray | None = None) -> np.ndarray:
    """The exact Jaccard similarity of the 3-gram sets, |A and B| / |A or B|, of each pair of ``contents``.

    Grams in ``usual`` (sorted) do not count, such as those of an opening that many stories share, unless they are more
    than half of one of the two stories: then they are what it is made of, and all count.
    """
    values, starts = sets(contents)
    usual = np.empty(0, np.uint32) if usual is None else usual
    whole = np.diff(starts)
    own = whole - np.diff(np.concatenate([[0], np.cumsum(_among(values, usual))])[starts])
    found = np.empty(len(pairs))
    for at in range(0, len(pairs), _TOGETHER):
        some = pairs[at : at + _TOGETHER]
        counts = whole[some.T.ravel()]
        where = np.arange(counts.sum()) + np.repeat(starts[some.T.ravel()] - np.cumsum(counts) + counts, counts)
        both = _owned(np.tile(np.arange(len(some)), 2), counts) | values[where]
        both.sort()
        shared = both[1:][both[1:] == both[:-1]]
        pair = (shared >> _HIGH).astype(np.int64)
        every = (2 * own[some] < whole[some]).any(axis=1)
        counted = every[pair] | ~_among(shared.astype(np.uint32), usual)
        sizes = np.where(every, whole[some].sum(axis=1), own[some].sum(axis=1))
        inside = np.bincount(pair[counted], minlength=len(some))
        found[at : at + _TOGETHER] = inside / (sizes - inside)
    return found


def subsequence(one: str, other: str) -> int:
    """How many characters two texts have in common in the same order: the length of their longest common subsequence.

    One step a character of ``other``, over all of ``one`` at once, in the bits of an integer (Hyyrö 2004, "Bit-parallel
    LCS-length computation revisited").
    """
    places: dict[str, int] = {}
    for n, char in enumerate(one):
        places[char] = places.get(char, 0) | 1 << n
    whole = open_ = (1 << len(one)) - 1
    for char in other:
        hits = open_ & places.get(char, 0)
        open_ = (open_ + hits) | (open_ - hits)
    return len(one) - (open_ & whole).bit_count()


def scattered(similarity: float) -> float:
    """The share of characters whose change leaves this Jaccard similarity if each stands alone, and so breaks three 3-grams.

    Of n grams and c changed characters n - 3c are shared, of n + 3c in all. Changes side by side break fewer each.
    """
    return (1 - similarity) / (GRAM * (1 + similarity))


def around(one: str, other: str) -> int:
    """How many characters two texts have in common at the beginning and at the end: all but where one of them changes."""
    start = _beginning(one, other)
    return start + _beginning(one[start:][::-1], other[start:][::-1])


def _beginning(one: str, other: str) -> int:
    pairs = enumerate(zip(one, other, strict=False))
    return next((n for n, (a, b) in pairs if a != b), min(len(one), len(other)))


def similarity(contents: Sequence[bytes], pairs: Pairs, least: float, usual: np.ndarray | None = None) -> np.ndarray:
    """The `jaccard` of each pair; 0 where it is too small to tell a copy, and the texts side by side do not either.

    Few edits scattered over a copy break many 3-grams and little of the text: one character in ten leaves a Jaccard
    similarity of 0.5 and nine tenths of the text in order. A rewritten fifth leaves 0.6, and all the rest around it. Two
    tellings of one template that are no more alike than that differ in several clauses here and there: more of the text is
    changed than scattered edits would have to change for the same similarity. So, from ``least`` to `SURE`, a pair has to
    have `FEW` changes that stand `APART`, or all of them in one place (`AROUND`). (Lee et al. 2021, "Deduplicating Training
    Data Makes Language Models Better", check the pairs that MinHash finds by their edit distance too.)
    """
    found = jaccard(contents, pairs, usual)
    for n in np.flatnonzero((found >= least) & (found < SURE)).tolist():
        one, other = sorted((contents[story].decode("utf-8") for story in pairs[n]), key=len)
        if around(one, other) >= AROUND * len(one):
            continue
        changed = 1 - subsequence(one, other) / len(other)
        if changed > min(FEW, APART * scattered(float(found[n]))):
            found[n] = 0
    return found


def stars(order: np.ndarray, pairs: Pairs) -> np.ndarray:
    """Who stays: one after another, each story that is not alike to one that stays already. Nothing chains the unlike.

    Args:
        order: (n,) int64, the stories from the one that is kept first.
        pairs: those that are alike.

    Returns:
        (n,) int64: the first in the order of those that stay and are alike to this story; its own where it stays.
    """
    rank = np.argsort(order)
    pairs = np.sort(rank[pairs], axis=1)
    kept = list(range(len(order)))
    for one, other in pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))].tolist():
        if kept[one] == one and kept[other] == other:
            kept[other] = one
    return order[np.array(kept, dtype=np.int64)][rank]


def clusters(count: int, pairs: Pairs) -> np.ndarray:
    """The connected components that the pairs make of ``count`` stories.

    Returns:
        (count,) int64: the smallest index in each story's component; its own where it stands alone.
    """
    parent = list(range(count))

    def root(story: int) -> int:
        while parent[story] != story:
            parent[story] = parent[parent[story]]
            story = parent[story]
        return story

    for one, other in pairs.tolist():
        one, other = root(one), root(other)
        parent[max(one, other)] = min(one, other)
    return np.array([root(story) for story in range(count)], dtype=np.int64)


def spread(labels: np.ndarray) -> np.ndarray:
    """An order in which the members of each cluster stand as far apart as they can.

    Of n stories, the k members of a cluster are n / k apart, give or take the few that others push in between; a story
    that stands alone keeps its turn among the others of its kind.

    Args:
        labels: (n,) the cluster of each story; a label that occurs once is a story alone.

    Returns:
        (n,) int64: the stories in their new order, a permutation.
    """
    _, cluster, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    turns = np.empty(len(labels))
    alone = sizes[cluster] == 1
    turns[alone] = (np.arange(alone.sum()) + 0.5) / max(1, alone.sum())
    many = np.flatnonzero(~alone)
    many = many[np.argsort(cluster[many], kind="stable")]  # cluster by cluster, in order inside each
    ids, first, size = np.unique(cluster[many], return_index=True, return_counts=True)
    # k members at (phase + 0, 1, ... k - 1) / k; golden steps keep the phases of many clusters evenly apart
    phase = (np.arange(1, len(ids) + 1) * _GOLDEN) % 1.0
    member = np.arange(len(many)) - np.repeat(first, size)
    turns[many] = (np.repeat(phase, size) + member) / np.repeat(size, size)
    return np.argsort(turns, kind="stable")


def distances(labels: np.ndarray, places: np.ndarray) -> np.ndarray:
    """How many places lie between each member of a cluster and its next one: one number a neighbour pair.

    Args:
        labels: (K,) cluster of each member.
        places: (K,) where it stands.
    """
    by_cluster = np.lexsort((places, labels))
    same = labels[by_cluster][1:] == labels[by_cluster][:-1]
    return np.diff(places[by_cluster])[same]
