"""The addresses of watched host names, all A and AAAA, asked of the resolver's own nameservers each round."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from ipaddress import ip_address
from typing import Final, NamedTuple

from dnsbl.engine.plain import RecordType, records

MAX_ADDRESSES: Final = 64
"""Of one host; those beyond are left out, and said to be."""
AT_ONCE: Final = 32
DEADLINE_S: Final = 5.0
FAMILIES: Final[tuple[RecordType, ...]] = ("A", "AAAA")


class Found(NamedTuple):
    """addresses: by host. troubles: one line for each host that could not be looked up, or has none."""

    addresses: dict[str, tuple[str, ...]]
    troubles: tuple[str, ...]


def look_up(
    hosts: Iterable[str],
    nameservers: Sequence[str],
    earlier: Mapping[str, Iterable[str]],
    deadline_s: float = DEADLINE_S,
) -> Found:
    """All addresses of each host.

    hosts: as A-labels. earlier: what each had before: it is kept where a question gets no usable answer, so
    that a nameserver's bad minute does not end the watch over an address. deadline_s: for 32 hosts.
    """
    wanted = list(dict.fromkeys(hosts))
    answers: dict[tuple[str, RecordType], tuple[str, ...]] = {}
    for at in range(0, len(wanted), AT_ONCE):
        some = wanted[at : at + AT_ONCE]
        questions: list[tuple[str, RecordType]] = [(host, kind) for host in some for kind in FAMILIES]
        answers |= records(questions, nameservers, deadline_s)
    addresses: dict[str, tuple[str, ...]] = {}
    troubles: list[str] = []
    for host in wanted:
        found: list[str] = []
        for kind in FAMILIES:
            answer = answers.get((host, kind))
            if answer is None:
                troubles.append(
                    f"{host}: no answer about its {kind} records; the addresses known stay watched"
                )
                answer = tuple(each for each in earlier.get(host, ()) if _kind(each) == kind)
            found += answer
        if not found:
            troubles.append(f"{host}: it has no address, so none of it is watched")
        if len(found) > MAX_ADDRESSES:
            troubles.append(f"{host}: {len(found)} addresses; the first {MAX_ADDRESSES} are watched")
        addresses[host] = tuple(dict.fromkeys(found[:MAX_ADDRESSES]))
    return Found(addresses, tuple(troubles))


def _kind(address: str) -> RecordType:
    return "A" if ip_address(address).version == 4 else "AAAA"
