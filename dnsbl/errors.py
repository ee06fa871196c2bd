"""What a caller can get wrong, as exceptions.

A DNS failure is never an exception: it is an `Outcome` in the verdict. What is raised here is input
that cannot be used (all of it also `ValueError`, so that `except ValueError` keeps working), and the
use of something already closed.
"""

from __future__ import annotations


class DnsblError(Exception):
    """The root of everything this package raises on purpose."""


class InputError(DnsblError, ValueError):
    """Input that cannot be used. `text` is the offending text, as it was given.

    The message is one line: what is wrong, where, and what to do.
    """

    def __init__(self, message: str, text: str) -> None:
        super().__init__(message)
        self.text = text

    def __reduce__(self) -> tuple[type[InputError], tuple[str, str]]:
        return type(self), (str(self), self.text)


class SubjectError(InputError):
    """Neither an IP address nor a domain name that can be asked about."""


class ZoneError(InputError):
    """A zone name, reply filter, weight or catalogue row that cannot be used."""


class NameserverError(InputError):
    """A nameserver that is not `ADDRESS`, `ADDRESS:PORT` or `[IPV6]:PORT`, or none at all."""


class ConfigError(InputError):
    """A configuration file that cannot be read, or a key or value in it that is wrong."""


class ClosedError(DnsblError):
    """The resolver was closed before this call."""


class ReentryError(DnsblError, RuntimeError):
    """A signal handler called the resolver that it had interrupted at work in the same thread."""


class ForkedError(DnsblError, RuntimeError):
    """What was begun before fork() is gone on with in the child."""
