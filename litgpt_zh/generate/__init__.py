"""Sampling from a litgpt checkpoint: load, batches, streams, chat. Imports nothing heavy by itself."""
