"""Preference optimisation: pairs of a better and a worse answer in, a model that prefers the better one out.

``formats`` reads what people have, ``rewards`` says which of several samples is better, ``stage`` and ``sample`` write
pairs as tokens once, ``losses`` is the mathematics, ``data`` and ``objective`` run it inside litgpt's finetuning. ``online``
does all of it in rounds, each behind a ``gate``; ``control`` makes the SFT data that preference optimisation must beat.
"""
