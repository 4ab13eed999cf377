"""Translate an English instruction set into Chinese records: parse, ask, validate, write down; nothing is lost.

``read`` and ``sample`` bring items, ``prompts`` writes messages, ``agent`` walks one item through translate, reflect and
improve, ``reply`` and ``validate`` judge what comes back, ``client`` speaks to the endpoint within ``limits``, ``ledger``
remembers every paid answer, ``stage`` is the command.
"""
