"""The clients of a mail log: each address once, with what became of it, and how busy the hours were."""

from __future__ import annotations

from calendar import isleap
from collections import Counter
from collections.abc import Iterable
from datetime import MAXYEAR, date, datetime
from typing import Final

from dnsbl.audit.maillog import Event, Unreadable, What
from dnsbl.errors import InputError
from dnsbl.names._qname import format_address
from dnsbl.subject import address_key

MAX_CLIENTS: Final = 5_000_000
MAX_REASONS: Final = 200
WELL_KNOWN: Final = (
    "amazonses.com", "apple.com", "google.com", "gmx.net", "icloud.com", "mail.ru", "mailgun.net",
    "outlook.com", "posteo.de", "protonmail.ch", "sendgrid.net", "web.de", "yahoo.com", "yahoodns.net",
    "zoho.com",
)  # fmt: skip
"""Domains of senders that many wait for mail from; of a client by its host name, which Postfix verifies."""


class Client:
    """One address and its messages: accepted, authenticated (accepted after a login), and refusals."""

    __slots__ = ("accepted", "authenticated", "name", "number", "rejected")

    def __init__(self, number: int) -> None:
        self.number = number
        self.name = ""
        self.accepted = self.authenticated = self.rejected = 0


class Clients:
    """What a log says, added up. today: decides the year of times that have none."""

    def __init__(self, today: date) -> None:
        self._today = today
        self.lines = self.unparsed = 0
        self.by_address: dict[str, Client] = {}
        self._seen_as: dict[str, Client | None] = {}  # by the log's own text
        self.hours: dict[str, list[int]] = {}
        """By hour (`YYYY-MM-DD HH`): connections, accepted, rejected."""
        self._hour_of: dict[str, tuple[list[int], int] | None] = {}
        self._days: dict[str, int] = {}
        self._day_clients: set[int] = set()
        self.reasons: Counter[str] = Counter()

    def add_all(self, events: Iterable[Event | Unreadable | None]) -> None:
        """Add the lines of one log. Raises InputError beyond 5,000,000 addresses."""
        for event in events:
            self.lines += 1
            if event is None:
                continue
            if isinstance(event, Unreadable):
                self.unparsed += 1
            else:
                self._add(event)

    def _add(self, event: Event) -> None:
        try:
            hour_and_day = self._hour_of[event.time]
        except KeyError:
            hour_and_day = self._hour_of[event.time] = self._new_hour(event.time)
        if hour_and_day is None:
            self.unparsed += 1
            return
        hour, day = hour_and_day
        try:
            client = self._seen_as[event.ip]
        except KeyError:
            client = self._seen_as[event.ip] = self._new(event.ip)
        if client is None:
            self.unparsed += 1
            return
        self._day_clients.add(client.number << 16 | day)
        if event.name and event.name != "unknown":
            client.name = event.name
        self._count(client, hour, event)

    def _count(self, client: Client, hour: list[int], event: Event) -> None:
        hour[0] += event.connection
        what = event.what
        if what is What.SEEN:
            return
        if what is What.REJECTED:
            self._reject(client, hour, event.why)
        elif what is What.WITHDRAWN:
            if client.authenticated:
                client.authenticated -= 1
            if client.accepted:
                client.accepted -= 1
                hour[1] -= hour[1] > 0
            self._reject(client, hour, event.why)
        else:
            client.accepted += 1
            client.authenticated += what is What.AUTHENTICATED
            hour[1] += 1

    def _reject(self, client: Client, hour: list[int], why: str) -> None:
        client.rejected += 1
        hour[2] += 1
        self.reasons[why if why in self.reasons or len(self.reasons) < MAX_REASONS else "other"] += 1

    def _new(self, text: str) -> Client | None:
        key = address_key(text)
        if key is None:
            return None
        if len(self.by_address) >= MAX_CLIENTS:
            raise InputError(f"more than {MAX_CLIENTS:,} client addresses: give fewer logs at once", text)
        return self.by_address.setdefault(format_address(key), Client(len(self.by_address)))

    def _new_hour(self, text: str) -> tuple[list[int], int] | None:
        hour = text if len(text) > 8 else f"{self._year(text[:5])}-{text}"
        try:
            if datetime.strptime(hour, "%Y-%m-%d %H").year == MAXYEAR:
                return None  # a timeline goes one step further
        except ValueError:
            return None
        day = self._days.setdefault(hour[:10], len(self._days))
        return self.hours.setdefault(hour, [0, 0, 0]), min(day, 65_535)

    def _year(self, month_and_day: str) -> int:
        """Syslog writes no year: it is this one, or the last, since no log is of the future."""
        year = self._today.year - (month_and_day > self._today.strftime("%m-%d"))
        while month_and_day == "02-29" and not isleap(year):
            year -= 1
        return year

    @property
    def busiest_day(self) -> int:
        """The distinct clients of the day with most of them: so many lookups a zone gets with a cache."""
        counts = Counter(number & 0xFFFF for number in self._day_clients)
        return max(counts.values(), default=0)


def is_well_known(name: str, domains: Iterable[str]) -> bool:
    """Whether a host name lies in one of the domains.

    >>> is_well_known("mail-a.google.com", WELL_KNOWN), is_well_known("notgoogle.com", WELL_KNOWN)
    (True, False)
    """
    return any(name == domain or name.endswith("." + domain) for domain in domains)
