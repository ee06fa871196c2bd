"""Why a request is answered as it is: every rule with its outcome. No I/O."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dnsbl.errors import InputError
from dnsbl.policy.conditions import RequestCondition, VerdictCondition
from dnsbl.policy.findings import Verdicts
from dnsbl.policy.protocol import REQUEST_TYPE, Attributes, ProtocolError, RequestReader
from dnsbl.policy.rules import Policy, Rule


@dataclass(frozen=True, slots=True)
class RuleOutcome:
    """One rule and one request. outcome: `decides`, `does not match`, or `matches, but rule N decides`.

    failing: the conditions that do not hold, each as `key = value`. name: see `Rule.name`.
    """

    number: int
    action: str
    outcome: str
    failing: tuple[str, ...]
    name: str = ""


def parse_requests(data: bytes) -> Sequence[Attributes]:
    """The requests in a file: as Postfix sends them, or typed by hand (CRLF, no empty line at the end).

    Raises InputError for what is not a request, and for a file that holds none.
    """
    reader = RequestReader()
    reader.feed(data.replace(b"\r\n", b"\n").strip(b"\n") + b"\n\n")
    requests = []
    try:
        while (request := reader.next()) is not None:
            if (kind := request.get("request", REQUEST_TYPE)) != REQUEST_TYPE:
                raise InputError(
                    f"not a policy request: request={kind}; the daemon answers DUNNO to it", kind
                )
            if request:
                requests.append(request)
    except ProtocolError as error:
        raise InputError(
            f"not a policy request: {error}; give name=value lines, as Postfix sends", ""
        ) from None
    if not requests:
        raise InputError(
            "not a policy request: the file is empty; give name=value lines, as Postfix sends", ""
        )
    return requests


def explain_rules(policy: Policy, request: Attributes, verdicts: Verdicts | None) -> Sequence[RuleOutcome]:
    """Every rule's outcome, those after the one that decides included."""
    decided = policy.decision(request, policy.candidates(request), verdicts).rule
    outcomes = []
    for rule in policy.rules:
        failing = tuple(_failing(policy, rule, request, verdicts))
        if rule is decided:
            outcome = "decides"
        elif failing:
            outcome = "does not match"
        elif policy.is_own(request.get("client_address", "")):
            outcome = "matches, but own_networks decides"
        elif decided:
            outcome = f"matches, but {decided.name} decides"
        else:
            outcome = "matches with a zone in dry run only"
        outcomes.append(RuleOutcome(rule.number, str(rule.action), outcome, failing, rule.name))
    return outcomes


def _failing(policy: Policy, rule: Rule, request: Attributes, verdicts: Verdicts | None) -> Iterator[str]:
    for condition in rule.of_request:
        if not condition.test(request):
            yield _text(condition)
    found = policy.findings(rule, verdicts) if rule.of_verdict else None
    for of_verdict in rule.of_verdict:
        if found is None or not of_verdict.test(found):
            yield _text(of_verdict)


def _text(condition: RequestCondition | VerdictCondition) -> str:
    return f"{condition.key} = {condition.text}"
