"""A little real package: native code with state, a byte-level tokenizer, a chat template.

The toy model's next token is a table look-up of the last one, which is what weights.bin holds; the
last logit is minus the sum of all tokens in the cache, so tests see what the state is.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from passes.package import manifest, weights
from passes.package.licences import ModelLicence, licence_files
from passes.package.link import link

VOCABULARY = 259  # 256 bytes, two special tokens, and one that carries the checksum
START, END = 256, 257  # <|im_start|>, <|im_end|>
CAPACITY = 64
NEW_MAX = 16
REFUSED = 255  # the toy's code gives an error for this token
NO_MEMORY = 63  # the toy cannot be created with so many threads

TEMPLATE = """\
{% for message in messages %}
{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}\
{% endfor %}
{% if add_generation_prompt %}
{{ '<|im_start|>assistant\n' }}\
{% endif %}
"""

_IR = """
target triple = "x86_64-unknown-linux-gnu"
%context = type {{ ptr, [{capacity} x i32] }}
declare ptr @malloc(i64)
declare void @free(ptr)
declare i32 @usleep(i32)

define i32 @tk_abi() {{
  ret i32 {abi}
}}

define ptr @tk_create(ptr %weights, i64 %threads) {{
  %many = icmp eq i64 %threads, {no_memory}
  br i1 %many, label %fail, label %make
fail:
  ret ptr null
make:
  %context = call ptr @malloc(i64 ptrtoint (ptr getelementptr (%context, ptr null, i64 1) to i64))
  store ptr %weights, ptr %context
  ret ptr %context
}}

define void @tk_destroy(ptr %context) {{
  call void @free(ptr %context)
  ret void
}}

define internal i32 @append(ptr %context, i64 %n, i64 %m, ptr %tokens) {{
  %end = add i64 %n, %m
  %long = icmp ugt i64 %end, {capacity}
  br i1 %long, label %full, label %loop
full:
  ret i32 1
loop:
  %i = phi i64 [ 0, %0 ], [ %next, %store ]
  %from = getelementptr i32, ptr %tokens, i64 %i
  %token = load i32, ptr %from
  %bad = icmp eq i32 %token, {refused}
  br i1 %bad, label %refuse, label %store
refuse:
  ret i32 2
store:
  %at = add i64 %m, %i
  %to = getelementptr %context, ptr %context, i64 0, i32 1, i64 %at
  store i32 %token, ptr %to
  %next = add i64 %i, 1
  %done = icmp eq i64 %next, %n
  br i1 %done, label %exit, label %loop
exit:
  ret i32 0
}}

define internal void @row(ptr %context, i64 %position, ptr %logits) {{
  %weights = load ptr, ptr %context
  %last.at = getelementptr %context, ptr %context, i64 0, i32 1, i64 %position
  %last = load i32, ptr %last.at
  %best.at = getelementptr i32, ptr %weights, i32 %last
  %best = load i32, ptr %best.at
  br label %fill
fill:
  %v = phi i32 [ 0, %0 ], [ %v.next, %fill ]
  %chosen = icmp eq i32 %v, %best
  %value = select i1 %chosen, float 4.0, float 0.0
  %out = getelementptr float, ptr %logits, i32 %v
  store float %value, ptr %out
  %v.next = add i32 %v, 1
  %filled = icmp eq i32 %v.next, {vocabulary}
  br i1 %filled, label %sum, label %fill
sum:
  %p = phi i64 [ 0, %fill ], [ %p.next, %sum ]
  %total = phi i32 [ 0, %fill ], [ %total.next, %sum ]
  %token.at = getelementptr %context, ptr %context, i64 0, i32 1, i64 %p
  %token = load i32, ptr %token.at
  %total.next = sub i32 %total, %token
  %p.next = add i64 %p, 1
  %summed = icmp ugt i64 %p.next, %position
  br i1 %summed, label %exit, label %sum
exit:
  %checksum = sitofp i32 %total.next to float
  %checksum.at = getelementptr float, ptr %logits, i32 {last_logit}
  store float %checksum, ptr %checksum.at
  ret void
}}

define i32 @tk_prefill(ptr %context, ptr %dims, ptr %args) {{
  %n = load i64, ptr %dims
  %m.at = getelementptr i64, ptr %dims, i64 1
  %m = load i64, ptr %m.at
  %tokens = load ptr, ptr %args
  %logits.at = getelementptr ptr, ptr %args, i64 1
  %logits = load ptr, ptr %logits.at
  %code = call i32 @append(ptr %context, i64 %n, i64 %m, ptr %tokens)
  %wrong = icmp ne i32 %code, 0
  br i1 %wrong, label %exit, label %run
run:
  %end = add i64 %n, %m
  %position = sub i64 %end, 1
  call void @row(ptr %context, i64 %position, ptr %logits)
  br label %exit
exit:
  ret i32 %code
}}

define i32 @tk_decode(ptr %context, ptr %dims, ptr %args) {{
  %m = load i64, ptr %dims
  %tokens = load ptr, ptr %args
  %logits.at = getelementptr ptr, ptr %args, i64 1
  %logits = load ptr, ptr %logits.at
  %slept = call i32 @usleep(i32 {sleep_us})
  %code = call i32 @append(ptr %context, i64 1, i64 %m, ptr %tokens)
  %wrong = icmp ne i32 %code, 0
  br i1 %wrong, label %exit, label %run
run:
  call void @row(ptr %context, i64 %m, ptr %logits)
  br label %exit
exit:
  ret i32 %code
}}

define i32 @tk_score(ptr %context, ptr %dims, ptr %args) {{
  %n = load i64, ptr %dims
  %m.at = getelementptr i64, ptr %dims, i64 1
  %m = load i64, ptr %m.at
  %tokens = load ptr, ptr %args
  %logits.at = getelementptr ptr, ptr %args, i64 1
  %logits = load ptr, ptr %logits.at
  %code = call i32 @append(ptr %context, i64 %n, i64 %m, ptr %tokens)
  %wrong = icmp ne i32 %code, 0
  br i1 %wrong, label %exit, label %loop
loop:
  %i = phi i64 [ 0, %0 ], [ %next, %loop ]
  %position = add i64 %m, %i
  %start = mul i64 %i, {vocabulary}
  %row = getelementptr float, ptr %logits, i64 %start
  call void @row(ptr %context, i64 %position, ptr %row)
  %next = add i64 %i, 1
  %done = icmp eq i64 %next, %n
  br i1 %done, label %exit, label %loop
exit:
  ret i32 %code
}}
"""


def compile_object(path: Path, *, abi: int = 1, sleep_us: int = 0) -> None:
    """The toy's code → a position-independent object."""
    import llvmlite.binding as llvm

    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    text = _IR.format(
        abi=abi,
        capacity=CAPACITY,
        last_logit=VOCABULARY - 1,
        no_memory=NO_MEMORY,
        refused=REFUSED,
        sleep_us=sleep_us,
        vocabulary=VOCABULARY,
    )
    module = llvm.parse_assembly(text)
    module.verify()
    target = llvm.Target.from_triple("x86_64-unknown-linux-gnu")
    machine = target.create_target_machine(cpu="x86-64", reloc="pic", codemodel="small")
    path.write_bytes(machine.emit_object(module))


def write_tokenizer(path: Path) -> Any:
    """A byte-level tokenizer whose tokens are bytes."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({char: i for i, char in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(
        [AddedToken("<|im_start|>", special=True), AddedToken("<|im_end|>", special=True)]
    )
    tokenizer.save(str(path))
    return tokenizer


def next_table(tokenizer: Any) -> np.ndarray[Any, np.dtype[np.int32]]:
    """What follows what: a..z in order, then the end; `E` starts an é; a new line starts xyz."""
    table = np.full(VOCABULARY, END, np.int32)

    def follow(text: str, *, end: bool = False) -> None:
        ids = tokenizer.encode(text).ids
        for left, right in zip(ids, [*ids[1:], END], strict=True):
            if right != END or end:
                table[left] = right

    follow("abcdefghijklmnopqrstuvwxyz", end=True)
    follow("Eé!", end=True)
    follow("\nx")
    follow("01")
    follow("10")
    return table


def make(
    folder: Path,
    *,
    name: str = "toy-cpu",
    native_abi: int = 1,
    sleep_us: int = 0,
    template: str = TEMPLATE,
    table_shift: int = 0,
    linked: bool = True,
    **changes: Any,
) -> Path:
    """Builds the toy package in `folder`; `changes` replace facts of its manifest."""
    (folder / "lib").mkdir(parents=True)
    compile_object(folder / "lib/x86-64.o", abi=native_abi, sleep_us=sleep_us)
    tokenizer = write_tokenizer(folder / "tokenizer.json")
    (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    table = (next_table(tokenizer) + table_shift) % VOCABULARY
    plan = weights.layout({"next": table.nbytes})
    weights.write(folder / "weights.bin", plan, [("next", table.astype(np.int32))])
    digest = "sha256:" + "0" * 64
    for path, text in licence_files(ModelLicence("toy", digest, "apache-2.0")).items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    manifest.build(_facts(folder, name) | changes).write(folder)
    if linked:
        link(folder)
    return folder


def _facts(folder: Path, name: str) -> dict[str, Any]:
    files = manifest.record_files(folder)

    def entry(symbol: str, new: str, logits: list[str], dims: list[str]) -> dict[str, Any]:
        tokens = {
            "name": "tokens",
            "dtype": "i32",
            "shape": ["1", new],
            "values": [0, VOCABULARY - 1],
        }
        output = {"name": "logits", "dtype": "f32", "shape": logits}
        return {"symbol": symbol, "dims": dims, "inputs": [tokens], "outputs": [output]}

    width = str(VOCABULARY)
    return {
        "name": name,
        "arch": "x86_64",
        "model": {
            "architecture": "toy",
            "name": "Toy",
            "digest": "sha256:" + "0" * 64,
            "license": "apache-2.0",
            "context_length": 64,
        },
        "capacity": CAPACITY,
        "dims": {"n": [1, NEW_MAX], "m": [0, CAPACITY - 1]},
        "levels": [
            {
                "level": "x86-64",
                "cpu_flags": ["sse2"],
                "object": "lib/x86-64.o",
                "library": "lib/x86-64.so",
            }
        ],
        "entries": {
            "prefill": entry("tk_prefill", "n", ["1", width], ["n", "m"]),
            "decode": entry("tk_decode", "1", ["1", width], ["m"]),
            "score": entry("tk_score", "n", ["1", "n", width], ["n", "m"]),
        },
        "errors": {
            "1": "n = {n} and m = {m} are more than the cache holds",
            "2": "the toy refuses one of the {n} tokens after m = {m}",
        },
        "weights": {"file": "weights.bin", **files["weights.bin"].model_dump()},
        "memory": {"arena_bytes_max": 0, "state_bytes": 5 << 20},
        "threads": {"max": 64},
        "tokenizer": {
            "file": "tokenizer.json",
            "bos": START,
            "eos": [END],
            "add_bos": False,
            "chat_template": "chat_template.jinja",
        },
        "generate": {"tokens": 40, "temperature": 0, "seed": 0},
        "files": {path: record.model_dump() for path, record in files.items()},
    }


def edit(folder: Path, path: str, value: Any) -> None:
    """Sets one fact of the manifest, by a dotted path, without any check."""
    file = folder / "manifest.json"
    document = json.loads(file.read_text(encoding="utf-8"))
    *parents, last = path.split(".")
    node = document
    for key in parents:
        node = node[int(key)] if isinstance(node, list) else node[key]
    node[last] = value
    file.write_text(json.dumps(document), encoding="utf-8")
