"""Stage ``tokens``: corpus folder + tokenizer folder -> packed rows that pretraining maps into memory.

``pack.py`` fills rows of ``block_size + 1`` tokens, ``stage.py`` is the command, ``encode.py`` what its workers do,
``bulk.py`` encodes many texts at once, ``loader.py`` reads rows and resumes at the exact batch, ``data.py`` is the data
module that a recipe names.
"""
