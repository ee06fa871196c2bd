"""Mutation testing of src_c: does a test fail for each small fault put into it?

    python tests/c/mutants.py transport.c [FIRST-LAST]

Compares, signs, constants and truth values are changed and single statements left out, one at a time, in a copy of
the sources. First the file's own tests run, under the address sanitizer, then all others here; what survives them is
built into an extension that the engine's tests run on. What survives all is printed with its line, and the exit code
is 1 unless every survivor stands in mutants_explained.txt. A fault that makes the tests run for two minutes counts as
found.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
EXPLAINED = Path(__file__).with_name("mutants_explained.txt")
PROGRAMS = [
    "fanout", "fanout_completions", "fanout_servers", "fanout_queue", "fanout_load",
    "fanout_decides", "fanout_tells",
    "answer", "completions", "negative", "pace_window", "pace_zones", "qname", "queue",
    "front", "front_streams", "transport", "transport_sends",
]  # fmt: skip
ENGINE_TESTS = [
    f"tests/engine/test_{name}.py" for name in ("engine", "front", "cares", "engine_life", "engine_time")
]
TIMEOUT_S = 120

SWAPS = {
    "==": "!=", "!=": "==", "<": "<=", "<=": "<", ">": ">=", ">=": ">", "&&": "||", "||": "&&", "+": "-", "-": "+",
    "++": "--", "--": "++", "+=": "-=", "-=": "+=", "|=": "&=", "true": "false", "false": "true", "<<": ">>",
}  # fmt: skip
# A binary operator stands between blanks in this house; a minus sign or an address does not.
OPERATOR = re.compile(r"(?<= )(==|!=|<=|>=|<<|<|>|&&|\|\||\+=|-=|\|=|\+|-)(?= )|\+\+|--|\b(?:true|false)\b")
NOT = re.compile(r"!(?=[a-z(])")
NUMBER = re.compile(r"(?<![\w.])\d+(?![\w.])")
STATEMENT = re.compile(r"(?:\w+\([^;{}]*\)|[\w\->.\[\]*]+(?: [|+-]?= [^;]+|\+\+|--)|continue|break|return);$")


def mutants(source: str) -> Iterator[tuple[str, str]]:
    """Each fault: its line and what it became, and the source with it."""
    lines = source.splitlines(keepends=True)
    comment = False
    for at, line in enumerate(lines):
        text = line.strip()
        comment = comment or text.startswith("/*")
        ends_comment = "*/" in text
        if (
            not comment
            and line.startswith("    ")
            and not text.startswith(("case ", "static_assert", "enum "))
        ):
            for new in changed(line.split("/*")[0]):
                became = new.strip() or "(left out)"
                yield f"{text} -> {became}", "".join([*lines[:at], new.rstrip() + "\n", *lines[at + 1 :]])
        comment = comment and not ends_comment


def changed(line: str) -> Iterator[str]:
    for found in OPERATOR.finditer(line):
        yield line[: found.start()] + SWAPS[found[0]] + line[found.end() :]
    for found in NOT.finditer(line):
        yield line[: found.start()] + line[found.end() :]
    for found in NUMBER.finditer(line):
        yield line[: found.start()] + str(int(found[0]) + 1) + line[found.end() :]
    text = line.strip()
    if STATEMENT.fullmatch(text):
        yield line[: len(line) - len(line.lstrip())] + ";"


def start(command: list[str], place: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        cwd=place,
        env={**os.environ, "PYTHONPATH": str(place)},
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def passes(place: Path, *commands: list[str]) -> bool:
    """Whether all of them, run at once, end well and in time. What still runs when one has failed is ended."""
    running = [start(command, place) for command in commands]
    end_s = time.monotonic() + TIMEOUT_S
    good = True
    while good and any(child.poll() is None for child in running):
        good = time.monotonic() < end_s and not any(child.poll() for child in running)
        time.sleep(0.02)
    for child in running:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
        good = child.wait() == 0 and good
    return good


def passes_programs(place: Path, names: list[str]) -> bool:
    programs = [f"build/asan/test_{name}" for name in names]
    return passes(place, ["make", "-s", "-j", "4", "-C", "tests/c", *programs]) and passes(
        place, *([f"tests/c/{program}"] for program in programs)
    )


def survives(place: Path, name: str) -> bool:
    own = [program for program in PROGRAMS if program.split("_")[0] == Path(name).stem]
    return (
        (not own or passes_programs(place, own))
        and passes_programs(place, [program for program in PROGRAMS if program not in own])
        and passes(place, [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace"])
        and passes(
            place, [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *ENGINE_TESTS]
        )
    )


def main() -> None:
    name = sys.argv[1]
    first, _, last = sys.argv[2].partition("-") if len(sys.argv) > 2 else ("0", "", "100000")
    explained = {line.partition("  # ")[0] for line in EXPLAINED.read_text().splitlines()}
    source = (ROOT / "src_c" / name).read_text()
    count = unexplained = 0
    with tempfile.TemporaryDirectory() as made:
        place = Path(made)
        for part in ("dnsbl", "src_c", "tests"):
            shutil.copytree(ROOT / part, place / part, ignore=shutil.ignore_patterns("__pycache__", "build"))
        for part in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(ROOT / part, place)
        if not survives(place, name):
            sys.exit(f"{name}: its tests fail without a fault")
        for number, (what, text) in enumerate(mutants(source)):
            if not int(first) <= number <= int(last or first):
                continue
            count += 1
            (place / "src_c" / name).write_text(text)
            if survives(place, name):
                known = f"{name}: {what}" in explained
                unexplained += not known
                print(f"{'explained' if known else 'SURVIVES'} {name} [{number}]: {what}", flush=True)
    print(f"{name}: {count} faults, {unexplained} survive unexplained", flush=True)
    sys.exit(unexplained > 0)


if __name__ == "__main__":
    main()
