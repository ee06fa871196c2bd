"""What is looked up: an IP address or a domain, in whatever form it comes. Parsing only, no I/O."""

from dnsbl.subject.address import address_key
from dnsbl.subject.domain import registrable_domain
from dnsbl.subject.parse import Kind, Subject, parse_subject

__all__ = ["Kind", "Subject", "address_key", "parse_subject", "registrable_domain"]
