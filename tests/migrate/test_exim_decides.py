"""What is imported from Exim's statements decides as Exim does: generated statements, random answers."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st
from support.decisions import decided

from dnsbl.config.file import parse
from dnsbl.migrate.exim import import_exim
from dnsbl.migrate.write import format_config
from dnsbl.zones.catalogue import load

CATALOGUE = load()
ZONES = [f"{letter}.example" for letter in "abcd"]
TESTS = {
    "": {"127.0.0.2", "127.0.0.3", "127.0.0.9"},
    "=127.0.0.2": {"127.0.0.2"},
    "=127.0.0.3,127.0.0.9": {"127.0.0.3", "127.0.0.9"},
    "&0.0.0.1": {"127.0.0.3", "127.0.0.9"},
}
KEYS = {
    "": "192.0.2.99",
    "/$sender_address_domain": "sender.example.com",
    "/$sender_helo_name": "helo.example.org",
    "/$sender_host_name": "mail.example.com",
}
REQUEST = {
    "client_address": "192.0.2.99", "client_name": "mail.example.com", "helo_name": "helo.example.org",
    "sender": "a@sender.example.com",
}  # fmt: skip
REPLIES = {
    "deny": "REJECT", "drop": "REJECT", "defer": "DEFER", "discard": "DISCARD", "accept": "DUNNO",
}  # fmt: skip


@dataclass(frozen=True)
class Item:
    zone: str
    test: str
    key: str

    def __str__(self) -> str:
        return self.zone + self.test + self.key

    def hits(self, answers: dict[tuple[str, str], set[str]]) -> bool:
        return not TESTS[self.test].isdisjoint(answers.get((self.zone, KEYS[self.key]), ()))


@dataclass(frozen=True)
class Statement:
    """`unknown`: what stands before the items. Lists under `excluded` are a `!dnslists` beside them."""

    verb: str
    items: tuple[Item, ...]
    unknown: str = ""
    excluded: tuple[Item, ...] = ()

    def __str__(self) -> str:
        text = f"  {self.verb} dnslists = {' : '.join(filter(None, [self.unknown, *map(str, self.items)]))}\n"
        if self.excluded:
            text += f"    !dnslists = {' : '.join(map(str, self.excluded))}\n"
        return text


items = st.builds(Item, st.sampled_from(ZONES), st.sampled_from(list(TESTS)), st.sampled_from(list(KEYS)))
some_items = st.lists(items, min_size=1, max_size=3).map(tuple)
denials = st.builds(
    Statement,
    st.sampled_from(["deny", "drop"]),
    some_items,
    st.sampled_from(["", "+include_unknown", "+defer_unknown", "+exclude_unknown"]),
    st.one_of(st.just(()), st.lists(items, min_size=1, max_size=1).map(tuple)),
)
others = st.builds(Statement, st.sampled_from(["accept", "defer", "discard"]), some_items)
statements = st.lists(st.one_of(denials, others), min_size=1, max_size=4)
answers = st.dictionaries(
    st.tuples(st.sampled_from(ZONES), st.sampled_from(list(KEYS.values()))),
    st.sets(st.sampled_from(sorted(TESTS[""])), min_size=1),
    max_size=12,
)


def exim(found: list[Statement], answered: dict[tuple[str, str], set[str]], silent: set[str]) -> set[str]:
    """What acl.c and dnsbl.c may say: the first statement whose conditions all hold.

    A list that does not answer is one that has nobody, or everybody (+include_unknown), or defers.
    """
    said: list[str] = []
    for statement in found:
        if any(item.zone not in silent and item.hits(answered) for item in statement.excluded):
            continue
        for item in statement.items:
            if item.zone in silent and statement.unknown == "+defer_unknown":
                said.append("DEFER_IF_PERMIT")
            elif (item.zone in silent and statement.unknown == "+include_unknown") or (
                item.zone not in silent and item.hits(answered)
            ):
                said.append(REPLIES[statement.verb])
        if "DUNNO" in said:
            break
    passed = said.index("DUNNO") if "DUNNO" in said else len(said)
    return set(said[:passed]) or {"DUNNO"}


@settings(max_examples=150, deadline=None)
@given(statements, st.lists(answers, max_size=3), st.sets(st.sampled_from(ZONES), max_size=1))
def test_statements_and_what_is_imported_decide_alike(
    given_statements: list[Statement],
    given_answers: list[dict[tuple[str, str], set[str]]],
    silent: set[str],
) -> None:
    """Alike, or the one thing that rules cannot say, different exceptions of several statements, is named.

    Where several statements refuse, which of their replies is given is not kept: a rejection may come first.
    """
    text = "acl:\n" + "".join(map(str, given_statements))
    found = import_exim(text, CATALOGUE)
    lost = [note for note in found.notes if note.lost]
    assert all("ends nothing" in note.message for note in lost)
    if lost:
        return
    config = parse(format_config(found, "exim"))
    for answered in given_answers:
        said = exim(given_statements, answered, silent)
        assert decided(config, REQUEST, answered, silent) in said, text + format_config(found, "exim")
