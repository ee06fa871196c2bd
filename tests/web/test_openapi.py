"""The OpenAPI description against the server: what schemathesis makes of it, a bounded and seeded number of calls."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support.webserver import Serve

from dnsbl.web.openapi import description


def test_every_path_is_described(web: Serve) -> None:
    described = web.json("/openapi.json")
    assert described == json.loads(json.dumps(description(10_000)))
    assert {path.partition("{")[0] for path in described["paths"]} == {
        "/check/", "/check", "/answers/", "/zones", "/doctor", "/watched", "/statistics", "/metrics", "/probe",
        "/authz", "/healthz",
    }  # fmt: skip


@pytest.mark.timeout(300)  # a second or two of work, on a machine that does much else
def test_schemathesis_finds_nothing(web: Serve, tmp_path: Path) -> None:
    """In a process of its own: it sets up a test runner with settings of its own."""
    checks = (
        "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,"
        "response_schema_conformance,unsupported_method"
    )
    ended = subprocess.run(
        [
            sys.executable, "-m", "schemathesis.cli", "run", f"{web.url}/openapi.json", f"--checks={checks}",
            "--generation-deterministic", "--max-examples=4", "--phases=coverage,fuzzing",
            "--workers=1", "--request-timeout=30", "--no-color",
        ],
        capture_output=True, text=True, timeout=240, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout[-6_000:] + ended.stderr[-2_000:]
    assert "Traceback" not in web.log()
