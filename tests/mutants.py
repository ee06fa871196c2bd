"""Mutation testing of what decides: does a test fail for each small fault put into a module?

    python tests/mutants.py                       every module of TESTS (an hour or so)
    python tests/mutants.py dnsbl/policy/rules.py [FIRST-LAST]

One fault at a time is put into a copy of the package, and the module's tests are run on it. What survives is
printed with its line, and the exit code is 1 unless every survivor stands in mutants_explained.txt: those change
nothing that can be seen. A fault that makes a test run for more than 60 s counts as found.
"""

from __future__ import annotations

import ast
import copy
import importlib
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from compileall import compile_dir
from importlib.util import cache_from_source
from pathlib import Path
from sysconfig import get_path

import pytest
from hypothesis import Phase, settings

ROOT = Path(__file__).parent.parent
EXPLAINED = Path(__file__).with_name("mutants_explained.txt")
_OF_RULES = [f"policy/test_{name}.py" for name in ("rules", "decisions", "sources", "early")]
TESTS = {
    "dnsbl/policy/protocol.py": ["policy/test_protocol.py", "policy/test_decisions.py"],
    "dnsbl/policy/rules.py": _OF_RULES,
    "dnsbl/policy/conditions.py": [*_OF_RULES, "policy/test_patterns.py"],
    "dnsbl/policy/actions.py": ["policy/test_actions.py", "policy/test_decisions.py"],
    "dnsbl/subject/domain.py": ["subject/test_domain.py"],
    "dnsbl/zones/interpret.py": ["zones/test_interpret.py"],
    "dnsbl/zones/replyfilter.py": ["zones/test_replyfilter.py"],
    "dnsbl/mail/received.py": ["mail/test_received.py"],
    "dnsbl/health/breaker.py": ["health/test_breaker_exact.py", "health/test_breaker.py"],
    "dnsbl/health/budget.py": ["health/test_budget.py"],
    "dnsbl/cache/entry.py": ["cache/test_entry.py"],
    "dnsbl/cache/answers.py": ["cache/test_answers_exact.py"],
    "dnsbl/cache/file.py": [
        *("cache/test_file_exact.py", "cache/test_cachefile.py", "cache/test_cachefile_hostile.py"),
    ],
}
TIMEOUT_S = 60
LOADED = "loaded"
"""The file in which a child leaves what it imported."""
OPTIONS = [
    *("-x", "-q", "-p", "no:cacheprovider", "--assert=plain"),
    *(f"--rootdir={ROOT}", "-c", str(ROOT / "pyproject.toml")),
]

SWAPS: dict[type, type] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.And: ast.Or, ast.Or: ast.And,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.LShift: ast.RShift, ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.Break: ast.Continue, ast.Continue: ast.Break,
}  # fmt: skip
NAMES = {"all": "any", "any": "all", "min": "max", "max": "min"}


def changed(node: ast.AST) -> Iterator[ast.AST]:
    """The node with one fault in it, each way there is."""
    other = copy.copy(node)
    match node:
        case ast.Compare(ops=[op, *rest]) if type(op) in SWAPS:
            other.ops = [SWAPS[type(op)](), *rest]  # type: ignore[attr-defined]
            yield other
        case ast.BoolOp(op=op) | ast.BinOp(op=op) | ast.AugAssign(op=op) if type(op) in SWAPS:
            other.op = SWAPS[type(op)]()  # type: ignore[attr-defined]
            yield other
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield operand
        case ast.Constant(value=bool(value)):
            yield ast.Constant(not value)
        case ast.Constant(value=int(value) | float(value)):
            yield ast.Constant(value + 1)
        case ast.Call(func=ast.Name(id=name)) if name in NAMES:
            other.func = ast.Name(NAMES[name], ast.Load())  # type: ignore[attr-defined]
            yield other
        case ast.If(test=test) | ast.While(test=test) | ast.IfExp(test=test):
            other.test = ast.UnaryOp(ast.Not(), test)  # type: ignore[attr-defined]
            yield other
        case ast.Break() | ast.Continue():
            yield SWAPS[type(node)]()
        case ast.Return(value=ast.expr() as value) if not (
            isinstance(value, ast.Constant) and not value.value
        ):
            yield ast.Return(ast.Constant(None))


def replaced(tree: ast.AST, place: tuple[ast.AST, str, int | None], new: ast.AST) -> str:
    """The source of the tree with another node at a place."""
    parent, name, at = place
    held = getattr(parent, name)
    value = new if at is None else [*held[:at], new, *held[at + 1 :]]
    setattr(parent, name, value)
    text = ast.unparse(ast.fix_missing_locations(tree))
    setattr(parent, name, held)
    return text


def is_limit(node: ast.Assign | ast.AnnAssign) -> bool:
    """Whether it names a number: the tests use the name, and one more or less is no fault."""
    target = node.targets[0] if isinstance(node, ast.Assign) else node.target
    return (
        isinstance(target, ast.Name)
        and target.id.strip("_").isupper()
        and isinstance(node.value, ast.Constant)
    )


def places_of_types(tree: ast.AST) -> Iterator[ast.AST]:
    """What is for the type checker only."""
    for parent in ast.walk(tree):
        for name in ("annotation", "returns"):
            if (held := getattr(parent, name, None)) is not None:
                yield from ast.walk(held)
        if isinstance(parent, ast.If) and ast.unparse(parent.test) == "TYPE_CHECKING":
            yield parent


def mutants(source: str) -> Iterator[tuple[str, str]]:
    """Each fault: what it is, and the module with it."""
    tree = ast.parse(source)
    lines = source.splitlines()
    unread = set(places_of_types(tree))
    for parent in ast.walk(tree):
        if isinstance(parent, ast.Assign | ast.AnnAssign) and is_limit(parent):
            continue
        for name, held in ast.iter_fields(parent):
            for at, node in enumerate(held) if isinstance(held, list) else [(None, held)]:
                if not isinstance(node, ast.expr | ast.stmt) or node in unread:
                    continue
                for new in changed(node):
                    line = node.lineno
                    became = ast.unparse(new).splitlines()[0]
                    yield f"{lines[line - 1].strip()} -> {became}", replaced(tree, (parent, name, at), new)


def others_loaded() -> list[str]:
    """The modules in use that are neither the package's nor the tests'."""
    places = (get_path("stdlib"), get_path("platlib"))
    origins = ((name, getattr(loaded, "__file__", None)) for name, loaded in sys.modules.items())
    return [name for name, origin in origins if origin and origin.startswith(places)]


def survives(module: str, text: str, place: Path) -> bool:
    """Whether the tests of the module pass with this text. They run in a child that has pytest loaded already."""
    (place / module).write_text(text)
    child = os.fork()
    if child == 0:
        os.chdir(place)
        sys.path.insert(0, str(place))
        sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115
        settings.register_profile("mutants", max_examples=20, phases=[Phase.explicit, Phase.generate])
        settings.load_profile("mutants")
        tests = [str(ROOT / "tests" / name) for name in TESTS[module] if (ROOT / "tests" / name).exists()]
        code = int(pytest.main([*OPTIONS, *tests]))
        (place / LOADED).write_text("\n".join(others_loaded()))
        os._exit(code)
    end_s = time.monotonic() + TIMEOUT_S
    while time.monotonic() < end_s:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status == 0
        time.sleep(0.02)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


def run(module: str, chosen: range, explained: set[str]) -> int:
    """How many survive that nobody has explained."""
    source = (ROOT / module).read_text()
    unexplained = count = 0
    with tempfile.TemporaryDirectory() as made:
        place = Path(made)
        shutil.copytree(ROOT / "dnsbl", place / "dnsbl")
        for compiled in (ROOT / "tests", place / "dnsbl"):
            compile_dir(compiled, quiet=1)
        Path(cache_from_source(str(place / module))).unlink(missing_ok=True)
        passes = survives(module, source, place)
        for name in (place / LOADED).read_text().split():
            importlib.import_module(name)  # once, here, and not in each child
        if not passes or survives(module, "1 / 0", place):
            sys.exit(f"{module}: its tests fail without a fault, or are not run on this copy")
        for number, (what, text) in enumerate(mutants(source)):
            if number not in chosen:
                continue
            count += 1
            if survives(module, text, place):
                known = f"{module}: {what}" in explained
                unexplained += not known
                print(f"{'explained' if known else 'SURVIVES'} {module} [{number}]: {what}", flush=True)
    print(f"{module}: {count} faults, {unexplained} survive unexplained", flush=True)
    return unexplained


def main() -> None:
    sys.dont_write_bytecode = True
    sys.path[:] = [name for name in sys.path if name not in ("", str(ROOT))]
    modules = sys.argv[1:2] or list(TESTS)
    first, _, last = sys.argv[2].partition("-") if len(sys.argv) > 2 else ("0", "", "1000000")
    lines = EXPLAINED.read_text().splitlines() if EXPLAINED.exists() else []
    explained = {line.rpartition("  # ")[0] for line in lines}
    left = sum(run(module, range(int(first), int(last or first) + 1), explained) for module in modules)
    sys.exit(left > 0)


if __name__ == "__main__":
    main()
