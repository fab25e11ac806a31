"""The wheel: same package, same bytes; installs beside numpy alone and runs."""

import base64
import csv
import hashlib
import io
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest
import toy_package

import pipeline.runtime
from passes.package.wheel import WheelError, build_wheel

RUNTIME = Path(pipeline.runtime.__file__).parent


@pytest.fixture(scope="module")
def wheel(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(toy, tmp_path_factory.mktemp("dist"), runtime=RUNTIME, version="1.2.0")


def test_names_and_contents(wheel: Path) -> None:
    assert wheel.name == "toy_cpu-1.2.0-py3-none-linux_x86_64.whl"
    with zipfile.ZipFile(wheel) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        metadata = archive.read("toy_cpu-1.2.0.dist-info/METADATA").decode()
    assert len(set(names)) == len(names)
    assert {
        "toy_cpu/__init__.py",
        "toy_cpu/__main__.py",
        "toy_cpu/_runtime/session.py",
        "toy_cpu/package/manifest.json",
        "toy_cpu/package/weights.bin",
        "toy_cpu/package/lib/x86-64.so",
        "toy_cpu/package/LICENSES/NOTICE.txt",
    } <= set(names)
    required = [line for line in metadata.splitlines() if line.startswith("Requires-Dist")]
    assert [line for line in required if "extra" not in line] == ["Requires-Dist: numpy>=1.26"]


def test_record_is_right(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        record = archive.read("toy_cpu-1.2.0.dist-info/RECORD").decode()
        rows = {name: (digest, size) for name, digest, size in csv.reader(io.StringIO(record))}
        assert rows.keys() == set(archive.namelist())
        assert rows.pop("toy_cpu-1.2.0.dist-info/RECORD") == ("", "")
        for name, (digest, size) in rows.items():
            data = archive.read(name)
            hashed = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=")
            assert (digest, size) == (f"sha256={hashed.decode()}", str(len(data)))


def test_same_bytes_from_another_folder(toy: Path, wheel: Path, tmp_path: Path) -> None:
    copied = shutil.copytree(toy, tmp_path / "copy")
    for path in copied.rglob("*"):
        os.utime(path, (1, 1))
    again = build_wheel(copied, tmp_path / "out", runtime=RUNTIME, version="1.2.0")
    assert again.read_bytes() == wheel.read_bytes()
    assert [path.name for path in again.parent.iterdir()] == [wheel.name]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("json", "'json' would hide the Python module 'json'; rename the recipe"),
        ("numpy", "'numpy' would hide the Python module 'numpy'; rename the recipe"),
        ("3b-cpu", "'3b-cpu' makes no Python module name ('3b_cpu'); rename the recipe"),
        ("lambda", "'lambda' makes no Python module name ('lambda'); rename the recipe"),
    ],
)
def test_names_that_cannot_be_imported(toy: Path, tmp_path: Path, name: str, message: str) -> None:
    copied = shutil.copytree(toy, tmp_path / "copy")
    toy_package.edit(copied, "name", name)
    with pytest.raises(WheelError) as raised:
        build_wheel(copied, tmp_path / "out", runtime=RUNTIME)
    assert str(raised.value) == message


def test_wrong_version_and_runtime(toy: Path, tmp_path: Path) -> None:
    with pytest.raises(WheelError, match=r"version '\.\./1': expected something like 1\.2\.0"):
        build_wheel(toy, tmp_path, runtime=RUNTIME, version="../1")
    with pytest.raises(WheelError, match="not the folder of tensorkiln's runtime"):
        build_wheel(toy, tmp_path, runtime=tmp_path)


def test_a_models_name_is_only_text(toy: Path, tmp_path: Path) -> None:
    copied = shutil.copytree(toy, tmp_path / "copy")
    toy_package.edit(copied, "model.name", '"""\nimport os; os.abort()\nRequires-Dist: evil {x}')
    built = build_wheel(copied, tmp_path / "out", runtime=RUNTIME)
    with zipfile.ZipFile(built) as archive:
        source = archive.read("toy_cpu/__init__.py").decode()
        metadata = archive.read("toy_cpu-0.1.0.dist-info/METADATA").decode()
    assert "\nimport os" not in source
    assert "\nRequires-Dist: evil" not in metadata
    compile(source, "toy_cpu", "exec")


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a new environment with the wheel and, borrowed from here, numpy alone."""
    folder = tmp_path_factory.mktemp("venv")
    venv.create(folder, with_pip=False)
    python = folder / "bin/python"
    library = sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)})
    import numpy

    home = Path(numpy.__file__).parents[1]
    for source in [home / "numpy", *home.glob("numpy-*.dist-info"), *home.glob("numpy.libs")]:
        (Path(library) / source.name).symlink_to(source)
    install = ["-m", "pip", "--python", str(python), "install", "--no-index", "-q", str(wheel)]
    subprocess.run([sys.executable, *install], check=True, capture_output=True)
    return python


def isolated(python: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(python), "-I", *arguments],
        cwd=python.parent,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_installed_with_numpy_alone(installed: Path) -> None:
    program = """
import sys
import toy_cpu
with toy_cpu.Session(toy_cpu.load(verify=True), threads=1) as session:
    print(list(session.generate_tokens([session.package.weights[0], 16], tokens=2)))
print([name for name in ("pipeline", "passes", "tokenizers", "jinja2") if name in sys.modules])
"""
    done = isolated(installed, "-c", program)
    assert done.stderr == ""
    assert done.stdout.splitlines()[1] == "[]"
    done = isolated(installed, "-m", "toy_cpu", "--prompt", "a")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "error: text needs the distribution 'tokenizers', which is not installed: "
        "pip install tokenizers (or give token ids instead of text)\n"
    )


def test_installed_with_text(installed: Path) -> None:
    import tokenizers

    home = str(Path(tokenizers.__file__).parents[1])
    program = (
        f"import sys; sys.path.append({home!r}); sys.argv[0] = 'toy'; "
        "import runpy; runpy.run_module('toy_cpu', run_name='__main__')"
    )
    done = isolated(installed, "-c", program, "--prompt", "E")
    assert (done.returncode, done.stdout, done.stderr) == (0, "é!\n", "")
    done = isolated(installed, "-m", "toy_cpu", "--help")
    assert done.stdout.startswith("usage: python -m toy_cpu ")
