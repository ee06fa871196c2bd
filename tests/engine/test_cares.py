"""c-ares as it is found in pycares: the check at import, the options, and numbers shared with C."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.asking import eventually, plan_for, wait_done

from dnsbl.engine import cares
from dnsbl.engine._engine import MAX_NAMESERVERS, MAX_ZONES, TYPE_A, TYPE_TXT, Completions, Engine
from dnsbl.model import Status
from dnsbl.testing import DnsblServer

HEADER = (Path(__file__).parents[2] / "src_c" / "fanout.h").read_text()


class Library:
    """A library that says it has this version."""

    def __init__(self, version: bytes) -> None:
        self._version = cares._FFI.new("char[]", version)

    def ares_version(self, number: object) -> object:
        return self._version


@pytest.fixture
def version(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr("pycares.__version__", "9.8.7")
    return cares._FFI.string(cares._LIB.ares_version(cares._FFI.NULL)).decode()


def test_the_installed_one_is_usable() -> None:
    cares.check()
    found = cares.addresses()
    assert set(found) == set(cares.SIGNATURES)
    assert all(found.values())
    assert len(set(found.values())) == len(found)
    assert os.path.exists(cares.library_path())


@pytest.mark.parametrize("text", [b"1.34.8", b"1.33.1", b"1.9.9", b"0.0.0", b""])
def test_too_old(monkeypatch: pytest.MonkeyPatch, version: str, text: bytes) -> None:
    monkeypatch.setattr(cares, "_LIB", Library(text))
    with pytest.raises(ImportError, match=r"c-ares 1\.34\.9 or newer") as raised:
        cares.check()
    assert f"pycares 9.8.7 with c-ares {text.decode()}" in str(raised.value)


@pytest.mark.parametrize("text", [b"1.34.9", b"1.34.10", b"1.35.0-DEV", b"2.0"])
def test_new_enough(monkeypatch: pytest.MonkeyPatch, text: bytes) -> None:
    monkeypatch.setattr(cares, "_LIB", Library(text))
    monkeypatch.setattr(cares, "SIGNATURES", {})
    cares.check()


@pytest.mark.parametrize("name", sorted(cares.SIGNATURES))
def test_a_function_with_another_signature(monkeypatch: pytest.MonkeyPatch, version: str, name: str) -> None:
    monkeypatch.setitem(cares.SIGNATURES, name, "int(*)(float)")
    with pytest.raises(ImportError) as raised:
        cares.check()
    assert f"{name} as 'int(*)(float)'" in str(raised.value)
    assert f"pycares 9.8.7 with c-ares {version}" in str(raised.value)


def test_a_missing_function(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    monkeypatch.setitem(cares.SIGNATURES, "ares_no_such_function", "int(*)(float)")
    with pytest.raises(ImportError) as raised:
        cares.check()
    assert f"ares_no_such_function, which pycares 9.8.7 with c-ares {version} does not offer" in str(
        raised.value
    )


def test_the_engine_says_so(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    monkeypatch.setitem(cares.SIGNATURES, "ares_destroy", "int(*)(float)")
    with pytest.raises(ImportError, match="needs ares_destroy"):
        Engine()


def test_a_pycares_built_otherwise() -> None:
    code = """
import sys, pycares
del pycares._cares
sys.modules["pycares._cares"] = None
try:
    import dnsbl.engine.cares
except ImportError as error:
    print(error)
"""
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True
    ).stdout
    assert re.fullmatch(r"dnsbl needs .* pycares 5\.2\S* with c-ares 1\.\S* does not have: .*\n", out)


# ---- options ----


def options_at(address: int) -> Any:
    return cares._FFI.cast("struct ares_options *", address)


def test_options() -> None:
    made = cares.Options(0, 4096)
    loopback, remote = options_at(made.loopback), options_at(made.remote)
    for options in (loopback, remote):
        assert options.flags == 1 << 4 | 1 << 5 | 1 << 7  # STAYOPEN, NOSEARCH, NOCHECKRESP
        assert (options.tries, options.qcache_max_ttl) == (1, 0)
        assert cares._FFI.string(options.lookups) == b"b"
        assert cares._FFI.string(options.resolvconf_path) == b"/dev/null"
        assert int(cares._FFI.cast("uintptr_t", options.sock_state_cb_data)) == 4096
    # ARES_OPT_FLAGS, TRIES, LOOKUPS, SOCK_STATE_CB, SOCK_RCVBUF, TIMEOUTMS, NOROTATE, RESOLVCONF, QUERY_CACHE
    common = 1 << 0 | 1 << 2 | 1 << 8 | 1 << 9 | 1 << 12 | 1 << 13 | 1 << 16 | 1 << 17 | 1 << 21
    common |= 1 << 19  # UDP_MAX_QUERIES
    assert made.optmask_loopback == made.optmask_remote == common
    assert (loopback.udp_max_queries, remote.udp_max_queries) == (500, 256)


def test_option_bits_are_those_pycares_names() -> None:
    names = [name for name in vars(cares) if name.startswith(("_FLAG_", "_OPT_"))]
    named = {name: getattr(cares._LIB, f"ARES{name}") for name in names if hasattr(cares._LIB, f"ARES{name}")}
    assert len(named) >= 10
    assert {name: getattr(cares, name) for name in named} == named


def ask_many(engine: Engine, server: DnsblServer, count: int) -> set[int]:
    """The source ports of so many queries."""
    plan = plan_for(engine, [server.nameserver])
    completions = Completions()
    for i in range(count):
        wait_done(
            completions,
            engine.submit(engine.fan(plan, bytes([10, 0, i // 250, i % 250]), [0]), completions, 5.0),
        )
    engine.retired()
    ports = {query.client_port for query in server.queries}
    assert len(server.queries) == count
    return ports


def test_source_ports_change(
    engine: Engine, dnsbl_server: DnsblServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    dnsbl_server.zone("bl.example")
    assert len(ask_many(engine, dnsbl_server, 600)) == 2  # one socket's buffer holds all its answers
    other = Engine()
    monkeypatch.setattr("dnsbl.engine._engine.is_loopback", lambda nameserver: False)
    before = len(os.listdir("/dev/fd"))
    dnsbl_server.clear()
    assert len(ask_many(other, dnsbl_server, 1100)) == 5
    # The sockets used up are closed, though c-ares alone would keep them.
    assert eventually(lambda: len(os.listdir("/dev/fd")) <= before + 1, 3.0)
    other.close()
    assert len(os.listdir("/dev/fd")) < before + 1


# ---- numbers shared with C ----


def enum_of(prefix: str) -> dict[str, int]:
    return {name: int(number) for name, number in re.findall(rf"\b{prefix}_(\w+) = (\d+)", HEADER)}


def test_statuses_are_those_of_the_header() -> None:
    assert enum_of("DNSBL_STATUS") == {status.name: status.value for status in Status}


def test_limits_are_those_of_the_header() -> None:
    limits = enum_of("DNSBL_FANOUT")
    assert (limits["MAX_QUESTIONS"], limits["MAX_SET"]) == (MAX_ZONES, MAX_NAMESERVERS)
    assert enum_of("DNSBL_TYPE") == {"A": TYPE_A, "TXT": TYPE_TXT}


def test_processing_without_c_ares_own_timeouts() -> None:
    """The wheel exports what CFFI does not declare; without it slow answers would be lost."""
    symbols = Path(cares.library_path()).read_bytes()
    for name in (b"ares_process_fds", b"ares_dns_record_get_rcode"):
        assert b"\0" + name + b"\0" in symbols
