"""The store: trees, rows, folders, and disks that are full."""

import errno
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.store import Row, Store, StoreError
from pipeline.store import files as store_files
from pipeline.store.digest import digest_json
from pipeline.store.files import replace_folder
from pipeline.store.tree import parse_tree


def fill(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def row_of(store: Store, folder: Path, material: dict[str, str]) -> Row:
    tree = store.commit(folder)
    row = Row(digest_json(material), material, tree.digest, len(tree.files), tree.size, 1.0, 2)
    store.ledger.write(row)
    return row


def test_a_tree_depends_on_paths_and_contents_alone(tmp_path: Path) -> None:
    first = Store(tmp_path / "s1").commit(fill(tmp_path / "a", x="1", sub__y="2"))
    second = Store(tmp_path / "s2").commit(fill(tmp_path / "b", sub__y="2", x="1"))
    other = Store(tmp_path / "s3").commit(fill(tmp_path / "c", sub__z="2", x="1"))
    assert first == second and first.digest == second.digest != other.digest


def test_commit_find_materialise(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    row = row_of(store, fill(tmp_path / "out", x="1", sub__y="2"), {"a": "b"})
    assert store.find(row.key) == row
    store.materialise(row.output, tmp_path / "copy")
    assert (tmp_path / "copy" / "sub" / "y").read_text() == "2"
    assert store.find(digest_json("other")) is None


def test_a_damaged_tree_is_a_miss_and_no_folder(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    row = row_of(store, fill(tmp_path / "out", x="1", y="2"), {"a": "b"})
    tree = store.tree(row.output)
    assert tree is not None
    store.blobs.path(tree.files["y"].digest).unlink()
    assert store.find(row.key) is None
    with pytest.raises(StoreError, match=r"is damaged or gone from .*: run the build again"):
        store.materialise(row.output, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


@pytest.mark.parametrize("edit", ["", "{", "[]", "null", '{"a": 1}'])
def test_a_damaged_row_is_a_miss(tmp_path: Path, edit: str) -> None:
    store = Store(tmp_path / "store")
    row = row_of(store, fill(tmp_path / "out", x="1"), {"a": "b"})
    (path,) = (store.ledger.root / "rows").rglob("*.json")
    path.write_text(edit)
    assert store.find(row.key) is None


def test_a_row_that_was_tampered_with_is_a_miss(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    row = row_of(store, fill(tmp_path / "out", x="1"), {"a": "b"})
    other = store.commit(fill(tmp_path / "out2", x="evil"))
    (path,) = (store.ledger.root / "rows").rglob("*.json")
    path.write_text(path.read_text().replace(row.output, other.digest))
    assert store.find(row.key) is None


@pytest.mark.parametrize(
    "path", ["../x", "/etc/x", "a/../../x", "", "a//b", "./a", "a\\\\b", "a\\u0000b"]
)
def test_a_tree_cannot_lead_out_of_its_folder(path: str) -> None:
    digest = "b3:" + "0" * 64
    assert parse_tree(f'{{"{path}": ["{digest}", 1]}}'.encode()) is None


@pytest.mark.parametrize("entry", ['"x"', '["b3:00", 1]', "[1, 1]", "[]", "null"])
def test_a_tree_of_nonsense_is_none(entry: str) -> None:
    assert parse_tree(f'{{"a": {entry}}}'.encode()) is None


def test_an_output_with_a_link_is_refused(tmp_path: Path) -> None:
    out = fill(tmp_path / "out", x="1")
    (out / "link").symlink_to("/etc/passwd")
    with pytest.raises(StoreError, match="'link', which is not a plain file"):
        Store(tmp_path / "store").commit(out)


def test_a_folder_is_replaced_in_one_step(tmp_path: Path) -> None:
    target = fill(tmp_path / "target", old="1")
    replace_folder(fill(tmp_path / "new", x="2"), target)
    assert [path.name for path in target.iterdir()] == ["x"]
    assert [path.name for path in tmp_path.iterdir()] == ["target"]


def test_a_folder_is_replaced_where_names_cannot_be_exchanged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_files, "_exchange", lambda first, second: False)
    target = fill(tmp_path / "target", old="1")
    replace_folder(fill(tmp_path / "new", x="2"), target)
    assert [path.name for path in target.iterdir()] == ["x"]
    assert [path.name for path in tmp_path.iterdir()] == ["target"]


def test_a_full_disk_commits_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path / "store")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="no space left on the disk while storing x: free some"):
        store.commit(fill(tmp_path / "out", x="1"))
    row = Row(digest_json({}), {}, digest_json(1), 0, 0, 0.0, 0)
    with pytest.raises(StoreError, match="no space left on the disk while writing"):
        store.ledger.write(row)
    monkeypatch.undo()
    assert store.find(row.key) is None
    assert [path for path in (tmp_path / "store").rglob("*") if path.is_file()] == []


def test_a_file_size_limit_commits_nothing(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from pipeline.store import Store, StoreError\n"
        "try: Store(Path(sys.argv[1])).blobs.add_bytes(bytes(200_000))\n"
        "except StoreError as error: print(error)"
    )
    said = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)),
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[3],
    )
    assert "a file grew past the size limit of this process" in said.stdout, said.stderr
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_what_a_killed_build_left_is_swept(tmp_path: Path) -> None:
    store = Store(tmp_path)
    fill(tmp_path / "tmp" / "old", x="1")
    fill(tmp_path / "tmp" / "mine", x="1")
    waiting: list[int] = []
    with (
        store.lock("busy", lambda: waiting.append(1)),
        store.workspace("busy") as busy,
        store.lock("mine", lambda: waiting.append(1)),
        store.workspace("mine") as mine,
    ):
        assert list(mine.iterdir()) == []
        assert busy.is_dir() and not (tmp_path / "tmp" / "old").exists()
    assert list((tmp_path / "tmp").iterdir()) == [] and waiting == []


def test_a_file_where_the_store_should_be(tmp_path: Path) -> None:
    (tmp_path / "artifacts").write_text("")
    store = Store(tmp_path / "artifacts" / "store")
    assert store.find(digest_json({})) is None
    with pytest.raises(StoreError, match="is in the way while writing"):
        store.blobs.add_bytes(b"x")
