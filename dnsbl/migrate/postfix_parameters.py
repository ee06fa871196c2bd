"""The parameters of a main.cf as they count: with master.cf's in their place, and names that were changed. Pure.

Source: postconf(5); DEPRECATION_README of Postfix 3.11, read 2026-11-27.
"""

from __future__ import annotations

import re
from typing import Final

from dnsbl.migrate.imported import Import
from dnsbl.migrate.maincf import Item, Parameter, parse
from dnsbl.migrate.mastercf import Override, overrides, printed

ABOUT_LISTS: Final = re.compile(r"dnsbl|rbl|rhsbl|dnswl|rhswl", re.IGNORECASE)
_WARNING: Final = re.compile(r"postconf: (?:warning|fatal): ")
"""What postconf writes to stderr, which many join to its output."""

_RENAMED: Final = {
    "postscreen_dnsbl_ttl": "postscreen_dnsbl_max_ttl",
    "postscreen_dnsbl_whitelist_threshold": "postscreen_dnsbl_allowlist_threshold",
    "postscreen_blacklist_action": "postscreen_denylist_action",
    "postscreen_whitelist_interfaces": "postscreen_allowlist_interfaces",
}
"""Names that Postfix 3.11 warns of; the new one, where it is set, counts."""
_NO_COUNTERPART: Final = {
    "postscreen_dnsbl_allowlist_threshold": "no client passes other tests by its score here",
    "postscreen_dnsbl_timeout": "set deadline_s in [resolver] instead; it is 3 seconds otherwise",
    "postscreen_dnsbl_min_ttl": "set ttl_min_s in [resolver] instead",
    "postscreen_dnsbl_max_ttl": "set ttl_max_s in [resolver] instead; an answer is held as its own TTL says",
    "rbl_reply_maps": "the text of a refusal is the action of its [[policy.rule]]",
    "default_rbl_reply": "the text of a refusal is the action of its [[policy.rule]]",
    "maps_rbl_reject_code": "the code of a refusal is part of the action of its [[policy.rule]]",
    "maps_rbl_domains": "write each zone as reject_rbl_client; Postfix has dropped this form",
}
_NOT_NEEDED: Final = {
    "postscreen_dnsbl_reply_map": "a key is never part of a zone's name here, so nothing needs to be hidden",
}


class Parameters:
    """The parameters that count, by name; notes for those that are set twice, renamed or not smtpd's on port 25.

    values: for `maincf.Value`.
    """

    def __init__(self, into: Import, text: str) -> None:
        self.into = into
        found, wrong = parse(text)
        found, wrong = self._overrides(found, wrong)
        for item in wrong:
            if ABOUT_LISTS.search(item.text) and not _WARNING.match(item.text):
                into.note(item.line, item.text, "not a `name = value` line; Postfix skips it")
        found = self._renamed(found)
        self.by_name = {parameter.name: parameter for parameter in found}
        for parameter in found:
            last = self.by_name[parameter.name]
            if parameter is not last and ABOUT_LISTS.search(parameter.name + parameter.value):
                message = f"left out: the parameter is set again on line {last.line}, which counts"
                self.note(parameter, message)
        self.values = {name: parameter.value for name, parameter in self.by_name.items()}

    def get(self, name: str) -> Parameter | None:
        return self.by_name.get(name)

    def note(self, parameter: Parameter, message: str, *, lost: bool = True) -> None:
        self.into.note(parameter.line, f"{parameter.name} = {parameter.value}", message, lost=lost)

    def note_others(self) -> None:
        """Name what is about lists and has no counterpart."""
        for name, message in _NO_COUNTERPART.items():
            if name in self.by_name:
                self.note(self.by_name[name], f"no counterpart: {message}")
        for name, message in _NOT_NEEDED.items():
            if name in self.by_name:
                self.note(self.by_name[name], f"not needed: {message}", lost=False)

    def _renamed(self, found: list[Parameter]) -> list[Parameter]:
        names = {parameter.name for parameter in found}
        result = []
        for parameter in found:
            new = _RENAMED.get(parameter.name)
            if new is None:
                result.append(parameter)
                continue
            if new in names:
                self.note(parameter, f"left out: {new}, its new name, is set too, and counts", lost=False)
                continue
            self.note(parameter, f"Postfix 3.11 warns of this name: it is {new} now", lost=False)
            result.append(Parameter(new, parameter.value, parameter.line))
        return result

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
            elif ABOUT_LISTS.search(option.name + option.value):
                message = f"left out: of the service {option.service} alone, which is not port 25"
                self.into.note(line, f"{option.name}={option.value}", message)
        return usual, rest
