"""Instruction tuning: requests and answers in, tokens with a loss mask out, and the loop that learns from them.

``formats`` reads what people have, ``extract`` makes requests from plain stories, ``stage`` tokenises once,
``data`` and ``batches`` feed litgpt's finetuning, ``fit`` is the loop.
"""
