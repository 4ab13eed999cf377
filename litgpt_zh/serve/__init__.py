"""An OpenAI-compatible server on the batched sampler.

``fields`` reads a request, ``asking`` turns it into prompts, ``worker`` owns the model in a thread, ``bodies`` words the
answers, ``app`` is the HTTP in between, ``command`` starts it.
"""
