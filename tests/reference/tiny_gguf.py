"""Writes tiny random Llamas as GGUF files, through the `gguf` package's own writer.

Sound in every respect but sense: real tensor types, grouped heads, and a real byte-level BPE
tokenizer with a few merges, special tokens and a chat template.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np
from numpy.typing import NDArray

SPECIALS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
MERGES = (
    "Ġ t", "h e", "Ġt he", "i n", "e r", "a n", "Ġ a", "o n", "r e", "Ġ an", "Ġan d", "Ġ w", "o r",
    "l l", "Ġ s", "e n", "Ġ o", "Ġo f", "in g", "he ll", "hell o", "Ġw or", "Ġwor l", "Ġworl d",
    "Ġ Ġ",
)  # fmt: skip
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
MATRICES = (
    "attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down", "token_embd",
    "output",
)  # fmt: skip


@dataclass(frozen=True)
class TinyLlama:
    """The shape of a model. `types` gives a tensor type to all matrices, or to some by name
    (a name of MATRICES); the others are F32. K types need rows of whole blocks of 256."""

    layers: int = 2
    dim: int = 64
    heads: int = 4
    kv_heads: int = 2
    ffn: int = 96
    vocab: int = 320
    context: int = 256
    types: str | Mapping[str, str] = "Q4_1"
    seed: int = 0
    tied: bool = True
    rope_base: float = 10000.0
    epsilon: float = 1e-5
    pre: str = "smollm"

    def type_of(self, matrix: str) -> str:
        return self.types if isinstance(self.types, str) else self.types.get(matrix, "F32")


def byte_alphabet() -> list[str]:
    """The visible character that stands for each byte in byte-level BPE, as GPT-2 chose them."""
    visible = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    stand_ins = iter(range(0x100, 0x200))
    return [chr(byte) if byte in visible else chr(next(stand_ins)) for byte in range(256)]


def _k_blocks(
    rng: np.random.Generator, shape: tuple[int, int], deviation: float, type_name: str
) -> NDArray[np.uint8]:
    """Random Q4_K or Q6_K blocks whose values have about that deviation and mean 0.

    Drawn as bytes, because the `gguf` package decodes these types but does not encode them.
    """
    blocks = shape[0] * shape[1] // 256

    def halves(value: float) -> NDArray[np.uint8]:
        scales = (value * rng.uniform(0.8, 1.25, (blocks, 1))).astype(np.float16)
        return scales.view(np.uint8)

    if type_name == "Q4_K":
        # value = d * scale(0..63) * code(0..15) - dmin * minimum(0..63); 260 d is its deviation
        d, dmin = halves(deviation / 260), halves(deviation / 260 * 7.5)
        packed = rng.integers(0, 256, (blocks, 12 + 128), np.uint8)
        parts = [d, dmin, packed]
    else:
        # value = d * scale(-16..16) * (code(0..63) - 32); 175 d is its deviation
        codes = rng.integers(0, 256, (blocks, 128 + 64), np.uint8)
        scales = rng.integers(-16, 17, (blocks, 16), np.int8).view(np.uint8)
        parts = [codes, scales, halves(deviation / 175)]
    return np.concatenate(parts, axis=1).reshape(shape[0], -1)


def _add_matrix(
    writer: gguf.GGUFWriter,
    rng: np.random.Generator,
    name: str,
    shape: tuple[int, int],
    deviation: float,
    type_name: str,
) -> None:
    kind = gguf.GGMLQuantizationType[type_name]
    if type_name in ("Q4_K", "Q6_K"):
        data = _k_blocks(rng, shape, deviation, type_name)
    else:
        values = (deviation * rng.standard_normal(shape)).astype(np.float32)
        data = gguf.quantize(values, kind)
    writer.add_tensor(name, data, raw_dtype=kind)


def _add_tokenizer(writer: gguf.GGUFWriter, model: TinyLlama) -> None:
    tokens = [*SPECIALS, *byte_alphabet(), *(merge.replace(" ", "") for merge in MERGES)]
    known = len(tokens)
    if model.vocab < known:
        raise ValueError(f"the tokenizer alone has {known} tokens, but vocab is {model.vocab}")
    tokens += [f"<unused{i}>" for i in range(model.vocab - known)]
    kinds = [gguf.TokenType.NORMAL] * known + [gguf.TokenType.UNUSED] * (model.vocab - known)
    kinds[: len(SPECIALS)] = [gguf.TokenType.CONTROL] * len(SPECIALS)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(model.pre)
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges(list(MERGES))
    writer.add_bos_token_id(tokens.index("<|im_start|>"))
    writer.add_eos_token_id(tokens.index("<|im_end|>"))
    writer.add_add_bos_token(False)
    writer.add_chat_template(CHAT_TEMPLATE)


def write_tiny_gguf(path: Path, model: TinyLlama | None = None) -> Path:
    """Write the model's file; the same model gives the same bytes. Gives the path back."""
    model = model or TinyLlama()
    rng = np.random.default_rng(model.seed)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("Tiny")
    writer.add_license("apache-2.0")
    writer.add_block_count(model.layers)
    writer.add_context_length(model.context)
    writer.add_embedding_length(model.dim)
    writer.add_feed_forward_length(model.ffn)
    writer.add_head_count(model.heads)
    writer.add_head_count_kv(model.kv_heads)
    writer.add_rope_freq_base(model.rope_base)
    writer.add_rope_dimension_count(model.dim // model.heads)
    writer.add_layer_norm_rms_eps(model.epsilon)
    writer.add_vocab_size(model.vocab)
    _add_tokenizer(writer, model)

    def matrix(name: str, rows: int, columns: int, deviation: float) -> None:
        kind = model.type_of(name.split(".")[-2])
        _add_matrix(writer, rng, name, (rows, columns), deviation, kind)

    def norm(name: str) -> None:
        writer.add_tensor(name, (1 + 0.1 * rng.standard_normal(model.dim)).astype(np.float32))

    kv_dim = model.dim // model.heads * model.kv_heads
    into_dim, into_ffn = model.dim**-0.5, model.ffn**-0.5
    # Twice 1 / sqrt(dim): the head's logits then have a deviation of about 2, and a clear best.
    matrix("token_embd.weight", model.vocab, model.dim, 2 * into_dim)
    for i in range(model.layers):
        norm(f"blk.{i}.attn_norm.weight")
        matrix(f"blk.{i}.attn_q.weight", model.dim, model.dim, into_dim)
        matrix(f"blk.{i}.attn_k.weight", kv_dim, model.dim, into_dim)
        matrix(f"blk.{i}.attn_v.weight", kv_dim, model.dim, into_dim)
        matrix(f"blk.{i}.attn_output.weight", model.dim, model.dim, into_dim)
        norm(f"blk.{i}.ffn_norm.weight")
        matrix(f"blk.{i}.ffn_gate.weight", model.ffn, model.dim, into_dim)
        matrix(f"blk.{i}.ffn_up.weight", model.ffn, model.dim, into_dim)
        matrix(f"blk.{i}.ffn_down.weight", model.dim, model.ffn, into_ffn)
    norm("output_norm.weight")
    if not model.tied:
        matrix("output.weight", model.vocab, model.dim, 2 * into_dim)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
