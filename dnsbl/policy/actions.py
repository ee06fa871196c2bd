"""The actions a rule can give, in Postfix's spelling: checked once, filled in per request. No I/O.

The source is access(5) of Postfix 3.7: every action of its sections ACCEPT, REJECT and OTHER ACTIONS. An
action that Postfix would not understand is worse than none: it answers the client `451 4.3.5 Server
configuration error` and defers good mail. So each is checked when the configuration is read, and a text
filled in later can never turn it into another one.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

from dnsbl.policy.protocol import MAX_ACTION_BYTES, clean_text

FIELDS: Final = ("client", "zones", "score", "reason", "codes", "delist_url", "subject", "source")
"""What a text may name in braces. subject: what is listed, an address or a domain; source: where it is from,
such as `sender`; both of the listing that `reason` is from."""
OF_REQUEST: Final = ("client",)
"""Those that need no lookup."""

_TEXT_VERBS: Final = (
    "REJECT", "DEFER", "DEFER_IF_REJECT", "DEFER_IF_PERMIT", "DISCARD", "HOLD", "INFO", "WARN",
)  # fmt: skip
_TARGET_VERBS: Final = ("BCC", "REDIRECT", "FILTER")
VERBS: Final = ("OK", "DUNNO", "PREPEND", *_TEXT_VERBS, *_TARGET_VERBS)

RESTRICTIONS: Final = frozenset({
    "permit", "permit_auth_destination", "permit_inet_interfaces", "permit_mx_backup", "permit_mynetworks",
    "permit_sasl_authenticated", "permit_tls_all_clientcerts", "permit_tls_clientcerts",
    "reject_authenticated_sender_login_mismatch", "reject_invalid_helo_hostname",
    "reject_known_sender_login_mismatch", "reject_multi_recipient_bounce", "reject_non_fqdn_helo_hostname",
    "reject_non_fqdn_recipient", "reject_non_fqdn_sender", "reject_plaintext_session",
    "reject_sender_login_mismatch", "reject_unauth_destination", "reject_unauth_pipelining",
    "reject_unauthenticated_sender_login_mismatch", "reject_unknown_client_hostname",
    "reject_unknown_helo_hostname", "reject_unknown_recipient_domain",
    "reject_unknown_reverse_client_hostname", "reject_unknown_sender_domain", "reject_unlisted_recipient",
    "reject_unlisted_sender", "reject_unverified_recipient", "reject_unverified_sender",
    "defer_unauth_destination", "warn_if_reject",
})  # fmt: skip
"""The restrictions of postconf(5) that take no argument: access(5) lets an action name them too."""

_NO_TEXT: Final = "Access denied"
_PLACE: Final = re.compile(r"\{([^{}]*)\}")
_CODE: Final = re.compile(r"[45][0-9][0-9]")
_DSN: Final = re.compile(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}")  # RFC 3463
_HEADER: Final = re.compile(r"[!-9;-~]+:[ \t]*\S")  # RFC 5322 section 2.2: a name, a colon, a body
_TARGET: Final = {
    "BCC": (re.compile(r"[^\s@]+@[^\s@]+"), "user@domain"),
    "REDIRECT": (re.compile(r"[^\s@]+@[^\s@]+"), "user@domain"),
    "FILTER": (re.compile(r"[^\s:]+:\S*"), "transport:destination"),
}


class ActionError(ValueError):
    """Why an action cannot be used, in one line."""


@dataclass(frozen=True, slots=True)
class Action:
    """One checked action. Make one with `parse_action`.

    verb: `REJECT`, `550`, ...; for restrictions, all of them. parts: the text after it, cut at its
    places: even items are text, odd ones names of `FIELDS`.
    """

    verb: str
    parts: tuple[str, ...] = ()

    @property
    def is_constant(self) -> bool:
        """The text has no places to fill in."""
        return len(self.parts) < 2

    @property
    def is_dunno(self) -> bool:
        """Postfix goes on as if it had not asked."""
        return self.verb == "DUNNO"

    @property
    def names_findings(self) -> bool:
        """The text has a place that only a lookup can fill."""
        return any(part not in OF_REQUEST for part in self.parts[1::2])

    def render(self, values: Mapping[str, str]) -> str:
        """The action with its text filled in. `values` has a text for each name in `FIELDS`.

        Each value is cut to printable ASCII first, and put in once: a `{reason}` inside a reason stays
        as it is. White space left by an empty value goes, and so does punctuation left at the end.

        >>> parse_action("REJECT {client}: {reason}").render({"client": "192.0.2.99", "reason": ""})
        'REJECT 192.0.2.99'
        """
        parts = list(self.parts)
        for at in range(1, len(parts), 2):
            parts[at] = clean_text(values[parts[at]], MAX_ACTION_BYTES)
        text = " ".join("".join(parts).split())
        if not self.is_constant and self.verb != "PREPEND":  # a header keeps its colon
            text = text.rstrip(" :;,-")
        if not text and _CODE.fullmatch(self.verb):
            text = _NO_TEXT  # a code alone is all digits, which access(5) reads as OK
        elif _DSN.fullmatch(text):
            text += f" {_NO_TEXT}"  # Postfix 3.7 reads on behind such a text, into what it last told another
        return f"{self.verb} {text}" if text else self.verb

    def __str__(self) -> str:
        text = "".join(f"{{{part}}}" if at % 2 else part for at, part in enumerate(self.parts))
        return f"{self.verb} {text}" if text else self.verb


def parse_action(text: str, restriction_classes: Collection[str] = ()) -> Action:
    """Check an action of access(5) with an optional text that may name `FIELDS` in braces.

    restriction_classes: the names that main.cf has in smtpd_restriction_classes; an action may be one.
    Verbs are taken in any case. Raises ActionError, one line: what is wrong, and what to write.

    >>> parse_action("defer_if_permit {zones} has {client}").verb
    'DEFER_IF_PERMIT'
    """
    if not (text.isascii() and text.replace("\t", " ").isprintable()):
        raise ActionError("an SMTP reply and a header hold printable ASCII on one line; write it so")
    if len(text) > MAX_ACTION_BYTES:
        raise ActionError(f"longer than {MAX_ACTION_BYTES} characters, the most an SMTP reply line holds")
    word, _, rest = text.replace("\t", " ").strip().partition(" ")
    verb, rest = word.upper(), rest.strip()
    if not word:
        raise ActionError("an empty action means OK to Postfix; write one of " + ", ".join(VERBS))
    if _CODE.fullmatch(word):
        if not rest:
            raise ActionError(f"{word} alone means OK to Postfix; write a text after it")
        return Action(verb, _cut(rest))
    if text.strip().isdigit():
        raise ActionError("a number alone means OK to Postfix; write OK, or 4NN or 5NN and a text")
    if verb in _TEXT_VERBS:
        return Action(verb, _cut(rest))
    if verb == "PREPEND":
        return Action(verb, _cut_header(rest))
    if verb in _TARGET:
        return Action(verb, (_target(verb, rest),))
    if verb in ("OK", "DUNNO"):
        return Action(verb)  # Postfix drops the text that may follow
    return _restrictions(text, restriction_classes)


def _cut(text: str) -> tuple[str, ...]:
    """Cut a text at its places, each the name of a field."""
    if _DSN.fullmatch(text):
        raise ActionError(f"{text} is an enhanced status code without a text; write the text after it")
    parts = tuple(_PLACE.split(text))
    for at, part in enumerate(parts):
        if at % 2 and part not in FIELDS:
            raise ActionError(f"unknown place {{{part}}}; known are {_braced(FIELDS)}")
        if not at % 2 and ("{" in part or "}" in part):
            raise ActionError(f"a lone brace; braces hold one of {_braced(FIELDS)}")
    return parts


def _cut_header(text: str) -> tuple[str, ...]:
    parts = _cut(text)
    if not _HEADER.match(text) or ":" not in parts[0]:
        raise ActionError("PREPEND needs a header, NAME: VALUE, whose name is given as it is")
    return parts


def _target(verb: str, text: str) -> str:
    """Where a message goes is never filled in from a list's answer."""
    pattern, form = _TARGET[verb]
    if "{" in text or not pattern.fullmatch(text):
        raise ActionError(f"{verb} needs {form} and nothing else, given as it is")
    return text


def _restrictions(text: str, classes: Collection[str]) -> Action:
    known = RESTRICTIONS.union(classes)
    words = text.replace(",", " ").split()
    for word in words:
        if word not in known:
            names = [*VERBS, "4NN", "5NN", *sorted(known)]
            nearest = get_close_matches(word.upper(), names, n=1) or get_close_matches(word, names, n=1)
            hint = f"did you mean {nearest[0]}? " if nearest else ""
            raise ActionError(
                f"unknown action {word!r}; {hint}Postfix knows {', '.join(VERBS)}, 4NN and 5NN with a text, "
                "and restrictions without an argument; list your own classes in restriction_classes"
            )
    return Action(" ".join(words))


def _braced(names: Collection[str]) -> str:
    return ", ".join(f"{{{name}}}" for name in names)
