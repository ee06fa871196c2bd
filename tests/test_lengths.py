"""No file is longer than 400 lines, no function longer than 40: what is longer is hard to take in at once."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TREE = Path(__file__).parents[1]
FILE_LINES = 400
FUNCTION_LINES = 40

PYTHON = sorted((TREE / "dnsbl").rglob("*.py"))
CYTHON = sorted(
    path for path in (TREE / "dnsbl").rglob("*.p[yx]*") if path.suffix in (".pyx", ".pxi", ".pxd")
)
C = sorted((TREE / "src_c").glob("*.[ch]"))


def test_files_are_found() -> None:
    assert len(PYTHON) > 100
    assert len(CYTHON) >= 5
    assert len(C) > 15


@pytest.mark.parametrize("paths", [PYTHON, CYTHON, C], ids=["python", "cython", "c"])
def test_no_file_is_too_long(paths: list[Path]) -> None:
    """Counts every line."""
    lengths = {str(path.relative_to(TREE)): len(path.read_text().splitlines()) for path in paths}
    assert {path: lines for path, lines in lengths.items() if lines > FILE_LINES} == {}


def test_no_function_of_python_is_too_long() -> None:
    """A docstring is not counted: it is read instead of the function."""
    found = {
        f"{path.relative_to(TREE)}: {name}": lines
        for path in PYTHON
        for name, lines in functions_of_python(path.read_text())
        if lines > FUNCTION_LINES
    }
    assert found == {}


def test_no_function_of_c_is_too_long() -> None:
    """Counted from its brace to its end."""
    found = {
        f"{path.name}:{at}": lines
        for path in C
        for at, lines in functions_of_c(path.read_text())
        if lines > FUNCTION_LINES
    }
    assert found == {}


def test_long_functions_would_be_seen() -> None:
    body = "    x = 1\n" * 40
    assert list(functions_of_python(f'def f():\n    """One.\n\n    Two."""\n{body}')) == [("f", 41)]
    assert list(functions_of_python("class C:\n    async def g(\n        self,\n    ): x = 1\n")) == [
        ("g", 3)
    ]
    assert list(functions_of_c("int f(void)\n{\n" + body + "}\n\nint g(void) {\n}\n")) == [(2, 42), (45, 2)]


def functions_of_python(source: str) -> Iterator[tuple[str, int]]:
    """The name and the lines of each function, from `def` to its end."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        assert node.end_lineno is not None
        lines = node.end_lineno - node.lineno + 1
        if ast.get_docstring(node) is not None:
            first = node.body[0]
            assert first.end_lineno is not None
            lines -= first.end_lineno - first.lineno + 1
        yield node.name, lines


def functions_of_c(source: str) -> Iterator[tuple[int, int]]:
    """The line and the lines of each function: from the brace that begins it to the one that ends it."""
    begun = None
    for number, line in enumerate(source.splitlines(), 1):
        if line == "{" or (line.endswith(") {") and not line.startswith(" ")):
            begun = number
        elif line == "}" and begun is not None:
            yield begun, number - begun + 1
            begun = None
