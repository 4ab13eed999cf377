"""``litgpt-zh``: litgpt's commands and ours on one line of argument parsing; help without importing torch."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from pathlib import Path

from litgpt_zh.stage import UserError

OURS = {
    "quickstart": ("litgpt_zh.journey:quickstart", "everything, from nothing to a model you can talk to"),
    "journey": ("litgpt_zh.journey:journey", "recipes/ in order on the real data set, resumable"),
    "recipes": ("litgpt_zh.shipped:recipes", "recipes/, tokenizer/ and docs/ into this folder (a checkout has them)"),
    "download_corpus": ("litgpt_zh.corpus.download:download", "fetch a data set from the hub or a mirror"),
    "corpus": ("litgpt_zh.corpus.stage:corpus", "raw text -> clean, deduplicated stories, train and validation"),
    "tokenizer": ("litgpt_zh.tokenizer.train:train_tokenizer", "a BPE vocabulary made for the corpus"),
    "measure_tokenizer": ("litgpt_zh.tokenizer.measure:measure_tokenizer", "tokenizers side by side on any text"),
    "tokens": ("litgpt_zh.tokens.stage:tokens", "stories -> packed blocks of token ids"),
    "sweep": ("litgpt_zh.sweep.stage:sweep", "short trainings over a grid of the learning rate, or any other setting"),
    "translate": ("litgpt_zh.translate.stage:translate", "English instruction data -> Chinese records, any endpoint"),
    "glossary": ("litgpt_zh.translate.names:glossary", "one Chinese spelling for each name, by vote over a pilot"),
    "instructions": ("litgpt_zh.instruct.stage:instructions", "instruction data -> masked token ids for SFT"),
    "pairs": ("litgpt_zh.preference.stage:pairs", "preference data of your own -> token ids for DPO"),
    "sample_pairs": ("litgpt_zh.preference.sample:sample_pairs", "a model's own samples -> better and worse -> pairs"),
    "pair_samples": ("litgpt_zh.preference.pairing:pair_samples", "kept samples -> pairs by other rules"),
    "online": ("litgpt_zh.preference.online:online", "rounds of sample, pair, train, and a gate behind each"),
    "average": ("litgpt_zh.average:average", "a tuned model part of the way back to the one it was tuned from"),
    "best_of": ("litgpt_zh.preference.control:best_of", "the best of each request's kept samples -> records for SFT"),
    "chosen": ("litgpt_zh.preference.control:chosen", "the better side of pairs -> records for SFT"),
    "chat": ("litgpt_zh.generate.chat:chat", "talk to a checkpoint; Chinese streams whole"),
    "serve": ("litgpt_zh.serve.command:serve", "an OpenAI-compatible endpoint; requests are answered together"),
    "web": ("litgpt_zh.web.command:web", "a page in the browser: stories, two models side by side, votes -> pairs"),
    "evaluate_stories": ("litgpt_zh.evaluate.stage:evaluate_stories", "does the model do what it is asked? score card"),
    "export": ("litgpt_zh.export.stage:export", "checkpoint -> folder for transformers and the hub, with a model card"),
    "export_gguf": ("litgpt_zh.export.llamacpp:export_gguf", "checkpoint -> GGUF and Modelfile for llama.cpp, ollama"),
    "publish": ("litgpt_zh.export.publish:publish", "checks an exported folder, says the hubs' own commands"),
    "import_hf": ("litgpt_zh.export.importing:import_hf", "Hugging Face folder -> checkpoint"),
    "report": ("litgpt_zh.report.stage:report", "one page per run: curves, samples, settings"),
}
"""Command -> (function, what it does). A plain typed function each; its docstring is the command's help."""

LITGPT = {
    "pretrain": "pretrain a model (litgpt)",
    "finetune_full": "SFT, all weights (litgpt)",
    "finetune_lora": "SFT, low-rank adapters, merged at the end (litgpt)",
    "generate": "one answer from a checkpoint (litgpt)",
    "evaluate": "lm-eval benchmarks (litgpt)",
}
"""litgpt's own commands named in the help; all others of litgpt work as well."""


def main(argv: list[str] | None = None) -> None:
    """Entry point of the ``litgpt-zh`` command."""
    arguments = sys.argv[1:] if argv is None else argv
    try:
        if not arguments or arguments[0] in ("-h", "--help"):
            print(usage())
            return
        if arguments[0] == "--version":
            print(version())
            return
        _require_recipes(arguments)
        if arguments[0] in OURS:
            _run_ours(arguments[0], arguments[1:])
        else:
            _run_litgpt(arguments)
    except UserError as error:
        sys.exit(f"litgpt-zh: {error}")
    except KeyboardInterrupt:
        from litgpt_zh.language import INNER, say

        if os.environ.get(INNER):
            sys.exit(130)
        told = say("停了；同一行命令会从停下的地方接着走", "stopped; the same command goes on where it was")
        sys.exit(f"\nlitgpt-zh: {told}")
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)


def usage() -> str:
    """The top-level help, in the order of the journey."""
    width = max(map(len, (*OURS, *LITGPT))) + 2
    lines = [
        "usage: litgpt-zh COMMAND [--config recipe.yaml] [options]      litgpt-zh COMMAND --help explains each",
        "",
    ]
    lines += [f"  {name:<{width}}{text}" for name, (_, text) in OURS.items()]
    lines += ["", "litgpt's commands, with our models, data and recipes:"]
    lines += [f"  {name:<{width}}{text}" for name, text in LITGPT.items()]
    from litgpt_zh.shipped import folder

    lines += ["", f"First steps: litgpt-zh quickstart     Pages (in Chinese): {folder('docs') / 'index.md'}"]
    lines += [
        "Stock litgpt runs our recipes too. docs/, recipes/ in help and messages: litgpt-zh recipes lays them here."
    ]
    return "\n".join(lines)


def version() -> str:
    """Our version and those of what we stand on."""
    from litgpt_zh.stage import versions

    return "\n".join(f"{name} {number}" for name, number in versions().items())


def _run_ours(command: str, arguments: list[str]) -> None:
    from jsonargparse import CLI, set_parsing_settings

    from litgpt_zh.arguments import Parser

    module, name = OURS[command][0].split(":")
    function = getattr(importlib.import_module(module), name)
    arguments = _named(arguments, list(inspect.signature(function).parameters))
    set_parsing_settings(docstring_parse_attribute_docstrings=True)
    about = (inspect.getdoc(function) or "").partition("\nArgs:")[0]  # jsonargparse by itself shows its first line
    CLI(
        function, args=arguments, parser_class=Parser, prog=f"litgpt-zh {command}", description=about, as_positional=False
    )  # fmt: skip


def _named(arguments: list[str], names: list[str]) -> list[str]:
    """``litgpt-zh export CHECKPOINT OUT``: the first value needs no name, and out_dir after it needs none either."""
    if not arguments or arguments[0].startswith("-"):
        return arguments
    first, *rest = arguments
    if rest and not rest[0].startswith("-") and "out_dir" in names[1:]:
        rest = ["--out_dir", *rest]
    return [f"--{names[0]}", first, *rest]


def _require_recipes(arguments: list[str]) -> None:
    """Refuse a recipe that is not there before anything is imported.

    Raises:
        UserError: names it; one that comes with the project, with the way to get it.
    """
    for here, after in zip(arguments, [*arguments[1:], ""], strict=True):
        file = here.partition("=")[2] if here.startswith("--config=") else after if here == "--config" else ""
        if file.endswith((".yaml", ".yml")) and "://" not in file and not os.path.isfile(file):
            from litgpt_zh.shipped import folder

            shipped = (folder("recipes") / os.path.basename(file)).is_file()
            hint = "; litgpt-zh recipes lays the recipes of the project into this folder" if shipped else ""
            raise UserError(f"{file}: no such recipe{hint}")


def _run_litgpt(arguments: list[str]) -> None:
    from litgpt_zh import configs, loops

    loops.install()
    if arguments[0] == "pretrain" and (name := _model_name(arguments[1:])):
        configs.require_name(name)
    import litgpt.__main__ as stock

    if arguments[0] not in stock.PARSER_DATA:
        import difflib

        near = difflib.get_close_matches(arguments[0], {*OURS, *stock.PARSER_DATA}, n=3, cutoff=0.4)
        raise UserError(f"unknown command {arguments[0]!r}; did you mean {', '.join(near) or 'litgpt-zh --help'}?")
    _require_weights_only(arguments)
    arguments = _recipe_first(arguments)
    sys.argv = ["litgpt-zh", *arguments]  # litgpt reads it again when it saves hyperparameters.yaml
    stock.main()


def _require_weights_only(arguments: list[str]) -> None:
    """Refuse a checkpoint that holds more than weights: litgpt's own reader runs whatever its pickle says."""
    for value in arguments[1:]:
        folder = Path(value.partition("=")[2] if value.startswith("--") else value)
        for file in (folder / "lit_model.pth", folder / "lit_model.pth.lora"):
            if file.is_file():
                from litgpt_zh.checkpoints import flat_weights

                flat_weights(file)


def _recipe_first(arguments: list[str]) -> list[str]:
    """``pretrain NAME --config RECIPE``: what comes later counts, and the name shall not lose to the recipe's own."""
    command, *rest = arguments
    if rest and not rest[0].startswith("-") and any(a.split("=")[0] == "--config" for a in rest):
        return [command, *rest[1:], rest[0]]
    return arguments


def _model_name(arguments: list[str]) -> str | None:
    """The model name of a ``pretrain`` command line: its positional, or else the last of ``--model_name`` and the recipes'."""
    from litgpt_zh import recipes

    positional, named = None, None
    for before, here in zip(["", *arguments], arguments, strict=False):
        option, value = ("" if "=" in before else before), here
        if here.startswith("-"):
            option, _, value = here.partition("=")
        if option == "--config" and os.path.isfile(value):
            named = recipes.read(value, "recipes/pretrain.yaml").get("model_name") or named
        elif option == "--model_name":
            named = value or named
        elif not option.startswith("-"):
            positional = value
    return positional or named


if __name__ == "__main__":
    main()
