"""main.cf is read as Postfix reads it: `postconf -x` is the oracle."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest
from support.servers import needs

from dnsbl.migrate.maincf import Item, Value, items, parse

TEXT = """\
# a comment = x
a = x
  # a comment inside
  y, $b
b = one
  two

# a comment at the margin

\tthree
empty =
spaced   =    value with ends   \t
set_twice = first
set_twice = second
conditional = ${a?{yes $b}:{no}}|$(b)|$$b|${empty?foo:bar}|${empty:{ q r }}|${a ? {x}}|${empty?{x}:rest of it}
legacy = ${a?no{braces}here:x}|${empty?x}|${empty:x$b}
compared = ${{$b} == {one} ? {eq} : {ne}}|${{1} < {12}?{lt}:{ge}}|${{10} >= {9}}|${{a} > {b}}|
  ${{010} == {10}?{x}}
nested = ${a?{p ${b?{n ${empty:{deep}}}}}}
glued = ${b}x$b.y$(a)
"""
NAMES = (
    "a", "b", "empty", "spaced", "set_twice", "conditional", "legacy", "compared", "nested", "glued",
)  # fmt: skip


def expanded(text: str, name: str) -> str:
    """A parameter's value with all white space made one space, as postconf prints it."""
    values = {parameter.name: parameter.value for parameter in parse(text)[0]}
    value = Value(values[name], values)
    assert value.problems == []
    return " ".join(value.text.split())


def test_values_are_those_that_postconf_prints(tmp_path: Path) -> None:
    needs("postconf")
    # A parameter that nothing known to Postfix refers to is not printed: relay_domains refers to all of them.
    used = f"{TEXT}relay_domains = {' '.join('$' + name for name in NAMES)}\n"
    (tmp_path / "main.cf").write_text(used)
    (tmp_path / "master.cf").write_text("")
    printed = subprocess.run(
        ["postconf", "-c", tmp_path, "-x", *NAMES], capture_output=True, text=True, timeout=20, check=True
    ).stdout
    oracle = dict(line.split(" =", 1) for line in printed.splitlines())
    assert set(oracle) == set(NAMES)
    for name in NAMES:
        assert expanded(used, name) == " ".join(oracle[name].split()), name


def test_values_without_postfix_at_hand() -> None:
    assert expanded(TEXT, "a") == "x y, one two three"
    assert expanded(TEXT, "set_twice") == "second"
    assert expanded(TEXT, "compared") == "ne|lt|true|| x"
    assert expanded(TEXT, "nested") == "p n deep"


def test_lines_that_are_no_parameter_are_told() -> None:
    found, wrong = parse("  continues nothing\na = 1\nno equals sign\n= x\n")
    assert [parameter.name for parameter in found] == ["a"]
    assert wrong == [Item("continues nothing", 1), Item("no equals sign", 3), Item("= x", 4)]


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("${a", "the bracket is not closed"),
        ("$", "a name is needed after $"),
        ("$-", "a name is needed after $"),
        ("${a!b}", "not an expression of Postfix"),
        ("${fn{x}}", "not an expression of Postfix"),
        ("${{a} ~ {b} ? {c}}", "not a comparison of Postfix"),
        ("${{$unset} == {b} ? {c}}", "compares a parameter that this text does not set"),
        ("${unset?{c}}", "does not set unset; it is taken as empty"),
        ("$circle", "nested deeper than 20, or in a circle"),
    ],
)
def test_what_cannot_be_expanded_is_told(value: str, problem: str) -> None:
    found = Value(value, {"a": "1", "circle": "$circle"})
    assert [text for text in found.problems if problem in text], found.problems


def test_a_reference_to_what_the_text_does_not_set_stays() -> None:
    assert Value("$mydomain x", {}).text == "${mydomain} x"


def test_items_have_their_lines() -> None:
    (parameter,) = parse("p = a, b\n# note\n  c\n\n  {d\n   e} f,g\n")[0]
    assert list(items(parameter.value, parameter.line)) == [
        Item("a", 1), Item("b", 1), Item("c", 3), Item("{d\n   e}", 5), Item("f", 6), Item("g", 6),
    ]  # fmt: skip


def test_lines_stay_right_around_references() -> None:
    found, _ = parse("l = one\n two\np = $l\n ${l?{x\n }}\n last")
    values = {parameter.name: parameter.value for parameter in found}
    assert list(items(Value(values["p"], values).text, 3))[-1] == Item("last", 6)


@pytest.mark.parametrize(
    "text",
    [
        "p0 = $p1 $p1 $p1\n" + "".join(f"p{n} = $p{n + 1} $p{n + 1} $p{n + 1}\n" for n in range(1, 40)),
        "p0 = " + "${p0?{" * 5000,
        "p0 = " + "$p1" * 100_000 + "\np1 = " + "x" * 1000,
        "p0 = " + "{" * 100_000,
    ],
)
def test_hostile_values_are_bounded(text: str) -> None:
    started = time.process_time()
    values = {parameter.name: parameter.value for parameter in parse(text)[0]}
    value = Value(values["p0"], values)
    assert len(list(items(value.text, 1))) <= 100_001
    assert len(value.text) <= 200_000
    assert time.process_time() - started < 5
