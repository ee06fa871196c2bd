"""Postfix's main.cf -> zones: postscreen_dnsbl_sites and the smtpd restrictions that ask lists.

What one zone can say becomes a zone: an item of postscreen_dnsbl_sites one entry with its filter and weight,
a reject_* one that counts 1, a permit_* one that counts -1. What order, threshold and subject say becomes
[[policy.rule]] tables (dnsbl/migrate/postfix_rules.py), and in which parameter a zone stood a [postfix] table,
from which dnsbl/migrate/postfix_export.py writes main.cf's lines back. Pure: text in, values out.
"""

from __future__ import annotations

from dataclasses import replace

from dnsbl.migrate.imported import DOMAIN, Entry, Import, Imported
from dnsbl.migrate.postfix_rules import rules
from dnsbl.migrate.postfix_uses import ACTION, SITES, THRESHOLD, Reader, Use, written
from dnsbl.model import Kind
from dnsbl.zones.catalogue import Catalogue


def import_maincf(text: str, catalogue: Catalogue) -> Imported:
    """Read the text of a main.cf, with master.cf or what postconf prints behind it.

    Notes name, with line and text, what has no counterpart. Retired zones of the catalogue are marked.
    Raises ConfigError for a text over 1,048,576 characters or with over 2,000 zones; anything else wrong
    in it is a note.

    >>> from dnsbl.zones.catalogue import load
    >>> found = import_maincf("postscreen_dnsbl_sites = bl.example.com=127.0.0.2*3", load())
    >>> found.entries[0].reply, found.entries[0].weight
    ('127.0.0.2', 3)
    """
    reader = Reader(text, catalogue)
    into = reader.into
    sites, lists = reader.sites(), reader.lists()
    uses = _each_once(lists)
    dry = {use.name for use in uses} - {use.name for use in (*sites, *uses) if not use.is_warning}
    _add_entries(into, sites, uses, dry)
    alive = {entry.name for entry in into.entries if not entry.retired}
    sites = [site for site in sites if site.name in alive]
    lists = [[use for use in each if use.name in alive] for each in lists]
    uses = [use for use in uses if use.name in alive]
    _note_settings(reader, bool(sites))
    only_logs = bool(sites) and reader.only_logs()
    with_score = not (only_logs and _is_shared(into, sites, uses, dry))
    threshold = reader.threshold()
    written_rules = rules(into, sites, lists, threshold, dry, with_score=with_score)
    if only_logs:
        dry |= {site.name for site in sites} - {use.name for use in uses if not use.is_warning}
    policy: dict[str, object] = {"dry_run": sorted(dry & alive)} if dry & alive else {}
    if (sites or uses) and (networks := reader.networks()):
        policy["own_networks"] = networks
    return into.finish(
        policy=policy,
        rules=written_rules,
        postfix=_postfix_table(sites, uses, None if with_score else threshold),
    )


def _is_shared(into: Import, sites: list[Use], uses: list[Use], dry: set[str]) -> bool:
    """Whether restrictions refuse by a zone whose score postscreen only logs; a note, as nothing is left of that."""
    names = {use.name for use in uses if not use.is_warning or use.name in dry}
    found = any(site.name in names for site in sites)
    if found:
        message = "only logged, and not even that here: restrictions ask the same zones"
        into.note(sites[0].line, SITES, message, lost=False)
    return found


def _each_once(lists: list[list[Use]]) -> list[Use]:
    """A class of restrictions that several lists name is one."""
    return list({id(use): use for uses in lists for use in uses}.values())


def _note_settings(reader: Reader, has_sites: bool) -> None:
    reader.parameters.note_others()
    if has_sites and reader.only_logs():
        action = reader.parameters.get(ACTION)
        line = action.line if action else reader.parameters.by_name[SITES].line
        message = "Postfix only logs, which is its default: so does the policy, with dry_run in [policy]"
        reader.into.note(line, f"{ACTION} = ignore", message, lost=False)


def _add_entries(into: Import, sites: list[Use], uses: list[Use], dry: set[str]) -> None:
    """One entry per item of postscreen, and one per zone and filter that only restrictions have.

    It counts 0, and is there for its rule alone, where postscreen's score must not see it: where postscreen
    has the zone with other filters, where a restriction permits or a zone is asked about both addresses and
    domains, and where only `warn_if_reject` has the filter (of a zone that is not in a dry run as a whole).
    """
    asked: dict[str, frozenset[Kind]] = {}
    for use in (*sites, *uses):
        asked[use.name] = asked.get(use.name, frozenset()) | use.kinds
    site_names, site_places = {site.name for site in sites}, {site.place for site in sites}
    is_apart = bool(sites) and any(use.weight < 0 or asked[use.name] > DOMAIN for use in uses)
    weighed: dict[tuple[str, str], Use] = {}
    for use in uses:
        counts = use.name not in site_names and not is_apart and (use.name in dry or not use.is_warning)
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


def _postfix_table(sites: list[Use], uses: list[Use], threshold: int | None) -> dict[str, object]:
    """Which entries are postscreen's, and each parameter's restrictions in order; empty without any.

    threshold: postscreen's, where no rule has it.
    """
    if not uses:
        return {}
    table: dict[str, list[str]] = {SITES: list(dict.fromkeys(written(site.place) for site in sites))}
    for use in uses:
        table.setdefault(use.parameter, []).append(use.written)
    return {**table, THRESHOLD: threshold} if threshold and threshold != 1 else dict(table)
