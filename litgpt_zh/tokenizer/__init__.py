"""Stage ``tokenizer``: corpus folder -> tokenizer folder.

A character BPE whose vocabulary starts with control and byte pieces, so that any text survives encoding and decoding
unchanged. The trained tokenizer of the built-in story world lies in the top-level folder ``tokenizer/``.
"""
