"""Pretraining through litgpt's own ``fit``, with named parts swapped."""
