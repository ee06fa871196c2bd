"""Any bytes to whatever reads foreign text in Python: policy requests, Received headers, messages, list files, reply
filters, zones, configuration, other programs' configuration, cache files.

    python tests/fuzz/readers.py SECONDS [SEED]     so long on all of them together

From whole inputs mutated ones are made: most are still read to the end. What may come out is what the reader's
docstring promises, within a bounded time; anything else is printed with its input, which then goes into
corpus/readers/NAME/ with its mending.
"""

from __future__ import annotations

import random
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from dnsbl.cache.file import load_cache
from dnsbl.config.file import parse as parse_config
from dnsbl.errors import ConfigError, InputError, ZoneError
from dnsbl.lists.context import ListError
from dnsbl.lists.read import parse as parse_list
from dnsbl.mail.message import read_message
from dnsbl.mail.received import parse_received
from dnsbl.migrate.exim import import_exim
from dnsbl.migrate.postfix import import_maincf
from dnsbl.migrate.rspamd import import_rspamd
from dnsbl.migrate.spamassassin import import_spamassassin
from dnsbl.names._qname import parse_address
from dnsbl.policy.protocol import MAX_ACTION_BYTES, ProtocolError, RequestReader, format_reply
from dnsbl.policy.rules import compile_rules
from dnsbl.zones.catalogue import load as load_catalogue
from dnsbl.zones.replyfilter import parse_reply_filter
from dnsbl.zones.zone import parse_zone

CATALOGUE = load_catalogue()
CORPUS = Path(__file__).with_name("corpus") / "readers"
MOST_BYTES = 8192
MOST_S = 5.0
"""Processor time for one input. The slowest takes some milliseconds."""


class FoundError(Exception):
    """An input for which a promise does not hold."""


def require(holds: bool, what: str) -> None:
    if not holds:
        raise FoundError(what)


# ---- what each reader promises ----


def policy(data: bytes) -> None:
    """Cut anywhere, the same requests; and no reply is more than one line."""
    cut = len(data) // 3
    found = [_requests([data]), _requests([data[:cut], data[cut:]])]
    require(found[0] == found[1], f"cut at {cut}: {found}")
    for request in found[0]:
        for value in request.values():
            try:
                reply = format_reply(f"REJECT {value}")
            except ValueError:
                continue
            require(reply.startswith(b"action=REJECT") and reply.endswith(b"\n\n"), repr(reply))
            require(reply.count(b"\n") == 2 and len(reply) <= MAX_ACTION_BYTES + 9, repr(reply))
            require(all(32 <= byte < 127 for byte in reply[:-2]), repr(reply))


def _requests(pieces: list[bytes]) -> list[dict[str, str]]:
    reader, found = RequestReader(), []
    for piece in pieces:
        reader.feed(piece)
        try:
            while (request := reader.next()) is not None:
                found.append(request)
        except ProtocolError as error:
            require(str(error).isprintable(), repr(error))
            break
    return found


def received(data: bytes) -> None:
    hop = parse_received(data)
    require(hop.address is None or parse_address(hop.address) is not None, repr(hop))


def message(data: bytes) -> None:
    read_message(data, trusted=["192.0.2.0/24"])


def list_file(data: bytes) -> None:
    formats = ("auto", "plain", "drop", "ip4set", "ip4trie", "ip6trie", "dnset", "combined", "drop-json")
    kind, _, body = data.partition(b"\n")
    name = kind.decode("latin-1")
    try:
        found = parse_list(body, name if name in formats else "auto")
    except ListError:
        return
    for key in (b"\xc0\0\2\x63", b"\x20\1\x0d\xb8" + bytes(12), "a.example.com"):
        answer = found.answer(key)
        require(bool(answer.addresses) == found.lists(key), repr(key))


def reply_filter(data: bytes) -> None:
    try:
        made = parse_reply_filter(data.decode("latin-1"))
    except ZoneError as error:
        require(str(error).isprintable(), repr(error))
        return
    require(parse_reply_filter(str(made)).octets == made.octets, str(made))


def zone(data: bytes) -> None:
    try:
        parse_zone(data.decode("utf-8", "replace"))
    except InputError as error:
        require(str(error).isprintable(), repr(error))


def config(data: bytes) -> None:
    """A configuration, or one line that says what is wrong. Its rules as well."""
    text = data.decode("utf-8", "replace")
    if "key_file" in text or "catalogue" in text or "path" in text:
        return  # these read files
    try:
        made = parse_config(text, env={})
        compile_rules(made.policy, made.source, [found.name for found in made.zones])
    except ConfigError as error:
        require("\n" not in str(error), repr(error))
    except ZoneError as error:
        require("\n" not in str(error), repr(error))


def imports(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    catalogue = CATALOGUE
    for read in (import_maincf, import_exim, import_rspamd, import_spamassassin):
        try:
            read(text, catalogue)
        except InputError as error:
            require(str(error).isprintable(), repr(error))


def cache_file(data: bytes) -> None:
    """Whatever is in the file: entries or nothing, and a warning."""
    path = SCRATCH / f"dnsbl-fuzz-{random.getrandbits(40):x}.cache"
    path.write_bytes(data)
    try:
        with warnings.catch_warnings(action="ignore"):
            found = load_cache(path, ["a" * 16, "b" * 16], now=1.0, wall_now=1e9, max_entries=100)
        require(len(found) <= 100, f"{len(found)} entries")
    finally:
        path.unlink()


SCRATCH = Path("/dev/shm" if Path("/dev/shm").is_dir() else "/tmp")


# ---- whole inputs ----


class Target(NamedTuple):
    read: Callable[[bytes], None]
    seeds: tuple[bytes, ...]
    words: tuple[bytes, ...]


_MESSAGE = (
    b"Received: from mail.example.net (mail.example.net [198.51.100.7] (may be forged))\r\n\tby mx.example.org "
    b"(Postfix) with ESMTPS id 4X; Fri, 1 Nov 2024 10:00:00 +0000 (UTC)\r\nFrom: =?utf-8?q?a?= <a@example.com>\r\n"
    b'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\nContent-Type: text/html\r\n'
    b'Content-Transfer-Encoding: quoted-printable\r\n\r\n<a href=3D"http://shop.example.net/x">x</a>\r\n--b--\r\n'
)
TARGETS: dict[str, Target] = {
    "policy": Target(
        policy,
        (
            b"request=smtpd_access_policy\nprotocol_state=RCPT\nclient_address=192.0.2.99\nsender=a@b\n\n",
            b"request=smtpd_access_policy\nclient_address=2001:db8::1\nhelo_name=\xd0\xb4.example\n\nx=1\n\n\n",
        ),
        (b"\n\n", b"=", b"\n", b"\0", b"\r\n", b"action=OK", b"\xff", b"instance=1.2.3"),
    ),
    "received": Target(
        received,
        (
            b"from x (mail.example.net [192.0.2.10]) by mx.example.org (Postfix) with ESMTPSA id 4X for <a@b>; Fri",
            b"from unknown (HELO a) (ident@[IPv6:2001:db8::1]) by mx.example.org with SMTP via tcp",
        ),
        (
            b"(",
            b")",
            b"[",
            b"]",
            b"from ",
            b"by ",
            b"helo=",
            b"IPv6:",
            b"\\",
            b"\r\n\t",
            b'"',
            b"::ffff:1.2.3.4",
        ),
    ),
    "message": Target(
        message, (_MESSAGE,), (b"--b", b"\r\n\r\n", b"=?", b"?=", b"<a href=", b"http://", b"&#x2e;")
    ),
    "list_file": Target(
        list_file,
        (
            b"auto\n192.0.2.0/24 ; SBL1\n2001:db8::/32 ; SBL2\n",
            b"ip4set\n:2:listed, see https://x/$\n!192.0.2.7\n192.0.2-198 :5:other\n$TTL 300\n198.51.100.1-9\n",
            b"dnset\n:2:bad $\n.example.com\n!www.example.com\nexample.net :3:x\n",
            b"ip6trie\n:4:x\n2001:db8:0:1::/64\n!2001:db8:0:1::1/128\n",
            b"combined\n$DATASET ip4set a @\n:2:x\n192.0.2.99\n$DATASET dnset b\n.example.com\n",
            b'drop-json\n{"cidr":"192.0.2.0/24","sblid":"SBL1"}\n{"type":"metadata","timestamp":1700000000}\n',
        ),
        (
            b"$",
            b"!",
            b":",
            b"/0",
            b"/33",
            b"-",
            b"$SOA ",
            b"$INCLUDE ",
            b"\n",
            b"255",
            b"=",
            b"$1",
            b"::",
            b"*.",
        ),
    ),
    "reply_filter": Target(
        reply_filter,
        (b"127.0.0.2", b"127.0.0.[2..11]", b"[127.0.[0;2;4..8].[1..255]]"),
        (b"[", b"]", b";", b"..", b".", b"255", b"256", b"0000"),
    ),
    "zone": Target(
        zone,
        (b"bl.example=127.0.0.[2;3]*-2", b"key.zen.dq.spamhaus.net*3", b"file:/x/y.txt"),
        (b"=", b"*", b".", b"[", b"]", b"-", b"xn--", b"\xc3\xa9", b"nan", b"1e999", b"0" * 30),
    ),
    "config": Target(
        config,
        (
            b'[resolver]\nnameservers = ["127.0.0.1:53"]\ndeadline_s = 2.5\n[[zone]]\nname = "bl.example.com"\n'
            b'weight = 2\nreply = "127.0.0.[2..11]"\n[[zone.code]]\nfilter = "127.0.0.2"\nmeaning = "x"\nscore = 3\n',
            b'[policy]\ndry_run = true\nown_networks = ["192.0.2.0/24"]\n[[policy.rule]]\nscore = ">=3"\n'
            b'client = ["192.0.2.0/24", "!192.0.2.1"]\naction = "REJECT listed by {zones}: {reason}"\n',
        ),
        (
            b"[[zone]]\n",
            b"[",
            b"]",
            b"=",
            b'"',
            b"inf",
            b"nan",
            b"-1",
            b"1e400",
            b"true",
            b"{",
            b"\n",
            b"\\u0000",
            b"''",
        ),
    ),
    "imports": Target(
        imports,
        (
            b"postscreen_dnsbl_sites = zen.spamhaus.org*2,\n  bl.example.com=127.0.0.[2..4]*-1\n"
            b"smtpd_recipient_restrictions = reject_rbl_client zen.spamhaus.org, permit\n",
            b"deny dnslists = zen.spamhaus.org=127.0.0.2&0.0.0.1 : dbl.spamhaus.org/$sender_address_domain\n",
            b'rbls {\n  spamhaus { rbl = "zen.spamhaus.org"; returncodes { RBL_X = ["127.0.0.2"]; } }\n}\n',
            b"header RCVD_IN_X eval:check_rbl('x-lastexternal', 'zen.spamhaus.org.', '^127\\.0\\.0\\.2$')\n"
            b"score RCVD_IN_X 2.5\n",
        ),
        (
            b"{",
            b"}",
            b"=",
            b"\n ",
            b"$",
            b"${",
            b";",
            b"*",
            b"&",
            b"!=",
            b"==",
            b"eval:",
            b"(",
            b")",
            b"^",
            b"[",
            b"if ",
        ),
    ),
    "cache_file": Target(cache_file, (b"dnsbl cache\n", bytes(64)), (b"\0\0\0\1", b"\xff\xff\xff\xff")),
}


# ---- mutation ----


def mutated(chance: random.Random, target: Target) -> bytes:
    """A whole input with one to eight faults in it."""
    data = bytearray(chance.choice(target.seeds))
    for _ in range(chance.randint(1, 8)):
        at = chance.randint(0, len(data))
        end = min(len(data), at + chance.randint(0, 8))
        match chance.randrange(7):
            case 0:
                data[at:end] = chance.choice(target.words)
            case 1:
                data[at:at] = chance.choice(target.words) * chance.choice((1, 1, 2, 40))
            case 2:
                data[at:end] = chance.randbytes(end - at)
            case 3:
                del data[at:end]
            case 4:
                other = chance.choice(target.seeds)
                data[at:at] = other[chance.randint(0, len(other)) :]
            case 5:
                data[at:at] = data[end : end + 30]
            case _:
                del data[at + 40 :]
    return bytes(data[:MOST_BYTES])


def kept(name: str) -> list[bytes]:
    """The inputs that once broke something."""
    return [path.read_bytes() for path in sorted((CORPUS / name).glob("*"))]


def tried(target: Target, data: bytes) -> str:
    """What is wrong with how the reader takes this input; empty if nothing."""
    began = time.process_time()
    try:
        target.read(data)
    except FoundError as error:
        return f"a promise broken: {error}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    took = time.process_time() - began
    return f"took {took:.1f} s" if took > MOST_S else ""


def inputs(name: str, count: int, seed: int) -> Iterator[bytes]:
    """What was kept, the whole ones, and so many mutated ones."""
    target = TARGETS[name]
    yield from kept(name)
    yield from target.seeds
    chance = random.Random(f"{name} {seed}")
    for _ in range(count):
        yield mutated(chance, target)


def main() -> None:
    end_s = time.monotonic() + float(sys.argv[1])
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    done: Counter[str] = Counter()
    found = 0
    while time.monotonic() < end_s and found < 10:
        for name, target in TARGETS.items():
            for data in inputs(name, 200, seed):
                done[name] += 1
                if wrong := tried(target, data):
                    found += 1
                    print(f"{name}: {wrong}\n  {data!r}", flush=True)
        seed += 1
    print(", ".join(f"{name} {count:,}" for name, count in done.items()), f"inputs; {found} broke a promise")
    sys.exit(found > 0)


if __name__ == "__main__":
    main()
