"""The pytest plugin as others use it, and what is said when dnspython or a server program is missing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

USES_FIXTURE = """
import socket

def test_one(dnsbl_server):
    dnsbl_server.zone("bl.example").list("192.0.2.99")
    assert dnsbl_server.nameserver.startswith("127.0.0.1:")

def test_two_has_a_fresh_server(dnsbl_server):
    assert dnsbl_server.count() == 0
    dnsbl_server.zone("bl.example", "domain")
"""

NEEDS_PROGRAMS = """
import pytest
from conftest import needs

@pytest.fixture(scope="module")
def absent():
    needs("no-such-daemon")

def test_one(absent): pass
def test_two(absent): pass
def test_three(): needs("no-such-client", "no-such-daemon")
def test_four(): pass
"""


def run_python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    return subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "CI": "", "PYTHONPATH": paths, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def run_pytest(
    directory: Path, text: str, *options: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    path = directory / "test_it.py"
    path.write_text(text)
    fixed = [
        "-m",
        "pytest",
        "-q",
        "-W",
        "error",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(directory),
        str(path),
    ]
    return run_python(*fixed, *options, **environment)


def test_the_fixture_works_in_a_project_of_others(tmp_path: Path) -> None:
    # Without the entry points, so that it is the same whether the package is installed or not.
    done = run_pytest(
        tmp_path, USES_FIXTURE, "-p", "dnsbl.testing.plugin", PYTEST_DISABLE_PLUGIN_AUTOLOAD="1"
    )
    assert "2 passed" in done.stdout, done.stdout + done.stderr


def test_registering_it_twice_is_no_error(tmp_path: Path) -> None:
    done = run_pytest(tmp_path, USES_FIXTURE, "-p", "dnsbl.testing.plugin", "-p", "conftest")
    assert "2 passed" in done.stdout, done.stdout + done.stderr


def test_the_plugin_costs_no_import_of_dnspython_or_asyncio() -> None:
    text = "import sys, dnsbl.testing.plugin; print({'dns', 'asyncio', 'pycares'} & set(sys.modules))"
    assert run_python("-c", text).stdout == "set()\n"


def test_a_missing_dnspython_is_one_clear_line() -> None:
    text = "import sys; sys.modules['dns'] = None\nfrom dnsbl.testing import DnsblServer"
    done = run_python("-c", text)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "ImportError: dnsbl.testing needs dnspython, which is not installed: "
        "pip install 'dnsbl-resolver[testing]'"
    )
    assert "During handling" not in done.stderr


def test_every_public_name_is_there() -> None:
    text = "import dnsbl.testing as t; [getattr(t, name) for name in t.__all__]; t.nonsense"
    done = run_python("-c", text)
    assert done.stderr.splitlines()[-1] == (
        "AttributeError: module 'dnsbl.testing' has no attribute 'nonsense'"
    )


def test_what_did_not_run_is_named_at_the_end(tmp_path: Path) -> None:
    done = run_pytest(tmp_path, NEEDS_PROGRAMS, "-p", "conftest")
    assert done.returncode == 0
    assert "3 tests did not run; missing: no-such-client, no-such-daemon" in done.stdout
    assert "1 passed, 3 skipped" in done.stdout.splitlines()[-1]


def test_with_ci_true_what_cannot_run_fails(tmp_path: Path) -> None:
    done = run_pytest(tmp_path, NEEDS_PROGRAMS, "-p", "conftest", CI="true")
    assert done.returncode == 1
    assert "no-such-daemon: missing, and with CI=true every test has to run" in done.stdout
    assert "skipped" not in done.stdout
