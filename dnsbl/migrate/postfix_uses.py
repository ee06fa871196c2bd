"""What a main.cf asks lists about: the items of postscreen_dnsbl_sites, and lists of smtpd restrictions.

Read and checked here, and made into rules in dnsbl/migrate/postfix_rules.py. Pure: text in, values out.

Source: postconf(5) of Postfix 3.7 to 3.11; DEPRECATION_README of 3.11 (read 2026-11-27) for names that changed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv6Network, ip_network
from typing import Final

from dnsbl.errors import ConfigError
from dnsbl.migrate.imported import ANY, DOMAIN, IP, MAX_TEXT, Import
from dnsbl.migrate.maincf import Item, Parameter, Value, items
from dnsbl.migrate.postfix_parameters import Parameters
from dnsbl.model import Kind
from dnsbl.zones.catalogue import Catalogue

SITES: Final = "postscreen_dnsbl_sites"
ACTION: Final = "postscreen_dnsbl_action"
THRESHOLD: Final = "postscreen_dnsbl_threshold"
ACCESS_LIST: Final = "postscreen_access_list"
CLASSES: Final = "smtpd_restriction_classes"
WARN: Final = "warn_if_reject"
EXPORT_PREFIX: Final = "dnsbl_"
"""Before a parameter's name in what is exported: nobody's own smtpd_recipient_restrictions is overwritten."""
MAX_DEPTH: Final = 10
"""Deepest class of restrictions within a class."""


@dataclass(frozen=True, slots=True)
class Verb:
    """A restriction that asks a list. source: what about, as `look_up` calls it. weight: what a hit counts."""

    kinds: frozenset[Kind]
    source: str
    weight: int = 1


VERBS: Final[dict[str, Verb]] = {
    "reject_rbl_client": Verb(IP, "client"),
    "reject_rhsbl_client": Verb(DOMAIN, "client_name"),
    "reject_rhsbl_reverse_client": Verb(DOMAIN, "reverse_client_name"),
    "reject_rhsbl_helo": Verb(DOMAIN, "helo"),
    "reject_rhsbl_sender": Verb(DOMAIN, "sender"),
    "reject_rhsbl_recipient": Verb(DOMAIN, "recipient"),
    "permit_dnswl_client": Verb(IP, "client", -1),
    "permit_rhswl_client": Verb(DOMAIN, "client_name", -1),
}

_OLD_VERBS: Final = {"reject_rbl": "reject_rbl_client"}
_RESTRICTIONS: Final = re.compile(r"smtpd_(?!etrn_)[a-z_]+_restrictions")
_REFERRED: Final = re.compile(r"\$[({]?\s*([A-Za-z0-9_]+)")
_REFUSALS: Final = re.compile(r"127\.255\.255\.\S+")
"""Filters that take nothing but codes of refusal, as Spamhaus and others give them."""
_MAPPED: Final = IPv6Network("::ffff:0:0/96")
_WEIGHT: Final = re.compile(r"[+-]?[0-9]{1,9}", re.ASCII)
_ALIKE: Final = re.compile(r"(?<![a-z_])(reject_(rbl|rhsbl|maps_rbl)|permit_(dnswl|rhswl))", re.IGNORECASE)
_KNOWN_PERMITS: Final = frozenset({"permit_mynetworks", "permit_sasl_authenticated"})
"""Whom these let pass, `own_networks` and the first of the policy's own rules let pass."""
_OTHER_PERMITS: Final = re.compile(r"check_\w+|permit_\w+")
"""What may let a client pass before a list is asked, by tables and tests that are Postfix's own."""
_ENDS: Final = {"permit": "lets everybody pass", "reject": "refuses everybody", "defer": "refuses everybody"}


@dataclass(frozen=True, slots=True)
class Use:
    """One place that asks a zone: an item of postscreen_dnsbl_sites (verb ""), or a restriction.

    text: as main.cf has it, for notes. weight: what a hit counts in a score; below 0 it permits.
    source: what is asked about, as `look_up` calls it.
    """

    line: int
    parameter: str
    verb: str
    text: str
    name: str
    reply: str
    key_env: str
    weight: int
    source: str = "client"
    is_warning: bool = False

    @property
    def place(self) -> tuple[str, str]:
        return self.name, self.reply

    @property
    def kinds(self) -> frozenset[Kind]:
        return VERBS[self.verb].kinds if self.verb else IP

    @property
    def written(self) -> str:
        """The restriction as it is written back, without a key."""
        text = f"{self.verb} {written(self.place)}"
        return f"{WARN} {text}" if self.is_warning else text


def written(place: tuple[str, str]) -> str:
    name, reply = place
    return name if reply == ANY else f"{name}={reply}"


class Reader:
    """Reads the parameters of one main.cf. networks_count: whether `permit_mynetworks` applies anywhere."""

    def __init__(self, text: str, catalogue: Catalogue) -> None:
        self.into = Import(text, catalogue)
        self.parameters = Parameters(self.into, text)
        self.expanded = 0
        self.networks_count = False
        self._of_class: dict[str, list[Use]] = {}

    def sites(self) -> list[Use]:
        """The items of postscreen_dnsbl_sites."""
        parameter = self.parameters.get(SITES)
        found = []
        for item in self._items(parameter):
            zone, star, weight = item.text.partition("*")
            if star and not _WEIGHT.fullmatch(weight):
                self.into.note(item.line, item.text, "left out: a weight is a whole number, as in zone*3")
            elif use := self._use(SITES, "", item, zone):
                found.append(replace(use, weight=int(weight) if star else 1))
        if found:
            self._read_access_list()
        return found

    def _read_access_list(self) -> None:
        """postscreen_access_list, which is permit_mynetworks where it is not set."""
        parameter = self.parameters.get(ACCESS_LIST)
        names = [item.text for item in self._items(parameter)] if parameter else ["permit_mynetworks"]
        self.networks_count |= "permit_mynetworks" in names
        if parameter and (others := [name for name in names if name != "permit_mynetworks"]):
            message = "no counterpart: lists are asked about these clients too; name them in own_networks"
            self.into.note(parameter.line, f"{ACCESS_LIST} = {' '.join(others)}", message)

    def threshold(self) -> int:
        """postscreen_dnsbl_threshold; 1 where it is not set, as in Postfix."""
        parameter = self.parameters.get(THRESHOLD)
        if parameter is None:
            return 1
        text = Value(parameter.value, self.parameters.values).text.strip()
        if not re.fullmatch(r"[0-9]{1,6}", text, re.ASCII) or int(text) < 1:
            self.parameters.note(parameter, "left out: not a whole number of 1 or more")
            return 1
        return int(text)

    def networks(self) -> list[str]:
        """mynetworks, as far as it is networks and anything permits them; a note for what else it is."""
        found = []
        for item in self._items(self.parameters.get("mynetworks")) if self.networks_count else ():
            text = item.text.replace("[", "").replace("]", "")
            try:
                network = ip_network(text, strict=False)
            except ValueError:
                message = "left out of own_networks: not a network"
                self.into.note(item.line, f"mynetworks: {item.text}", message)
                continue
            if network.version == 6 and network.subnet_of(_MAPPED):
                network = ip_network((int(network[0]) & 0xFFFFFFFF, network.prefixlen - 96))
            if not network.is_loopback:  # which the policy lets pass anyway
                found.append(str(network))
        return list(dict.fromkeys(found))

    def only_logs(self) -> bool:
        """Whether postscreen lets everybody through, whatever their score."""
        action = self.parameters.get(ACTION)
        return action is None or Value(action.value, self.parameters.values).text.strip() == "ignore"

    # Restrictions

    def lists(self) -> list[list[Use]]:
        """What each of smtpd's lists of restrictions asks, in its order."""
        parameters = self.parameters.by_name
        classes = set()
        if parameter := parameters.get(CLASSES):
            classes = {item.text for item in self._items(parameter)}
        named: set[str] = set()
        found = [
            self._uses_of(parameter, classes, named)
            for name, parameter in parameters.items()
            if _RESTRICTIONS.fullmatch(name)
        ]
        for name in self._left(named, classes):
            uses = self._uses_of(parameters[name], classes, named)
            if uses and name in classes:
                message = "no counterpart: a table says whom this class is for; here it is for everybody"
                self.into.note(parameters[name].line, name, message)
            found.append(uses)
        if (etrn := parameters.get("smtpd_etrn_restrictions")) and _ALIKE.search(etrn.value):
            self.parameters.note(etrn, "left out: it is about ETRN alone")
        return [uses for uses in found if uses]

    def _left(self, named: set[str], classes: set[str]) -> list[str]:
        """Other parameters with such restrictions: classes, and what no parameter refers to."""
        parameters = self.parameters.by_name
        refers = {
            name: set(_REFERRED.findall(parameter.value)) - {name} for name, parameter in parameters.items()
        }
        referring: dict[str, list[str]] = {}
        for name, others in refers.items():
            for other in others:
                referring.setdefault(other, []).append(name)
        holding = {name for name, parameter in parameters.items() if _ALIKE.search(parameter.value)}
        todo = list(holding)
        while todo:
            for name in referring.get(todo.pop(), ()):
                if name not in holding:
                    holding.add(name)
                    todo.append(name)
        left = holding - (referring.keys() - classes) - named - {SITES, "smtpd_etrn_restrictions"}
        return [name for name in parameters if name in left and not _RESTRICTIONS.fullmatch(name)]

    def _uses_of(self, parameter: Parameter, classes: set[str], named: set[str], depth: int = 0) -> list[Use]:
        """What a list asks, and the classes named in it, in their place."""
        uses: list[Use] = []
        before: list[Item] = []  # what may let a client pass
        is_warning = False
        found = self._items(parameter)
        for item in found:
            verb = _OLD_VERBS.get(item.text.lower(), item.text.lower())
            if verb in VERBS:
                argument = next(found, None)
                if argument is None:
                    self.into.note(item.line, item.text, "left out: a zone is needed after it")
                    break
                shown = Item(f"{item.text} {argument.text}", argument.line)
                name = parameter.name.removeprefix(EXPORT_PREFIX)
                if use := self._use(name, verb, shown, argument.text):
                    uses.append(replace(use, is_warning=is_warning))
                    self._note_before(before)
            elif verb in _ENDS and not is_warning:
                self._note_never(verb, found)
                break
            elif item.text in classes and item.text in self.parameters.by_name and depth < MAX_DEPTH:
                uses += self._uses_of_class(item.text, classes, named, depth + 1)
            else:
                self._other(item, verb, before)
            is_warning = verb == WARN
        return uses

    def _uses_of_class(self, name: str, classes: set[str], named: set[str], depth: int) -> list[Use]:
        """What a class asks, the same values wherever it is named."""
        named.add(name)
        if name not in self._of_class:
            self._of_class[name] = []  # while it is read: a class in itself
            self._of_class[name] = self._uses_of(self.parameters.by_name[name], classes, named, depth)
        return self._of_class[name]

    def _other(self, item: Item, verb: str, before: list[Item]) -> None:
        """A restriction that asks no list."""
        if verb in _KNOWN_PERMITS:
            self.networks_count |= verb == "permit_mynetworks"
        elif _OTHER_PERMITS.fullmatch(verb) and not _ALIKE.match(verb):
            before.append(item)
        elif _ALIKE.match(verb):
            self.into.note(item.line, item.text, "left out: not a restriction that is known here")

    def _note_before(self, before: list[Item]) -> None:
        for item in before:
            message = "no counterpart: whom it lets pass is still asked about; write a rule for them"
            self.into.note(item.line, item.text, message)
        before.clear()

    def _note_never(self, verb: str, found: Iterator[Item]) -> None:
        for item in found:
            if item.text.lower() in VERBS:
                message = f"left out: never reached, as {verb} before it {_ENDS[verb]}"
                self.into.note(item.line, item.text, message, lost=False)

    def _use(self, parameter: str, verb: str, item: Item, zone: str) -> Use | None:
        """`zone` or `zone=filter`, checked; None, and a note, where it cannot be used."""
        name, equals, reply = zone.partition("=")
        found = self.into.zone(item.line, item.text, name)
        if found is None or (equals and not self.into.is_filter(item.line, item.text, reply)):
            return None
        name, key_env = found
        if equals and _REFUSALS.fullmatch(reply):
            message = "not needed: a code by which the list refuses us is never a listing here"
            self.into.note(item.line, item.text, message, lost=False)
            return None
        kind = VERBS[verb] if verb else Verb(IP, "client")
        reply = reply if equals else ANY
        return Use(item.line, parameter, verb, item.text, name, reply, key_env, kind.weight, kind.source)

    def _items(self, parameter: Parameter | None) -> Iterator[Item]:
        if parameter is None:
            return iter(())
        value = Value(parameter.value, self.parameters.values)
        self.expanded += len(value.text)
        if self.expanded > 2 * MAX_TEXT:
            raise ConfigError(f"longer than {2 * MAX_TEXT} characters once expanded", parameter.name)
        for problem in value.problems:
            self.into.note(parameter.line, parameter.name, f"not expanded: {problem}")
        return items(value.text, parameter.line)
