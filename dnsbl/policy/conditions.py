"""The conditions of a rule, compiled from its table: each true or false of one request, or of one verdict.

No I/O. Every key and value is checked here, when the configuration is read; nothing is left to go wrong
when a request comes.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address
from typing import Final, Generic, TypeVar

from dnsbl.config.toml_table import Table
from dnsbl.errors import ZoneError
from dnsbl.policy import patterns
from dnsbl.policy.findings import Findings
from dnsbl.policy.protocol import Attributes
from dnsbl.zones.replyfilter import parse_reply_filter

STATES: Final = ("CONNECT", "EHLO", "HELO", "MAIL", "RCPT", "DATA", "END-OF-MESSAGE", "VRFY", "ETRN")
"""The values of protocol_state (SMTPD_POLICY_README)."""


T = TypeVar("T")

FILE: Final = "file:"
Compile = Callable[[Iterable[str]], patterns.Test]
Watch = Callable[[str, Compile], patterns.Test]
"""Gives the test that the lines of the file at a path make, whatever they become. Raises ValueError."""


@dataclass(frozen=True, slots=True)
class Condition(Generic[T]):
    """One key of a rule: its name, its value as text, and the test.

    The test of a verdict gives None where the answers that are awaited may turn it; see `early`.
    """

    key: str
    text: str
    test: Callable[[T], bool | None]


RequestCondition = Condition[Attributes]
VerdictCondition = Condition[Findings]


def no_files(path: str, compile_: Compile) -> patterns.Test:
    """Where nobody reads files: refuse."""
    raise ValueError(f"{FILE}{path}: files are read by the policy daemon only")


def request_conditions(rule: Table, watch: Watch = no_files) -> tuple[RequestCondition, ...]:
    """Compile a rule's conditions that need no lookup, those that are quick to test first.

    watch: makes the test of a `file:` entry.

    Raises ConfigError for a value that is wrong or can never match.
    """
    return tuple(
        Condition(key, _shown(rule.values[key]), compile_(rule, key, watch))
        for key, compile_ in _COMPILERS.items()
        if key in rule.values
    )


def verdict_conditions(rule: Table, zones: Collection[str] | None) -> tuple[VerdictCondition, ...]:
    """Compile a rule's conditions on the verdict: `score`, `incomplete`, `silent`, and `zones` with `codes`.

    `zones` with `codes` is true of one listing that is of such a zone and has such a code. zones: the names
    that can be meant; None: any. Raises ConfigError.
    """
    found = (_score(rule), _certain(rule), _incomplete(rule), _silent(rule, zones), _listed_by(rule, zones))
    return tuple(condition for condition in found if condition)


def one_or_more(table: Table, key: str) -> tuple[str, ...]:
    """The texts at `key`, which may be one text or an array of them. Raises ConfigError."""
    value = table.values[key]
    texts = (table.text(key) or "",) if isinstance(value, str) else table.texts(key)
    if not texts:
        raise table.error(key, "is empty; give a value or leave the key out")
    return texts


def compile_pattern(
    table: Table, key: str, compile_: Compile, watch: Watch = no_files
) -> Callable[[str], bool]:
    """Compile the texts at `key` with a function of `patterns`, its ValueError made a ConfigError.

    A text `file:/PATH` stands for the lines of that file, which `watch` follows.
    """
    texts = one_or_more(table, key)
    given = [text for text in texts if not text.startswith(FILE)]
    try:
        of_files = [watch(text.removeprefix(FILE), compile_) for text in texts if text.startswith(FILE)]
        test = compile_(given)
    except ValueError as error:
        raise table.error(key, str(error), ", ".join(texts)) from None
    if not of_files:
        return test
    return lambda text: test(text) or any(matches(text) for matches in of_files)


def check_zones(
    table: Table, key: str, names: Iterable[str], known: Collection[str] | None
) -> frozenset[str]:
    """The zone names at `key`, folded. Raises ConfigError for one that is not among the `known`."""
    folded = frozenset(name.lower().strip(".") for name in names)
    for name in sorted(folded):
        if known is not None and name not in known:
            raise table.error(
                key, f"{name!r} is not a zone of this configuration: use {', '.join(known)}", name
            )
    return folded


# Of the request

RequestTest = Callable[[Attributes], bool]


def _client(rule: Table, key: str, watch: Watch) -> RequestTest:
    test = compile_pattern(rule, key, patterns.networks, watch)
    return lambda request: test(request.get("client_address", ""))


def _host_name(rule: Table, key: str, watch: Watch) -> RequestTest:
    test = compile_pattern(rule, key, patterns.host_names, watch)
    return lambda request: test(request.get(key, ""))


def _mail_address(rule: Table, key: str, watch: Watch) -> RequestTest:
    """An attribute that was not sent matches nothing, `<>` neither."""
    test = compile_pattern(rule, key, patterns.mail_addresses, watch)
    return lambda request: key in request and test(request[key])


def _authenticated(rule: Table, key: str, watch: Watch) -> RequestTest:
    wanted = bool(rule.flag(key))
    return lambda request: bool(request.get("sasl_username")) is wanted


def _encrypted(rule: Table, key: str, watch: Watch) -> RequestTest:
    wanted = bool(rule.flag(key))
    return lambda request: bool(request.get("encryption_protocol")) is wanted


def _server_port(rule: Table, key: str, watch: Watch) -> RequestTest:
    value = rule.values[key]
    ports = value if isinstance(value, list) else [value]
    for port in ports:
        if type(port) is not int or not 1 <= port <= 65_535:
            raise rule.error(key, f"{port!r} is not a valid port: use a number from 1 to 65535", port)
    if not ports:
        raise rule.error(key, "is empty; give a port or leave the key out")
    wanted = frozenset(map(str, ports))
    return lambda request: request.get("server_port") in wanted


def _protocol_state(rule: Table, key: str, watch: Watch) -> RequestTest:
    wanted = frozenset(text.upper() for text in one_or_more(rule, key))
    for state in sorted(wanted.difference(STATES)):
        raise rule.error(key, f"{state!r} is not a valid state: use {', '.join(STATES)}", state)
    return lambda request: request.get("protocol_state") in wanted


def _policy_context(rule: Table, key: str, watch: Watch) -> RequestTest:
    wanted = frozenset(one_or_more(rule, key))
    return lambda request: request.get("policy_context") in wanted


def _number(rule: Table, key: str, watch: Watch) -> RequestTest:
    """A comparison with a whole number of Postfix's; 0 is what it sends where it knows none: no match."""
    text = rule.text(key) or ""
    match = _COMPARISON.fullmatch(text)
    if not match:
        raise rule.error(key, f'{text!r} is not a valid comparison: use ">=1000000", ">50" or "<10"', text)
    compare, bound = _COMPARE[match[1]], int(match[2])

    def test(request: Attributes) -> bool:
        value = request.get(key, "")
        if not (value.isascii() and value.isdigit() and len(value) <= 18) or int(value) == 0:
            return False
        return compare(int(value), bound)

    return test


def _fingerprint(rule: Table, key: str, watch: Watch) -> RequestTest:
    """Of the client's certificate or of its public key, as Postfix sends both."""
    texts = one_or_more(rule, key)
    for text in texts:
        if not _FINGERPRINT.fullmatch(text):
            raise rule.error(
                key, f"{text!r} is not a valid fingerprint: use pairs of hex digits with colons", text
            )
    wanted = frozenset(text.upper() for text in texts)
    return lambda request: (
        request.get("ccert_fingerprint", "").upper() in wanted
        or request.get("ccert_pubkey_fingerprint", "").upper() in wanted
    )


_COMPARISON: Final = re.compile(r"\s*(>=|>|<=|<)\s*([0-9]{1,15})\s*")
_COMPARE: Final[dict[str, Callable[[int, int], bool]]] = {
    ">=": operator.ge, ">": operator.gt, "<=": operator.le, "<": operator.lt,
}  # fmt: skip
_FINGERPRINT: Final = re.compile(r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){15,63}")


def _shown(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(_shown, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


_COMPILERS: Final[dict[str, Callable[[Table, str, Watch], RequestTest]]] = {
    "authenticated": _authenticated,
    "encrypted": _encrypted,
    "server_port": _server_port,
    "protocol_state": _protocol_state,
    "policy_context": _policy_context,
    "size": _number,
    "recipient_count": _number,
    "ccert_fingerprint": _fingerprint,
    "client": _client,
    "client_name": _host_name,
    "reverse_client_name": _host_name,
    "helo_name": _host_name,
    "sender": _mail_address,
    "recipient": _mail_address,
}

# Of the verdict

_SCORE: Final = re.compile(r"\s*(>=|>|<=|<)\s*(-?[0-9]{1,9}(?:\.[0-9]{1,9})?)\s*")


def parse_score(rule: Table) -> tuple[bool, float] | None:
    """`score` as (at_least, threshold): true of a score >= threshold, or of a score below it.

    Every comparison is one of the two: `> 3` is `>=` the number next to 3. Raises ConfigError.
    """
    if "score" not in rule.values:
        return None
    text = rule.text("score") or ""
    match = _SCORE.fullmatch(text)
    if not match:
        raise rule.error(
            "score", f'{text!r} is not a valid comparison: use ">=3", ">0.5", "<=-1" or "<0"', text
        )
    threshold = float(match[2])
    if match[1] in (">", "<="):
        threshold = math.nextafter(threshold, math.inf)
    return match[1] in (">=", ">"), threshold


def _score(rule: Table) -> VerdictCondition | None:
    parsed = parse_score(rule)
    if parsed is None:
        return None
    at_least, threshold = parsed
    return Condition("score", rule.values["score"], lambda found: (found.score >= threshold) is at_least)


def _certain(rule: Table) -> VerdictCondition | None:
    """Whether the answers that are missing leave the score on its side, were all of them to speak for it."""
    wanted = rule.flag("certain")
    if wanted is None:
        return None
    parsed = parse_score(rule)
    if parsed is None:
        raise rule.error("certain", 'needs a score in the same rule, as in score = ">=1"')
    threshold = parsed[1]

    def test(found: Findings) -> bool:
        settled = (found.score >= threshold) is (found.least >= threshold)
        return settled is wanted

    return Condition("certain", _shown(wanted), test)


def _incomplete(rule: Table) -> VerdictCondition | None:
    wanted = rule.flag("incomplete")
    if wanted is None:
        return None
    return Condition("incomplete", _shown(wanted), lambda found: found.complete is not wanted)


def _silent(rule: Table, known: Collection[str] | None) -> VerdictCondition | None:
    """Whether one of these zones was to be asked, and gave no answer."""
    if "silent" not in rule.values:
        return None
    zones = check_zones(rule, "silent", one_or_more(rule, "silent"), known)

    def is_silent(found: Findings) -> bool | None:
        if not zones.isdisjoint(found.missing):
            return True
        return False if zones.isdisjoint(found.awaited) else None

    return Condition("silent", _shown(rule.values["silent"]), is_silent)


def _listed_by(rule: Table, known: Collection[str] | None) -> VerdictCondition | None:
    keys = [key for key in ("zones", "codes") if key in rule.values]
    if not keys:
        return None
    zones = check_zones(rule, "zones", one_or_more(rule, "zones"), known) if "zones" in keys else None
    is_code = _codes(rule) if "codes" in keys else None

    def test(found: Findings) -> bool | None:
        for _, _, answer in found.hits:
            if (zones is None or answer.zone in zones) and (
                is_code is None or any(map(is_code, answer.codes))
            ):
                return True
        if found.awaited and (zones is None or zones & found.awaited):
            return None
        return False

    return Condition(", ".join(keys), "; ".join(_shown(rule.values[key]) for key in keys), test)


def _codes(rule: Table) -> Callable[[str], bool]:
    try:
        filters = [parse_reply_filter(text) for text in one_or_more(rule, "codes")]
    except ZoneError as error:
        raise rule.error("codes", str(error), error.text) from None

    @lru_cache(1_024)
    def test(code: str) -> bool:
        number = int(IPv4Address(code))
        return any(accepted.matches(number) for accepted in filters)

    return test


REQUEST_KEYS: Final = tuple(_COMPILERS)
VERDICT_KEYS: Final = ("zones", "codes", "score", "certain", "incomplete", "silent")
