"""Every key of dnsbl.toml: its type, range, default, what it means, and an example.

docs/configuration.md, `dnsbl config --example` and `dnsbl config --show` are made from this table, and a test
compares its names and numbers with what the readers take. Nothing is checked here.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from dnsbl.config.limits import MAX_NAMESERVERS, RANGES
from dnsbl.zones.name import MAX_NAME


class Key(NamedTuple):
    """One key. table: as TOML heads it. kind, limits: for people. default: TOML, or words; example: TOML."""

    table: str
    name: str
    kind: str
    limits: str
    default: str
    example: str
    meaning: str


def _number(table: str, name: str, example: str, meaning: str, default: str = "") -> Key:
    """A key with a range in dnsbl/config/limits.py, and the default there unless one is given in words."""
    found = RANGES[name]
    kind = "whole number" if found.is_whole else "number"
    return Key(table, name, kind, found.words, default or str(found.default), example, meaning)


TABLES: Final = {
    "[resolver]": "How lists are asked.",
    "[[zone]]": "One list; as many tables as lists. Without any, the default zones are asked.",
    "codes": "A line of a zone's `codes`: what a return code means. Give `match` or `mask`, not both.",
    "[policy]": "The Postfix policy daemon, `dnsbl policyd`.",
    "[[policy.rule]]": "All conditions of a rule must hold; the first that matches decides; none: DUNNO.",
    "[monitor]": "Own addresses and names watched, `dnsbl monitor`; see docs/monitor.md.",
}
"""The tables, in the order in which they are shown."""

_ZONES: Final = '["zen.spamhaus.org"]'

KEYS: Final[tuple[Key, ...]] = (
    Key("[resolver]", "nameservers", "array of text", f"1 to {MAX_NAMESERVERS} of ADDRESS or ADDRESS:PORT",
        "those of /etc/resolv.conf", '["127.0.0.1:53", "[::1]:53"]',
        "nameservers to ask, in their order; a resolver of your own"),
    _number("[resolver]", "deadline_s", "2.0",
        "how long one lookup may take, all its zones together"),
    _number("[resolver]", "timeout_s", "0.8",
        "how long one query waits for its answer before the next try"),
    _number("[resolver]", "tries", "3",
        "at most so many queries for one question", default="as many as fit before the deadline"),
    _number("[resolver]", "cache_size", "20000",
        "answers held in memory, one entry for each subject; 0 holds none"),
    _number("[resolver]", "ttl_min_s", "60.0",
        "an answer is held at least so long, whatever its TTL"),
    _number("[resolver]", "ttl_max_s", "3600.0",
        "an answer is held at most so long"),
    Key("[resolver]", "reasons", "true or false", "", "true", "false",
        "ask for the reason (the TXT record) of a listing too"),
    _number("[resolver]", "reason_timeout_s", "0.2",
        "how long a verdict waits for its reasons"),
    Key("[resolver]", "check_private", "true or false", "", "false", "true",
        "look private addresses and names up too, which no public list can hold"),
    Key("[resolver]", "catalogue", "text", "a path, from the configuration's folder",
        "/var/lib/dnsbl/catalogue.toml where there is one", '"catalogue.toml"',
        "a newer catalogue of lists"),
    Key("[resolver]", "allow", "array of text", "names of zones", "none", '["dnsbl.sorbs.net"]',
        "zones to use although the catalogue warns of them or calls them retired"),

    Key("[[zone]]", "name", "text", f"a DNS name of at most {MAX_NAME} characters, without a key",
        "none: it is needed", '"zen.spamhaus.org"',
        "the list; what other keys leave out comes from the catalogue"),
    Key("[[zone]]", "subjects", "array of text", '"ip4", "ip6", "domain"',
        'the catalogue\'s, else ["ip4", "ip6"]', '["ip4", "domain"]', "what the list is asked about"),
    Key("[[zone]]", "domain", "text", '"registrable" or "host"', 'the catalogue\'s, else "registrable"',
        '"host"', "what of a domain is asked: the registrable domain or the whole name"),
    _number("[[zone]]", "weight", "2.5",
        "what a listing adds to the score; below 0: an allowlist", default="the catalogue's, else 1"),
    Key("[[zone]]", "reply", "text", 'a reply filter as in postscreen_dnsbl_sites, or "any"',
        "none: see codes", '"127.0.0.[2..11]"',
        "the return codes that count; any of them counts the weight once"),
    Key("[[zone]]", "codes", "array of tables", "1 or more", "the catalogue's, else any of 127.0.0.0/8",
        '[{ match = "127.0.0.2", meaning = "spam source" }]',
        "what each return code means; see codes below"),
    Key("[[zone]]", "nameservers", "array of text", f"1 to {MAX_NAMESERVERS} of ADDRESS or ADDRESS:PORT",
        "those of [resolver]", '["127.0.0.1:5353"]', "nameservers for this zone alone"),
    _number("[[zone]]", "timeout_s", "0.5",
        "how long one query of this zone waits", default="that of [resolver]"),
    Key("[[zone]]", "on_error", "text", '"no_opinion" or "listed"', '"no_opinion"', '"listed"',
        "whether the weight is added to the score while the zone gives no answer"),
    Key("[[zone]]", "key_env", "text", "the name of an environment variable", "none",
        '"DNSBL_KEY_SPAMHAUS"', "the variable that holds a keyed zone's key; never the key itself"),
    Key("[[zone]]", "key_file", "text", "a path, from the configuration's folder", "none", '"spamhaus.key"',
        "the file that holds a keyed zone's key, on one line"),
    _number("[[zone]]", "daily_limit", "100000",
        "queries a day (UTC) that are free; with them spent, the zone is left out until the next",
        default="the catalogue's, else none"),
    Key("[[zone]]", "file", "text", "a path, from the configuration's folder", "none", '"drop.txt"',
        "a list that is a file here: answered without a query, read again when it changes"),
    Key("[[zone]]", "format", "text",
        "auto, plain, drop, ip4set, ip4tset, ip4trie, ip6trie, ip6tset, dnset, combined, combined:NAME",
        '"auto"', '"ip4set"', "how `file` is written"),
    Key("[[zone]]", "url", "text", "https:// or http://", "none", '"https://www.example.com/drop.json"',
        "where `dnsbl zones fetch` gets `file`"),
    _number("[[zone]]", "interval_s", "43200.0",
        "`dnsbl zones fetch` asks no oftener"),
    Key("[[zone]]", "hash", "text", "sha1, md5 or sha256", 'the catalogue\'s, else "sha1"', '"md5"',
        "the digest by which an e-mail address or URL is asked"),
    Key("[[zone]]", "normal_form", "text", "plain, msbl, spamhaus or surbl", 'the catalogue\'s, else "plain"',
        '"msbl"', "the form in which it is hashed"),

    Key("codes", "match", "text", "a reply filter", "none", '"127.0.0.[4..7]"', "the return codes meant"),
    Key("codes", "mask", "whole number", "one bit: 1, 2, 4, 8, 16, 32, 64 or 128", "none", "8",
        "the bit of the last octet meant, for lists that add bits up"),
    Key("codes", "outcome", "text", '"listed", "neutral" or "blocked"', '"listed"', '"blocked"',
        "a listing, no listing, or the list's refusal to answer"),
    Key("codes", "meaning", "text", "", '""', '"dynamic address"', "what the code means, in words"),
    _number("codes", "weight", "0.5",
        "what this code counts", default="the zone's"),

    Key("[policy]", "listen", "array of text", "ADDRESS:PORT on loopback, or unix:PATH",
        '["127.0.0.1:10040"]', '["unix:/run/dnsbl/policy.sock"]', "where Postfix reaches the daemon"),
    Key("[policy]", "socket_mode", "text", "an octal mode that lets not everybody write", '"0660"',
        '"0600"', "permissions of UNIX sockets"),
    Key("[policy]", "socket_group", "text", "a group's name", "the daemon's own", '"postfix"',
        "group of UNIX sockets: that of the smtpd that writes to them"),
    _number("[policy]", "idle_timeout_s", "300.0",
        "a connection without a request is closed after that"),
    _number("[policy]", "read_timeout_s", "10.0",
        "a request that has begun must be whole by then"),
    _number("[policy]", "max_connections", "200",
        "connections at once"),
    Key("[policy]", "metrics", "text", "ADDRESS:PORT", "none", '"127.0.0.1:9117"',
        "where Prometheus reads"),
    Key("[policy]", "cache_file", "text", "a path, from the configuration's folder",
        "cache in systemd's StateDirectory, if it has one", '"cache"', "answers kept over a restart"),
    Key("[policy]", "own_networks", "array of text", "addresses and networks", "none",
        '["198.51.100.0/24"]', "clients that are let pass before any rule"),
    Key("[policy]", "look_up", "array of text",
        "client, sender, helo, client_name, reverse_client_name, recipient",
        "all but recipient", '["client", "sender", "helo"]',
        "what is looked up: the address in lists of addresses, the names in lists of domains"),
    Key("[policy]", "control", "text", "unix:PATH", "none", '"unix:/run/dnsbl/control.sock"',
        "where `dnsbl policyd stats`, `flush` and `recheck` reach the daemon"),
    Key("[policy]", "health_file", "text", "a path, from the configuration's folder", "none", '"health"',
        "what processes under `--spawn` know of broken lists, shared"),
    Key("[policy]", "on_error", "text", "an action as in access(5)", '"DUNNO"',
        '"DEFER_IF_PERMIT Service unavailable"', "the answer where the daemon cannot decide"),
    Key("[policy]", "dry_run", "true, false, or array of text", "names of zones", "false", _ZONES,
        "log what would be done and answer DUNNO: for all, or for the zones named"),
    Key("[policy]", "restriction_classes", "array of text", "names from smtpd_restriction_classes", "none",
        '["greylist"]', "names that an action may give besides Postfix' own"),
    Key("[policy]", "rule", "array of tables", "", "the built-in rules: see README", '[{ action = "DUNNO" }]',
        "the rules, mostly written as [[policy.rule]]"),

    Key("[[policy.rule]]", "client", "array of text", 'addresses, networks, or "private"', "any",
        '["192.0.2.0/24", "private"]', "the client's address"),
    Key("[[policy.rule]]", "authenticated", "true or false", "", "either", "true",
        "whether the client logged in"),
    Key("[[policy.rule]]", "server_port", "whole number, or array", "1 to 65,535", "any", "[465, 587]",
        "the port that the client came to"),
    Key("[[policy.rule]]", "encrypted", "true or false", "", "either", "true", "whether TLS is in use"),
    Key("[[policy.rule]]", "protocol_state", "text, or array",
        "CONNECT, EHLO, HELO, MAIL, RCPT, DATA, END-OF-MESSAGE, VRFY, ETRN", "any", '["RCPT"]',
        "where in the dialogue Postfix asks"),
    Key("[[policy.rule]]", "sender", "text, or array", "address patterns, with * and ?", "any",
        '["*@example.com", "<>"]', 'the envelope sender; "<>" is the null sender'),
    Key("[[policy.rule]]", "recipient", "text, or array", "address patterns, with * and ?", "any",
        '["postmaster@*", "abuse@*"]', "the envelope recipient"),
    Key("[[policy.rule]]", "client_name", "text, or array", "host patterns; .example.com is all below it",
        "any", '[".example.com"]', "the client's verified name"),
    Key("[[policy.rule]]", "reverse_client_name", "text, or array", "host patterns", "any",
        '[".example.com"]', "the client's reverse name, verified or not"),
    Key("[[policy.rule]]", "helo_name", "text, or array", "host patterns", "any", '"*.example.com"',
        "the name the client gives itself"),
    Key("[[policy.rule]]", "size", "text", ">=, >, <=, < or == and a number of bytes", "any", '">=1000000"',
        "the size the client announced"),
    Key("[[policy.rule]]", "recipient_count", "text", ">=, >, <=, < or == and a number", "any", '">=50"',
        "recipients of the message, known from DATA on"),
    Key("[[policy.rule]]", "ccert_fingerprint", "text, or array", "fingerprints as Postfix gives them", "any",
        '"c2:9d:f4:87:71:73:73:d9:18:e7:c2:f3:c1:da:6e:04"', "the client certificate's fingerprint"),
    Key("[[policy.rule]]", "look_up", "array of text", "as under [policy]", "that of [policy]", '["sender"]',
        "what this rule's zones, codes and score are about"),
    Key("[[policy.rule]]", "certain", "true or false", "", "either", "true",
        "no answer that is missing could turn the decision"),
    Key("[[policy.rule]]", "policy_context", "text, or array", "", "any", '["strict"]',
        "what policy_context says in main.cf"),
    Key("[[policy.rule]]", "zones", "text, or array", "names of zones asked", "any", _ZONES,
        "one of these lists the client"),
    Key("[[policy.rule]]", "codes", "text, or array", "reply filters", "any", '["127.0.0.[10..11]"]',
        "a return code of a listing (of `zones`, where that is given)"),
    Key("[[policy.rule]]", "score", "text", ">=, >, <=, < or == and a number", "any", '">=3"', "the score"),
    Key("[[policy.rule]]", "incomplete", "true or false", "", "either", "true",
        "whether an answer is missing"),
    Key("[[policy.rule]]", "silent", "text, or array", "names of zones asked", "any", _ZONES,
        "one of these gave no answer, so that what it would have said is not known"),
    Key("[[policy.rule]]", "action", "text",
        "an action as in access(5), with {client} {zones} {score} {reason} {codes} {delist_url}",
        "none: it is needed", '"REJECT {client} is listed by {zones}: {reason}"', "what Postfix is told"),

    Key("[monitor]", "watch", "array of text", "addresses, ranges, names, host:NAME, domain:NAME; 4,096 in all",
        "none: given as arguments", '["192.0.2.0/28", "mail.example.com"]',
        "what is watched; a name is its domain and all its addresses"),
    Key("[monitor]", "state", "text", "a path, from the configuration's folder",
        "monitor.db in systemd's StateDirectory, if it has one", '"/var/lib/dnsbl-monitor/monitor.db"',
        "the SQLite file that holds what is known"),
    Key("[monitor]", "interval_s", "number", "10 to 604,800 seconds", "1800.0", "3600.0",
        "from one round to the next; a list is asked in as many of them as its limit and TTLs allow"),
    Key("[monitor]", "confirm", "whole number", "1 to 10 rounds", "2", "3",
        "a change counts once so many rounds in a row have seen it"),
    Key("[monitor]", "share", "number", "0.001 to 1", "0.1", "0.5",
        "how much of a list's free queries a day the monitor may use"),
    Key("[monitor]", "warning", "whole number", "1 to 1,000,000 listings", "1", "1",
        "`--once` says WARNING from so many listings on"),
    Key("[monitor]", "critical", "whole number", "1 to 1,000,000 listings", "1", "3",
        "`--once` says CRITICAL from so many listings on"),
    Key("[monitor]", "severity", "table", 'zone = "ok", "warning" or "critical"', "none",
        '{ "zen.spamhaus.org" = "critical" }',
        "what one listing there is for `--once`, instead of being counted"),
    Key("[monitor]", "summary_above", "whole number", "0 to 1,000 changes", "5", "10",
        "more changes than that in one round are told in one summary"),
    Key("[monitor]", "program", "array of text", "a program and its arguments", "none",
        '["/usr/local/bin/tell", "--json"]', "gets each notice as JSON on its standard input"),
    Key("[monitor]", "webhook", "text", "an http or https URL", "none", '"https://hooks.example.com/dnsbl"',
        "each notice is posted there as JSON, again until it is taken"),
    Key("[monitor]", "webhook_key_env", "text", "the name of an environment variable", "none",
        '"DNSBL_WEBHOOK_KEY"', "the variable that holds the key by which webhooks are signed"),
    Key("[monitor]", "webhook_key_file", "text", "a path, from the configuration's folder", "none",
        '"webhook.key"', "the file that holds that key"),
    Key("[monitor]", "mail_to", "array of text", "addresses", "none", '["postmaster@example.com"]',
        "who gets each notice by mail"),
    Key("[monitor]", "mail_from", "text", "an address", "dnsbl@ and this host's name",
        '"dnsbl@example.com"', "the sender of these mails"),
    Key("[monitor]", "smtp", "text", "HOST:PORT", '"127.0.0.1:25"', '"[::1]:25"',
        "the server that takes them"),
    Key("[monitor]", "smtp_tls", "text", '"none", "starttls" or "tls"', '"none"', '"starttls"',
        "how the connection to it is protected; its certificate is checked"),
    Key("[monitor]", "smtp_user", "text", "a name", "none", '"dnsbl"', "the user to log in as"),
    Key("[monitor]", "smtp_key_env", "text", "the name of an environment variable", "none",
        '"DNSBL_SMTP_PASSWORD"', "the variable that holds that user's password"),
    Key("[monitor]", "smtp_key_file", "text", "a path, from the configuration's folder", "none",
        '"smtp.key"', "the file that holds it"),
    Key("[monitor]", "ping", "text", "an http or https URL", "none", '"https://hc.example.com/ping/4711"',
        "asked for after each round in which lists answered: whoever hears nothing raises the alarm"),
    Key("[monitor]", "metrics", "text", "ADDRESS:PORT on loopback", "none", '"127.0.0.1:9118"',
        "where Prometheus reads"),
    Key("[monitor]", "grid", "text", "a path, from the configuration's folder", "none", '"grid.svg"',
        "a picture of what is watched, written after each round"),
)  # fmt: skip


def keys_of(table: str) -> tuple[Key, ...]:
    """The keys of one table, in order.

    >>> [key.name for key in keys_of("codes")][:2]
    ['match', 'mask']
    """
    return tuple(key for key in KEYS if key.table == table)
