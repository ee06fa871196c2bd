"""Relays and whole messages: Received headers to hops, a message to what of it is asked. No I/O."""

from dnsbl.mail.hops import FirstUntrusted, SkippedHop, first_untrusted
from dnsbl.mail.received import Hop, parse_received

__all__ = ["FirstUntrusted", "Hop", "SkippedHop", "first_untrusted", "parse_received"]
