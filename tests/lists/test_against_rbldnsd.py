"""The same data served by rbldnsd and read here: both give the same A and TXT records."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address

import dns.message
import dns.rdatatype
import pytest
from support.servers import Rbldnsd

from dnsbl.lists.read import parse
from dnsbl.names._qname import join_name, reverse_name

ZONE = "bl.example"
IN_FLIGHT = 64

Key = bytes | str
Found = tuple[set[int], set[bytes]]


def asked(nameserver: str, keys: list[Key], record_type: int) -> Iterator[tuple[Key, set[bytes]]]:
    """What the server answers, as record data; some dozens of queries at a time."""
    host, port = nameserver.split(":")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect((host, int(port)))
        sock.settimeout(5)
        for start in range(0, len(keys), IN_FLIGHT):
            part = keys[start : start + IN_FLIGHT]
            for number, key in enumerate(part):
                name = reverse_name(key, ZONE) if isinstance(key, bytes) else join_name(key, ZONE)
                sock.send(question(number, name, record_type))
            for _ in part:
                reply = sock.recv(4096)
                yield part[int.from_bytes(reply[:2])], records(reply, record_type)


def question(number: int, name: str, record_type: int) -> bytes:
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return (
        number.to_bytes(2) + bytes([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]) + labels + bytes([0, 0, record_type, 0, 1])
    )


def records(reply: bytes, record_type: int) -> set[bytes]:
    if not int.from_bytes(reply[6:8]):
        return set()
    message = dns.message.from_wire(reply)
    found = [record for rrset in message.answer if rrset.rdtype == record_type for record in rrset]
    if record_type == dns.rdatatype.A:
        return {socket.inet_aton(record.address) for record in found}
    return {b"".join(record.strings) for record in found}


def differences(kind: str, text: str, keys: list[Key]) -> list[object]:
    ours = parse(text.encode(), kind)
    wrong: list[object] = []
    listed = 0
    with Rbldnsd({ZONE: {kind: text}}) as rbldnsd:
        for record_type in (dns.rdatatype.A, dns.rdatatype.TXT):
            for key, theirs in asked(rbldnsd.nameserver, keys, record_type):
                answer = ours.answer(key)
                mine = (
                    {address.to_bytes(4) for address in answer.addresses}
                    if record_type == dns.rdatatype.A
                    else set(answer.texts)
                )
                listed += bool(mine)
                if mine != theirs:
                    wrong.append((key.hex() if isinstance(key, bytes) else key, theirs, mine))
    assert listed, "nothing was listed: the data test nothing"
    return wrong[:5]


VALUES = (
    "", "", "", " :5", " :6:", " :7:own $ text", " only text $", " # comment", " ; comment",
    " :127.0.2.9:x $$ $",
    " =plain $", " $1/x/$ $2", " $$$$ $= $3", ":3:close", " :127.9:short", " text # not a comment",
)  # fmt: skip
HEAD = "$1 See http://www.example.com/bl\n$2 for details\n:4:IP $ is listed $1\n"


def near4(chance: random.Random) -> int:
    """An address in a small part of the space, so that entries meet and queries hit."""
    octets = (chance.choice((10, 127, 192)), *(chance.choice((0, 1, 2, 127, 128, 255)) for _ in range(3)))
    return int.from_bytes(bytes(octets))


def dotted(number: int) -> str:
    return str(IPv4Address(number))


def cidr4(chance: random.Random) -> str:
    bits = chance.choice((8, 9, 12, 15, 16, 17, 20, 23, 24, 25, 28, 31, 32))
    return f"{dotted(near4(chance) >> (32 - bits) << (32 - bits))}/{bits}"


def form4(chance: random.Random) -> str:
    address, last = sorted((near4(chance), near4(chance)))
    parts, lasts = dotted(address).split("."), dotted(last).split(".")
    count = chance.randint(1, 4)
    return chance.choice(
        (
            cidr4(chance),
            dotted(address),
            ".".join(parts[:count]),
            f"{dotted(address)}-{dotted(last)}",
            f"{'.'.join(parts[:count])}-{'.'.join(lasts[:count])}",
            f"{dotted(address)}-{chance.randint(0, 255)}",
            f"{'.'.join(parts[:3])}-{chance.randint(0, 255)}",
            f"{parts[0]}/8",
            f"{'.'.join(parts[:2])}/{chance.choice((12, 16, 20))}",
            "10.256.1.1", "300", "1.2.3.", "192.0.2.1x", "010.001.2.3",
        )
    )  # fmt: skip


def entry4(chance: random.Random, form: str) -> str:
    sign = chance.choice(("", "", "", "!", "! "))
    return f"{sign}{form}{chance.choice(VALUES)}"


def edges(numbers: list[int], size: int) -> list[bytes]:
    limit = 1 << (8 * size)
    every = {number + step for number in numbers for step in (-1, 0, 1)}
    return [number.to_bytes(size) for number in sorted(every) if 0 <= number < limit]


def keys4(chance: random.Random, count: int) -> list[Key]:
    found = edges([near4(chance) for _ in range(count // 5)], 4)
    return [*found, *(chance.randbytes(4) for _ in range(count - len(found)))]


def near6(chance: random.Random) -> int:
    words = [0x2001, 0xDB8, *(chance.choice((0, 0, 1, 0xFFFF)) for _ in range(6))]
    return int.from_bytes(b"".join(word.to_bytes(2) for word in words))


def entry6(chance: random.Random) -> str:
    bits = chance.choice((32, 33, 48, 63, 64, 65, 80, 127, 128))
    network = near6(chance) >> (128 - bits) << (128 - bits)
    form = chance.choice(
        (
            f"{IPv6Address(network)}/{bits}",
            str(IPv6Address(network)),
            f"{IPv6Address(network).exploded}/{bits}",
            ":".join(IPv6Address(network).exploded.split(":")[: chance.randint(1, 8)]),
            "2001:db8:1/48",
            "2001/16",
        )
    )  # fmt: skip
    value = chance.choice([value for value in VALUES if not value.startswith(":")])
    return f"{chance.choice(('', '', '!'))}{form}{value}"


def keys6(chance: random.Random, count: int) -> list[Key]:
    found = edges([near6(chance) for _ in range(count // 5)], 16)
    return [*found, *(b"\x20\x01\x0d\xb8" + chance.randbytes(12) for _ in range(count - len(found)))]


LABELS = ("a", "b", "www", "mail", "x-1")


def near_name(chance: random.Random, most: int = 4) -> str:
    labels = [chance.choice(LABELS) for _ in range(chance.randint(0, most))]
    return ".".join([*labels, chance.choice(("example", "test")), chance.choice(("com", "net"))])


def entry_name(chance: random.Random) -> str:
    name = near_name(chance, 2)
    sign, star = chance.choice(("", "", "", "!")), chance.choice(("", "", ".", "*."))
    value = chance.choice([value for value in VALUES if not value.startswith(":")])
    return f"{sign}{star}{chance.choice((name, name.upper()))}{value}"


def data(chance: random.Random, kind: str) -> str:
    """A file of one kind, some of its lines bad, defaults changing in its course."""
    entries = {
        "ip4set": lambda: entry4(chance, form4(chance)),
        "ip4trie": lambda: entry4(chance, cidr4(chance)),
        "ip4tset": lambda: f"{dotted(near4(chance))}{chance.choice(VALUES)}",
        "ip6trie": lambda: entry6(chance),
        "ip6tset": lambda: (
            ":".join(str(IPv6Address(near6(chance)).exploded).split(":")[:4])
            if chance.random() < 0.7
            else f"!{IPv6Address(near6(chance))}"
        ),
        "dnset": lambda: entry_name(chance),
    }[kind]
    lines = [HEAD + chance.choice(("", "$= See $= ($)\n", "$MAXRANGE4 /9\n"))]
    for _ in range(150):
        if chance.random() < 0.03:
            lines.append(
                chance.choice((":9:now $\n", ":8\n", ":127.0.1.1:\n", ":x:bad\n", "# c\n", ";$1 twice\n"))
            )
        lines.append(entries() + "\n")
    return "".join(lines)


def keys_for(chance: random.Random, kind: str, count: int) -> list[Key]:
    if kind == "dnset":
        return [near_name(chance) for _ in range(count)]
    return keys6(chance, count) if kind.startswith("ip6") else keys4(chance, count)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", ["ip4set", "ip4trie", "ip4tset", "ip6trie", "ip6tset", "dnset"])
def test_same_answers_as_rbldnsd(kind: str, seed: int) -> None:
    """100,000 keys in all, over every kind, random and at the edges of entries."""
    chance = random.Random(f"{kind} {seed}")
    assert differences(kind, data(chance, kind), keys_for(chance, kind, 4_200)) == []


@pytest.mark.parametrize("seed", range(3))
def test_same_answers_as_rbldnsd_for_a_combined_set(seed: int) -> None:
    """Defaults, texts and substitutions do not leak from one data set into the next."""
    chance = random.Random(seed)
    text = "$1 common\n$= base $=\n" if seed else "$1 common\n"
    for kind in ("ip4set", "ip6trie", "dnset", "ip4trie", "ip4tset"):
        text += f"$DATASET {kind}:n{seed} {chance.choice(('@', 'relays @', '@ x # c'))}\n" + data(
            chance, kind
        )
    text += "$DATASET ip4set relays\n0/1\n128/1\n"
    for kind in ("ip4set", "ip6trie", "dnset"):
        assert differences("combined", text, keys_for(chance, kind, 1_000)) == []
