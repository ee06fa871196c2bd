"""Relays and whole messages: Received headers to hops, a message to what of it is asked. No I/O."""

from dnsbl.mail.hops import FirstUntrusted, SkippedHop, first_untrusted
from dnsbl.mail.message import HARMLESS, Found, Message, read_message
from dnsbl.mail.mime import Limits
from dnsbl.mail.received import Hop, parse_received

__all__ = [
    "HARMLESS", "FirstUntrusted", "Found", "Hop", "Limits", "Message", "SkippedHop", "first_untrusted",
    "parse_received", "read_message",
]  # fmt: skip
