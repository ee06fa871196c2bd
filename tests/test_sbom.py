"""`make sbom` lists what an installation holds, each with its version."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_the_bill_of_materials_names_every_dependency(tmp_path: Path) -> None:
    path = tmp_path / "sbom.json"
    subprocess.run([sys.executable, ROOT / ".ci" / "sbom", path], check=True, cwd=tmp_path, timeout=60)
    made = json.loads(path.read_text())
    assert (made["bomFormat"], made["specVersion"]) == ("CycloneDX", "1.5")
    listed = {each["name"]: each for each in made["components"]}
    required = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    names = {re.split(r"[<>=]", text, maxsplit=1)[0].lower() for text in required}
    assert names - set(listed) == set()
    assert "c-ares" in listed
    assert all(each["version"] and each["purl"].endswith(each["version"]) for each in made["components"])
