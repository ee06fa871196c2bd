"""What is imported from a main.cf decides as Postfix does: generated restrictions, random answers."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st
from support.decisions import decided

from dnsbl.config.file import parse
from dnsbl.migrate.imported import Imported
from dnsbl.migrate.postfix import import_maincf
from dnsbl.migrate.postfix_uses import VERBS
from dnsbl.migrate.write import format_config
from dnsbl.zones.catalogue import load

CATALOGUE = load()
ZONES = [f"{letter}.example" for letter in "abcd"]
FILTERS = {
    "": {"127.0.0.2", "127.0.0.3", "127.0.0.9"},
    "=127.0.0.2": {"127.0.0.2"},
    "=127.0.0.[3..9]": {"127.0.0.3", "127.0.0.9"},
}
SUBJECTS = {
    "client": "192.0.2.99",
    "client_name": "mail.example.com",
    "reverse_client_name": "host.example.net",
    "helo": "helo.example.org",
    "sender": "sender.example.com",
    "recipient": "recipient.example.net",
}
REQUEST = {
    "client_address": SUBJECTS["client"],
    "client_name": SUBJECTS["client_name"],
    "reverse_client_name": SUBJECTS["reverse_client_name"],
    "helo_name": SUBJECTS["helo"],
    "sender": f"a@{SUBJECTS['sender']}",
    "recipient": f"b@{SUBJECTS['recipient']}",
}
PARAMETERS = ["smtpd_client_restrictions", "smtpd_sender_restrictions", "smtpd_recipient_restrictions"]


@dataclass(frozen=True)
class Restriction:
    verb: str
    zone: str
    reply: str

    def hits(self, answers: dict[tuple[str, str], set[str]]) -> bool:
        subject = SUBJECTS[VERBS[self.verb].source]
        return not FILTERS[self.reply].isdisjoint(answers.get((self.zone, subject), ()))

    @property
    def permits(self) -> bool:
        return self.verb.startswith("permit")


restrictions = st.builds(
    Restriction, st.sampled_from(list(VERBS)), st.sampled_from(ZONES), st.sampled_from(list(FILTERS))
)
lists = st.dictionaries(
    st.sampled_from(PARAMETERS), st.lists(restrictions, min_size=1, max_size=4), min_size=1
)
sites = st.dictionaries(
    st.tuples(st.sampled_from(ZONES), st.sampled_from(list(FILTERS))), st.integers(-3, 4), max_size=3
)
answers = st.dictionaries(
    st.tuples(st.sampled_from(ZONES), st.sampled_from(list(SUBJECTS.values()))),
    st.sets(st.sampled_from(sorted(FILTERS[""])), min_size=1),
    max_size=12,
)


def postfix(
    given_sites: dict[tuple[str, str], int],
    threshold: int,
    given_lists: dict[str, list[Restriction]],
    found: dict[tuple[str, str], set[str]],
    silent: set[str],
) -> str:
    """postscreen_dnsbl.c and smtpd_check.c: the score first, then each list until something ends it.

    Where one list rejects and another defers, either may speak first: it is a rejection here.
    """
    score = sum(
        weight
        for (zone, reply), weight in given_sites.items()
        if zone not in silent and not FILTERS[reply].isdisjoint(found.get((zone, SUBJECTS["client"]), ()))
    )
    if given_sites and score >= threshold:
        return "REJECT"
    said = set()
    for uses in given_lists.values():
        defers = False
        for use in uses:
            if use.zone in silent:
                defers |= use.permits
            elif use.hits(found):
                if not use.permits:
                    said.add("DEFER_IF_PERMIT" if defers else "REJECT")
                break
    return max(said, default="DUNNO")


def main_cf(
    given_sites: dict[tuple[str, str], int], threshold: int, given_lists: dict[str, list[Restriction]]
) -> str:
    lines = []
    if given_sites:
        items = ", ".join(f"{zone}{reply}*{weight}" for (zone, reply), weight in given_sites.items())
        lines += [
            "postscreen_dnsbl_action = enforce", f"postscreen_dnsbl_threshold = {threshold}",
            f"postscreen_dnsbl_sites = {items}",
        ]  # fmt: skip
    for name, uses in given_lists.items():
        lines.append(f"{name} = " + ", ".join(f"{use.verb} {use.zone}{use.reply}" for use in uses))
    return "\n".join(lines) + "\n"


def orders(found: Imported) -> list[str]:
    return [str(note) for note in found.notes if "ends nothing" in note.message]


@settings(max_examples=120, deadline=None)
@given(
    sites,
    st.integers(1, 4),
    lists,
    st.lists(answers, max_size=4),
    st.sets(st.sampled_from(ZONES), max_size=1),
)
def test_restrictions_and_what_is_imported_decide_alike(
    given_sites: dict[tuple[str, str], int],
    threshold: int,
    given_lists: dict[str, list[Restriction]],
    given_answers: list[dict[tuple[str, str], set[str]]],
    silent: set[str],
) -> None:
    """Alike, or the one thing that rules cannot say, permits of several lists, is named."""
    text = main_cf(given_sites, threshold, given_lists)
    found = import_maincf(text, CATALOGUE)
    if orders(found):
        assert sum(any(use.permits for use in uses) for uses in given_lists.values()) > 1
        return
    config = parse(format_config(found, "main.cf"))
    for answered in given_answers:
        said = postfix(given_sites, threshold, given_lists, answered, silent)
        assert decided(config, REQUEST, answered, silent) == said, format_config(found, "main.cf")
