"""A real Postfix on loopback for tests, and swaks to talk to it.

    with Postfix(policy="inet:127.0.0.1:10040") as postfix:
        session = swaks(postfix.server, client="192.0.2.99")
        assert session.reply_to("RCPT").startswith("554 5.7.1")

Its configuration, queue and data directories are its own, in a temporary directory; the system's Postfix is
neither read nor disturbed. Mail it accepts is discarded, so it flows and reaches nobody.
"""

from __future__ import annotations

import os
import re
import shutil
import smtplib
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from support.servers import HAS_IP6, POLL_S, Server, find_program, needs, report_missing

SWAKS_S = 60
LOG_S = 10.0

# Postfix's queue directory as `postfix check` makes it (postfix-files): name -> mode, all of user postfix.
QUEUE_PRIVATE = ("active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "private")
QUEUE = dict.fromkeys((*QUEUE_PRIVATE, "saved", "trace"), 0o700) | {"public": 0o2710, "maildrop": 0o1730}

MAIN_CF = """\
compatibility_level = 3.6
queue_directory = {directory}/queue
data_directory = {directory}/data
maillog_file = {directory}/mail.log
maillog_file_prefixes = {directory}
myhostname = mx.example.com
mydestination =
mynetworks =
relay_domains = example.com, example.net, example.org
relay_transport = discard:accepted
default_transport = discard:accepted
local_transport = discard:accepted
disable_dns_lookups = yes
smtpd_peername_lookup = no
smtpd_authorized_xclient_hosts = 127.0.0.0/8 [::1]
smtpd_client_event_limit_exceptions = static:all
smtpd_relay_restrictions = reject_unauth_destination
smtpd_recipient_restrictions = {policy}
"""

MASTER_CF = """\
cleanup    unix        n  -  n  -    0  cleanup
qmgr       unix        n  -  n  300  1  qmgr
rewrite    unix        -  -  n  -    -  trivial-rewrite
bounce     unix        -  -  n  -    0  bounce
defer      unix        -  -  n  -    0  bounce
trace      unix        -  -  n  -    0  bounce
error      unix        -  -  n  -    -  error
retry      unix        -  -  n  -    -  error
discard    unix        -  -  n  -    -  discard
anvil      unix        -  -  n  -    1  anvil
proxymap   unix        -  -  n  -    -  proxymap
tlsmgr     unix        -  -  n  1000 1  tlsmgr
postlog    unix-dgram  n  -  n  -    1  postlogd
"""


class Postfix(Server):
    """Postfix's smtpd on 127.0.0.1 and, where there is one, ::1, on one port.

    policy: what `check_policy_service` gets, such as `inet:127.0.0.1:10040`; empty: no policy service.
    main_cf: more main.cf lines; Postfix takes the last of a parameter's. XCLIENT is allowed from loopback.
    Mail for example.com, example.net and example.org is accepted. Only root can start it. chroot: smtpd is
    shut into the queue directory, as Debian has it; resolv_conf: what it finds there as /etc/resolv.conf.
    master_cf: more services.
    """

    program = "master"  # started directly: postfix(1) first checks the installation, which takes seconds

    def __init__(
        self,
        policy: str = "",
        main_cf: str = "",
        master_cf: str = "",
        *,
        chroot: bool = False,
        resolv_conf: str = "",
    ) -> None:
        if os.geteuid() != 0 and find_program("master"):
            report_missing("root (Postfix starts only as root)")
        super().__init__()
        self._policy, self._main_cf, self._master_cf = policy, main_cf, master_cf
        _make_queue(self.directory)
        self._chroot = "y" if chroot else "n"
        if chroot:
            (self.directory / "queue" / "etc").mkdir()
            (self.directory / "queue" / "etc" / "resolv.conf").write_text(resolv_conf)

    @property
    def queue(self) -> Path:
        """The queue directory: what a chrooted smtpd sees as /."""
        return self.directory / "queue"

    @property
    def server(self) -> str:
        """`127.0.0.1:PORT`, for `swaks`."""
        return f"127.0.0.1:{self.port}"

    @property
    def server_ip6(self) -> str:
        """`[::1]:PORT`, for `swaks`; reports the test as not run where there is no ::1."""
        if not HAS_IP6:
            report_missing("IPv6 on loopback")
        return f"[::1]:{self.port}"

    def _command(self) -> Sequence[str]:
        restrictions = "reject_unauth_destination"
        if self._policy:
            restrictions += f", check_policy_service {self._policy}"
        text = MAIN_CF.format(directory=self.directory, policy=restrictions)
        hosts = ["127.0.0.1", "[::1]"] if HAS_IP6 else ["127.0.0.1"]
        text += f"inet_interfaces = {', '.join(hosts)}\n{self._main_cf}\n"
        _write_aged(self.directory / "main.cf", _last_of_each(text))
        inet = "".join(f"{host}:{self.port} inet n - {self._chroot} - - smtpd\n" for host in hosts)
        _write_aged(self.directory / "master.cf", inet + MASTER_CF + self._master_cf)
        return "-c", str(self.directory), "-s"

    def _answers(self) -> bool:
        try:
            # The name given keeps smtplib from asking the system's nameserver for one.
            with smtplib.SMTP("127.0.0.1", self.port, local_hostname="localhost", timeout=1):
                return True
        except (OSError, smtplib.SMTPException):
            return False

    def log(self) -> str:
        """The mail log so far."""
        path = self.directory / "mail.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def wait_for_log(self, pattern: str, times: int = 1) -> list[str]:
        """The log's lines in which the regular expression is found, once there are `times` of them.

        Raises AssertionError with the whole log if that takes over 10 s.
        """
        end_s = time.monotonic() + LOG_S
        while True:
            found = [line for line in self.log().splitlines() if re.search(pattern, line)]
            if len(found) >= times:
                return found
            assert time.monotonic() < end_s, f"{pattern!r} is {len(found)} times in the log:\n{self.log()}"
            time.sleep(POLL_S)


def _last_of_each(text: str) -> str:
    """A main.cf that gives each parameter once.

    Each process warns of one given twice, and postlogd of its own: in vain, where ten lines wait for it already.
    """
    lines: dict[str, str] = {}
    name = ""
    for line in text.splitlines():
        if line[:1].isspace():
            lines[name] += f"\n{line}"
        elif line:
            name = line.partition("=")[0].strip()
            lines[name] = line
    return "\n".join([*lines.values(), ""])


def _write_aged(path: Path, text: str) -> None:
    """Postfix reads a file younger than two seconds again and again, lest it be half written."""
    path.write_text(text)
    os.utime(path, (time.time() - 60,) * 2)


def _make_queue(directory: Path) -> None:
    for name in ("data", "queue"):
        (directory / name).mkdir(mode=0o755)
    shutil.chown(directory / "data", "postfix")
    (directory / "queue" / "pid").mkdir(mode=0o755)
    for name, mode in QUEUE.items():
        path = directory / "queue" / name
        path.mkdir()
        shutil.chown(path, "postfix", "postdrop" if mode & 0o7000 else None)
        path.chmod(mode)


@dataclass(frozen=True)
class Session:
    """One SMTP session as swaks saw it: its exit code (0: accepted) and the dialogue."""

    exit_code: int
    text: str

    @property
    def accepted(self) -> bool:
        return self.exit_code == 0

    def replies_to(self, command: str) -> list[str]:
        """The server's replies to each such command (MAIL, RCPT, ...), a reply's lines joined by newlines."""
        replies: list[list[str]] = []
        taking = False
        for line in self.text.splitlines():
            mark, rest = line[:4].strip(), line[4:]
            if mark in ("->", "~>"):
                taking = rest.upper().startswith(command.upper())
                if taking:
                    replies.append([])
            elif taking and mark.startswith("<"):
                replies[-1].append(rest)
        return ["\n".join(lines) for lines in replies]

    def reply_to(self, command: str) -> str:
        """The reply to the only such command."""
        (reply,) = self.replies_to(command)
        return reply


def swaks(
    server: str,
    *options: str,
    client: str = "",
    client_name: str = "client.example",
    xclient: str = "",
    sender: str = "sender@example.net",
    recipient: str = "user@example.com",
) -> Session:
    """Send one message through `server` with swaks and return the session.

    client: the address to pose as (XCLIENT), IPv4 or IPv6; empty: none. recipient: several have commas.
    xclient: more XCLIENT attributes; with `LOGIN=joe` policy services see an authenticated client.
    """
    needs("swaks")
    arguments = ["--server", server, "--from", sender, "--to", recipient, "--helo", client_name]
    if client:
        address = f"IPV6:{client}" if ":" in client else client
        arguments += ["--xclient", f"ADDR={address} NAME={client_name} {xclient}".strip()]
    done = subprocess.run(
        ["swaks", *arguments, *options],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=SWAKS_S,
        check=False,
    )
    return Session(done.returncode, done.stdout.decode(errors="replace"))
