"""The first inputs of the answer fuzzer, as fuzz_answer.c takes them; `python tests/fuzz/seeds.py DIR` writes them."""

from __future__ import annotations

import struct
import sys
from pathlib import Path

TXT, STREAM, RAW = 1, 2, 4
ASKED = b"\x012\x010\x010\x03127\x02bl\x07example\x00"
OWNER, OTHER = b"\xc0\x0c", b"\x05other\x07example\x00"


def record(kind: int, data: bytes, owner: bytes = OWNER, ttl: int = 300, rr_class: int = 1) -> bytes:
    return owner + struct.pack("!HHIH", kind, rr_class, ttl, len(data)) + data


def a(last: int, **more: object) -> bytes:
    return record(1, bytes([127, 0, 0, last]), **more)  # type: ignore[arg-type]


def txt(*strings: bytes) -> bytes:
    return record(16, b"".join(bytes([len(s)]) + s for s in strings))


def soa(ttl: int = 60) -> bytes:
    return record(6, b"\x02ns\xc0\x16\x04root\xc0\x16" + struct.pack("!5I", 1, 2, 3, 4, 5), b"\xc0\x16", ttl)


def message(
    how: int, answers: list[bytes], authority: list[bytes] | None = None, flags: int = 0x8400, piece: int = 0
) -> bytes:
    more = authority or []
    counts = struct.pack("!HHHH", flags, len(answers), len(more), 0)
    return bytes([how | piece << 3]) + counts + b"".join([*answers, *more])


SEEDS: dict[str, bytes] = {
    "listed": message(0, [a(2)]),
    "many": message(0, [a(n) for n in range(2, 40)]),
    "not-listed": message(0, [], [soa()], 0x8403),
    "empty": message(0, [], [soa(0xFFFFFFFF)]),
    "referral": message(0, [], [record(2, b"\x02ns\xc0\x16")]),
    "servfail": message(0, [], None, 0x8402),
    "truncated": message(0, [a(2)], None, 0x8600),
    "alias": message(0, [record(5, OTHER), a(3, owner=OTHER)]),
    "alias-ring": message(0, [record(5, OTHER), record(5, OWNER, OTHER), a(3)]),
    "foreign": message(0, [a(2, owner=OTHER)]),
    "chaos": message(0, [a(2, rr_class=3)]),
    "negative-ttl": message(0, [a(2, ttl=0x80000001)]),
    "text": message(TXT, [txt(b"listed, see https://bl.example/"), txt(b"a", b"b" * 255, b"", b"c")]),
    "texts": message(TXT, [txt(bytes([n]) * 200, bytes([n]) * 200, bytes([n]) * 200) for n in b"fedcbaa"]),
    "stream": message(STREAM, [a(2)], piece=3),
    "stream-text": message(STREAM | TXT, [txt(b"x" * 255)] * 20),
    "opt": message(0, [a(2), b"\x00" + struct.pack("!HHIH", 41, 1232, 0, 0)]),
    "raw": bytes([RAW]) + b"\x12\x34\x84\x00\0\1\0\1\0\0\0\0" + ASKED + b"\0\1\0\1" + a(2),
    "raw-cut": bytes([RAW]) + b"\x12\x34\x84\x00\0\1\0\1\0\0\0\0" + ASKED[:9],
    "raw-pointer": bytes([RAW]) + b"\x12\x34\x84\x00\0\1\0\1\0\0\0\0\xc0\x0c\0\1\0\1" + a(2),
}
_WHOLE = SEEDS["raw"][1:]
SEEDS["frames"] = (
    bytes([RAW | STREAM | 5 << 3]) + (struct.pack("!H", len(_WHOLE)) + _WHOLE) * 3 + b"\0\0\0\1x"
)


def main() -> None:
    directory = Path(sys.argv[1])
    directory.mkdir(parents=True, exist_ok=True)
    for name, seed in SEEDS.items():
        (directory / name).write_bytes(seed)


if __name__ == "__main__":
    main()
