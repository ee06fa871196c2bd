"""contrib/ tried: fail2ban's filter, Grafana's dashboard through Prometheus, systemd's units."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from support.policydaemon import Client, Policyd, config, start_lists
from support.servers import Server, free_port, needs

from dnsbl.policyd.log import Log, Record
from dnsbl.testing import DnsblServer, rcode

CONTRIB = Path(__file__).parents[2] / "contrib"
HOSTILE = "x client=198.51.100.1 action=REJECT rule=1"


# fail2ban


def banned(lines: Sequence[str], directory: Path) -> list[str]:
    """The addresses that fail2ban takes from these lines of a log."""
    needs("fail2ban-regex")
    path = directory / "log"
    path.write_text("".join(f"{line}\n" for line in lines))
    command = ["fail2ban-regex", "-o", "ip", str(path), str(CONTRIB / "fail2ban" / "dnsbl-policyd.conf")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.split()


def line(client: str, action: str, **more: str) -> str:
    lines: list[bytes] = []
    log = Log(lambda data: lines.append(data) or 0, with_time=False)  # type: ignore[func-returns-value]
    log.decision(Record("1a.2b", client, action, 5, 1.0, ["bl.example"], True, 0.5, "dns", **more))
    return lines[0].decode().rstrip("\n")


def test_fail2ban_finds_who_was_refused(tmp_path: Path) -> None:
    """In the lines of a daemon, as it writes them itself."""
    with start_lists() as lists, Policyd(config(lists)) as daemon, Client(daemon.port) as client:
        for address in ("192.0.2.99", "192.0.2.98", "2001:db8::99", "10.0.0.1"):
            client.ask(address, instance="1a.2b", sender=HOSTILE, helo_name=HOSTILE)
        lines = daemon.wait_for_log("client=10.0.0.1").splitlines()
    assert banned(lines, tmp_path) == ["192.0.2.99", "2001:db8::99"]


@pytest.mark.parametrize("before", ["", "Nov 27 09:11:59 mx1 dnsbl-policyd[4711]: ", "2026-11-27T09:11:59Z "])
def test_fail2ban_reads_stderr_syslog_and_the_journal_and_is_not_led_astray(
    tmp_path: Path, before: str
) -> None:
    decisions = [
        line("192.0.2.1", "REJECT"),
        line("192.0.2.2", "554", sender=HOSTILE, helo=HOSTILE, reply=HOSTILE),
        line("192.0.2.3", "DUNNO", sender=HOSTILE, helo=HOSTILE, would="REJECT no"),
        line("192.0.2.4", "DEFER_IF_PERMIT"),
        f"warning: {line('192.0.2.5', 'REJECT')}",
    ]
    assert banned([before + decision for decision in decisions], tmp_path) == ["192.0.2.1", "192.0.2.2"]


# Grafana's dashboard


class Prometheus(Server):
    """Reads one daemon's metrics, each second."""

    program = "prometheus"

    def __init__(self, target: str) -> None:
        super().__init__()
        self._target = target

    def _command(self) -> Sequence[str]:
        (self.directory / "prometheus.yml").write_text(
            "global: {scrape_interval: 1s}\n"
            f"scrape_configs: [{{job_name: dnsbl, static_configs: [{{targets: ['{self._target}']}}]}}]\n"
        )
        return (
            f"--config.file={self.directory}/prometheus.yml",
            f"--storage.tsdb.path={self.directory}/data",
            f"--web.listen-address=127.0.0.1:{self.port}",
        )

    def _answers(self) -> bool:
        try:
            self.get("/-/ready")
        except OSError:
            return False
        return True

    def get(self, path: str) -> bytes:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as reply:
            return bytes(reply.read())

    def query(self, expression: str) -> list[Any]:
        found = json.loads(self.get("/api/v1/query?" + urllib.parse.urlencode({"query": expression})))
        assert found["status"] == "success"
        return list(found["data"]["result"])


def expressions() -> Iterator[str]:
    text = (CONTRIB / "grafana" / "dnsbl-policyd.json").read_text()
    for panel in json.loads(text)["panels"]:
        for target in panel["targets"]:
            yield target["expr"].replace("$__rate_interval", "1m")


def test_every_panel_of_the_dashboard_shows_something() -> None:
    """The expressions, asked of a Prometheus that reads a daemon's metrics."""
    metrics = f"127.0.0.1:{free_port()}"
    with start_lists() as lists, Policyd(config_of(lists), "--metrics", metrics) as daemon:
        with Client(daemon.port) as client, Prometheus(metrics) as prometheus:
            waiting = set(expressions())
            assert len(waiting) > 8

            def all_show() -> bool:
                for address in ("192.0.2.99", "192.0.2.98"):
                    client.ask(address)
                waiting.difference_update({each for each in waiting if prometheus.query(each)})
                return not waiting

            daemon.wait_for(all_show)
        with urllib.request.urlopen(f"http://{metrics}/metrics", timeout=5) as reply:
            exported = reply.read()
    needs("promtool")
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=exported, capture_output=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr.decode()) == (0, "")


def config_of(lists: DnsblServer) -> str:
    """One list is broken, so that the panel of lists set aside has something to show."""
    lists.zone("broken.example").fault(rcode(5))
    return config(lists, zones=("bl.example", "broken.example"))


# systemd


@pytest.mark.parametrize("drop_in", ["", "venv.conf", "pipx.conf"])
def test_the_units_are_good(tmp_path: Path, drop_in: str) -> None:
    """As they are and with each drop-in; their programs, which are not installed here, are another."""
    needs("systemd-analyze")
    names = [path.name for path in CONTRIB.iterdir() if path.suffix in (".service", ".socket", ".timer")]
    for name in names:
        shutil.copy(CONTRIB / name, tmp_path)
    shutil.copytree(CONTRIB / "dnsbl-policyd.socket.d", tmp_path / "dnsbl-policyd.socket.d")
    overrides = tmp_path / "dnsbl-policyd.service.d"
    overrides.mkdir()
    if drop_in:
        shutil.copy(CONTRIB / overrides.name / drop_in, overrides)
    for path in (*tmp_path.glob("*.service"), *overrides.iterdir()):
        path.write_text(re.sub(r"(?m)^ExecStart=/\S+", "ExecStart=/bin/true", path.read_text()))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *(str(tmp_path / name) for name in names)],
        capture_output=True,
        env={"SYSTEMD_UNIT_PATH": f"{tmp_path}:/usr/lib/systemd/system:/lib/systemd/system"},
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0
    assert [line for line in done.stderr.splitlines() if str(tmp_path) in line] == []


def test_each_drop_in_starts_what_its_comment_installs() -> None:
    for name, path in (("venv", "/opt/dnsbl/bin/"), ("pipx", "/usr/local/bin")):
        text = (CONTRIB / "dnsbl-policyd.service.d" / f"{name}.conf").read_text()
        comment, _, unit = text.partition("[Service]")
        assert path in comment
        assert unit.split() == ["ExecStart=", f"ExecStart={path.rstrip('/')}/dnsbl", "policyd"]
