"""contrib/content-filter behind a real Postfix: mail goes out marked, and stays in the queue where that fails."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.mailserver import Postfix, swaks
from support.servers import free_port

from dnsbl.testing import DnsblServer

SCRIPT = Path(__file__).parents[2] / "contrib/content-filter"
WAIT_S = 60
HANDED_OVER = """\
#!/bin/sh
cat >{folder}/$$.message && echo "$*" >{folder}/$$.new && mv {folder}/$$.new {folder}/$$.arguments
while [ ! -e {folder}/$$.code ]; do sleep 0.1; done
cat {folder}/$$.said
exit "$(cat {folder}/$$.code)"
"""
"""What pipe(8) runs, as user nobody, who can read neither this checkout nor its Python: the test runs the
filter in its place, and gives back what it said and its exit code."""
KEPT = """\
#!/bin/sh
cat >{outbox}/$$.part && mv {outbox}/$$.part {outbox}/$$.eml
"""
SENDMAIL = """\
import smtplib, sys
sender, recipients = sys.argv[sys.argv.index("-f") + 1], sys.argv[sys.argv.index("--") + 1 :]
with smtplib.SMTP("127.0.0.1", {port}, local_hostname="localhost", timeout=60) as smtp:
    smtp.sendmail(sender, recipients, sys.stdin.buffer.read())
"""
"""In the place of sendmail(1), whose postdrop(1) knows the system's Postfix alone."""


class Filtered:
    """A Postfix whose mail passes the filter and is then written into `outbox`."""

    def __init__(self, folder: Path, toml: str) -> None:
        self.folder, self.outbox = folder, folder / "out"
        self.outbox.mkdir()
        self.outbox.chmod(0o777)
        back = free_port()
        (folder / "dnsbl.toml").write_text(toml)
        (folder / "sendmail.py").write_text(SENDMAIL.format(port=back))
        for name, text in (("filter", HANDED_OVER), ("keep", KEPT)):
            (folder / name).write_text(text.format(folder=folder, outbox=self.outbox))
            (folder / name).chmod(0o755)
        self.postfix = Postfix(
            main_cf="content_filter = filter:dummy\nrelay_transport = keep:\n",
            master_cf="filter unix - n n - 2 pipe\n  flags=Rq user=nobody null_sender=\n"
            f"  argv={folder}/filter -f ${{sender}} -- ${{recipient}}\n"
            f"keep unix - n n - 2 pipe\n  flags=q user=nobody argv={folder}/keep\n"
            f"127.0.0.1:{back} inet n - n - - smtpd\n  -o content_filter=\n",
        )
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Filtered:
        self.postfix.__enter__()
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()
        self.postfix.__exit__(None, None, None)

    def _run(self) -> None:
        """Run the filter for each message that is handed over."""
        python = shlex.quote(sys.executable)
        env = os.environ | {
            "DNSBL_CONFIG": f"{self.folder}/dnsbl.toml",
            "DNSBL": f"{python} -m dnsbl",
            "SENDMAIL": f"{python} {self.folder}/sendmail.py",
        }
        while not self._ended.wait(0.1):
            for arguments in self.folder.glob("*.arguments"):
                words = arguments.read_text().split()
                arguments.unlink()
                with arguments.with_suffix(".message").open("rb") as message:
                    ended = subprocess.run(
                        [SCRIPT, *words], stdin=message, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                        env=env, timeout=WAIT_S, check=False,
                    )  # fmt: skip
                arguments.with_suffix(".said").write_bytes(ended.stdout)
                part = arguments.with_suffix(".part")
                part.write_text(str(ended.returncode))
                part.rename(arguments.with_suffix(".code"))

    def send(self, client: str) -> None:
        forged = "X-DNSBL-Status: not listed; forged"
        session = swaks(self.postfix.server, "--header", forged, "--body", "hello", client=client)
        assert session.accepted, session.text

    def delivered(self, number: int) -> list[str]:
        """The messages in the outbox, once there are so many."""
        self._wait(lambda: len(list(self.outbox.glob("*.eml"))) == number)
        return [path.read_text() for path in self.outbox.glob("*.eml")]

    def deferred(self) -> str:
        """The log's line of a message that stays in the queue, once there is one."""
        self._wait(lambda: "status=deferred" in self.postfix.log())
        return next(line for line in self.postfix.log().splitlines() if "status=deferred" in line)

    def _wait(self, has_come: Callable[[], bool]) -> None:
        end_s = time.monotonic() + WAIT_S
        while not has_come():
            assert time.monotonic() < end_s, self.postfix.log()
            time.sleep(0.1)


@pytest.fixture
def folder() -> Iterator[Path]:
    """Open to user nobody, which pytest's own is not."""
    path = Path(tempfile.mkdtemp(prefix="dnsbl-filter-"))
    path.chmod(0o777)
    yield path
    shutil.rmtree(path)


def test_mail_is_marked_and_goes_on(folder: Path) -> None:
    """Headers on top, forged ones gone, the hop that Postfix itself saw."""
    with DnsblServer() as lists:
        lists.zone("bl.example.com").list("192.0.2.99")
        toml = f'[resolver]\nnameservers = ["{lists.nameserver}"]\n[[zone]]\nname = "bl.example.com"\n'
        with Filtered(folder, toml) as filtered:
            filtered.send("192.0.2.99")
            (bad,) = filtered.delivered(1)
            filtered.send("192.0.2.1")
            both = filtered.delivered(2)
    (good,) = [text for text in both if text != bad]
    assert "X-DNSBL-Status: listed; score=1; zones=bl.example.com\n" in bad
    assert "X-DNSBL-Hop: 192.0.2.99\n" in bad
    assert "X-DNSBL-Status: not listed; score=0\n" in good
    assert "forged" not in bad + good
    assert "\nhello\n" in bad


def test_a_wrong_configuration_keeps_the_mail_in_the_queue(folder: Path) -> None:
    """pipe(8) would bounce it on the 78 that `dnsbl filter` ends with."""
    with Filtered(folder, "[resolver]\nnameserver = 1\n") as filtered:
        filtered.send("192.0.2.1")
        line = filtered.deferred()
        assert "relay=filter" in line
        assert "dnsbl.toml:2" in line
        assert not list(filtered.outbox.iterdir())
