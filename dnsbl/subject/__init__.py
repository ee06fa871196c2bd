"""What is looked up: an IP address or a domain, in whatever form it comes. Parsing only, no I/O."""

from dnsbl.subject.address import address_key
from dnsbl.subject.domain import registrable_domain
from dnsbl.subject.parse import Subject, email_subject, parse_subject, url_subject

__all__ = [
    "Subject",
    "address_key",
    "email_subject",
    "parse_subject",
    "registrable_domain",
    "url_subject",
]
