"""The small operations that lookups and policy requests are made of, beside what others take for the same.

They stand in micro.py and are timed by pytest-benchmark; `make bench-compare` tells which became slower.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from common import HERE, table


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="dnsbl-bench-") as folder:
        figures = Path(folder) / "micro.json"
        subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(HERE / "micro.py"),
             "--benchmark-only", "--benchmark-quiet", "--benchmark-max-time=0.5", f"--benchmark-json={figures}"],
            check=True, stdout=subprocess.DEVNULL, cwd=HERE.parent,
        )  # fmt: skip
        found = json.loads(figures.read_text())["benchmarks"]
    rows = []
    for each in sorted(found, key=lambda each: str(each["group"])):
        took = each["stats"]
        name = f"{each['group']}: {each['name'].removeprefix('test_')}"
        rows.append([name, *(f"{took[figure] * 1e9:,.0f}" for figure in ("median", "min", "iqr"))])
    table(["operation", "ns, median", "least", "spread (IQR)"], rows)


if __name__ == "__main__":
    main()
