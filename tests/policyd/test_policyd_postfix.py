"""The policy daemon behind a real Postfix, with the very main.cf fragment that is in contrib/."""

from __future__ import annotations

import hashlib
import re
import signal
import smtplib
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.mailserver import Postfix, Session, swaks
from support.policydaemon import Policyd
from support.servers import Rbldnsd, free_port, needs

FRAGMENT = (Path(__file__).parents[2] / "contrib" / "main.cf").read_text()
LISTS = {
    "bl.example": {"ip4set": ":127.0.0.2:Spam source, see https://bl.example/?$\n127.0.0.2\n192.0.2.99\n192.0.2.97",
                   "ip6trie": ":127.0.0.2:Spam source, see https://bl.example/?$\n::ffff:7f00:2\n2001:db8::99"},
    "refusing.example": {"ip4set": ":127.255.255.254:You use an open resolver\n0/0"},
}  # fmt: skip
TEXT = "192.0.2.99 is listed by bl.example: Spam source, see https://bl.example/?192.0.2.99"


def refusal(text: str = TEXT, recipient: str = "user@example.com") -> str:
    return f"554 5.7.1 <{recipient}>: Recipient address rejected: {text}"


@pytest.fixture(scope="module")
def rbldnsd() -> Iterator[Rbldnsd]:
    with Rbldnsd(LISTS) as server:
        yield server


@pytest.fixture(scope="module")
def port() -> int:
    """Where the daemon listens, whichever test runs it."""
    return free_port()


@pytest.fixture(scope="module")
def postfix(port: int) -> Iterator[Postfix]:
    with Postfix(main_cf=fragment(port)) as server:
        yield server


def fragment(port: int) -> str:
    assert FRAGMENT.count("inet:127.0.0.1:10040") == 1
    return FRAGMENT.replace("127.0.0.1:10040", f"127.0.0.1:{port}")


def policyd(
    rbldnsd: Rbldnsd, port: int, policy: str = "", zones: tuple[str, ...] = ("bl.example",)
) -> Policyd:
    tables = "\n".join(f'[[zone]]\nname = "{zone}"' for zone in zones)
    resolver = f'[resolver]\nnameservers = ["{rbldnsd.nameserver}"]\ndeadline_s = 1.0'
    return Policyd(f"{resolver}\n{tables}\n[policy]\n{policy}\n", listen=[f"127.0.0.1:{port}"])


def rule(action: str, condition: str = "") -> str:
    return f'[[policy.rule]]\n{condition}\naction = "{action}"\n'


def send(postfix: Postfix, client: str = "192.0.2.99", **more: str) -> Session:
    return swaks(postfix.server, client=client, **more)


def test_who_is_refused_and_who_passes(rbldnsd: Rbldnsd, port: int, postfix: Postfix) -> None:
    with policyd(rbldnsd, port, 'own_networks = ["192.0.2.97"]'):
        session = send(postfix)
        assert session.reply_to("RCPT") == refusal()
        assert not session.accepted
        assert send(postfix, "192.0.2.98").accepted
        assert send(postfix, "192.0.2.97").accepted  # listed, but our own
        assert send(postfix, xclient="LOGIN=joe").accepted
        assert send(postfix, xclient="DESTPORT=587").accepted
        assert send(postfix, xclient="DESTPORT=465").accepted
        assert not send(postfix, sender="").accepted


def test_ip6(rbldnsd: Rbldnsd, port: int, postfix: Postfix) -> None:
    with policyd(rbldnsd, port):
        session = swaks(postfix.server_ip6, client="2001:db8::99")
        assert session.reply_to("RCPT").startswith(
            refusal("2001:db8::99 is listed by bl.example: Spam source")
        )
        assert swaks(postfix.server_ip6, client="2001:db8::98").accepted
        assert swaks(postfix.server_ip6).accepted  # ::1 itself


def test_a_list_that_refuses_us_rejects_nobody(rbldnsd: Rbldnsd, port: int, postfix: Postfix) -> None:  # A1
    with policyd(rbldnsd, port, zones=("refusing.example", "bl.example")):
        assert send(postfix, "192.0.2.98").accepted
        assert send(postfix).reply_to("RCPT") == refusal()


def test_each_recipient_domain_has_its_policy_and_all_share_one_lookup(
    rbldnsd: Rbldnsd, port: int, postfix: Postfix
) -> None:
    rules = rule("DUNNO", 'recipient = "example.org"') + rule("REJECT no", 'score = ">=1"')
    with policyd(rbldnsd, port, rules) as daemon:
        session = send(postfix, recipient="a@example.com,b@example.org,c@example.com")
        assert session.replies_to("RCPT") == [
            refusal("no", "a@example.com"), "250 2.1.5 Ok", refusal("no", "c@example.com"),
        ]  # fmt: skip
        assert session.accepted
        log = daemon.wait_for_log("action=REJECT", after=1)
        assert re.findall(r"source=(\w+)", log) == ["dns", "none", "message"]


def test_policy_context(rbldnsd: Rbldnsd, port: int) -> None:
    text = fragment(port).replace("timeout=10s", "timeout=10s, policy_context=strict")
    rules = rule("REJECT strict", 'policy_context = "strict"\nclient = "192.0.2.98"')
    with Postfix(main_cf=text) as postfix, policyd(rbldnsd, port, rules):
        assert send(postfix, "192.0.2.98").reply_to("RCPT") == refusal("strict")


ACTIONS = {
    "OK": "250 2.1.5 Ok",
    "DUNNO": "250 2.1.5 Ok",
    "REJECT": "554 5.7.1 <{}>: Recipient address rejected: Access denied",
    "REJECT 5.7.25 no {client}": "554 5.7.25 <{}>: Recipient address rejected: no 192.0.2.99",
    "DEFER": "450 4.7.1 <{}>: Recipient address rejected: Access denied",
    "DEFER_IF_REJECT wait": "250 2.1.5 Ok",
    "DEFER_IF_PERMIT wait": "450 4.7.1 <{}>: Recipient address rejected: wait",
    "550 {reason}": "550 5.7.1 <{}>: Recipient address rejected: Spam source, see https://bl.example/?192.0.2.99",
    "451 4.7.5 later": "451 4.7.5 <{}>: Recipient address rejected: later",
    "BCC copy@example.net": "250 2.1.5 Ok",
    "DISCARD quietly": "250 2.1.5 Ok",
    "FILTER discard:x": "250 2.1.5 Ok",
    "HOLD {zones}": "250 2.1.5 Ok",
    "PREPEND X-Listed: {zones} {codes}": "250 2.1.5 Ok",
    "REDIRECT trap@example.net": "250 2.1.5 Ok",
    "INFO {score}": "250 2.1.5 Ok",
    "WARN {delist_url}": "250 2.1.5 Ok",
    "reject_unauth_destination": "250 2.1.5 Ok",
    "warn_if_reject reject_non_fqdn_sender, permit": "250 2.1.5 Ok",
}


def test_postfix_takes_every_action(rbldnsd: Rbldnsd, port: int, postfix: Postfix) -> None:
    """Each to a recipient of its own; Postfix must not complain of any of them."""
    recipients = {action: f"r{number}@example.com" for number, action in enumerate(ACTIONS)}
    rules = [rule(action, f'score = ">=1"\nrecipient = "{recipients[action]}"') for action in ACTIONS]
    with policyd(rbldnsd, port, "".join(rules)):
        before = len(postfix.log())
        for action, reply in ACTIONS.items():
            session = send(postfix, recipient=recipients[action])
            assert session.reply_to("RCPT") == reply.format(recipients[action]), action
        postfix.wait_for_log("triggers REDIRECT trap@example.net")
        lines = postfix.log()[before:].splitlines()
        assert not [line for line in lines if "warning: " in line and "main.cf, line " not in line]


def test_dry_run_and_prepend_once(rbldnsd: Rbldnsd, port: int, postfix: Postfix) -> None:
    with policyd(rbldnsd, port, "dry_run = true") as daemon:
        assert send(postfix, recipient="a@example.com,b@example.com").accepted
        log = daemon.wait_for_log("would=", after=1)
        assert re.findall(r"action=(\w+)", log) == ["PREPEND", "DUNNO"]
        assert log.count(f'would="REJECT {TEXT}"') == 2


# Faults


class Traffic:
    """Sends mail of an unlisted client in several threads until it is stopped; keeps every reply."""

    def __init__(self, postfix: Postfix, threads: int = 4) -> None:
        self.replies: list[tuple[int, str]] = []
        self._port = postfix.port
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=[number]) for number in range(threads)]

    def _run(self, number: int) -> None:
        serial = 0
        while not self._stop.is_set():
            serial += 1
            with smtplib.SMTP("127.0.0.1", self._port, local_hostname="client.example", timeout=30) as smtp:
                smtp.docmd("XCLIENT", f"ADDR=198.51.100.{number * 50 + serial % 50} NAME=client.example")
                smtp.ehlo("client.example")
                smtp.mail("sender@example.net")
                code, text = smtp.rcpt("user@example.com")
                self.replies.append((code, text.decode()))
                if code == 250:
                    smtp.data("Subject: test\r\n\r\ntest\r\n")

    def __enter__(self) -> Traffic:
        for thread in self._threads:
            thread.start()
        return self

    def wait_for_more(self, count: int = 8) -> None:
        """Wait until this many more messages have come through."""
        wanted = len(self.replies) + count
        end = time.monotonic() + 30
        while len(self.replies) < wanted:
            assert time.monotonic() < end, "mail does not flow"
            time.sleep(0.05)

    def __exit__(self, *failure: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)
        assert {code for code, _ in self.replies} == {250}, self.replies


def test_killed_and_restarted_in_mid_traffic(rbldnsd: Rbldnsd, port: int, postfix: Postfix) -> None:
    """Also away for a while. Nothing is deferred; a listed client is refused as soon as it is back."""
    with policyd(rbldnsd, port) as daemon, Traffic(postfix) as traffic:
        traffic.wait_for_more()
        for _ in range(2):
            daemon.kill()
            daemon.start()
            traffic.wait_for_more()
            assert send(postfix).reply_to("RCPT") == refusal()
        daemon.kill()
        traffic.wait_for_more()
        assert send(postfix).accepted  # nobody there to refuse it
        daemon.start()
        traffic.wait_for_more()
        assert send(postfix).reply_to("RCPT") == refusal()


def test_reloaded_and_stopped_in_mid_traffic(rbldnsd: Rbldnsd, port: int, postfix: Postfix) -> None:
    with policyd(rbldnsd, port) as daemon, Traffic(postfix) as traffic:
        traffic.wait_for_more()
        for number in range(3):
            daemon.signal(signal.SIGHUP)
            daemon.wait_for_log("reloaded", after=number)
            traffic.wait_for_more()
        assert daemon.stop() == 0
        traffic.wait_for_more()


def test_not_running_at_all(postfix: Postfix) -> None:
    assert send(postfix).accepted


def test_a_daemon_that_hangs(rbldnsd: Rbldnsd, port: int) -> None:
    """Postfix tries twice, a second apart, for the fragment's timeout each: here 1 s, to be quick."""
    text = fragment(port).replace("timeout=10s", "timeout=1s")
    with Postfix(main_cf=text) as postfix, policyd(rbldnsd, port) as daemon:
        assert send(postfix).reply_to("RCPT") == refusal()
        daemon.signal(signal.SIGSTOP)
        try:
            assert send(postfix).accepted
        finally:
            daemon.signal(signal.SIGCONT)
        assert send(postfix).reply_to("RCPT") == refusal()


def test_rbldnsd_dies(port: int, postfix: Postfix) -> None:
    with Rbldnsd(LISTS) as lists, policyd(lists, port) as daemon:
        assert send(postfix).reply_to("RCPT") == refusal()
        lists.stop()
        started = time.monotonic()
        assert send(postfix, "203.0.113.1").accepted
        assert send(postfix, "203.0.113.2").accepted
        assert time.monotonic() - started < 10
        assert send(postfix).reply_to("RCPT") == refusal()  # the cache still knows it
        assert "complete=no" in daemon.wait_for_log("complete=no")
        lists.start()
        end = time.monotonic() + 40
        while send(postfix, "192.0.2.97").accepted:
            assert time.monotonic() < end, "the list is not asked again"
            time.sleep(0.5)


def test_a_chrooted_smtpd_reaches_it_by_tcp_and_by_a_socket_below_the_queue_directory(
    rbldnsd: Rbldnsd, port: int, tmp_path: Path
) -> None:
    """K10: what contrib/main.cf says of sockets. One elsewhere is not found, and mail flows on."""
    hint = re.search(r"unix:(dnsbl/policy\.sock) is\n# /var/spool/postfix/\1", FRAGMENT)
    assert hint
    tmp_path.chmod(0o755)
    elsewhere = tmp_path / "policy.sock"
    ways = {"tcp": f"inet:127.0.0.1:{port}", "queue": f"unix:{hint[1]}", "run": f"unix:{elsewhere}"}
    access = ", ".join(f"{{ {name}@example.com = {name} }}" for name in ways)
    classes = [
        f"{name} = check_policy_service {{ {way}, timeout=10s, default_action=DUNNO }}"
        for name, way in ways.items()
    ]
    text = "\n".join([
        f"smtpd_restriction_classes = {', '.join(ways)}", *classes,
        f"smtpd_recipient_restrictions = check_recipient_access inline:{{ {access} }}",
    ])  # fmt: skip
    with Postfix(main_cf=text, chroot=True) as postfix:
        below = postfix.queue / hint[1]
        below.parent.mkdir(mode=0o755)
        daemon = policyd(rbldnsd, port, 'socket_group = "postfix"')
        daemon.listen(f"unix:{below}", f"unix:{elsewhere}")
        with daemon:
            for name in ("tcp", "queue"):
                assert send(postfix, recipient=f"{name}@example.com").reply_to("RCPT") == refusal(
                    recipient=f"{name}@example.com"
                )
            assert send(postfix, recipient="run@example.com").accepted
            postfix.wait_for_log(rf"connect to .*{elsewhere}: No such file or directory")


def certificate(directory: Path) -> tuple[Path, str]:
    """A file with a key and its self-signed certificate, and the certificate's SHA-256 fingerprint."""
    needs("openssl")
    path = directory / "client.pem"
    new = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    subprocess.run(
        [*new, "-subj", "/CN=relay.example", "-days", "2", "-keyout", path, "-out", f"{path}.crt"],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    text = Path(f"{path}.crt").read_text()
    path.write_text(path.read_text() + text)
    digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(text)).hexdigest().upper()
    return path, ":".join(re.findall("..", digest))


def test_conditions_on_what_postfix_sends(rbldnsd: Rbldnsd, port: int, tmp_path: Path) -> None:
    """size, recipient_count, helo_name, a certificate's fingerprint, recipients from a file: as it sends them."""
    pem, fingerprint = certificate(tmp_path)
    (tmp_path / "closed").write_text("closed@example.com  # an address a line\n")
    rules = (
        rule("REJECT certificate", f'ccert_fingerprint = "{fingerprint}"')
        + rule("REJECT size", 'size = ">=1000000"')
        + rule("REJECT many", 'protocol_state = "DATA"\nrecipient_count = ">2"')
        + rule("REJECT helo", 'helo_name = ".dyn.example"')
        + rule("REJECT closed", f'recipient = "file:{tmp_path}/closed"')
    )
    ask = f"check_policy_service inet:127.0.0.1:{port}"
    text = "\n".join([
        f"smtpd_recipient_restrictions = {ask}", f"smtpd_data_restrictions = {ask}",
        "smtpd_tls_security_level = may", "smtpd_tls_ask_ccert = yes", "smtpd_tls_fingerprint_digest = sha256",
        f"smtpd_tls_chain_files = {pem}",
    ])  # fmt: skip
    with Postfix(main_cf=text) as postfix, policyd(rbldnsd, port, rules):

        def said(helo: str = "a.example", *to: str, size: int = 0, secure: bool = False) -> str:
            with smtplib.SMTP("127.0.0.1", postfix.port, local_hostname=helo, timeout=60) as server:
                if secure:
                    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
                    context.load_cert_chain(pem)
                    server.starttls(context=context)
                server.ehlo()
                assert server.mail("b@example.net", [f"SIZE={size}"] if size else [])[0] == 250
                replies = [server.rcpt(address) for address in to or ("user@example.com",)]
                code, text = next((reply for reply in replies if reply[0] != 250), server.docmd("DATA"))
                if code == 354:
                    server.send(b"\r\n.\r\n")
                    assert server.getreply()[0] == 250
                    return ""
                return text.decode().rpartition("rejected: ")[2]

        many = [f"user{number}@example.com" for number in range(3)]
        assert said() == said("a.example", *many[:2]) == said(size=1000) == ""
        assert said(size=2_000_000) == "size"
        assert said("a.example", *many) == "many"
        assert said("host.dyn.example") == "helo"
        assert said("a.example", "closed@example.com") == "closed"
        assert said(secure=True) == "certificate"
