"""Imported configurations that are hostile or just broken: each is read or refused in little time.

Each text is one that took minutes or more, or would have; they grow with what a fault would cost, so that
the bound of time is far from both.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from dnsbl.errors import ConfigError
from dnsbl.migrate.exim import import_exim
from dnsbl.migrate.octets import MAX_CODES, format_filter, of_address, with_bits
from dnsbl.migrate.postfix import import_maincf
from dnsbl.migrate.rspamd import import_rspamd
from dnsbl.migrate.spamassassin import import_spamassassin
from dnsbl.zones.catalogue import load
from dnsbl.zones.replyfilter import parse_reply_filter

MANY = random.Random(1)
CATALOGUE = load()


@contextmanager
def quickly() -> Iterator[None]:
    started = time.process_time()
    yield
    assert time.process_time() - started < 3


def codes(count: int) -> list[str]:
    return [f"127.{MANY.randrange(256)}.{MANY.randrange(256)}.{MANY.randrange(256)}" for _ in range(count)]


def test_a_long_chain_of_parameters() -> None:
    chain = "".join(f"a{i} = $a{i - 1}\n" for i in range(1, 40_000))
    with quickly():
        found = import_maincf(f"a0 = reject_rbl_client bl.example.com\n{chain}", CATALOGUE)
    assert found.notes, "nested deeper than is followed"


def test_classes_are_followed_from_name_to_name() -> None:
    text = "smtpd_client_restrictions = one\none = $two\ntwo = reject_rbl_client bl.example.com\n"
    assert [entry.name for entry in import_maincf(text, CATALOGUE).entries] == ["bl.example.com"]


def test_very_many_keys_are_masked_each() -> None:
    keys = [f"{MANY.randrange(36**20):x}".rjust(24, "k")[:24] + "1" for _ in range(1900)]
    sites = "".join(f" {key}.bl{i}.example.com\n" for i, key in enumerate(keys))
    with quickly():
        found = import_maincf(f"postscreen_dnsbl_sites =\n{sites}", CATALOGUE)
    variables = [entry.key_env for entry in found.entries]
    assert variables[:2] == ["DNSBL_KEY_EXAMPLE", "DNSBL_KEY_EXAMPLE_2"]
    assert len(set(variables)) == len(keys)
    shown = "".join(note.text for note in found.notes)
    assert [key for key in keys if key in shown] == []


def test_more_codes_than_a_list_has_are_left_out() -> None:
    text = f"deny dnslists = bl.example.com={','.join(codes(20_000))} : other.example.com"
    with quickly():
        found = import_exim(text, CATALOGUE)
    assert [entry.name for entry in found.entries] == ["other.example.com"]
    assert [note.message for note in found.notes if note.lost] == [f"left out: more than {MAX_CODES} codes"]

    quoted = ", ".join(f'"{code}"' for code in codes(20_000))
    with quickly():
        found = import_rspamd(
            f'rbls {{ x {{ rbl = "bl.example.com"; returncodes {{ X = [{quoted}] }} }} }}', CATALOGUE
        )
    assert f"left out: more than {MAX_CODES} codes" in [note.message for note in found.notes]


@pytest.mark.parametrize("count", [400, 4_000])
def test_very_many_statements_about_one_zone(count: int) -> None:
    text = "".join(f"deny dnslists = bl.example.com=127.1.{i >> 8}.{i & 255}\n" for i in range(count))
    with quickly():
        if count < 1000:
            assert len(import_exim(text, CATALOGUE).entries[0].codes) == count
        else:
            with pytest.raises(ConfigError, match="more than 1000 codes"):
                import_exim(text, CATALOGUE)


@pytest.mark.parametrize("quote", ["'", '"'])
def test_a_quote_that_is_not_closed(quote: str) -> None:
    """Each backslash more doubled the time."""
    text = f"header X eval:check_rbl({quote}{chr(92) * 4_000})\nscore X 3"
    with quickly():
        assert import_spamassassin(text, CATALOGUE).entries == ()


def test_an_argument_without_end() -> None:
    with quickly():
        found = import_spamassassin(f"header X eval:check_rbl({'a' * 500_000}')\nscore X 3", CATALOGUE)
    assert found.entries == ()


def test_arguments_of_spamassassin_in_every_way_of_writing() -> None:
    text = "header X eval:check_rbl('x\\'y', \"bl.example.com.\", 127.0.0.2)\nscore X 3"
    (entry,) = import_spamassassin(text, CATALOGUE).entries
    assert (entry.name, entry.reply, entry.weight) == ("bl.example.com", "127.0.0.2", 3.0)


def test_quotes_that_are_not_closed_on_a_line_without_end() -> None:
    with quickly(), pytest.raises(ConfigError, match="a value is needed"):
        import_rspamd("a = " + '"\\' * 300_000, CATALOGUE)


def test_an_unclosed_quote_hides_no_comment() -> None:
    text = 'rbls { x { rbl = "bl.example.com"; y = "a\nb"; /* two */ } }'
    assert [entry.name for entry in import_rspamd(text, CATALOGUE).entries] == ["bl.example.com"]


def test_an_object_of_very_many_keys() -> None:
    fields = "y = 1; whitelist_exception = z; " * 15_000
    values = 'X = "127.0.0.2"; ' * 15_000
    text = f'rbls {{ x {{ rbl = "bl.example.com"; {fields} returncodes {{ {values} }} }} }}'
    with quickly():
        (entry,) = import_rspamd(text, CATALOGUE).entries
    assert entry.reply == "127.0.0.2"


def test_every_filter_that_is_written_can_be_read_back() -> None:
    octets = with_bits(0x7F010101)
    text = format_filter(octets)
    assert len(text) > 1000
    assert parse_reply_filter(text).octets == octets
    address = of_address("127.1.3.255")
    assert address
    assert all(one & both == one for one, both in zip(address, octets, strict=True))


def test_a_code_that_no_list_answers_is_left_out() -> None:
    """A filter that cannot match would make the file that is written unreadable."""
    found = import_spamassassin("header X eval:check_rbl('x', 'bl.example.com.', '1.0.0.2')\n", CATALOGUE)
    assert found.entries == ()
    (note,) = (note for note in found.notes if note.lost)
    assert note.message == "no counterpart: '1.0.0.2' is not a set of codes"

    text = 'rbls { x { rbl = "bl.example.com"; returncodes { X = ["1.0.0.2", "127.0.0.3"] } } }'
    (entry,) = import_rspamd(text, CATALOGUE).entries
    assert entry.reply == "127.0.0.3"
