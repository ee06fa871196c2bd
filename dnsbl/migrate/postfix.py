"""Postfix's main.cf -> zones: postscreen_dnsbl_sites and the smtpd restrictions that ask lists.

What one zone can say becomes a zone: an item of postscreen_dnsbl_sites one entry with its filter and weight,
a reject_* one that counts 1, a permit_* one that counts -1. What order and threshold say becomes
[[policy.rule]] tables, and in which parameter a zone stood a [postfix] table, from which
dnsbl/migrate/postfix_export.py writes main.cf's lines back. Pure: text in, values out.

Source: postconf(5) of Postfix 3.7 to 3.11, postscreen_dnsbl_sites, reject_rbl_client and its kin.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import ip_network
from typing import Final

from dnsbl.errors import ConfigError
from dnsbl.migrate.imported import ANY, DOMAIN, IP, MAX_TEXT, Entry, Import, Imported
from dnsbl.migrate.maincf import Item, Parameter, Value, items, parse
from dnsbl.migrate.mastercf import Override, overrides, printed
from dnsbl.zones.catalogue import Catalogue
from dnsbl.zones.zone import Kind

SITES: Final = "postscreen_dnsbl_sites"
ACTION: Final = "postscreen_dnsbl_action"
THRESHOLD: Final = "postscreen_dnsbl_threshold"
WARN: Final = "warn_if_reject"
EXPORT_PREFIX: Final = "dnsbl_"
"""Before a parameter's name in what is exported: nobody's own smtpd_recipient_restrictions is overwritten."""
VERBS: Final[dict[str, tuple[frozenset[Kind], int]]] = {
    "reject_rbl_client": (IP, 1),
    "reject_rhsbl_client": (DOMAIN, 1),
    "reject_rhsbl_reverse_client": (DOMAIN, 1),
    "reject_rhsbl_helo": (DOMAIN, 1),
    "reject_rhsbl_sender": (DOMAIN, 1),
    "reject_rhsbl_recipient": (DOMAIN, 1),
    "permit_dnswl_client": (IP, -1),
    "permit_rhswl_client": (DOMAIN, -1),
}
"""The restrictions that ask a list: what of, and the sign of what a hit counts."""

REFUSE: Final = "REJECT {client} is listed by {zones}: {reason} {delist_url}"
BASE_RULES: Final[tuple[dict[str, object], ...]] = (
    {"authenticated": True, "action": "DUNNO"},
    {"server_port": [465, 587], "action": "DUNNO"},
    {"client": ["private"], "action": "DUNNO"},
)
"""What the policy does unasked where a file has no rules, and must be told where it has some."""

_OLD_VERBS: Final = {"reject_rbl": "reject_rbl_client"}
_ALIKE: Final = re.compile(r"(?<![a-z_])(reject_(rbl|rhsbl|maps_rbl)|permit_(dnswl|rhswl))", re.IGNORECASE)
_LISTS: Final = re.compile(r"dnsbl|rbl|rhsbl|dnswl|rhswl", re.IGNORECASE)
_RESTRICTIONS: Final = re.compile(r"smtpd_[a-z_]+_restrictions")
_REFERRED: Final = re.compile(r"\$[({]?\s*([A-Za-z0-9_]+)")
_REFUSALS: Final = re.compile(r"127\.255\.255\.\S+")
"""Filters that take nothing but codes of refusal, as Spamhaus and others give them."""
_WEIGHT: Final = re.compile(r"[+-]?[0-9]{1,9}", re.ASCII)

_NO_COUNTERPART: Final = {
    "postscreen_dnsbl_allowlist_threshold": "no client passes other tests by its score here",
    "postscreen_dnsbl_whitelist_threshold": "no client passes other tests by its score here",
    "postscreen_dnsbl_reply_map": "a key is never part of a zone's name here, so nothing needs to be hidden",
    "postscreen_dnsbl_timeout": "set deadline_s in [resolver] instead; it is 3 seconds otherwise",
    "postscreen_dnsbl_ttl": "an answer is held as long as its own TTL says",
    "postscreen_dnsbl_min_ttl": "set ttl_min_s in [resolver] instead",
    "postscreen_dnsbl_max_ttl": "set ttl_max_s in [resolver] instead",
    "rbl_reply_maps": "the text of a refusal is the action of its [[policy.rule]]",
    "default_rbl_reply": "the text of a refusal is the action of its [[policy.rule]]",
    "maps_rbl_reject_code": "the code of a refusal is part of the action of its [[policy.rule]]",
    "maps_rbl_domains": "write each zone as reject_rbl_client; Postfix has dropped this form",
}


@dataclass(frozen=True, slots=True)
class _Use:
    """One place that asks a zone: an item of postscreen_dnsbl_sites (verb ""), or a restriction.

    text: as main.cf has it, for notes. weight: what a hit counts in a score.
    """

    line: int
    parameter: str
    verb: str
    text: str
    name: str
    reply: str
    key_env: str
    weight: int
    is_warning: bool = False

    @property
    def place(self) -> tuple[str, str]:
        return self.name, self.reply

    @property
    def written(self) -> str:
        """The restriction as it is written back, without a key."""
        text = f"{self.verb} {_written(self.place)}"
        return f"{WARN} {text}" if self.is_warning else text


def _written(place: tuple[str, str]) -> str:
    name, reply = place
    return name if reply == ANY else f"{name}={reply}"


def import_maincf(text: str, catalogue: Catalogue) -> Imported:
    """Read the text of a main.cf.

    Notes name, with line and text, what has no counterpart. Retired zones of the catalogue are marked.
    Raises ConfigError for a text over 1,048,576 characters or with over 2,000 zones; anything else wrong
    in it is a note.

    >>> from dnsbl.zones.catalogue import load
    >>> found = import_maincf("postscreen_dnsbl_sites = bl.example.com=127.0.0.2*3", load())
    >>> found.entries[0].reply, found.entries[0].weight
    ('127.0.0.2', 3)
    """
    reader = _Reader(text, catalogue)
    into = reader.into
    sites, uses = reader.sites(), reader.restrictions()
    dry = {use.name for use in uses} - {use.name for use in (*sites, *uses) if not use.is_warning}
    _add_entries(into, sites, uses, dry)
    alive = {entry.name for entry in into.entries if not entry.retired}
    sites = [site for site in sites if site.name in alive]
    uses = [use for use in uses if use.name in alive]
    reader.note_other_parameters(bool(sites))
    _note_order(into, sites, uses)
    if sites and reader.only_logs():
        dry |= {site.name for site in sites} - {use.name for use in uses if not use.is_warning}
    policy: dict[str, object] = {"dry_run": sorted(dry & alive)} if dry & alive else {}
    if (sites or uses) and (networks := reader.networks()):
        policy["own_networks"] = networks
    return into.finish(
        policy=policy,
        rules=_rules(sites, uses, reader.threshold(), dry),
        postfix=_postfix_table(sites, uses),
    )


class _Reader:
    """Reads the parameters of one main.cf."""

    def __init__(self, text: str, catalogue: Catalogue) -> None:
        self.into = Import(text, catalogue)
        self.expanded = 0
        found, wrong = parse(text)
        found, wrong = self._overrides(found, wrong)
        for item in wrong:
            if _LISTS.search(item.text):
                self.into.note(item.line, item.text, "not a `name = value` line; Postfix skips it")
        self.parameters = {parameter.name: parameter for parameter in found}
        for parameter in found:
            last = self.parameters[parameter.name]
            if parameter is not last and _LISTS.search(parameter.name + parameter.value):
                message = f"left out: the parameter is set again on line {last.line}, which counts"
                self._note_parameter(parameter, message)
        self.values = {name: parameter.value for name, parameter in self.parameters.items()}

    def _overrides(self, found: list[Parameter], wrong: list[Item]) -> tuple[list[Parameter], list[Item]]:
        """main.cf's parameters, then what master.cf (or `postconf -P`) sets for port 25, which counts."""
        usual, rest = [], []
        special: list[tuple[Override, int]] = []
        for parameter in found:
            place = printed(parameter.name)
            if place is None:
                usual.append(parameter)
            else:
                special.append((Override(*place, parameter.value), parameter.line))
        for item in wrong:
            options = overrides(item.text)
            if options is None:
                rest.append(item)
            else:
                special += [(option, item.line + option.line) for option in options]
        for option, line in special:
            if option.is_public:
                usual.append(Parameter(option.name, option.value, line))
            elif _ALIKE.search(option.value):
                message = f"left out: of the service {option.service} alone, which is not port 25"
                self.into.note(line, f"{option.name}={option.value}", message)
        return usual, rest

    def sites(self) -> list[_Use]:
        """The items of postscreen_dnsbl_sites."""
        parameter = self.parameters.get(SITES)
        found = []
        for item in self._items(parameter) if parameter else ():
            zone, star, weight = item.text.partition("*")
            if star and not _WEIGHT.fullmatch(weight):
                self.into.note(item.line, item.text, "left out: a weight is a whole number, as in zone*3")
            elif use := self._use(SITES, "", item, zone, int(weight) if star else 1):
                found.append(use)
        return found

    def threshold(self) -> int:
        """postscreen_dnsbl_threshold; 1 where it is not set, as in Postfix."""
        parameter = self.parameters.get(THRESHOLD)
        if parameter is None:
            return 1
        text = Value(parameter.value, self.values).text.strip()
        if not re.fullmatch(r"[0-9]{1,6}", text, re.ASCII) or int(text) < 1:
            self._note_parameter(parameter, "left out: not a whole number of 1 or more")
            return 1
        return int(text)

    def networks(self) -> list[str]:
        """mynetworks, as far as it is networks; a note for what else it is."""
        parameter = self.parameters.get("mynetworks")
        found = []
        for item in self._items(parameter) if parameter else ():
            text = item.text.replace("[", "").replace("]", "")
            try:
                network = ip_network(text, strict=False)
            except ValueError:
                message = "left out of own_networks: not a network"
                self.into.note(item.line, f"mynetworks: {item.text}", message)
                continue
            if not network.is_loopback:  # which the policy lets pass anyway
                found.append(str(network))
        return list(dict.fromkeys(found))

    def restrictions(self) -> list[_Use]:
        """The restrictions that ask a zone, in the order of the text."""
        return [use for parameter in self._with_restrictions() for use in self._restrictions_of(parameter)]

    def _with_restrictions(self) -> Iterator[Parameter]:
        """smtpd's own lists, and others with such restrictions that no parameter refers to (classes)."""
        refers = {
            parameter.name: set(_REFERRED.findall(parameter.value)) - {parameter.name}
            for parameter in self.parameters.values()
        }
        referring: dict[str, list[str]] = {}
        for name, others in refers.items():
            for other in others:
                referring.setdefault(other, []).append(name)
        holding = {name for name, parameter in self.parameters.items() if _ALIKE.search(parameter.value)}
        todo = list(holding)
        while todo:
            for name in referring.get(todo.pop(), ()):
                if name not in holding:
                    holding.add(name)
                    todo.append(name)
        classes = holding - referring.keys() - {SITES}
        for name, parameter in self.parameters.items():
            if _RESTRICTIONS.fullmatch(name) or name in classes:
                yield parameter

    def _restrictions_of(self, parameter: Parameter) -> Iterator[_Use]:
        is_warning = False
        found = self._items(parameter)
        for item in found:
            verb = _OLD_VERBS.get(item.text.lower(), item.text.lower())
            if verb in VERBS:
                argument = next(found, None)
                if argument is None:
                    self.into.note(item.line, item.text, "left out: a zone is needed after it")
                    return
                shown = Item(f"{item.text} {argument.text}", argument.line)
                name = parameter.name.removeprefix(EXPORT_PREFIX)
                use = self._use(name, verb, shown, argument.text, VERBS[verb][1])
                if use:
                    yield replace(use, is_warning=is_warning)
            elif _ALIKE.match(verb):
                self.into.note(item.line, item.text, "left out: not a restriction that is known here")
            is_warning = verb == WARN

    def _use(self, parameter: str, verb: str, item: Item, zone: str, weight: int) -> _Use | None:
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
        return _Use(item.line, parameter, verb, item.text, name, reply if equals else ANY, key_env, weight)

    def _items(self, parameter: Parameter) -> Iterator[Item]:
        value = Value(parameter.value, self.values)
        self.expanded += len(value.text)
        if self.expanded > 2 * MAX_TEXT:
            raise ConfigError(f"longer than {2 * MAX_TEXT} characters once expanded", parameter.name)
        for problem in value.problems:
            self.into.note(parameter.line, parameter.name, f"not expanded: {problem}")
        return items(value.text, parameter.line)

    def _note_parameter(self, parameter: Parameter, message: str) -> None:
        self.into.note(parameter.line, f"{parameter.name} = {parameter.value}", message)

    def note_other_parameters(self, has_sites: bool) -> None:
        for name, message in _NO_COUNTERPART.items():
            if name in self.parameters:
                self._note_parameter(self.parameters[name], f"no counterpart: {message}")
        if has_sites and self.only_logs():
            action = self.parameters.get(ACTION)
            line = action.line if action else self.parameters[SITES].line
            message = "Postfix only logs, which is its default: so does the policy, with dry_run in [policy]"
            self.into.note(line, f"{ACTION} = ignore", message, lost=False)

    def only_logs(self) -> bool:
        """Whether postscreen lets everybody through, whatever their score."""
        action = self.parameters.get(ACTION)
        return action is None or Value(action.value, self.values).text.strip() == "ignore"


def _add_entries(into: Import, sites: list[_Use], uses: list[_Use], dry: set[str]) -> None:
    """One entry per item of postscreen, and one per zone and filter that only restrictions have.

    It counts 0, and is there for its rule alone, where postscreen has the zone with other filters, and where
    only `warn_if_reject` has the filter (of a zone that is not in a dry run as a whole).
    """
    asked: dict[str, frozenset[Kind]] = {}
    for use in (*sites, *uses):
        asked[use.name] = asked.get(use.name, frozenset()) | (VERBS[use.verb][0] if use.verb else IP)
    site_names, site_places = {site.name for site in sites}, {site.place for site in sites}
    weighed: dict[tuple[str, str], _Use] = {}
    for use in uses:
        counts = use.name not in site_names and (use.name in dry or not use.is_warning)
        if use.place not in site_places and (use.place not in weighed or not weighed[use.place].weight):
            weighed[use.place] = use if counts else replace(use, weight=0)
    for use in (*sites, *weighed.values()):
        is_own = into.catalogue.row(use.name) is None
        entry = Entry(
            use.line,
            use.name,
            subjects=into.subjects(use.line, use.text, use.name, asked[use.name]),
            domain="host" if is_own and "domain" in asked[use.name] else None,
            reply=use.reply,
            weight=use.weight,
            key_env=use.key_env,
        )
        into.add(entry, use.text)


def _note_order(into: Import, sites: list[_Use], uses: list[_Use]) -> None:
    """Name where the order of rules cannot be that of main.cf, and warnings that leave no trace."""
    permits = [use for use in uses if use.weight < 0]
    if permits and sites:
        message = "here it also passes a client that postscreen_dnsbl_sites refuses; Postfix asks that first"
        into.note(permits[0].line, permits[0].text, message)
    if len({use.parameter for use in permits}) > 1:
        message = f"here it also passes what {permits[-1].parameter} refuses; in Postfix each list is its own"
        into.note(permits[0].line, permits[0].text, message)
    loud = {use.name for use in (*sites, *uses) if not use.is_warning}
    for use in uses:
        if use.is_warning and use.name in loud:
            into.note(use.line, use.written, f"no counterpart: {use.name} is asked elsewhere without {WARN}")


def _rules(sites: list[_Use], uses: list[_Use], threshold: int, dry: set[str]) -> list[dict[str, object]]:
    """The rules that decide as main.cf does; none where the policy's own do: a score of 1 refuses."""
    site_places, site_names = {site.place for site in sites}, {site.name for site in sites}
    loud = [use for use in uses if not use.is_warning or use.name in dry]
    plain = all(use.weight > 0 and (use.name not in site_names or use.place in site_places) for use in loud)
    if plain and (threshold == 1 or not sites):
        return []
    permitting = {use.parameter for use in loud if use.weight < 0}
    rules: list[dict[str, object]] = []
    # A permit ends its own list only: lists without one come first.
    for use in sorted(loud, key=lambda use: use.parameter in permitting):
        rule: dict[str, object] = {"zones": [use.name]}
        if use.reply != ANY:
            rule["codes"] = [use.reply]
        rule["action"] = REFUSE if use.weight > 0 else "DUNNO"
        if rule not in rules:
            rules.append(rule)
    score: list[dict[str, object]] = [{"score": f">={threshold}", "action": REFUSE}] if sites else []
    return [*BASE_RULES, *rules, *score]


def _postfix_table(sites: list[_Use], uses: list[_Use]) -> dict[str, object]:
    """Which entries are postscreen's, and each parameter's restrictions in order; empty without any."""
    if not uses:
        return {}
    table: dict[str, list[str]] = {SITES: list(dict.fromkeys(_written(site.place) for site in sites))}
    for use in uses:
        table.setdefault(use.parameter, []).append(use.written)
    return dict(table)
