"""TOML text that the standard library reads slowly, or into values that nothing else can hold."""

from __future__ import annotations

import time
import tomllib

import pytest

from dnsbl.config.file import parse
from dnsbl.errors import ConfigError
from dnsbl.text.toml import MAX_NAMES, find_big_integer, loads


@pytest.mark.parametrize(
    "text",
    ["", "a = 1", '"a.b" . \'c\' = "x"', "[a.b]\n" + ".".join("abcdefghij" * 12) + " = 1", "# " + "." * 5000],
)
def test_what_is_plain_is_read_as_ever(text: str) -> None:
    assert loads(text) == tomllib.loads(text)


@pytest.mark.parametrize("name", ["a", "'a'", '"a.b"', "a-1 "])
@pytest.mark.parametrize("form", ["{} = 1", "[{}]", "[[{}]]", "x = {{ {} = 1 }}"])
def test_a_key_of_very_many_names(name: str, form: str) -> None:
    """Of 400,000 names, tomllib would read for hours."""
    text = "x = 1\n" + form.format(".".join([name] * 200_000))
    started = time.process_time()
    with pytest.raises(tomllib.TOMLDecodeError, match=f"more than {MAX_NAMES} names .at line 2, column"):
        loads(text)
    assert time.process_time() - started < 2


@pytest.mark.parametrize(
    "text", ["a" * 500_000, '"' * 300_000, "'\"" * 200_000, "a-" * 300_000 + ".", "a\n" * 9]
)
def test_looking_for_long_keys_takes_little_time(text: str) -> None:
    started = time.process_time()
    with pytest.raises(tomllib.TOMLDecodeError):
        loads(text)
    assert time.process_time() - started < 2


def test_integers_are_those_of_64_bits() -> None:
    assert find_big_integer({"a": [1, {"b": -(1 << 63)}], "c": {"d": (1 << 63) - 1}, "e": True}) is None
    assert find_big_integer({"a": [1, {"b": 1 << 63}]}) == ("a", 1, "b")
    assert find_big_integer({"a": {"b": -(1 << 63) - 1}}) == ("a", "b")


@pytest.mark.parametrize(
    "value", ["9" * 400, "-" + "9" * 400, "0x" + "f" * 5000, "9" * 5000, "[" * 4 + "1" * 5000 + "]" * 4]
)
@pytest.mark.parametrize(
    "text", ["[resolver]\ncache_size = {}", '[[zone]]\nname = "bl.example.com"\nweight = 2\ndaily_limit = {}']
)
def test_a_number_of_very_many_digits_is_told_with_its_line(text: str, value: str) -> None:
    line = text.count("\n") + 1
    with pytest.raises(ConfigError, match=rf"^dnsbl\.toml:{line}: .*an integer of more than 64 bits$"):
        parse(text.format(value))


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_a_number_that_is_none_is_out_of_range(value: str) -> None:
    with pytest.raises(ConfigError, match=r"out of range; give 0\.001 to 300"):
        parse(f"[resolver]\ndeadline_s = {value}")
