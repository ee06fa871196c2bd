"""Every key of a TOML text is found, on its own line, whatever stands in strings, comments and arrays."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnsbl.config.toml_lines import Path, find_lines
from dnsbl.config.toml_table import Source, Table, check_keys, parse_toml
from dnsbl.errors import ConfigError

TRICKY = r'''
# [not.a.table]
plain = "a # no comment, = no key, [no] {table}"
literal = 'back\slash "quoted" ] }'
long = """
fake = 1
[fake]
\""" still inside "" """
long_literal = \'\'\'
[[fake]]
four quotes: \'\'\'\'
closing = [ # comment ] with brackets
  1, # 1,
  "two, ]",

  [3.0, { in = 1, "quoted key" = 2 }],
]
"dotted"."quo\u0074ed".plain = 1979-05-27 07:32:00  # date with a space
inline = { a.b = 1, c = { d = [1, 2] } }

[resolver] # comment
deadline_s = 3.0

[[policy.rule]]
action = "DUNNO"
[[policy.rule]]
action = "REJECT"
  [policy.rule.sub]
  x = 1
[[policy.rule.deep]]
y = 1
[[policy.rule.deep]]
z = """one line"""""
[policy]
listen = []
'''.replace("\\'", "'")


def paths(value: Any, path: Path = ()) -> set[Path]:
    """All key paths of a value, as tomllib gives it."""
    found = {path} if path else set()
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        found |= paths(item, (*path, key))
    return found


def line_of(text: str, part: str) -> int:
    assert text.count(part) == 1, part
    return text[: text.index(part)].count("\n") + 1


@pytest.mark.parametrize("text", [TRICKY, TRICKY.replace("\n", "\r\n")], ids=["LF", "CRLF"])
def test_finds_exactly_the_paths_that_tomllib_reads(text: str) -> None:
    assert set(find_lines(text)) == paths(tomllib.loads(text))


@pytest.mark.parametrize(
    ("path", "part"),
    [
        (("plain",), 'plain = "a'),
        (("long_literal",), "long_literal"),
        (("closing",), "closing = ["),
        (("closing", 0), "  1, #"),
        (("closing", 1), '"two, ]"'),
        (("closing", 2, 1, "quoted key"), "quoted key"),
        (("dotted", "quoted", "plain"), '"dotted"'),
        (("inline", "c", "d", 1), "inline ="),
        (("resolver",), "[resolver]"),
        (("resolver", "deadline_s"), "deadline_s"),
        (("policy", "rule", 0, "action"), '"DUNNO"'),
        (("policy", "rule", 1, "action"), '"REJECT"'),
        (("policy", "rule", 1, "sub", "x"), "  x = 1"),
        (("policy", "rule", 1, "deep", 1, "z"), "z ="),
        (("policy", "listen"), "listen ="),
    ],
)
def test_line_of_a_key(path: Path, part: str) -> None:
    assert find_lines(TRICKY)[path] == line_of(TRICKY, part)


texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=8) | st.sampled_from(
    ['"""', "'''", "]", "}", "#", "\\", "[a]", "x = 1"]
)


def quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


VALUES = ["1", "[\n1, # x ]\n2]", "{ a = '#' }", '"""\n\\"""\n"""', "'''\n# ]\n'''", "true"]


@settings(max_examples=200)
@given(
    st.lists(
        st.tuples(
            texts.map(quoted) | st.from_regex(r"[A-Za-z0-9_-]{1,5}", fullmatch=True),
            st.sampled_from(VALUES) | texts.map(quoted),
            st.sampled_from(["", " # comment = 1", "\n", "\n# [x]\n"]),
        ),
        unique_by=lambda item: tomllib.loads(f"{item[0]} = 1").popitem()[0],
    )
)
def test_lines_of_generated_texts(items: list[tuple[str, str, str]]) -> None:
    text, expected = "", {}
    for key, value, after in items:
        name = tomllib.loads(f"{key} = 1").popitem()[0]
        expected[name,] = text.count("\n") + 1
        text += f"{key} = {value}{after}\n"
    found = find_lines(text)
    assert set(found) == paths(tomllib.loads(text))
    assert {path: line for path, line in found.items() if len(path) == 1} == expected


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("a = 1\nb = \n", "x.toml:2: "),
        ("a = 1\n\nb = 'open", "x.toml:3: "),
        ("a = 1\na = 2\n", "x.toml:2: "),
        ("[a\n", "x.toml:1: "),
        ("", None),
    ],
)
def test_text_that_is_not_toml_is_refused_with_its_line(text: str, where: str | None) -> None:
    if where is None:
        assert parse_toml(text, "x.toml")[0] == {}
        return
    with pytest.raises(ConfigError) as caught:
        parse_toml(text, "x.toml")
    assert str(caught.value).startswith(where)
    assert "\n" not in str(caught.value)


def test_deep_nesting_is_refused_and_not_a_crash() -> None:
    with pytest.raises(ConfigError, match="nested too deep"):
        parse_toml("a = " + "[" * 100_000, "x.toml")


def test_a_key_that_is_not_there_has_the_line_of_its_table() -> None:
    _, source = parse_toml("\n[[policy.rule]]\naction = 'OK'\n", "x.toml")
    assert source.where(("policy", "rule", 0, "score")) == "x.toml:2"
    assert source.where(("resolver",)) == "x.toml"


def test_unknown_key_names_key_line_and_nearest() -> None:
    values, source = parse_toml("[[zone]]\nname = 'a'\nwieght = 1\n", "x.toml")
    with pytest.raises(ConfigError) as caught:
        check_keys(values["zone"][0], ["name", "weight", "reply"], ("zone", 0), source)
    assert str(caught.value) == "x.toml:3: unknown key 'wieght' in [[zone]]; did you mean 'weight'?"
    assert caught.value.text == "wieght"


@pytest.mark.parametrize(
    ("read", "text", "message"),
    [
        (lambda t: t.number("x", 0, 5), "x = '1'", "x: '1' is not a number"),
        (lambda t: t.number("x", 0, 5), "x = true", "x: true is not a number"),
        (lambda t: t.number("x", 0, 5), "x = nan", "x: nan is out of range; give 0 to 5"),
        (lambda t: t.number("x", 0, 5), "x = 5.5", "x: 5.5 is out of range; give 0 to 5"),
        (lambda t: t.integer("x", 1, 5), "x = 1.0", "x: 1.0 is not a whole number"),
        (lambda t: t.integer("x", 1, 5), "x = 0", "x: 0 is out of range; give 1 to 5"),
        (lambda t: t.text("x"), "x = 1", "x: 1 is not a text"),
        (lambda t: t.text("x"), "x = ' '", "x: is empty; give a text or leave the key out"),
        (lambda t: t.text("x"), f"x = '{'a' * 2001}'", "x: a text of 2001 characters; at most 2000"),
        (lambda t: t.texts("x"), f"x = ['{'a' * 2001}']", "x: a text of 2001 characters; at most 2000"),
        (lambda t: t.choice("x", ["a", "b"]), "x = 'c'", "x: 'c' is not valid: use one of a, b"),
        (lambda t: t.flag("x"), "x = 1", "x: 1 is not true or false"),
        (lambda t: t.texts("x"), "x = 'a'", 'x: \'a\' is not an array of texts, as in ["a", "b"]'),
        (lambda t: t.table("x"), "x = 1", "x: 1 is not a table; write it as [x]"),
        (lambda t: t.tables("x"), "[x]", "x: a table is not an array of tables; write each as [[x]]"),
    ],
)
def test_wrong_type_or_range_is_refused(read: Any, text: str, message: str) -> None:
    values, source = parse_toml(text, "x.toml")
    with pytest.raises(ConfigError) as caught:
        read(Table(values, (), source))
    assert str(caught.value) == f"x.toml:1: {message}"


def test_array_elements_are_placed_on_their_own_lines() -> None:
    values, source = parse_toml("x = [\n'a',\n2,\n]", "x.toml")
    with pytest.raises(ConfigError, match=r"^x.toml:3: x: 2 is not a text"):
        Table(values, (), source).texts("x")
    with pytest.raises(ConfigError, match=r"^x.toml:2: x: 'a' is not a table"):
        Table(values, (), source).tables("x")


def test_absent_keys_are_none() -> None:
    table = Table({}, (), Source("x.toml"))
    found = (table.number("x", 0, 1), table.text("x"), table.flag("x"), table.texts("x"), table.table("x"))
    assert found == (None,) * 5
    assert table.tables("x") == ()


def test_a_monstrous_key_or_name_costs_little() -> None:
    monster = "a" * 1_000_000
    values, source = parse_toml(f"{monster} = 1", "x.toml")
    with pytest.raises(ConfigError) as caught:
        check_keys(values, ["name"], (), source)
    assert len(str(caught.value)) < 3000
