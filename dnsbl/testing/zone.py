"""The entries of one list and what the list says of a name. No I/O.

Entries are kept by the name they are asked under, so that the common answer is one dictionary lookup;
networks are looked up by prefix length, the longest first.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from typing import TypeAlias

from dnsbl.errors import SubjectError, ZoneError
from dnsbl.model import TextKind
from dnsbl.testing.faults import FaultChain
from dnsbl.testing.wire import RECORD_BYTES, Query, Reply, as_tuple, build_reply, rcode_number, record

Text: TypeAlias = str | bytes
Txt: TypeAlias = Text | Sequence[Text | Sequence[Text]]
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

NOERROR, NXDOMAIN = 0, 3
_A, _SOA, _TXT = 1, 6, 16
_MAX_TTL_S = 2**31 - 1  # RFC 2181 section 8
_MAX_ENTRY_BYTES = 60_000  # what certainly fits into one DNS message

_NAME = re.compile(r"[0-9a-z_-]{1,63}(\.[0-9a-z_-]{1,63})*")

# What RFC 5782 section 5 wants listed; its other half (127.0.0.1, ::ffff:127.0.0.1, INVALID) must not be.
_TEST_POINTS = {"ip4": "127.0.0.2", "ip6": "::ffff:127.0.0.2", "domain": "test"}


class _Entry:
    __slots__ = ("a", "txt")

    def __init__(self, codes: str | Iterable[str], txt: Txt | None, ttl_s: int) -> None:
        texts = [] if txt is None else [txt] if isinstance(txt, (str, bytes)) else txt
        self.a = _records(_A, ttl_s, [ipaddress.IPv4Address(code).packed for code in as_tuple(codes)])
        self.txt = _records(_TXT, ttl_s, [_txt_data(text) for text in texts])


def _records(type_number: int, ttl_s: int, datas: Sequence[bytes]) -> tuple[bytes, ...]:
    if sum(len(data) + RECORD_BYTES for data in datas) > _MAX_ENTRY_BYTES:
        raise ValueError(f"the records of one type come to more than {_MAX_ENTRY_BYTES} bytes")
    return tuple(record(type_number, ttl_s, data) for data in datas)


def _txt_data(text: Text | Sequence[Text]) -> bytes:
    """One TXT record's strings, each with its length (RFC 1035 section 3.3.14); a long text is split."""
    if isinstance(text, (str, bytes)):
        raw = _to_bytes(text)
        strings = [raw[at : at + 255] for at in range(0, len(raw), 255)] or [b""]
    else:
        strings = [_to_bytes(part) for part in text]
    if any(len(string) > 255 for string in strings):
        raise ValueError("one string of a TXT record holds at most 255 bytes (RFC 1035 section 3.3)")
    return b"".join(bytes([len(string)]) + string for string in strings)


def _to_bytes(text: Text) -> bytes:
    return text.encode() if isinstance(text, str) else text


class Zone(FaultChain):
    """One list. Made by `DnsblServer.zone()`; every method may be called while the server runs.

    name: without a trailing dot, lower case.

    >>> zone = Zone("bl.example")
    >>> zone.list("192.0.2.0/24", codes=["127.0.0.4"], txt="a whole network")
    >>> zone.list("2001:db8::1", txt=[("see http://bl.ex", "ample/"), b"a second record, any bytes \\xff"])
    """

    def __init__(
        self, name: str, subjects: TextKind | Iterable[TextKind] = ("ip4", "ip6"), *, test_points: bool = True
    ) -> None:
        super().__init__()
        self.name = zone_name(name)
        self._entries: dict[str, _Entry] = {}
        self._networks: dict[tuple[int, int], dict[int, _Entry]] = {}
        self._negative_rcode = NXDOMAIN
        self._soa: tuple[bytes, ...] = ()
        self.negative()
        if test_points:
            for kind in as_tuple(subjects):
                if kind not in _TEST_POINTS:
                    raise ZoneError(f"no kind of subject: {kind!r}; any of {', '.join(_TEST_POINTS)}", kind)
                self.list(_TEST_POINTS[kind], txt=f"{self.name} test entry")

    def list(
        self,
        subject: str,
        codes: str | Iterable[str] = "127.0.0.2",
        txt: Txt | None = None,
        ttl: int = 300,
    ) -> None:
        """List an address, a network or a domain, in place of an entry it may have had.

        subject: 192.0.2.99, 2001:db8::1, 192.0.2.0/24, 2001:db8::/32 or example.com. An address beats the
            networks it is in, a longer prefix a shorter one; a domain stands for itself only. An IPv4-mapped
            IPv6 address is asked, and so listed, in its 32 nibbles.
        codes: A records, one or several, sent in this order, duplicates too; any IPv4 addresses. An empty
            sequence: NODATA.
        txt: one text, or several records; several strings of one record are a sequence within:
            `"text"`, `["record", "record"]`, `[("string", "string"), "record"]`. Text goes as UTF-8.
        ttl: seconds, of every record here.

        Raises SubjectError for an unusable subject, ValueError for an unusable code, text or TTL.
        """
        entry = _Entry(codes, txt, _checked_ttl_s(ttl))
        target = parse_entry(subject)
        if isinstance(target, str):
            self._entries[target] = entry
            return
        key = target.version, target.prefixlen
        if key not in self._networks:
            # Replaced, not changed: the server's thread may be walking through it.
            self._networks = dict(sorted({**self._networks, key: {}}.items(), reverse=True))
        self._networks[key][int(target.network_address)] = entry

    def unlist(self, subject: str) -> None:
        """Take away the entry listed as `subject`. Raises SubjectError if there is none."""
        target = parse_entry(subject)
        try:
            if isinstance(target, str):
                del self._entries[target]
            else:
                del self._networks[target.version, target.prefixlen][int(target.network_address)]
        except KeyError:
            raise SubjectError(f"{subject!r} has no entry in {self.name}", subject) from None

    def negative(
        self, rcode: str | int = "NXDOMAIN", *, soa: bool = True, ttl: int = 300, minimum: int = 300
    ) -> None:
        """Set what is said of a name that is not listed.

        rcode: NXDOMAIN, or NOERROR for a reply without records. soa: whether a SOA record comes with
        negative answers; ttl, minimum: its TTL and its MINIMUM field, in seconds (RFC 2308 section 5).
        """
        number = rcode_number(rcode)
        if number not in (NOERROR, NXDOMAIN):
            raise ValueError(f"{rcode!r} is no negative answer: NXDOMAIN or NOERROR; for others use fault()")
        record = self._make_soa(_checked_ttl_s(ttl), _checked_ttl_s(minimum))
        self._negative_rcode, self._soa = number, (record,) if soa else ()

    def _make_soa(self, ttl_s: int, minimum_s: int) -> bytes:
        owner = b"".join(bytes([len(label)]) + label.encode() for label in self.name.split(".")) + b"\0"
        data = b"\2ns" + owner + b"\nhostmaster" + owner
        data += b"".join(number.to_bytes(4, "big") for number in (1, 7200, 3600, 604800, minimum_s))
        head = _SOA.to_bytes(2, "big") + b"\0\1" + ttl_s.to_bytes(4, "big") + len(data).to_bytes(2, "big")
        return owner + head + data

    def answer(self, query: Query, labels: Sequence[str]) -> Reply:
        """The list's own reply, faults apart, to a query for `labels` (first to last) below the zone."""
        return Reply(self._answer_bytes(query, labels))

    def _answer_bytes(self, query: Query, labels: Sequence[str]) -> bytes:
        if not labels:
            return build_reply(query, NOERROR, self._soa if query.type == "SOA" else (), self._soa)
        entry = self._entries.get(".".join(labels)) or (self._networks and self._find_network(labels))
        if not entry:
            return build_reply(query, self._negative_rcode, (), self._soa)
        records = entry.a if query.type == "A" else entry.txt if query.type == "TXT" else ()
        return build_reply(query, NOERROR, records, () if records else self._soa)

    def _find_network(self, labels: Sequence[str]) -> _Entry | None:
        address = _read_reversed(labels)
        if address is None:
            return None
        number, bits = int(address), address.max_prefixlen
        for (version, length), entries in self._networks.items():
            if version == address.version:
                shift = bits - length
                found = entries.get(number >> shift << shift)
                if found:
                    return found
        return None


def zone_name(name: str) -> str:
    """The zone's name in lower case without a trailing dot. Raises ZoneError for one that is none."""
    text = name.lower().removesuffix(".")
    if not _NAME.fullmatch(text) or len(text) > 253:
        raise ZoneError(f"no zone name: {name!r}; give a domain such as bl.example", name)
    return text


def parse_entry(subject: str) -> str | Network:
    """The name asked for an address or domain, without the zone, or a network."""
    try:
        if "%" in subject:  # a scope id is never part of what is asked
            raise ValueError
        network = ipaddress.ip_network(subject)
    except ValueError:
        return _parse_domain(subject)
    if network.prefixlen < network.max_prefixlen:
        return network
    reverse = network.network_address.reverse_pointer
    return reverse.removesuffix(".in-addr.arpa").removesuffix(".ip6.arpa")


def _parse_domain(subject: str) -> str:
    text = subject.lower().removesuffix(".")
    if not _NAME.fullmatch(text) or len(text) > 253 or text.rpartition(".")[2].isdigit():
        raise SubjectError(
            f"neither an address, a network nor a domain: {subject!r}; "
            "a network needs its host bits zero, a domain its ASCII form (xn--...)",
            subject,
        )
    return text


def _read_reversed(labels: Sequence[str]) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        if len(labels) == 4:
            return ipaddress.IPv4Address(".".join(reversed(labels)))
        if len(labels) == 32 and all(len(label) == 1 for label in labels):
            return ipaddress.IPv6Address(bytes.fromhex("".join(reversed(labels))))
    except ValueError:
        pass
    return None


def _checked_ttl_s(ttl_s: int) -> int:
    if not 0 <= ttl_s <= _MAX_TTL_S:
        raise ValueError(f"no TTL: {ttl_s}; give seconds, 0 to {_MAX_TTL_S}")
    return ttl_s
