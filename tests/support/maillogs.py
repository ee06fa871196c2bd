"""A small mail log in the forms that logs have, for the tests of `dnsbl audit`."""

from __future__ import annotations

import struct

SYSLOG = "Nov  5 10:00:{:02} mx postfix/{}"
RFC3339 = "2026-11-05T11:00:{:02}.123456+01:00 mx postfix/{}"

MESSAGES = (
    # 192.0.2.99: rejected by postscreen, without a host name
    "postscreen[1]: CONNECT from [192.0.2.99]:57187 to [198.51.100.1]:25",
    "postscreen[1]: DNSBL rank 3 for [192.0.2.99]:57187",
    "postscreen[1]: NOQUEUE: reject: RCPT from [192.0.2.99]:57187: 550 5.7.1 Service unavailable; client "
    "[192.0.2.99] blocked using bl.example.com; from=<a@b.example>, to=<c@d.example>, proto=ESMTP, helo=<x>",
    # 192.0.2.98 and .97: the two vocabularies of respectful_logging
    "postscreen[1]: BLACKLISTED [192.0.2.98]:1",
    "postscreen[1]: DENYLISTED [192.0.2.97]:1",
    "postscreen[1]: WHITELISTED [192.0.2.1]:1",
    "postscreen[1]: ALLOWLISTED [192.0.2.1]:1",
    # 192.0.2.1: accepted; then a message of its is refused as a whole, one stays
    "smtpd[2]: connect from mail.example.com[192.0.2.1]",
    "smtpd[2]: 4Xyz1234: client=mail.example.com[192.0.2.1]:4311",
    "smtpd[2]: 4Xyz1235: client=mail.example.com[192.0.2.1]",
    "cleanup[3]: 4Xyz1235: milter-reject: END-OF-MESSAGE from mail.example.com[192.0.2.1]: 5.7.1 Spam",
    # 2001:db8::5: authenticated, on a submission port
    "submission/smtpd[2]: connect from unknown[2001:db8::5]",
    "submission/smtpd[2]: 4Xyz1236: client=unknown[2001:db8::5], sasl_method=PLAIN, sasl_username=u",
    # 192.0.2.2: rejected by smtpd, with a host name; its one message is refused as a whole
    "smtpd[2]: NOQUEUE: reject: RCPT from mx.example.net[192.0.2.2]:33: 554 5.7.1 <a>: Relay access denied",
    "smtpd[2]: 4Xyz1237: client=mx.example.net[192.0.2.2]",
    "cleanup[3]: 4Xyz1237: reject: header Subject: from here from mx.example.net[192.0.2.2]; from=<a>: 5.7.1",
    # a warning only
    "smtpd[2]: NOQUEUE: reject_warning: RCPT from x.example.net[192.0.2.3]: 554 5.7.1 no; from=<>",
)
OTHERS = ("qmgr[4]: 4Xyz1234: from=<a@b.example>, size=3, nrcpt=1", "smtpd[2]: warning: hello")
CLIENTS, ACCEPTED, REJECTED, AUTHENTICATED = 7, 2, 5, 1


def text() -> str:
    """Both forms of time, mixed; other programs' lines among them. No line that cannot be read."""
    lines = [
        (RFC3339 if second % 2 else SYSLOG).format(second, message)
        for second, message in enumerate((*MESSAGES, *OTHERS))
    ]
    lines.append("Nov  5 10:00:59 mx dovecot: imap-login: Login: user=<u>, rip=192.0.2.200")
    return "\n".join(lines) + "\n"


BROKEN = (
    "Nov  5 10:00:59 mx postfix/smtpd[2]: connect from mail.exam",
    "not a log line at all",
    '{"some": "unknown", "format": 1}',
    "Foo  5 10:00:59 mx postfix/smtpd[2]: connect from a[192.0.2.201]",
    "Nov  5 10:00:59 mx postfix/smtpd[2]: connect from a[999.0.2.201]",
    "\x00\x01\x02",
    "x" * 200_000,
)


def journal() -> bytes:
    """As `journalctl -o export` writes it, one field of each entry in its binary form."""
    out = b""
    for message in (*MESSAGES, *OTHERS):
        program, _, words = message.partition(": ")
        body = words.encode() + b"\nsecond line"
        out += b"__CURSOR=s=1\n__REALTIME_TIMESTAMP=1793959200000000\n_PID=1\nSYSLOG_IDENTIFIER=postfix/"
        out += program.partition("[")[0].encode() + b"\n"
        out += b"MESSAGE\n" + struct.pack("<Q", len(body)) + body + b"\n\n"
    return out
