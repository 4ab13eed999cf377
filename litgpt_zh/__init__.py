"""A small Chinese language model from nothing, on litgpt. One stage, one name: room, command, recipe and page.

===========  ===============================================  =======================  ==================
stage        command                                          recipe                   page
===========  ===============================================  =======================  ==================
corpus       litgpt-zh corpus                                 recipes/corpus.yaml      docs/corpus.md
tokenizer    litgpt-zh tokenizer                              recipes/tokenizer.yaml   docs/tokenizer.md
tokens       litgpt-zh tokens                                 recipes/tokens.yaml      docs/tokens.md
pretrain     litgpt pretrain NAME                             recipes/pretrain.yaml    docs/pretrain.md
translate    litgpt-zh translate                              recipes/translate.yaml   docs/translate.md
sft          litgpt-zh instructions, litgpt finetune_full     recipes/sft.yaml         docs/sft.md
sft-lora     litgpt finetune_lora                             recipes/sft-lora.yaml    docs/sft-lora.md
preference   litgpt-zh sample_pairs, litgpt-zh pairs          recipes/preference.yaml  docs/preference.md
dpo          litgpt finetune_full                             recipes/dpo.yaml         docs/dpo.md
dpo-lora     litgpt finetune_lora                             recipes/dpo-lora.yaml    docs/dpo-lora.md
online       litgpt-zh online                                 recipes/online.yaml      docs/online.md
sweep        litgpt-zh sweep                                  recipes/sweep.yaml       docs/sweep.md
export       litgpt-zh export, litgpt-zh export_gguf          recipes/export.yaml      docs/export.md
serve        litgpt-zh serve                                  recipes/serve.yaml       docs/serve.md
web          litgpt-zh web                                    recipes/web.yaml         docs/web.md
===========  ===============================================  =======================  ==================

Nothing heavy is imported here; ``litgpt_zh.configs`` registers the model family when imported.
"""

__version__ = "0.1.0"
