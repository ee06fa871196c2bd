"""Which part may import which: one way, from the command down to the values; and what an import costs."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "dnsbl"

# A room is a folder or a file: the longest name that fits counts. To the right stand the rooms it may import.
VALUES = {"model", "errors"}
TEXT = {"text", "names"}
LISTS = {"zones", "subject"} | VALUES | TEXT
FETCH = {"lists.fetch"}
LOOKUP = {"cache", "health", "engine", "config", "mail", "lists", "lists.loader"} | LISTS
ARROWS: dict[str, set[str]] = {
    "errors": set(),
    "model": set(),
    "text": {"errors"},
    "names": {"errors"},
    "engine": VALUES | TEXT,
    "subject": VALUES | TEXT,
    "zones": VALUES | TEXT,
    "lists": VALUES | TEXT,
    "lists.fetch": {"lists"} | VALUES | TEXT,
    "lists.loader": {"lists"} | VALUES | TEXT,
    "cache": {"zones"} | VALUES,
    "health": {"zones"} | VALUES,
    "config": {"cache", "lists", "config.rules"} | LISTS,
    "config.rules": set(),
    "lookup": LOOKUP,
    "resolver": {"lookup"} | LOOKUP,
    "mail": LISTS,
    "migrate": {"config.rules"} | LISTS,
    "policy": {"config", "config.rules"} | LISTS,
    "policyd": {"policy", "resolver", "lookup"} | LOOKUP,
    "doctor": {"policyd", "policy", "resolver", "lookup"} | LOOKUP,
    "testing": VALUES,
    "audit": {"resolver", "config", "migrate"} | LISTS,
    "monitor": {"policyd", "resolver", "lookup"} | LOOKUP,
    "web": {"doctor", "monitor", "policyd", "resolver", "lookup"} | LOOKUP,
    "cli": {
        "audit",
        "web",
        "monitor",
        "testing",
        "doctor",
        "migrate",
        "policyd",
        "policy",
        "resolver",
        "lookup",
    }
    | LOOKUP
    | FETCH,
    "__main__": {"cli"},
    "__init__": {"resolver", "cache", "config", "health", "zones"} | VALUES,
}

# Parsing and deciding: text or values in, values out.
NO_IO = {"model", "errors", "text", "names", "subject", "zones", "lists", "mail", "migrate", "policy"}
MAY_READ_FILES = {"zones.catalogue"}  # it loads the shipped table and a newer one
IO_MODULES = {"asyncio", "http", "pycares", "select", "selectors", "socket", "ssl", "subprocess", "threading"}
IO_CALLS = {"open", "read_text", "read_bytes", "write_text", "write_bytes", "getenv", "print", "input"}

# Packages of others that one room alone may use.
HOMES = {
    "pycares": "engine",
    "click": "cli",
    "rich": "cli",
    "dns": "testing",
    "prometheus_client": "policyd",
    "cachetools": "cache",
    "dask": "audit",
    "distributed": "audit",
    "pyarrow": "audit",
    "urllib3": "lists",
    "idna": "subject",
    "publicsuffixlist": "subject",
    "lxml": "mail",
    "starlette": "web",
    "uvicorn": "web",
    "bcrypt": "web",
}
SHARED = {("prometheus_client", "monitor"), ("prometheus_client", "web"), ("urllib3", "monitor")}
"""Rooms that use a package beside its home."""


def modules() -> Iterator[tuple[str, Path]]:
    """Every source file, with its module's name below `dnsbl`."""
    for path in sorted(PACKAGE.rglob("*.p*")):
        if path.suffix in {".py", ".pyi", ".pyx", ".pxd", ".pxi"}:
            parts = path.relative_to(PACKAGE).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts), path


MODULES = list(modules())
KNOWN = {name for name, _ in MODULES}


def imports(name: str, path: Path) -> set[str]:
    """Every module that a file imports, anywhere in it, by its full name."""
    if path.suffix in {".pyx", ".pxd", ".pxi"}:
        return set(cython_imports(path.read_text()))
    found: set[str] = set()
    package = ["dnsbl", *name.split(".")]
    if path.name != "__init__.py":
        package.pop()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            found |= {from_module(source, alias.name) for alias in node.names}
    return found


def from_module(source: str, name: str) -> str:
    """What `from source import name` imports: the module of that name if there is one, else `source`."""
    inner = f"{source}.{name}"
    return inner if inner.removeprefix("dnsbl.") in KNOWN and inner.startswith("dnsbl.") else source


def cython_imports(text: str) -> Iterator[str]:
    for source, names in re.findall(r"^\s*from\s+([\w.]+)\s+c?import\s+([^#\n]+)", text, re.MULTILINE):
        yield from (
            from_module(source, name.split()[0]) for name in names.strip("() ").split(",") if name.strip()
        )
    for names in re.findall(r"^\s*c?import\s+([^#\n]+)", text, re.MULTILINE):
        yield from (name.split()[0] for name in names.split(","))


def room(name: str) -> str | None:
    """The room of a module below `dnsbl`."""
    fitting = [known for known in ARROWS if name == known or name.startswith(known + ".")]
    return max(fitting, key=len, default=None)


def test_every_module_has_a_room() -> None:
    assert [name for name in KNOWN if room(name) is None] == []


@pytest.mark.parametrize(
    ("name", "path"), MODULES, ids=[str(path.relative_to(PACKAGE)) for _, path in MODULES]
)
def test_imports_point_one_way(name: str, path: Path) -> None:
    here = room(name)
    assert here is not None
    wrong = set()
    for target in imports(name, path):
        if target.split(".")[0] == "dnsbl":
            there = room(target.removeprefix("dnsbl").removeprefix(".") or "__init__")
            if there != here and there not in ARROWS[here]:
                wrong.add(target)
        else:
            package, top = target.split(".")[0], here.split(".")[0]
            if HOMES.get(package, top) != top and (package, top) not in SHARED:
                wrong.add(target)
    assert wrong == set(), f"{path.name} may not import these"


def test_the_table_has_no_circle() -> None:
    """Follow the arrows from each room; coming back to it would make the table itself no order."""
    for start in ARROWS:
        seen: set[str] = set()
        todo = ARROWS[start] - {start}
        while todo:
            seen |= todo
            todo = set().union(*(ARROWS[name] for name in todo)) - seen
        assert start not in seen


@pytest.mark.parametrize("name", sorted(name for name in KNOWN if room(name) in NO_IO))
def test_parsing_and_deciding_do_no_io(name: str) -> None:
    for path in [path for known, path in MODULES if known == name and path.suffix == ".py"]:
        outside = {target.split(".")[0] for target in imports(name, path)}
        assert outside & IO_MODULES == set()
        calls = {
            getattr(node.func, "id", getattr(node.func, "attr", ""))
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Call)
        }
        assert name in MAY_READ_FILES or calls & IO_CALLS == set()


def test_c_is_declared_in_the_gates_alone() -> None:
    """What src_c offers is declared in capi.pxd; `_qname.pyx` stands alone, without the engine."""
    gates = {path.name for _, path in MODULES if "cdef extern from" in path.read_text()}
    assert gates == {"capi.pxd", "_qname.pyx"}


@pytest.mark.parametrize(
    ("module", "never"),
    [
        (
            "dnsbl",
            ["pycares", "asyncio", "click", "rich", "idna", "publicsuffixlist", "dns", "email", "lxml"],
        ),
        ("dnsbl.cli", ["pycares", "asyncio", "rich", "importlib.metadata"]),
        ("dnsbl.testing", ["dns", "pytest"]),
    ],
)
def test_an_import_stays_cheap(module: str, never: list[str]) -> None:
    code = f"import sys, {module}; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    )
    assert set(never) & set(loaded.stdout.split()) == set()
