"""`dnsbl doctor` against the loopback server: what it finds, what it asks, how it ends."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from dnsbl.cli import main
from dnsbl.testing import DnsblServer, delay, parked, rcode, silence, stripped, wildcard

DEFAULT = {
    "zen.spamhaus.org": 4,  # IPv4 and IPv6, two test entries each
    "dbl.spamhaus.org": 2,
    "bl.spamcop.net": 2,
    "psbl.surriel.com": 2,
}
KEY = "s3cr3tkey0123456789abcdef"


class Ended(NamedTuple):
    code: int
    out: str
    err: str

    def json(self) -> dict[str, Any]:
        (line,) = self.out.splitlines()
        found: dict[str, Any] = json.loads(line)
        return found

    def remedy(self, about: str) -> str:
        """What is to be done about what the one finding about `about` says."""
        lines = self.out.splitlines()
        (at,) = [at for at, line in enumerate(lines) if line.startswith(f"  {about}: ")]
        assert lines[at + 1].startswith("    do: ")
        return lines[at + 1].removeprefix("    do: ")


Doctor = Callable[..., Ended]


@pytest.fixture
def doctor(
    dnsbl_server: DnsblServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Doctor:
    """`dnsbl doctor ARGS...`, asking the loopback server, which has the curated zones, all sound."""
    monkeypatch.delenv("DNSBL_CONFIG", raising=False)
    for name in DEFAULT:
        dnsbl_server.zone(name, ["domain"] if name.startswith("dbl") else ["ip4", "ip6"])
    dnsbl_server.zone("dbl.spamhaus.org").list("dbltest.com", codes=["127.0.1.2"])

    def run(*args: str) -> Ended:
        code = main(["doctor", "--nameserver", dnsbl_server.nameserver, *args])
        return Ended(code, *capsys.readouterr())

    return run


@pytest.fixture
def config(tmp_path: Path) -> Callable[[str], str]:
    """Writes a dnsbl.toml and gives the option that names it."""

    def write(text: str) -> str:
        path = tmp_path / "dnsbl.toml"
        path.write_text(text)
        return f"--config={path}"

    return write


# ---- healthy ----


def test_the_curated_zones_are_healthy(doctor: Doctor, dnsbl_server: DnsblServer) -> None:
    ended = doctor()
    assert (ended.code, ended.err) == (0, "")
    lines = ended.out.splitlines()
    assert lines[0] == f"nameserver {dnsbl_server.nameserver}"
    assert lines[-1] == "healthy"
    for name, queries in DEFAULT.items():
        (row,) = [line for line in lines if line.startswith(f"  {name} ")]
        assert row.split()[1] == "healthy"
        assert 0 < float(row.split()[2]) < 1000
        # Nothing but the test entries, and none twice, not for the latency either.
        assert dnsbl_server.count(zone=name) == queries
    assert "4 of 300,000 a day" in ended.out
    assert "non-commercial" in ended.out
    assert dnsbl_server.count() == sum(DEFAULT.values())


def test_only_the_zones_given_are_asked(doctor: Doctor, dnsbl_server: DnsblServer) -> None:
    dnsbl_server.zone("bl.example.com")
    ended = doctor("-z", "bl.example.com=127.0.0.[2..11]*3")
    assert ended.code == 0
    assert dnsbl_server.count(zone="bl.example.com") == dnsbl_server.count() == 4
    assert "not in the catalogue" in ended.out


def test_json_is_one_object_on_one_line(doctor: Doctor, dnsbl_server: DnsblServer) -> None:
    ended = doctor("--json")
    assert (ended.code, ended.err) == (0, "")
    told = ended.json()
    assert told["healthy"] is True
    assert told["findings"] == []
    assert told["nameservers"] == [{"nameserver": dnsbl_server.nameserver, "public": None}]
    assert [zone["zone"] for zone in told["zones"]] == list(DEFAULT)
    zen = told["zones"][0]
    assert (zen["state"], zen["broken"], zen["hint"]) == ("healthy", False, "")
    assert zen["latency_ms"] == max(answer["latency_ms"] for answer in zen["answers"])
    assert zen["budget"] == {"queries_today": 4, "daily_limit": 300000, "state": "ok"}
    assert zen["terms"]["public_resolvers"] == "refused"
    assert zen["terms"]["non_commercial"] is True


def test_the_latency_is_the_answers_own(doctor: Doctor, dnsbl_server: DnsblServer) -> None:
    dnsbl_server.zone("psbl.surriel.com").fault(delay(0.1))
    (zone,) = doctor("--json", "-z", "psbl.surriel.com").json()["zones"]
    assert 100 <= zone["latency_ms"] < 1000
    assert dnsbl_server.count() == 2


# ---- sick zones ----


@pytest.mark.parametrize(
    ("fault", "state", "remedy"),
    [
        (parked(), "parked", "take the zone out"),
        (wildcard(), "wildcarded", "take the zone out"),
        (stripped(), "stripped", "private-domain"),
        (rcode("REFUSED"), "refused", "your own recursive resolver"),
        (wildcard("127.255.255.254"), "refused", "use zen.dq.spamhaus.net"),
        (rcode("SERVFAIL"), "no answer", "the nameserver"),
    ],
)
def test_a_sick_zone_is_a_finding_with_a_remedy(
    doctor: Doctor, dnsbl_server: DnsblServer, fault: Any, state: str, remedy: str
) -> None:
    dnsbl_server.zone("zen.spamhaus.org").fault(fault)
    ended = doctor()
    assert (ended.code, ended.err) == (1, "")
    (row,) = [line for line in ended.out.splitlines() if line.startswith("  zen.spamhaus.org  ")]
    assert row.split("  ")[2].strip() == state
    assert remedy in ended.remedy("zen.spamhaus.org")
    assert f"  zen.spamhaus.org: {state}: " in ended.out


def test_zones_that_fail_alike_share_a_finding(doctor: Doctor, dnsbl_server: DnsblServer) -> None:
    for name in ("bl.spamcop.net", "psbl.surriel.com"):
        dnsbl_server.zone(name).fault(stripped())
    findings = doctor("--json").json()["findings"]
    assert [finding["about"] for finding in findings] == ["bl.spamcop.net, psbl.surriel.com"]


def test_a_list_that_wants_to_know_its_users_says_so_first(doctor: Doctor, dnsbl_server: DnsblServer) -> None:
    dnsbl_server.zone("b.barracudacentral.org").fault(rcode("REFUSED"))
    ended = doctor("-z", "b.barracudacentral.org")
    assert ended.remedy("b.barracudacentral.org").startswith("register the address of your resolver")


def test_who_has_a_key_is_not_told_to_get_one(
    doctor: Doctor, dnsbl_server: DnsblServer, config: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIST_KEY", KEY)
    dnsbl_server.zone(f"{KEY}.zen.dq.spamhaus.net")
    ended = doctor(config('[[zone]]\nname = "zen.dq.spamhaus.net"\nkey_env = "LIST_KEY"'))
    assert ended.code == 0
    assert "A free key" in ended.out
    assert "get a key" not in ended.out


def test_a_silent_nameserver_is_one_finding(doctor: Doctor, dnsbl_server: DnsblServer) -> None:
    dnsbl_server.fault(silence())
    ended = doctor("--deadline", "0.3")
    assert ended.code == 1
    assert ended.out.count("    do: ") == 1
    assert "check that it runs" in ended.remedy(dnsbl_server.nameserver)


def test_one_silent_zone_is_that_zones_own(doctor: Doctor, dnsbl_server: DnsblServer) -> None:
    dnsbl_server.zone("psbl.surriel.com").fault(silence())
    ended = doctor("--deadline", "0.3")
    assert "operator's page" in ended.remedy("psbl.surriel.com")
    assert ended.out.count("    do: ") == 1


# ---- zones that should not be there ----


def test_a_redundant_zone(doctor: Doctor, dnsbl_server: DnsblServer) -> None:
    dnsbl_server.zone("sbl.spamhaus.org")
    ended = doctor("-z", "sbl.spamhaus.org", "-z", "zen.spamhaus.org")
    assert ended.code == 1
    assert ended.remedy("sbl.spamhaus.org") == "take sbl.spamhaus.org out"


def test_a_dead_zone_is_explained_and_not_asked(doctor: Doctor, dnsbl_server: DnsblServer) -> None:
    ended = doctor("-z", "cbl.abuseat.org", "-z", "zen.spamhaus.org", "-z", "dul.dnsbl.sorbs.net=127.0.0.10")
    assert ended.code == 1
    assert ended.remedy("cbl.abuseat.org") == "use zen.spamhaus.org instead"
    assert ended.remedy("dul.dnsbl.sorbs.net") == "use zen.spamhaus.org instead"
    assert "retired since 2024-06-05" in ended.out
    assert dnsbl_server.count() == dnsbl_server.count(zone="zen.spamhaus.org") == 4


def test_a_dead_zone_in_the_configuration(
    doctor: Doctor, dnsbl_server: DnsblServer, config: Callable[[str], str]
) -> None:
    zones = '[[zone]]\nname = "ix.dnsbl.manitu.net"\n[[zone]]\nname = "zen.spamhaus.org"\n'
    ended = doctor(config(zones))
    assert ended.code == 1
    assert ended.remedy("ix.dnsbl.manitu.net") == "use zen.spamhaus.org instead"
    assert dnsbl_server.count() == dnsbl_server.count(zone="zen.spamhaus.org") == 4


def test_only_dead_zones_leave_nobody_to_ask(doctor: Doctor, dnsbl_server: DnsblServer) -> None:
    ended = doctor("-z", "cbl.abuseat.org")
    assert (ended.code, dnsbl_server.count()) == (1, 0)


def test_a_list_that_charges_is_a_finding_unless_allowed(
    doctor: Doctor, dnsbl_server: DnsblServer, config: Callable[[str], str]
) -> None:
    dnsbl_server.zone("dnsbl-1.uceprotect.net", ["ip4"])
    zone = '[[zone]]\nname = "dnsbl-1.uceprotect.net"\nsubjects = ["ip4"]\n'
    ended = doctor(config(zone))
    assert ended.code == 1
    assert "charges for delisting" in ended.out
    assert ended.remedy("configuration") == "leave it out, or name it in allow"
    assert doctor(config('[resolver]\nallow = ["dnsbl-1.uceprotect.net"]\n' + zone)).code == 0


def test_more_than_six_zones(doctor: Doctor, dnsbl_server: DnsblServer) -> None:
    names = [f"bl{number}.example.com" for number in range(7)]
    for name in names:
        dnsbl_server.zone(name)
    ended = doctor(*(f"-z{name}" for name in names))
    assert (ended.code, ended.remedy("configuration")) == (1, "leave the weakest out, or name them in allow")


# ---- the configuration ----


def test_a_rule_that_no_score_can_reach(doctor: Doctor, config: Callable[[str], str]) -> None:
    text = '[[zone]]\nname = "zen.spamhaus.org"\nreply = "127.0.0.[2..11]"\nweight = 2\n[[policy.rule]]\n'
    text += 'authenticated = true\naction = "DUNNO"\n[[policy.rule]]\n'
    ended = doctor(config(text + 'score = ">=3"\naction = "REJECT listed"'))
    assert ended.code == 1
    assert "score >=3 can never be: all zones together give 0 to 2" in ended.out
    assert "change" in ended.remedy("policy rule 2")
    assert doctor(config(text + 'score = ">=2"\naction = "REJECT listed"')).code == 0


def test_a_mistake_in_the_configuration_is_a_finding(
    doctor: Doctor, dnsbl_server: DnsblServer, config: Callable[[str], str]
) -> None:
    ended = doctor(config('[resolver]\nnameserver = ["127.0.0.1"]'))
    assert (ended.code, ended.err, dnsbl_server.count()) == (1, "", 0)
    assert "dnsbl.toml:2" in ended.out
    assert ended.out.count("    do: ") == 1


def test_a_mistake_in_the_policy_is_a_finding_and_zones_are_still_examined(
    doctor: Doctor, dnsbl_server: DnsblServer, config: Callable[[str], str]
) -> None:
    ended = doctor(config('[policy]\nlissen = ["127.0.0.1:10040"]'))
    assert ended.code == 1
    assert "lissen" in ended.out
    assert dnsbl_server.count() == sum(DEFAULT.values())


def test_a_zone_may_have_nameservers_of_its_own(
    doctor: Doctor, dnsbl_server: DnsblServer, config: Callable[[str], str]
) -> None:
    with DnsblServer(zones=["own.example.com"]) as other:
        zone = f'[[zone]]\nname = "own.example.com"\nnameservers = ["{other.nameserver}"]\n'
        told = doctor(config(f'{zone}[[zone]]\nname = "psbl.surriel.com"'), "--json").json()
        assert other.count() == 4
    assert told["healthy"] is True
    assert told["zones"][0]["nameservers"] == [other.nameserver]
    assert {server["nameserver"] for server in told["nameservers"]} == {
        other.nameserver,
        dnsbl_server.nameserver,
    }


@pytest.mark.parametrize("right", [True, False])
def test_a_wrong_key_is_found_and_no_key_is_shown(
    doctor: Doctor,
    dnsbl_server: DnsblServer,
    config: Callable[[str], str],
    monkeypatch: pytest.MonkeyPatch,
    right: bool,
) -> None:
    monkeypatch.setenv("DQS_KEY", KEY)
    keyed = dnsbl_server.zone(f"{KEY}.zen.dq.spamhaus.net")
    if not right:
        keyed.fault(wildcard("127.255.255.251"))
    path = config('[[zone]]\nname = "zen.dq.spamhaus.net"\nkey_env = "DQS_KEY"')
    for ended in (doctor(path), doctor(path, "--json")):
        assert ended.code == (0 if right else 1)
        assert KEY not in ended.out + ended.err
        assert ("key_file or key_env" in ended.out) == (not right)
    assert dnsbl_server.count(zone=f"{KEY}.zen.dq.spamhaus.net") == 8


# ---- usage ----


@pytest.mark.parametrize(
    "args",
    [
        ["--nonsense"],
        ["surplus"],
        ["-z", "bl example"],
        ["-z", "bl.example.com=127.0.0"],
        ["--nameserver", "ns.example.com"],
        ["--deadline", "soon"],
        ["--deadline", "0"],
        ["--config", "/nonexistent/dnsbl.toml"],
        ["-z", "zen.dq.spamhaus.net"],  # needs a key
    ],
)
def test_bad_usage_is_one_line_and_2(doctor: Doctor, dnsbl_server: DnsblServer, args: list[str]) -> None:
    ended = doctor(*args)
    assert (ended.code, ended.out, dnsbl_server.count()) == (2, "", 0)
    assert ended.err.startswith("dnsbl: ")
    assert ended.err.count("\n") == 1


def test_the_help_tells_the_deadline_of_the_whole(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--help"]) == 0
    assert "[default: 5.0]" in capsys.readouterr().out


def test_on_a_terminal_it_draws_a_table(doctor: Doctor, dnsbl_server: DnsblServer) -> None:
    ours, theirs = pty.openpty()
    args = [sys.executable, "-m", "dnsbl", "doctor", "--nameserver", dnsbl_server.nameserver]
    env = os.environ | {"DNSBL_CONFIG": "", "TERM": "xterm-256color", "COLUMNS": "100"}
    process = subprocess.Popen(args, stdin=subprocess.DEVNULL, stdout=theirs, env=env)
    os.close(theirs)
    out = b""
    while piece := _read_terminal(ours):
        out += piece
    os.close(ours)
    assert process.wait(timeout=10) == 0
    assert "┃" in out.decode()
    assert out.decode().splitlines()[-1] == "healthy"
    assert len(out.splitlines()) < 50  # one screen


def _read_terminal(fd: int) -> bytes:
    try:
        return os.read(fd, 65536)
    except OSError:  # Linux says EIO where others say end of file
        return b""


# ---- single nameservers, and filters ----


@pytest.mark.parametrize(("fault", "says"), [(silence(), "no answer"), (rcode("REFUSED"), "answers REFUSED")])
def test_one_bad_nameserver_of_two_is_named(
    doctor: Doctor, dnsbl_server: DnsblServer, fault: Any, says: str
) -> None:
    """L8: the sound one hides it; each lookup waits for it first."""
    with DnsblServer(zones=["zen.spamhaus.org"]) as bad:
        bad.fault(fault)
        ended = doctor("--nameserver", bad.nameserver, "--zone=zen.spamhaus.org")
    assert ended.code == 1
    assert f"  {bad.nameserver}: " in ended.out
    assert says in ended.out
    assert f"  {dnsbl_server.nameserver}: " not in ended.out


def test_two_sound_nameservers_are_healthy(doctor: Doctor) -> None:
    with DnsblServer(zones=["zen.spamhaus.org"]) as other:
        ended = doctor("--nameserver", other.nameserver, "--zone=zen.spamhaus.org")
    assert ended.code == 0


@pytest.mark.parametrize(
    ("zone", "is_found"),
    [
        ("dbl.spamhaus.org=127.0.0.[2..11]", True),
        ("dbl.spamhaus.org=127.0.1.[2..99]", False),
        ("zen.spamhaus.org=127.0.1.2", True),
        ("zen.spamhaus.org=127.0.0.[2;250]", False),
        ("multi.uribl.com=127.0.0.2", False),
    ],
)
def test_a_filter_that_takes_none_of_the_codes_is_found(doctor: Doctor, zone: str, is_found: bool) -> None:
    """L8."""
    ended = doctor(f"--zone={zone}", "--deadline=2")
    assert ("takes none of its codes" in ended.out) is is_found


def test_the_garbage_of_one_list_blames_no_other(doctor: Doctor, dnsbl_server: DnsblServer) -> None:
    """L8: the garbage comes first."""
    dnsbl_server.zone("psbl.surriel.com").fault(parked())
    ended = doctor("--json", "--zone=psbl.surriel.com", "--zone=zen.spamhaus.org", "--zone=bl.spamcop.net")
    states = {zone["zone"]: zone["state"] for zone in ended.json()["zones"]}
    assert states["zen.spamhaus.org"] == states["bl.spamcop.net"] == "healthy"
    assert states["psbl.surriel.com"] != "healthy"
