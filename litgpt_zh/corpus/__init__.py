"""The stage ``corpus``: raw text or the built-in story world -> clean, deduplicated stories, split in two.

`readers` and `streams` read what is met in the world, `clean` puts right or drops, `prepare` does it in parallel, `staged`
holds what is read; `near` is the maths of near-duplicates, `thin` finds them, keeps one of each cluster and divides the
rest; `shards` writes, `stage.corpus` is the command; `download.download` fetches a data set; `world` tells its own stories.
"""
