"""The command ``export_gguf``: a litgpt checkpoint as one file for llama.cpp and ollama, with a Modelfile."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np

from litgpt_zh.export.modelfile import modelfile
from litgpt_zh.export.stage import SAMPLING, Source, check, open_source, stop_words
from litgpt_zh.export.vocabulary import vocabulary
from litgpt_zh.generate.load import read_config
from litgpt_zh.hf_config import model_type, special_ids
from litgpt_zh.language import stage_line
from litgpt_zh.prompts import USER
from litgpt_zh.stage import Manifest, UserError, open_stage, write_text
from litgpt_zh.tokenizer.files import chat_template

Precision = Literal["f32", "f16", "q8_0"]
_FILE_TYPE = {"f32": 0, "f16": 1, "q8_0": 7}  # gguf.LlamaFileType
_Q8_BLOCK = 32


def export_gguf(
    checkpoint_dir: Path,
    out_dir: Path,
    precision: Precision = "f16",
    overwrite: bool = False,
) -> Manifest:
    """Export a checkpoint as GGUF for llama.cpp and ollama.

    Writes NAME-PRECISION.gguf and a Modelfile (``ollama create NAME -f Modelfile``). Text is cut into the same tokens as in
    training; a tokenizer of which that cannot be proved is refused.

    Args:
        checkpoint_dir: a checkpoint with a tokenizer of ours (a run's ``final/``).
        out_dir: the folder to make.
        precision: of the matrices: f32 is exact, f16 half the size, q8_0 (8 bits, a scale per 32 numbers) about a quarter.
        overwrite: move a folder exported from something else aside instead of refusing.

    Returns:
        The manifest.

    Raises:
        UserError: see ``export``; also a tokenizer of another kind than ours, or scaled RoPE.
    """
    checkpoint_dir, out_dir = Path(checkpoint_dir), Path(out_dir)
    check(checkpoint_dir, out_dir, "gguf")
    config = read_config(checkpoint_dir)
    if config.rope_adjustments is not None:
        raise UserError(
            f"{checkpoint_dir}/model_config.yaml: rope_adjustments: not written as GGUF here; run litgpt-zh export and "
            "then llama.cpp's convert_hf_to_gguf.py on that folder"
        )
    vocabulary(checkpoint_dir, config.padded_vocab_size)
    inputs, settings = {"checkpoint": checkpoint_dir}, {"precision": precision}
    with open_stage("export-gguf", out_dir, inputs=inputs, settings=settings, overwrite=overwrite) as work:
        if not work.finished:
            work.counts.update(_write(open_source(checkpoint_dir), work.folder, precision))
    print(stage_line(out_dir, f"{work.counts['file']}, {work.counts['bytes'] / 1e6:.1f} MB", work.finished))
    return Manifest.read(out_dir)


def _write(source: Source, folder: Path, precision: Precision) -> dict[str, Any]:
    import gguf

    config = source.loaded.config
    file = re.sub(r"[^\w.-]+", "-", config.name) + f"-{precision}.gguf"
    writer = gguf.GGUFWriter(folder / file, model_type(config))
    _describe(writer, config, precision)
    _describe_tokenizer(writer, source)
    counts: dict[str, int] = {}
    for name, data in tensors(source):
        kind = storage(name, data, precision)
        counts[kind] = counts.get(kind, 0) + 1
        stored = getattr(gguf.GGMLQuantizationType, kind.upper())
        writer.add_tensor(name, gguf.quants.quantize(data, stored), raw_dtype=stored)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    # ollama's own repeat_penalty punishes the names and words that a story has to repeat
    sampling = {key: value for key, value in SAMPLING.items() if key != "do_sample"} | {"repeat_penalty": 1.0}
    text = modelfile(file, chat=source.instruct, stop=stop_words(source), block=config.block_size, sampling=sampling)
    write_text(folder / "Modelfile", text)
    return {"file": file, "bytes": (folder / file).stat().st_size, "tensors": counts}


def storage(name: str, data: np.ndarray, precision: Precision) -> str:
    """How a tensor is stored: vectors always in f32; q8_0 needs rows of whole blocks, others become f16."""
    if data.ndim == 1:
        return "f32"
    return "f16" if precision == "q8_0" and data.shape[-1] % _Q8_BLOCK else precision


def tensors(source: Source) -> Iterator[tuple[str, np.ndarray]]:
    """GGUF names and values in float32, in the order of the model; a tied matrix stands there once."""
    import gguf

    from litgpt_zh.export.weights import to_hf

    config = source.loaded.config
    kind = model_type(config)
    names = gguf.get_tensor_name_map(getattr(gguf.MODEL_ARCH, kind.upper()), config.n_layer)
    heads = {"q_proj": config.n_head, "k_proj": config.n_query_groups}
    for name, tensor in to_hf(source.state, config, tied=source.tied).items():
        data = tensor.float().numpy()
        part = name.split(".")[-2]
        if kind == "llama" and part in heads:
            data = interleave(data, heads[part])
        found = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if found is None:
            raise UserError(f"{source.folder}: gguf knows no name for {name}; a newer gguf package may")
        yield found, np.ascontiguousarray(data)


def interleave(data: np.ndarray, heads: int) -> np.ndarray:
    """Rows of q or k in the order that llama.cpp's ``llama`` architecture rotates them.

    litgpt and transformers rotate row i of a head with row i + d/2, llama.cpp row 2i with row 2i + 1.

    Args:
        data: (heads * d, n_embd).
        heads: heads, or query groups for k.
    """
    return data.reshape(heads, 2, -1, *data.shape[1:]).swapaxes(1, 2).reshape(data.shape)


def _describe(writer: Any, config: Any, precision: Precision) -> None:
    writer.add_name(config.name)
    writer.add_file_type(_FILE_TYPE[precision])
    writer.add_quantization_version(2)
    writer.add_vocab_size(config.padded_vocab_size)
    writer.add_context_length(config.block_size)
    writer.add_embedding_length(config.n_embd)
    writer.add_block_count(config.n_layer)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.n_head)
    writer.add_head_count_kv(config.n_query_groups)
    writer.add_key_length(config.head_size)
    writer.add_value_length(config.head_size)
    writer.add_rope_dimension_count(config.head_size)
    writer.add_rope_freq_base(float(config.rope_base))
    writer.add_layer_norm_rms_eps(config.norm_eps)


def _describe_tokenizer(writer: Any, source: Source) -> None:
    """llama.cpp would add a bos and a leading space by itself, and take piece 1 for the bos: all of that is switched off."""
    config, ids = source.loaded.config, special_ids(source.folder)
    entries = vocabulary(source.folder, config.padded_vocab_size)
    eos = source.loaded.eos_id
    pad = eos if ids["pad_token_id"] is None else ids["pad_token_id"]
    writer.add_tokenizer_model("llama")
    writer.add_token_list(entries.pieces)
    writer.add_token_scores(entries.scores)
    writer.add_token_types(entries.types)
    writer.add_bos_token_id(eos if ids["bos_token_id"] is None else ids["bos_token_id"])
    writer.add_eos_token_id(eos)
    writer.add_pad_token_id(pad)
    writer.add_unk_token_id(pad)
    writer.add_add_bos_token(False)
    writer.add_add_eos_token(False)
    writer.add_add_space_prefix(False)
    user = source.loaded.tokenizer.processor.token_to_id(USER)
    if source.instruct and user is not None:
        writer.add_eot_token_id(user)  # only a person may write it: an answer ends there too
        writer.add_chat_template(chat_template())
