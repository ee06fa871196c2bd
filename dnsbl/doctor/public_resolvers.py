"""Well-known public resolvers, by address. Lists with a free limit refuse or short-change them.

A table to look an address up in; nobody is asked. It is not complete: a resolver of a hosting provider, or
one of yours that forwards to a public one, shows only by a list's refusal.

Addresses: AdGuard's "Known DNS Providers" (github.com/AdguardTeam/KnowledgeBaseDNS, docs/general/
dns-providers.md, 2026-07-21); Cloudflare's against developers.cloudflare.com/1.1.1.1/ip-addresses. That lists
refuse them: spamhaus.com, "Help for Spamhaus Project's legacy blocklist users". All read 2026-11-25.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Final

_ADDRESSES: Final = {
    "Google": "8.8.8.8 8.8.4.4 2001:4860:4860::8888 2001:4860:4860::8844",
    "Cloudflare": (
        "1.1.1.1 1.0.0.1 1.1.1.2 1.0.0.2 1.1.1.3 1.0.0.3 2606:4700:4700::1111 2606:4700:4700::1001 "
        "2606:4700:4700::1112 2606:4700:4700::1002 2606:4700:4700::1113 2606:4700:4700::1003"
    ),
    "Quad9": (
        "9.9.9.9 149.112.112.112 9.9.9.10 149.112.112.10 9.9.9.11 149.112.112.11 2620:fe::fe 2620:fe::9 "
        "2620:fe::10 2620:fe::fe:10 2620:fe::11 2620:fe::fe:11"
    ),
    "OpenDNS": (
        "208.67.222.222 208.67.220.220 208.67.222.123 208.67.220.123 208.67.222.2 208.67.220.2 "
        "2620:119:35::35 2620:119:53::53 2620:0:ccc::2 2620:0:ccd::2"
    ),
    "AdGuard": (
        "94.140.14.14 94.140.15.15 94.140.14.15 94.140.15.16 94.140.14.140 94.140.14.141 2a10:50c0::ad1:ff "
        "2a10:50c0::ad2:ff 2a10:50c0::bad1:ff 2a10:50c0::bad2:ff 2a10:50c0::1:ff 2a10:50c0::2:ff"
    ),
    "CleanBrowsing": (
        "185.228.168.168 185.228.169.168 185.228.168.10 185.228.169.11 185.228.168.9 185.228.169.9 "
        "2a0d:2a00:1:: 2a0d:2a00:2:: 2a0d:2a00:1::1 2a0d:2a00:2::1 2a0d:2a00:1::2 2a0d:2a00:2::2"
    ),
    "Control D": "76.76.2.0 76.76.10.0 76.76.2.1 76.76.2.2 76.76.2.3 2606:1a40:: 2606:1a40:1::",
    "DNS.SB": "185.222.222.222 45.11.45.11 2a09:: 2a11::",
    "DNS4EU": (
        "86.54.11.1 86.54.11.201 86.54.11.12 86.54.11.212 86.54.11.13 86.54.11.213 86.54.11.11 86.54.11.211 "
        "86.54.11.100 86.54.11.200 2a13:1001::86:54:11:1 2a13:1001::86:54:11:201 2a13:1001::86:54:11:12 "
        "2a13:1001::86:54:11:212 2a13:1001::86:54:11:13 2a13:1001::86:54:11:213 2a13:1001::86:54:11:11 "
        "2a13:1001::86:54:11:211 2a13:1001::86:54:11:100"
    ),
    "Hurricane Electric": "74.82.42.42 2001:470:20::2",
    "Vercara (Neustar)": (
        "156.154.70.1 156.154.71.1 156.154.70.2 156.154.71.2 156.154.70.3 156.154.71.3 156.154.70.4 "
        "156.154.71.4 156.154.70.5 156.154.71.5 2610:a1:1018::1 2610:a1:1019::1 2610:a1:1018::2 "
        "2610:a1:1019::2 2610:a1:1018::3 2610:a1:1019::3 2610:a1:1018::4 2610:a1:1019::4 2610:a1:1018::5 "
        "2610:a1:1019::5"
    ),
    "Verisign": "64.6.64.6 64.6.65.6 2620:74:1b::1:1 2620:74:1c::2:2",
    "Yandex": (
        "77.88.8.8 77.88.8.1 77.88.8.88 77.88.8.2 77.88.8.3 77.88.8.7 2a02:6b8::feed:ff 2a02:6b8:0:1::feed:ff"
    ),
    "AliDNS": "223.5.5.5 223.6.6.6 2400:3200::1 2400:3200:baba::1",
    "DNSPod": "119.29.29.29 2402:4e00::",
    "114DNS": (
        "114.114.114.114 114.114.115.115 114.114.114.119 114.114.115.119 114.114.114.110 114.114.115.110"
    ),
}

_OPERATORS: Final = {
    ip_address(address): operator for operator, text in _ADDRESSES.items() for address in text.split()
}


def public_operator(nameserver: str) -> str | None:
    """Who runs this public resolver; None where it is none of those known here.

    nameserver: `ADDRESS:PORT` or `[IPV6]:PORT`, as `Resolver.nameservers` has it.

    >>> public_operator("8.8.8.8:53")
    'Google'
    >>> public_operator("127.0.0.1:53") is None
    True
    """
    host = nameserver.rpartition(":")[0].strip("[]")
    return _OPERATORS.get(ip_address(host))
