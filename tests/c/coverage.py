"""Which lines of src_c the tests run: gcov's data of several builds, added up.

    python tests/c/coverage.py DIRECTORY... [--least PERCENT]

DIRECTORY: where a build left .gcda and .gcno files. Prints each file's share and the lines that no test runs; the exit
code is 1 if the share of all files together is less than PERCENT.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

Lines = dict[str, dict[int, int]]


def read(directory: Path, lines: Lines) -> None:
    """Add what one build ran, by file and line."""
    for data in sorted(directory.resolve().rglob("*.gcda")):
        command = ["gcov", "--json-format", "--stdout", str(data)]
        done = subprocess.run(command, cwd=data.parent, capture_output=True, text=True, check=False)
        if "stamp mismatch" in done.stderr:
            continue  # qname.c, which both extensions compile in one place: its own test counts it
        if done.returncode:
            sys.exit(done.stderr.strip())
        for text in filter(None, done.stdout.splitlines()):
            for each in json.loads(text)["files"]:
                name = Path(each["file"])
                if name.parent.name == "src_c" and name.suffix == ".c":
                    of_file = lines[name.name]
                    for line in each["lines"]:
                        number = line["line_number"]
                        of_file[number] = of_file.get(number, 0) + line["count"]


def in_ranges(numbers: list[int]) -> str:
    """Lines as `12, 20-23`."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in spans)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("directories", nargs="+", type=Path)
    parser.add_argument("--least", type=float, default=0.0)
    given = parser.parse_args()
    lines: Lines = defaultdict(dict)
    for directory in given.directories:
        read(directory, lines)
    ran = sum(count > 0 for of_file in lines.values() for count in of_file.values())
    total = sum(map(len, lines.values()))
    for name, of_file in sorted(lines.items()):
        missed = sorted(number for number, count in of_file.items() if not count)
        share = 100 * (1 - len(missed) / len(of_file))
        print(f"src_c/{name:<14} {share:5.1f} %{'   not run: ' + in_ranges(missed) if missed else ''}")
    percent = 100 * ran / total if total else 0.0
    print(f"{ran} of {total} lines, {percent:.1f} %; at least {given.least:g} % are wanted")
    sys.exit(percent < given.least)


if __name__ == "__main__":
    main()
