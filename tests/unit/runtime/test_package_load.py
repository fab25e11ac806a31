"""Packages: which level, which threads, verified or not, and quickly."""

import json
import os
import time
from pathlib import Path

import pytest
import toy_package

from pipeline.runtime import Package, PackageError, Session, cpu
from pipeline.runtime.cpu import usable_cpus


def levels(toy_copy: Path, *flags: list[str]) -> None:
    toy_package.edit(
        toy_copy,
        "levels",
        [
            {
                "level": f"level-{index}",
                "cpu_flags": needed,
                "object": "lib/x86-64.o",
                "library": "lib/x86-64.so",
            }
            for index, needed in enumerate(flags)
        ],
    )


def test_the_best_level_that_this_cpu_can_run(toy_copy: Path) -> None:
    levels(toy_copy, ["sse2", "quantum"], ["sse2"], [])
    assert Package(toy_copy).level.level == "level-1"
    assert Package(toy_copy, level="level-2").level.level == "level-2"
    with pytest.raises(PackageError, match="level-0 needs quantum"):
        Package(toy_copy, level="level-0")
    with pytest.raises(PackageError, match="has no level 'x'; it has level-0, level-1, level-2"):
        Package(toy_copy, level="x")


def test_verify_finds_what_sizes_do_not(toy_copy: Path) -> None:
    Package(toy_copy, verify=True)
    file = toy_copy / "tokenizer.json"
    file.write_bytes(file.read_bytes().replace(b"a", b"b", 1))
    Package(toy_copy)
    with pytest.raises(PackageError) as raised:
        Package(toy_copy, verify=True)
    assert str(raised.value) == (
        f"{toy_copy}: tokenizer.json: content differs from the digest in manifest.json; "
        "the package is damaged: build or install it again"
    )


def test_unknown_facts_of_a_newer_writer_are_left_alone(toy_copy: Path) -> None:
    toy_package.edit(toy_copy, "news", {"a": 1})
    toy_package.edit(toy_copy, "levels.0.news", 1)
    Package(toy_copy)


def test_threads(toy_copy: Path) -> None:
    assert 1 <= usable_cpus() <= len(os.sched_getaffinity(0))
    toy_package.edit(toy_copy, "threads.max", 1)
    package = Package(toy_copy)
    assert Session(package).threads == 1
    with pytest.raises(PackageError, match="threads: 2 is more than 1, the most that"):
        Session(package, threads=2)


def test_threads_under_a_container_quota(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)))
    quota = tmp_path / "cpu.max"
    monkeypatch.setattr(cpu, "_CGROUP_V2", quota)
    monkeypatch.setattr(cpu, "_CGROUP_V1", (tmp_path / "quota", tmp_path / "period"))
    for text, count in [("max 100000", 8), ("250000 100000", 3), ("10000 100000", 1)]:
        quota.write_text(text)
        assert usable_cpus() == count
    quota.unlink()
    assert usable_cpus() == 8
    (tmp_path / "period").write_text("100000")
    for text, count in [("-1", 8), ("400000", 4)]:
        (tmp_path / "quota").write_text(text)
        assert usable_cpus() == count


def test_flags_of_other_systems(tmp_path: Path) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text("processor\t: 0\nFeatures\t: fp asimd dotprod\n")
    assert cpu.flags(file) == {"fp", "asimd", "dotprod"}
    file.write_text("processor\t: 0\n")
    with pytest.raises(PackageError, match="no line 'flags' or 'Features'"):
        cpu.flags(file)
    with pytest.raises(PackageError, match="packages for CPUs run on Linux"):
        cpu.flags(tmp_path / "nowhere")


def test_large_weights_load_at_once(toy_copy: Path) -> None:
    size = 512 << 20
    os.truncate(toy_copy / "weights.bin", size)
    text = (toy_copy / "manifest.json").read_text(encoding="utf-8")
    files = json.loads(text)["files"] | {"weights.bin": {"size": size, "digest": "sha256:"}}
    toy_package.edit(toy_copy, "files", files)
    started = time.perf_counter()
    package = Package(toy_copy)
    assert time.perf_counter() - started < 0.3
    assert package.weights.size == size
