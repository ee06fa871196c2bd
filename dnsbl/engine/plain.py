"""Ordinary DNS questions (A, AAAA, NS), a few at a time, for what stands behind a link.

Not for lists: those go through the engine, which is made for many questions and holds them apart. Here
pycares' own channel with its own thread does the work, and is closed when the answers are in.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from typing import Any, Final, Literal

import pycares

RecordType = Literal["A", "AAAA", "NS"]

_TYPES: Final = {
    "A": pycares.QUERY_TYPE_A,
    "AAAA": pycares.QUERY_TYPE_AAAA,
    "NS": pycares.QUERY_TYPE_NS,
}
_FIELDS: Final = {"A": "addr", "AAAA": "addr", "NS": "nsdname"}
_NONE: Final = (pycares.errno.ARES_ENODATA, pycares.errno.ARES_ENOTFOUND)


def records(
    questions: Iterable[tuple[str, RecordType]], nameservers: Sequence[str], deadline_s: float
) -> dict[tuple[str, RecordType], tuple[str, ...]]:
    """The records of each question, as text: empty where the name has none, and missing where no usable answer
    came within `deadline_s` seconds.

    questions: names as A-labels with the type wanted, at most a few dozen. nameservers: `ADDRESS:PORT`.
    """
    wanted = list(dict.fromkeys(questions))
    if not wanted or not nameservers:
        return {}
    found: dict[tuple[str, RecordType], tuple[str, ...]] = {}
    left = threading.Semaphore(0)
    channel = pycares.Channel(servers=list(nameservers), timeout=max(deadline_s / 2, 0.05), tries=2)

    def taken(question: tuple[str, RecordType]) -> Any:
        def callback(result: Any, error: int | None) -> None:
            if error is None:
                kind = _TYPES[question[1]]
                found[question] = tuple(
                    str(getattr(record.data, _FIELDS[question[1]]))
                    for record in result.answer
                    if record.type == kind
                )
            elif error in _NONE:
                found[question] = ()
            left.release()

        return callback

    try:
        for question in wanted:
            channel.query(question[0], _TYPES[question[1]], callback=taken(question))
        _wait(left, len(wanted), deadline_s)
    finally:
        channel.cancel()
        channel.close()
    return dict(found)


def _wait(left: threading.Semaphore, count: int, deadline_s: float) -> None:
    from time import monotonic

    end = monotonic() + deadline_s
    for _ in range(count):
        if not left.acquire(timeout=max(end - monotonic(), 0.0)):
            return
