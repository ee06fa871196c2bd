"""What is shipped: an sdist that builds, a wheel that runs, a Makefile that names what a machine lacks."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NOT_SHIPPED = (".git", ".venv", "build", "dist", "*.egg-info", "__pycache__", ".*_cache", ".hypothesis")


def run(args: Sequence[str | Path], cwd: Path, **variables: str) -> str:
    env = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "DNSBL_SANITIZE"}}
    ended = subprocess.run(args, cwd=cwd, env=env | variables, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the sdist of this tree and the wheel built from that sdist alone."""
    work = tmp_path_factory.mktemp("packaging")
    shutil.copytree(ROOT, work / "tree", ignore=shutil.ignore_patterns(*NOT_SHIPPED))
    make = "import sys; from setuptools import build_meta; getattr(build_meta, sys.argv[1])(sys.argv[2])"
    run([sys.executable, "-c", make, "build_sdist", work], work / "tree")
    (sdist,) = work.glob("*.tar.gz")
    run(["tar", "xzf", sdist], work)
    # Unoptimised: what is asked here is whether it builds.
    run([sys.executable, "-c", make, "build_wheel", work], work / sdist.name[: -len(".tar.gz")], CFLAGS="-O0")
    return work


def test_the_sdist_carries_what_it_takes_to_build_and_to_test(built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {"Makefile", "README.md", "CHANGELOG.md", "LICENSE", "pyproject.toml", "setup.py", ".ci/run"}
    for folder in ("dnsbl", "src_c", "tests", "benchmarks"):
        for path in (ROOT / folder).rglob("*"):
            if (
                path.suffix in {".py", ".pyx", ".pxd", ".pxi", ".pyi", ".toml", ".h"}
                or path.parent.name == "src_c"
            ):
                wanted.add(path.relative_to(ROOT).as_posix())
    assert wanted - names == set()
    generated = {name for name in names if name.endswith((".so", ".o", ".pyc"))}
    assert generated | (names & {"dnsbl/engine/_engine.c", "dnsbl/names/_qname.c"}) == set()


def test_the_wheel_carries_what_it_takes_to_run_and_no_more(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    expected = {f"dnsbl/{name}{suffix}" for name in ("engine/_engine", "names/_qname")} | {"dnsbl/py.typed"}
    for path in (ROOT / "dnsbl").rglob("*"):
        if path.suffix in {".py", ".pyi", ".toml", ".css", ".js", ".svg"}:
            expected.add(path.relative_to(ROOT).as_posix())
    assert names == expected


def test_the_wheel_runs_in_a_venv_of_its_own(built: Path) -> None:
    """Its dependencies come from the environment of the tests; the package itself from the wheel alone."""
    (wheel,) = built.glob("*.whl")
    venv = built / "venv"
    run([sys.executable, "-m", "venv", "--without-pip", venv], built)
    python = venv / "bin/python"
    site = Path(run([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], built).strip())
    # After the venv's own folder; files that extend the path are not read there, such as an editable dnsbl's.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    pip: list[str | Path] = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        python,
        "--disable-pip-version-check",
        "install",
    ]
    run([*pip, "--quiet", "--no-deps", "--no-index", "--no-compile", wheel], built)
    assert (
        Path(run([python, "-c", "import dnsbl; print(dnsbl.__file__)"], built).strip()).parent
        == site / "dnsbl"
    )
    assert "right" in run([venv / "bin/dnsbl", "demo"], built)
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert run([venv / "bin/dnsbl", "--version"], built) == f"dnsbl, version {version}\n"


@pytest.mark.parametrize(
    ("variable", "lack", "package"),
    [
        ("CC=/nonexistent/cc", "a C compiler", "build-essential"),
        ("PYTHON=/nonexistent/python3", "Python 3.11 or newer", "python3-dev python3-venv"),
    ],
)
def test_make_names_what_the_machine_lacks(variable: str, lack: str, package: str) -> None:
    ended = subprocess.run(
        ["make", "--no-print-directory", "needs", variable],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2
    assert f"lacks {lack}" in ended.stderr
    assert f"apt install {package}" in ended.stderr


def test_make_needs_nothing_more_here() -> None:
    assert run(["make", "--no-print-directory", "needs", f"PYTHON={sys.executable}"], ROOT) == ""
