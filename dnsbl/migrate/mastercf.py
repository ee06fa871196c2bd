"""What master.cf, or `postconf -P`, sets for one service in the place of main.cf: `-o name=value`.

Source: master(5), "Command name + arguments", Postfix 3.11; postconf(1), option -P. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

_SERVICE: Final = re.compile(
    r"(\S+)\s+(inet|unix|unix-dgram|fifo|pass)\s+[-yn]\s+[-yn]\s+[-yn]\s+\S+\s+\S+\s+(\S+)", re.ASCII
)
_OPTION: Final = re.compile(r"\s-o\s*(?:\{\s*([^\s=]+)\s*=\s*([^}]*)\}|([^\s=]+)=(\S*))")
_PRINTED: Final = re.compile(r"([^/\s]+)/(inet|unix|unix-dgram|fifo|pass)/(\S+)")
_PORT_25: Final = re.compile(r"(?:\S+:)?(?:smtp|25|smtpd)", re.ASCII)


class Override(NamedTuple):
    """`name = value` of one service. line: from the first line of the text, 0."""

    service: str
    name: str
    value: str
    line: int = 0

    @property
    def is_public(self) -> bool:
        """Whether the service takes mail from everywhere: port 25, or smtpd behind postscreen."""
        return _PORT_25.fullmatch(self.service) is not None


def overrides(text: str) -> Iterator[Override] | None:
    """The options of one logical line of master.cf; None where the text is no such line.

    >>> list(overrides("smtp inet n - y - - smtpd -o smtpd_client_restrictions=permit") or ())[0].value
    'permit'
    """
    service = _SERVICE.match(text)
    return None if service is None else _options(service[1], text, service.end())


def _options(service: str, text: str, start: int) -> Iterator[Override]:
    for found in _OPTION.finditer(text, start - 1):
        name, value = (found[1], found[2].strip()) if found[1] else (found[3], found[4])
        # Without braces a comma stands for the white space that master.cf does not take.
        yield Override(service, name, value, text.count("\n", 0, found.start()))


def printed(name: str) -> tuple[str, str] | None:
    """Service and parameter of a name as `postconf -P` prints it; None of any other name.

    >>> printed("smtp/inet/smtpd_client_restrictions")
    ('smtp', 'smtpd_client_restrictions')
    """
    found = _PRINTED.fullmatch(name)
    return (found[1], found[3]) if found else None
