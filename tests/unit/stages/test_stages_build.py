"""Builds over toy stages: the laws of keys, the lock, the plan."""

import io
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from pipeline.stages import Build, BuildError, Source, SourceFile, Sources, Stage
from pipeline.stages.lock import LockError
from pipeline.stages.package import Package
from pipeline.stages.plan import Verdict, plan
from pipeline.stages.sources import SourceMissing
from pipeline.stages.stage import in_order
from pipeline.store import Store
from pipeline.store.digest import digest_file
from pipeline.workers.progress import Progress

REPO = Path(__file__).resolve().parents[3]
READ = """
def run(*, inputs, sources, options, target, out, progress):
    (out / "x").write_text(sources["text"].read_text().strip())
"""
FIRST = """
def run(*, inputs, sources, options, target, out, progress):
    text = (inputs["read"] / "x").read_text()
    (out / "x").write_text(text[: options["length"]])
"""
LAST = """
from toybuild.helper import shout

def run(*, inputs, sources, options, target, out, progress):
    (out / "x").write_text(shout((inputs["first"] / "x").read_text()) + target["mark"])
    (out / "big").write_bytes(bytes(1 << 20))
"""
LINK = """
def link(folder):
    (folder / "linked").write_text("yes")
"""


class Bench:
    """A code folder, a source and a store; `build` looks at them as a new process would."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.length, self.mark, self.name, self.pinned = 3, "!", "toy", None
        self.code("__init__", "")
        self.code("read", READ)
        self.code("first", FIRST)
        self.code("last", LAST)
        self.code("helper", "def shout(text):\n    return text.upper()\n")
        self.code("link", LINK)
        (root / "text").write_text("abcdef")

    def code(self, module: str, text: str) -> None:
        path = self.root / "toybuild" / f"{module}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)

    def stages(self) -> tuple[Stage, ...]:
        return (
            Stage("last", "toybuild.last:run", ("first",), target={"mark": self.mark}),
            Stage("first", "toybuild.first:run", ("read",), {"length": self.length}),
            Stage("read", "toybuild.read:run", sources={"text": Source("text", self.pinned)}),
        )

    def resolve(self, source: str, *, offline: bool) -> SourceFile:
        path = self.root / source
        if not path.exists():
            raise SourceMissing(source) if offline else BuildError(f"no file {source}")
        return SourceFile(path, digest_file(path))

    def build(self, **more: Any) -> Build:
        store = Store(self.root / "store")
        folder = self.root / "builds" / self.name
        return Build(
            self.name,
            "toy",
            self.stages()[::-1],
            store,
            [self.root, REPO],
            Sources(self.resolve),
            Package(self.name, folder, "toybuild.link:link", store),
            self.root / "toy.lock.yaml",
            **more,
        )

    def run(self, **more: Any) -> list[str]:
        """Builds all; gives what ran."""
        said = io.StringIO()
        self.build(**more).build_all(Progress(said))
        return [line.split()[0] for line in said.getvalue().splitlines() if " s, " in line]

    def plan(self) -> list[Verdict]:
        return list(plan(self.build()))

    @property
    def result(self) -> str:
        return (self.root / "builds" / self.name / "x").read_text()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


ALL = ["read", "first", "last", "link"]


def test_a_second_build_runs_nothing(bench: Bench) -> None:
    assert bench.run() == ALL
    assert bench.result == "ABC!"
    assert bench.run() == []


def test_early_cut_off(bench: Bench) -> None:
    bench.run()
    (bench.root / "text").write_text("abcxyz")  # read gives other bytes, first the same
    assert bench.run() == ["read", "first"]
    (bench.root / "text").write_text("abcdef ")  # read gives the bytes it gave at first
    assert bench.run() == ["read"]


def test_each_part_of_a_key_counts_where_it_belongs(bench: Bench) -> None:
    bench.run()
    bench.mark = "?"
    assert bench.run() == ["last", "link"]
    bench.length = 2
    assert bench.run() == ["first", "last", "link"]
    bench.mark, bench.length = "!", 3
    assert bench.run() == ["link"]
    bench.code("helper", '"""New words."""\ndef shout(text):\n    # why\n    return text.upper()\n')
    assert bench.run() == []
    bench.code("helper", "def shout(text):\n    return text.title()\n")
    assert bench.run() == ["last", "link"]
    bench.code("link", LINK.replace("yes", "no"))
    assert bench.run() == ["link"]


def test_same_key_same_bytes_in_another_folder_and_with_another_hash_seed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    locks = []
    for name, seed in (("a", "1"), ("b", "2")):
        (tmp_path / name).mkdir()
        monkeypatch.setenv("PYTHONHASHSEED", seed)
        monkeypatch.chdir(tmp_path / name)
        bench = Bench(tmp_path / name)
        bench.run()
        locks.append((tmp_path / name / "toy.lock.yaml").read_text())
    assert locks[0] == locks[1]


def test_a_stage_that_is_not_deterministic_is_caught(bench: Bench) -> None:
    bench.code("first", FIRST.replace("text[:", "str(__import__('time').time_ns()) + text[:"))
    bench.run()
    with pytest.raises(BuildError, match="the same key gave other bytes than before, in x: toyb"):
        bench.run(force=True)


def test_force_runs_all_again(bench: Bench) -> None:
    bench.run()
    assert bench.run(force=True) == ALL


def damage_size(path: Path) -> None:
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1])


def damage_unseen(path: Path) -> None:
    status = path.stat()
    path.chmod(0o644)
    path.write_bytes(bytes(status.st_size))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_damage_in_the_store_is_mended(bench: Bench) -> None:
    bench.run()
    build = bench.build()
    row = build.find(build.stage("first"))
    assert row is not None
    tree = build.store.tree(row.output)
    assert tree is not None
    for mark, damage in {"?": damage_size, "-": damage_unseen, "+": Path.unlink}.items():
        damage(build.store.blobs.path(tree.files["x"].digest))
        bench.mark = mark
        assert bench.run() == ["first", "last", "link"]
        assert bench.result == f"ABC{mark}"


def test_damage_in_the_package_is_mended(bench: Bench) -> None:
    bench.run()
    folder = bench.root / "builds" / "toy"
    big = folder / "big"
    big.chmod(0o644)
    big.write_bytes(b"1" * (1 << 20))  # a hard link into the store
    assert bench.run() == ["last", "link"]
    assert big.read_bytes() == bytes(1 << 20)
    (folder / "x").write_text("other")
    assert bench.run() == ["link"]
    assert bench.result == "ABC!"
    (folder / "linked").unlink()
    assert bench.run() == ["link"]


def test_a_failed_stage_leaves_the_finished_ones(bench: Bench) -> None:
    bench.code("last", "import os\ndef run(**_):\n    os.abort()\n")
    with pytest.raises(BuildError, match=r"^last: the worker ended by SIGABRT"):
        bench.run()
    bench.code("last", LAST)
    assert bench.run() == ["last", "link"]
    assert list((bench.root / "store" / "tmp").iterdir()) == []


def test_two_builds_at_once_do_the_work_once(bench: Bench) -> None:
    slow = FIRST.replace("    text =", "    import time; time.sleep(0.5)\n    text =")
    bench.code("first", slow)
    ran: list[list[str]] = []
    threads = [threading.Thread(target=lambda: ran.append(bench.run())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(name for names in ran for name in names if name != "link") == sorted(ALL[:3])


def test_code_that_changes_while_its_stage_runs_is_not_kept(bench: Bench) -> None:
    module = bench.root / "toybuild" / "helper.py"
    edit = f"    __import__('pathlib').Path({str(module)!r}).write_text('shout = str.lower')\n"
    body = LAST.replace("progress):\n", f"progress):\n{edit}", 1)
    bench.code("last", body)
    with pytest.raises(BuildError, match=r"toybuild\.helper changed while the stage ran: run the"):
        bench.run()


def test_code_that_the_key_does_not_cover_is_caught(bench: Bench) -> None:
    hidden = "    __import__('importlib').import_module('toybuild.' + 'link')\n"
    bench.code("last", LAST.replace("progress):\n", f"progress):\n{hidden}", 1))
    with pytest.raises(BuildError) as error:
        bench.run()
    assert str(error.value) == (
        "last: toybuild.last:run ran toybuild.link, which its key does not cover: import it by a "
        "plain import or name the plugin group it comes from in the stage"
    )


def test_pinned_source(bench: Bench) -> None:
    bench.pinned = digest_file(bench.root / "text")
    bench.run()
    (bench.root / "text").rename(bench.root / "away")
    assert bench.run() == []  # what the store has needs no source
    (bench.root / "text").write_text("other")
    with pytest.raises(BuildError) as error:
        bench.run()
    assert str(error.value) == (
        "read: text is not the file that the recipe pins\n"
        f"  pinned: {bench.pinned}\n"
        f"  found:  {digest_file(bench.root / 'text')} ({bench.root / 'text'})\n"
        "restore the file, or put the new digest into the recipe's model.digest"
    )


def test_a_pinned_source_that_was_fetched(tmp_path: Path) -> None:
    pinned, found = "sha256:" + "0" * 64, "sha256:" + "1" * 64
    sources = Sources(lambda source, *, offline: SourceFile(tmp_path / "x", found))
    with pytest.raises(BuildError) as error:
        sources.file(Source("pypi:a==1#x", pinned))
    assert str(error.value) == (
        "pypi:a==1#x is not the file that the recipe pins\n"
        f"  pinned: {pinned}\n  found:  {found} ({tmp_path / 'x'})\n"
        "remove that copy to fetch it again, or put the new digest into the recipe's model.digest"
    )


def test_a_source_that_cannot_be_fetched_is_tried_once(bench: Bench) -> None:
    (bench.root / "text").rename(bench.root / "away")
    build, tries = bench.build(), []

    def resolve(source: str, *, offline: bool) -> SourceFile:
        tries.extend([] if offline else [source])
        return bench.resolve(source, offline=offline)

    build.sources = Sources(resolve)
    assert not build.is_done("read")  # asks for the file, too
    with pytest.raises(BuildError, match="no file text"):
        build.run("read", Progress(io.StringIO()))
    assert tries == ["text"]


def test_plan(bench: Bench) -> None:
    never = "it was never built for this recipe"
    (bench.root / "text").rename(bench.root / "away")
    assert [(v.state, v.reasons) for v in bench.plan()] == [
        ("unknown", ("until text is here",)),
        ("unknown", ("until read has run",)),
        ("unknown", ("until read has run",)),
        ("unknown", ("until last has run",)),
    ]
    (bench.root / "away").rename(bench.root / "text")
    assert bench.plan()[0] == Verdict("read", "miss", (never,), None)
    assert not (bench.root / "store").exists()
    bench.run()
    assert [(v.state, v.reasons) for v in bench.plan()] == [("hit", ())] * 4
    bench.length = 2
    bench.code("helper", "def shout(text):\n    return text.title()\n")
    assert [(v.state, v.reasons) for v in bench.plan()] == [
        ("hit", ()),
        ("miss", ("options.length: 3 -> 2",)),
        ("unknown", ("until first has run", "code: toybuild.helper changed")),
        ("unknown", ("until last has run",)),
    ]
    bench.name = "toy@1234"
    assert bench.plan()[1].reasons == ("options.length: 3 -> 2",)


def test_plan_of_what_is_damaged(bench: Bench) -> None:
    bench.run()
    (bench.root / "toy.lock.yaml").write_text("")
    assert bench.plan()[-1].reasons == (
        f"{bench.root / 'toy.lock.yaml'} does not say what this build gives",
    )
    (bench.root / "builds" / "toy" / "x").write_text("")
    assert "was changed since" in bench.plan()[-1].reasons[0]
    for path in (bench.root / "store" / "blobs").rglob("*"):
        if path.is_file():
            path.unlink()
    assert bench.plan()[0].reasons == ("its result is damaged or gone from the store",)


def test_the_lock_is_written_and_kept(bench: Bench) -> None:
    lock = bench.root / "toy.lock.yaml"
    bench.run()
    text = lock.read_text()
    assert text.startswith("# Written by `doit build recipe=toy`; commit it.\n")
    lock.unlink()
    assert bench.run() == []
    assert lock.read_text() == text
    assert bench.run(locked=True) == []
    bench.name, bench.length = "toy@1234", 2
    bench.run()
    assert lock.read_text() == text


def test_locked_says_what_drifted(bench: Bench) -> None:
    with pytest.raises(LockError, match="there is no lock file, so locked=1 has nothing to keep"):
        bench.run(locked=True)
    bench.run()
    lock = bench.root / "toy.lock.yaml"
    text = lock.read_text()
    bench.length = 2
    bench.code("helper", "def shout(text):\n    return text.title()\n")
    (bench.root / "text").write_text("abcd")
    with pytest.raises(LockError) as error:
        bench.run(locked=True)
    lines = str(error.value).splitlines()
    assert lines[0] == f"{lock}: the build would differ from its lock:"
    assert lines[1].startswith("  sources.text: the lock has b3:")
    assert lines[2] == "  stages.first.options.length: the lock has 3, this build 2"
    assert lines[3].startswith("  stages.last.code: the lock has b3:")
    assert lines[4] == "  stages.last.code: toybuild.helper changed"
    assert lines[5] == (
        "restore what changed, or accept it: `doit build recipe=toy` without locked=1, "
        "then commit the new lock"
    )
    assert lock.read_text() == text


def test_locked_checks_results(bench: Bench) -> None:
    bench.run()
    lock = bench.root / "toy.lock.yaml"
    build = bench.build()
    row = build.find(build.stage("read"))
    assert row is not None
    lock.write_text(lock.read_text().replace(row.output, row.output[:-4] + "0000"))
    with pytest.raises(LockError, match=r"stages\.read\.output: the lock has b3:\w+, this build"):
        bench.run(locked=True)


def test_a_damaged_lock(bench: Bench) -> None:
    bench.run()
    for text in ("", "- a", "a: [", "schema: 2\nstages: {}", "stages: 3"):
        (bench.root / "toy.lock.yaml").write_text(text)
        with pytest.raises(LockError, match="build once without locked=1"):
            bench.run(locked=True)
    assert bench.run() == []
    assert bench.run(locked=True) == []


def test_stages_are_put_in_order(bench: Bench) -> None:
    assert [stage.name for stage in in_order(bench.stages())] == ["read", "first", "last"]
    with pytest.raises(ValueError, match="in a circle: a -> b -> a"):
        in_order([Stage("a", "m:f", ("b",)), Stage("b", "m:f", ("a",))])
    with pytest.raises(ValueError, match="stage a needs b, which is not a stage"):
        in_order([Stage("a", "m:f", ("b",))])
