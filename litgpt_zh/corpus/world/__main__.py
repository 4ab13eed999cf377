"""Print stories of the world, with their instructions, as Markdown.

python -m litgpt_zh.corpus.world --samples 50 > docs/world-samples.md
"""

from __future__ import annotations

import argparse

from litgpt_zh.corpus.world import Story, story
from litgpt_zh.corpus.world.engine import Length


def markdown(found: Story, length: str) -> str:
    """One story as a section: its text first, then what was asked for."""
    paragraphs = found.text.replace("\n", "\n\n")
    return (
        f"## {found.plot} (seed {found.seed}, {length})\n\n{paragraphs}\n\n"
        f"- words: {'，'.join(found.words)}\n"
        f"- features: {'，'.join(found.features) or '(none)'}\n"
        f"- summary: {found.summary}\n"
        f"- sentence: {found.sentence}\n"
    )


def main() -> None:
    """Write the samples to standard output: two short stories, then a full one, and so on."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--samples", type=int, default=50, help="how many stories, one for each seed from 1 (default 50)"
    )
    options = parser.parse_args()
    print("# Stories of the world\n")
    print(f"The first story of the seeds 1 to {options.samples}, every third one in the full length, as written by")
    print(f"`python -m litgpt_zh.corpus.world --samples {options.samples}`.\n")
    for seed in range(1, options.samples + 1):
        length: Length = "full" if seed % 3 == 0 else "short"
        print(markdown(story(seed, 0, length), length))


if __name__ == "__main__":
    main()
