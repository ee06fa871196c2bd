"""Every code of every list in the catalogue, by a table written down apart from it."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest

from dnsbl.model import Outcome, Status, Wire
from dnsbl.zones.catalogue import load
from dnsbl.zones.interpret import read
from dnsbl.zones.row import Row

# A zone's name, then its answers: records, outcome, score, and a word of each meaning ("-": none).
TABLE = """
_email.hbl.dq.spamhaus.net
    127.0.3.2                   listed      1     HBL
    127.0.3.30                  not_listed  0     -
    127.255.255.250             blocked     0     disabled
    127.255.255.251             blocked     0     rejected
_url.hbl.dq.spamhaus.net
    127.0.3.30                  listed      1     link
    127.0.3.2                   not_listed  0     -
    127.255.255.250             blocked     0     disabled
    127.255.255.251             blocked     0     rejected
swl.spamhaus.org
    127.0.2.2                   listed      -0.5  individual
    127.0.2.103                 listed      -0.5  transactional
    127.0.2.4                   not_listed  0     -
cidr.bl.mcafee.com
    127.0.0.2                   listed      0.2   McAfee
    127.0.0.255                 listed      0.2   McAfee
    127.0.1.2                   not_listed  0     -
bl.nordspam.com
    127.0.0.2                   listed      0.5   source
    127.0.0.3                   not_listed  0     -
dbl.nordspam.com
    127.0.0.2                   listed      0.5   domain
    127.0.0.3                   not_listed  0     -
hashbl.surbl.org
    127.0.0.1                   blocked     0     refuses
    127.0.0.8                   listed      1     phishing
    127.0.0.16                  listed      1     malware
    127.0.0.64                  listed      1     spam
    127.0.0.128                 listed      1     cracked
    127.0.1.4                   listed      1     address
ebl.msbl.org
    127.0.0.2                   listed      1     fraud
    127.0.0.3                   listed      1     fraud
    127.0.1.2                   listed      0.1   grey
    127.0.1.3                   listed      0.1   grey
dwl.dnswl.org
    127.0.5.255                 blocked     0     limit
    127.0.5.0                   not_listed  0     without
    127.0.5.1                   listed      -0.5  low
    127.0.5.2                   listed      -1    medium
    127.0.5.3                   listed      -2    high
zen.spamhaus.org
    127.0.0.2                   listed      1     SBL
    127.0.0.3                   listed      1     CSS
    127.0.0.4                   listed      1     XBL
    127.0.0.5                   listed      1     XBL
    127.0.0.7                   listed      1     XBL
    127.0.0.8                   not_listed  0     -
    127.0.0.9,127.0.0.2         listed      2     SBL,DROP
    127.0.0.10                  listed      1     PBL
    127.0.0.11                  listed      1     PBL
    127.0.0.12                  not_listed  0     -
    127.0.0.30                  listed      1     BCL
    127.0.0.1                   invalid     0     -
    127.255.255.252             blocked     0     mistyped
    127.255.255.254             blocked     0     public
    127.255.255.255             blocked     0     many
    127.255.255.250             blocked     0     -
sbl.spamhaus.org
    127.0.0.2                   listed      1     SBL
    127.0.0.3                   listed      1     CSS
    127.0.0.9                   listed      1     DROP
    127.0.0.30                  listed      1     BCL
    127.0.0.4                   not_listed  0     -
    127.255.255.254             blocked     0     -
xbl.spamhaus.org
    127.0.0.4                   listed      1     XBL
    127.0.0.7                   listed      1     XBL
    127.0.0.2                   not_listed  0     -
sbl-xbl.spamhaus.org
    127.0.0.2                   listed      1     SBL
    127.0.0.3                   listed      1     CSS
    127.0.0.6                   listed      1     XBL
    127.0.0.9                   listed      1     DROP
    127.0.0.30                  listed      1     BCL
    127.0.0.10                  not_listed  0     -
pbl.spamhaus.org
    127.0.0.10                  listed      1     provider
    127.0.0.11                  listed      1     Spamhaus
    127.0.0.2                   not_listed  0     -
dbl.spamhaus.org
    127.0.1.2                   listed      1     reputation
    127.0.1.4                   listed      1     phishing
    127.0.1.5                   listed      1     malware
    127.0.1.6                   listed      1     botnet
    127.0.1.102                 listed      0.5   spam
    127.0.1.103                 listed      0.5   redirector
    127.0.1.104                 listed      0.5   phishing
    127.0.1.105                 listed      0.5   malware
    127.0.1.106                 listed      0.5   botnet
    127.0.1.255                 blocked     0     domains
    127.0.1.3                   not_listed  0     -
    127.0.0.2                   not_listed  0     -
    127.255.255.252             blocked     0     mistyped
    127.255.255.254             blocked     0     public
    127.255.255.255             blocked     0     many
zen.dq.spamhaus.net
    127.0.0.2                   listed      1     SBL
    127.0.0.3                   listed      1     CSS
    127.0.0.4                   listed      1     XBL
    127.0.0.9                   listed      1     DROP
    127.0.0.10                  listed      1     provider
    127.0.0.11                  listed      1     Spamhaus
    127.0.0.30                  listed      1     BCL
    127.255.255.250             blocked     0     disabled
    127.255.255.251             blocked     0     rejected
    127.255.255.250,127.255.255.251  blocked  0   disabled
authbl.dq.spamhaus.net
    127.0.0.20                  listed      1     AuthBL
    127.0.0.2                   not_listed  0     -
    127.255.255.250             blocked     0     disabled
    127.255.255.251             blocked     0     rejected
dbl.dq.spamhaus.net
    127.0.1.2                   listed      1     reputation
    127.0.1.4                   listed      1     phishing
    127.0.1.5                   listed      1     malware
    127.0.1.6                   listed      1     botnet
    127.0.1.102                 listed      0.5   spam
    127.0.1.103                 listed      0.5   redirector
    127.0.1.104                 listed      0.5   phishing
    127.0.1.105                 listed      0.5   malware
    127.0.1.106                 listed      0.5   botnet
    127.0.1.255                 blocked     0     domains
    127.255.255.250             blocked     0     disabled
    127.255.255.251             blocked     0     rejected
zrd.dq.spamhaus.net
    127.0.2.2                   listed      0.5   24
    127.0.2.24                  listed      0.5   24
    127.0.2.25                  not_listed  0     -
    127.0.2.255                 blocked     0     domains
    127.255.255.250             blocked     0     disabled
    127.255.255.251             blocked     0     rejected
bl.spamcop.net
    127.0.0.2                   listed      0.5   reported
    127.0.0.3                   not_listed  0     -
    127.0.0.1                   invalid     0     -
psbl.surriel.com
    127.0.0.2                   listed      0.5   trap
b.barracudacentral.org
    127.0.0.2                   listed      0.5   Barracuda
dnsbl.dronebl.org
    127.0.0.2                   listed      0.5   sample
    127.0.0.3                   listed      0.5   IRC
    127.0.0.5                   listed      0.5   bottler
    127.0.0.6                   listed      0.5   spambot
    127.0.0.7                   listed      0.5   DDoS
    127.0.0.8                   listed      0.5   SOCKS
    127.0.0.9                   listed      0.5   HTTP
    127.0.0.10                  listed      0.5   chain
    127.0.0.11                  listed      0.5   web
    127.0.0.12                  listed      0     resolver
    127.0.0.13                  listed      0.5   dictionary
    127.0.0.14                  listed      0.5   WinGate
    127.0.0.15                  listed      0.5   router
    127.0.0.16                  listed      0.5   worm
    127.0.0.17                  listed      0.5   automatically
    127.0.0.18                  listed      0.5   compromised
    127.0.0.19                  listed      0.5   VPN
    127.0.0.255                 listed      0.5   uncategorised
    127.0.0.4                   not_listed  0     -
bl.mailspike.net
    127.0.0.2                   listed      0.5   wave
    127.0.0.10                  listed      0.5   L5
    127.0.0.11                  listed      0.5   L4
    127.0.0.12                  listed      0.5   L3
    127.0.0.13                  not_listed  0     -
z.mailspike.net
    127.0.0.2                   listed      0.5   wave
rep.mailspike.net
    127.0.0.10                  listed      0.5   L5
    127.0.0.11                  listed      0.5   L4
    127.0.0.12                  listed      0.5   L3
    127.0.0.13                  not_listed  0     L2
    127.0.0.14                  not_listed  0     L1
    127.0.0.15                  not_listed  0     H0
    127.0.0.16                  not_listed  0     H1
    127.0.0.17                  listed      -0.1  H2
    127.0.0.18                  listed      -0.2  H3
    127.0.0.19                  listed      -0.3  H4
    127.0.0.20                  listed      -0.5  H5
wl.mailspike.net
    127.0.0.17                  listed      -0.1  H2
    127.0.0.18                  listed      -0.2  H3
    127.0.0.19                  listed      -0.3  H4
    127.0.0.20                  listed      -0.5  H5
list.dnswl.org
    127.0.2.0                   listed      -0.1  financial,none
    127.0.3.1                   listed      -1    provider,low
    127.0.4.2                   listed      -2    organisation,medium
    127.0.5.3                   listed      -5    network,high
    127.0.6.0                   listed      -0.1  personal,none
    127.0.7.0                   listed      -0.1  travel,none
    127.0.8.0                   listed      -0.1  public,none
    127.0.9.0                   listed      -0.1  media,none
    127.0.10.0                  not_listed  0     special
    127.0.11.0                  listed      -0.1  education,none
    127.0.12.0                  listed      -0.1  healthcare,none
    127.0.13.0                  listed      -0.1  manufacturing,none
    127.0.14.0                  listed      -0.1  retail,none
    127.0.15.3                  listed      -5    marketing,high
    127.0.20.2                  listed      -2    medium
    127.0.0.255                 blocked     0     limit
    127.0.5.255                 blocked     0     limit
    127.0.10.3                  blocked     0     ignore
    127.0.0.2                   not_listed  0     -
    127.0.0.1                   invalid     0     -
combined.mail.abusix.zone
    127.0.0.2                   listed      1     trap
    127.0.0.3                   listed      1     reputation
    127.0.0.4                   listed      1     exploit
    127.0.0.11                  listed      1     generic
    127.0.0.12                  listed      1     reverse
    127.0.0.200                 listed      1     hand
    127.0.0.5                   not_listed  0     -
white.mail.abusix.zone
    127.0.0.2                   listed      -0.1  greylisted
bl.spameatingmonkey.net
    127.0.0.2                   listed      0.5   SEM-BLACK
bl.ipv6.spameatingmonkey.net
    127.0.0.2                   listed      0.5   SEM-IPV6BL
bl.blocklist.de
    127.0.0.2                   listed      0.2   attacked
    127.0.0.255                 listed      0.2   attacked
all.s5h.net
    127.0.0.2                   listed      0.5   spam
hostkarma.junkemailfilter.com
    127.0.0.1                   listed      -0.5  white
    127.0.0.2                   listed      0.5   black
    127.0.0.3                   not_listed  0     yellow
    127.0.0.4                   listed      0.2   brown
    127.0.0.5                   not_listed  0     NOBL
    127.0.0.2,127.0.0.5         listed      0.5   black,NOBL
    127.0.1.1                   not_listed  0     QUIT
    127.0.1.2                   not_listed  0     NOQUIT
bl.score.senderscore.com
    127.0.0.1                   listed      0.5   bot
    127.0.0.2                   listed      0.2   authentication
    127.0.0.4                   listed      0.5   pristine
    127.0.0.8                   listed      0.5   attachments
    127.0.0.16                  listed      0.2   Score
    127.0.0.3                   listed      0.7   bot,authentication
    127.255.255.255             blocked     0     registered
truncate.gbudb.net
    127.0.0.2                   listed      0.5   spam
bl.0spam.org
    127.0.0.2                   listed      0.5   trap
dnsbl.zapbl.net
    127.0.0.2                   listed      0.2   ZapBL
bl.scientificspam.net
    127.0.0.2                   listed      0.2   Scientific
dnsrbl.swinog.ch
    127.0.0.2                   listed      0.2   SwiNOG
bl.suomispam.net
    127.0.0.2                   listed      0.2   Suomispam
bip.virusfree.cz
    127.0.0.2                   listed      0.5   botnet
all.spamrats.com
    127.0.0.36                  listed      0.5   Dyna
    127.0.0.37                  listed      0.5   NoPtr
    127.0.0.38                  listed      0.5   Spam
    127.0.0.43                  listed      0.5   Auth
multi.surbl.org
    127.0.0.4                   listed      0.5   DM
    127.0.0.8                   listed      1     PH
    127.0.0.16                  listed      1     MW
    127.0.0.32                  listed      0.2   CT
    127.0.0.64                  listed      1     ABUSE
    127.0.0.128                 listed      0.5   CR
    127.0.0.80                  listed      2     MW,ABUSE
    127.0.0.254                 listed      4.2   DM,PH,MW,CT,ABUSE,CR
    127.0.0.2                   not_listed  0     -
    127.0.0.1                   blocked     0     answer
    127.0.0.255                 blocked     0     answer
multi.uribl.com
    127.0.0.2                   listed      0.5   black
    127.0.0.4                   listed      0.1   grey
    127.0.0.8                   listed      0.1   red
    127.0.0.14                  listed      0.7   black,grey,red
    127.0.0.1                   blocked     0     refuses
    127.0.0.255                 blocked     0     refuses
    127.0.0.16                  not_listed  0     -
    192.0.2.143                 invalid     0     -
black.uribl.com
    127.0.0.2                   listed      0.5   black
    127.0.0.1                   blocked     0     refuses
    127.0.0.255                 blocked     0     refuses
uribl.spameatingmonkey.net
    127.0.0.2                   listed      0.5   SEM-URI
fresh15.spameatingmonkey.net
    127.0.0.2                   listed      0.2   SEM-FRESH15
rhsbl.scientificspam.net
    127.0.1.2                   listed      0.2   Scientific
dnsbl.spfbl.net
    127.0.0.2                   listed      0.5   source
    127.0.0.3                   listed      0.2   suspect
    127.0.0.4                   listed      0.2   residential
dnswl.spfbl.net
    127.0.0.3                   listed      -0.1  reputation
whitelisted.org
    127.0.0.2                   listed      -0.1  paid
backscatter.spameatingmonkey.net
    127.0.0.2                   listed      0.2   SEM-BACKSCATTER
urired.spameatingmonkey.net
    127.0.0.2                   listed      0.2   SEM-URIRED
rbl.interserver.net
    127.0.0.2                   listed      0.5   spam
rbluri.interserver.net
    127.0.0.2                   listed      0.5   linked
spam.spamrats.com
    127.0.0.38                  listed      0.5   Spam
dyna.spamrats.com
    127.0.0.36                  listed      0.5   Dyna
noptr.spamrats.com
    127.0.0.37                  listed      0.5   NoPtr
auth.spamrats.com
    127.0.0.43                  listed      0.5   Auth
black.mail.abusix.zone
    127.0.0.2                   listed      0.5   black
exploit.mail.abusix.zone
    127.0.0.4                   listed      0.5   exploit
dynamic.mail.abusix.zone
    127.0.0.11                  listed      0.5   policy
dblack.mail.abusix.zone
    127.0.1.1                   listed      1     dblack
sbl.dq.spamhaus.net
    127.0.0.2                   listed      1     SBL
    127.0.0.3                   listed      1     CSS
    127.0.0.9                   listed      1     DROP
grey.uribl.com
    127.0.0.1                   blocked     0     URIBL
    127.0.0.2                   listed      0.2   grey
red.uribl.com
    127.0.0.1                   blocked     0     URIBL
    127.0.0.2                   listed      0.2   red
iadb.isipp.com
    127.2.255.2                 listed      -0.2  IADB
sa-accredit.habeas.com
    127.0.0.2                   listed      -0.5  certified
"""

Line = tuple[str, tuple[int, ...], str, float, list[str]]


def lines() -> list[Line]:
    found: list[Line] = []
    zone = ""
    for text in TABLE.strip().splitlines():
        if not text.startswith(" "):
            zone = text
            continue
        records, outcome, score, words = text.split()
        addresses = tuple(int(IPv4Address(record)) for record in records.split(","))
        found.append((zone, addresses, outcome, float(score), [] if words == "-" else words.split(",")))
    return found


LINES = lines()
CATALOGUE = load()


@pytest.mark.parametrize(
    ("name", "addresses", "outcome", "score", "words"),
    LINES,
    ids=[f"{line[0]}-{','.join(str(IPv4Address(address)) for address in line[1])}" for line in LINES],
)
def test_a_code_reads_as_the_list_means_it(
    name: str, addresses: tuple[int, ...], outcome: str, score: float, words: list[str]
) -> None:
    row = CATALOGUE.row(name)
    assert row is not None
    reading = read(row.zone, Wire(Status.OK, 0, addresses))
    assert reading.outcome is Outcome(outcome)
    assert reading.score == pytest.approx(score)
    assert len(reading.meanings) == len(words)
    assert all(word in meaning for word, meaning in zip(words, reading.meanings, strict=True))


@pytest.mark.parametrize("row", list(CATALOGUE), ids=lambda row: row.name)
def test_no_line_of_a_rows_codes_is_missing_from_the_table(row: Row) -> None:
    asked = [address for name, addresses, *_ in LINES if name == row.name for address in addresses]
    untested = [str(code) for code in row.zone.codes if not any(map(code.matches, asked))]
    assert untested == []


@pytest.mark.parametrize("row", list(CATALOGUE), ids=lambda row: row.name)
def test_no_row_lets_a_refusal_or_a_rewritten_answer_through(row: Row) -> None:
    for last in range(256):
        assert read(row.zone, Wire(Status.OK, 0, (0x7FFFFF00 + last,))).outcome is Outcome.BLOCKED
        assert read(row.zone, Wire(Status.OK, 0, (0xCB007100 + last,))).outcome is Outcome.INVALID
