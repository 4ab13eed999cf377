"""The one finetuning loop of SFT and preference optimisation, full and LoRA, inside litgpt's own ``main``.

``run`` swaps it in, ``loop`` is the loop, ``objective`` says what differs between the stages.
"""
