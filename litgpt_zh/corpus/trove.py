"""Near-duplicates beyond one machine: our character 3-grams in datatrove's MinHash pipeline.

datatrove's own signature is over five words, split as in English, where a Chinese clause is one word. `CharacterSignature`
puts in the character 3-grams of `clean.content`; buckets, clusters, resume and the executors for Slurm and Ray stay
datatrove's. Needs ``pip install datatrove orjson``.

datatrove joins what agrees in one bucket without comparing the texts. That suits natural text; stories told by
template share so much that unlike ones are chained together (tests/test_tokens_handover.py): leave those to
`litgpt-zh corpus`, which compares.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xxhash
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.base import PipelineStep
from datatrove.pipeline.dedup import MinhashDedupCluster, MinhashDedupFilter, MinhashDedupSignature
from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupBuckets
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.writers import JsonlWriter
from datatrove.utils.hashing import HashConfig
from datatrove.utils.word_tokenizers import WordTokenizer

from litgpt_zh.corpus.clean import content

GRAM = 3
CONFIG = MinhashConfig(n_grams=GRAM, num_buckets=32, hashes_per_bucket=4, hash_config=HashConfig(precision=64))
"""Two stories of similarity s meet with probability 1 - (1 - s**4)**32: 0.87 at 0.5, 0.9997 at 0.7."""


class _NoWords(WordTokenizer):
    """datatrove wants a word tokenizer to hold; 3-grams of characters need none."""

    def word_tokenize(self, text: str) -> list[str]:
        return list(text)

    sent_tokenize = word_tokenize

    def span_tokenize(self, text: str) -> list[tuple[int, int]]:
        return [(n, n + 1) for n in range(len(text))]


class CharacterSignature(MinhashDedupSignature):
    """MinHash signatures over the set of character 3-grams."""

    name = "MinHash stage 1, character 3-grams"

    def __init__(self, output_folder: str, config: MinhashConfig = CONFIG) -> None:
        super().__init__(output_folder, config, language=_NoWords())

    def get_shingles(self, text: str) -> np.ndarray:
        """(N, 1) uint64: a hash of each different 3-gram; a text shorter than that is one gram."""
        letters = content(text).decode()
        grams = {letters[n : n + GRAM] for n in range(max(1, len(letters) - GRAM + 1))} - {""}
        hashes = np.fromiter((xxhash.xxh3_64_intdigest(gram.encode()) for gram in grams), np.uint64, len(grams))
        return hashes.reshape(-1, 1)


Step = tuple[str, list[PipelineStep], int]
"""Name, pipeline, number of tasks."""


def steps(source: str, out_dir: str, tasks: int, pattern: str = "*.jsonl") -> list[Step]:
    """The four steps, to be run one after another by any executor of datatrove.

    Args:
        source: folder (or URL) of a corpus.
        out_dir: folder (or URL) for ``text/*.jsonl``, and ``work/`` for what lies between.
        tasks: in how many parts the first and last step read the source; at most one a file is of use.
        pattern: which files; train and val both by default, as the corpus made of what is left is split anew.
    """
    work = f"{out_dir}/work"
    reader = JsonlReader(source, glob_pattern=pattern)
    writer = JsonlWriter(f"{out_dir}/text", "${rank}.jsonl", compression=None, expand_metadata=True)
    buckets = MinhashDedupBuckets(f"{work}/signatures", f"{work}/buckets", config=CONFIG)
    return [
        ("signatures", [reader, CharacterSignature(f"{work}/signatures")], tasks),
        ("buckets", [buckets], CONFIG.num_buckets),
        ("clusters", [MinhashDedupCluster(f"{work}/buckets", f"{work}/remove", config=CONFIG)], 1),
        ("filter", [reader, MinhashDedupFilter(f"{work}/remove"), writer], tasks),
    ]


def run_here(source: Path, out_dir: Path, tasks: int = 1, workers: int = 1) -> None:
    """All four steps on this machine; stopped, the same call goes on.

    Args:
        source: a folder made by ``litgpt-zh corpus``.
        out_dir: the folder to make; ``litgpt-zh corpus --source <out_dir>/text`` reads it.
        tasks: parts of the source.
        workers: processes.
    """
    for name, pipeline, count in steps(str(source), str(out_dir), tasks):
        logs = f"{out_dir}/work/logs/{name}"
        LocalPipelineExecutor(pipeline, tasks=count, workers=workers, logging_dir=logs).run()


if __name__ == "__main__":
    from jsonargparse import CLI

    CLI(run_here)
