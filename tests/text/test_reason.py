"""TXT made safe: whatever octets come, one printable line of bounded length."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnsbl.text.reason import clean_text


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        (b"listed, see http://www.example.com/?192.0.2.1", "listed, see http://www.example.com/?192.0.2.1"),
        (b"ab\x00cd", "ab cd"),  # G10
        (b"caf\xe9", "caf\\xe9"),  # G10
        ("café".encode(), "café"),
        (b"x\r\naction=OK\n\n", "x  action=OK"),  # D5
        (b"tab\there", "tab here"),
        (b"esc\x1b[31mred", "esc [31mred"),
        (b"c1 \xc2\x85next", "c1  next"),
        (b"del\x7f.", "del ."),
        ("bidi \u202egnp.exe \u2066x\u2069".encode(), "bidi  gnp.exe  x"),
        ("line\u2028sep\u2029", "line sep"),
        ("zero\u200bwidth\ufeff", "zero width"),
        ("lone \ud800 surrogate", "lone   surrogate"),
        (b"\xed\xa0\x80", "\\xed\\xa0\\x80"),  # a surrogate in UTF-8 form is not UTF-8
        (b"\xff\xfe", "\\xff\\xfe"),
        (b"  padded  ", "padded"),
        (b"", ""),
        (b"\x00\x01\x02", ""),
    ],
)
def test_what_becomes_of_octets(raw: bytes | str, clean: str) -> None:
    assert clean_text(raw) == clean


def test_long_text_is_cut_and_says_so() -> None:
    assert clean_text(b"a" * 600) == "a" * 497 + "..."
    assert clean_text(b"a" * 500) == "a" * 500
    assert clean_text("word " * 100, 12) == "word word..."
    assert clean_text("abcdef", 3) == "abc"
    assert len(clean_text(b"\xff" * 10_000_000, 80)) == 80


@given(st.one_of(st.binary(max_size=200), st.text(max_size=200)), st.integers(1, 60))
def test_always_one_printable_line_within_the_limit(raw: bytes | str, limit: int) -> None:
    clean = clean_text(raw, limit)
    assert clean.isprintable()
    assert len(clean) <= limit
    clean.encode("utf-8")
    assert clean_text(clean, limit) == clean
