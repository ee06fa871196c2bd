"""Every key of dnsbl.toml: its type, range, default, what it means, and an example.

docs/configuration.md, `dnsbl config --example` and `dnsbl config --show` are made from this table, and a test
compares its names and numbers with what the readers take. Nothing is checked here.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from dnsbl.cache.answers import MAX_TTL_S
from dnsbl.config.settings import CACHE_SIZE, DEADLINE_S, REASON_TIMEOUT_S, TIMEOUT_S


class Key(NamedTuple):
    """One key. table: as TOML heads it. kind, limits: for people. default: TOML, or words; example: TOML."""

    table: str
    name: str
    kind: str
    limits: str
    default: str
    example: str
    meaning: str


TABLES: Final = {
    "[resolver]": "How lists are asked.",
    "[[zone]]": "One list; as many tables as lists. Without any, the default zones are asked.",
    "codes": "A line of a zone's `codes`: what a return code means. Give `match` or `mask`, not both.",
    "[policy]": "The Postfix policy daemon, `dnsbl policyd`.",
    "[[policy.rule]]": "All conditions of a rule must hold; the first that matches decides; none: DUNNO.",
    "[serve]": "Lookups over HTTP and the page, `dnsbl serve`.",
}
"""The tables, in the order in which they are shown."""

_ZONES: Final = '["zen.spamhaus.org"]'

KEYS: Final[tuple[Key, ...]] = (
    Key("[resolver]", "nameservers", "array of text", "1 to 8 of ADDRESS or ADDRESS:PORT",
        "those of /etc/resolv.conf", '["127.0.0.1:53", "[::1]:53"]',
        "nameservers to ask, in their order; a resolver of your own"),
    Key("[resolver]", "deadline_s", "number", "0.001 to 300 seconds", f"{DEADLINE_S}", "2.0",
        "how long one lookup may take, all its zones together"),
    Key("[resolver]", "timeout_s", "number", "0.001 to 60 seconds", f"{TIMEOUT_S}", "0.8",
        "how long one query waits for its answer before the next try"),
    Key("[resolver]", "tries", "whole number", "1 to 100", "as many as fit before the deadline", "3",
        "at most so many queries for one question"),
    Key("[resolver]", "cache_size", "whole number", "0 to 100,000,000 entries", f"{CACHE_SIZE}", "20000",
        "answers held in memory, one entry for each subject; 0 holds none"),
    Key("[resolver]", "ttl_min_s", "number", f"0 to {MAX_TTL_S:.0f} seconds", "0.0", "60.0",
        "an answer is held at least so long, whatever its TTL"),
    Key("[resolver]", "ttl_max_s", "number", f"0 to {MAX_TTL_S:.0f} seconds", "86400.0", "3600.0",
        "an answer is held at most so long"),
    Key("[resolver]", "reasons", "true or false", "", "true", "false",
        "ask for the reason (the TXT record) of a listing too"),
    Key("[resolver]", "reason_timeout_s", "number", "0 to 60 seconds", f"{REASON_TIMEOUT_S}", "0.2",
        "how long a verdict waits for its reasons"),
    Key("[resolver]", "check_private", "true or false", "", "false", "true",
        "look private addresses and names up too, which no public list can hold"),
    Key("[resolver]", "catalogue", "text", "a path, from the configuration's folder",
        "/var/lib/dnsbl/catalogue.toml where there is one", '"catalogue.toml"',
        "a newer catalogue of lists"),
    Key("[resolver]", "allow", "array of text", "names of zones", "none", '["dnsbl.sorbs.net"]',
        "zones to use although the catalogue warns of them or calls them retired"),

    Key("[[zone]]", "name", "text", "a DNS name of at most 189 characters, without a key",
        "none: it is needed", '"zen.spamhaus.org"',
        "the list; what other keys leave out comes from the catalogue"),
    Key("[[zone]]", "subjects", "array of text", '"ip4", "ip6", "domain"',
        'the catalogue\'s, else ["ip4", "ip6"]', '["ip4", "domain"]', "what the list is asked about"),
    Key("[[zone]]", "domain", "text", '"registrable" or "host"', 'the catalogue\'s, else "registrable"',
        '"host"', "what of a domain is asked: the registrable domain or the whole name"),
    Key("[[zone]]", "weight", "number", "-1,000,000 to 1,000,000", "the catalogue's, else 1", "2.5",
        "what a listing adds to the score; below 0: an allowlist"),
    Key("[[zone]]", "reply", "text", 'a reply filter as in postscreen_dnsbl_sites, or "any"',
        "none: see codes", '"127.0.0.[2..11]"',
        "the return codes that count; any of them counts the weight once"),
    Key("[[zone]]", "codes", "array of tables", "1 or more", "the catalogue's, else any of 127.0.0.0/8",
        '[{ match = "127.0.0.2", meaning = "spam source" }]',
        "what each return code means; see codes below"),
    Key("[[zone]]", "nameservers", "array of text", "1 to 8 of ADDRESS or ADDRESS:PORT",
        "those of [resolver]", '["127.0.0.1:5353"]', "nameservers for this zone alone"),
    Key("[[zone]]", "timeout_s", "number", "0.001 to 60 seconds", "that of [resolver]", "0.5",
        "how long one query of this zone waits"),
    Key("[[zone]]", "on_error", "text", '"no_opinion" or "listed"', '"no_opinion"', '"listed"',
        "whether the weight is added to the score while the zone gives no answer"),
    Key("[[zone]]", "key_env", "text", "the name of an environment variable", "none",
        '"DNSBL_KEY_SPAMHAUS"', "the variable that holds a keyed zone's key; never the key itself"),
    Key("[[zone]]", "key_file", "text", "a path, from the configuration's folder", "none", '"spamhaus.key"',
        "the file that holds a keyed zone's key, on one line"),
    Key("[[zone]]", "daily_limit", "whole number", "1 to 1,000,000,000,000 queries",
        "the catalogue's, else none", "100000",
        "queries a day (UTC) that are free; with them spent, the zone is left out until the next"),
    Key("[[zone]]", "file", "text", "a path, from the configuration's folder", "none", '"drop.txt"',
        "a list that is a file here: answered without a query, read again when it changes"),
    Key("[[zone]]", "format", "text",
        "auto, plain, drop, ip4set, ip4tset, ip4trie, ip6trie, ip6tset, dnset, combined, combined:NAME",
        '"auto"', '"ip4set"', "how `file` is written"),
    Key("[[zone]]", "url", "text", "https:// or http://", "none", '"https://www.example.com/drop.json"',
        "where `dnsbl zones fetch` gets `file`"),
    Key("[[zone]]", "interval_s", "number", "3,600 seconds or more", "86400", "43200.0",
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
    Key("codes", "weight", "number", "-1,000,000 to 1,000,000", "the zone's", "0.5",
        "what this code counts"),

    Key("[policy]", "listen", "array of text", "ADDRESS:PORT on loopback, or unix:PATH",
        '["127.0.0.1:10040"]', '["unix:/run/dnsbl/policy.sock"]', "where Postfix reaches the daemon"),
    Key("[policy]", "socket_mode", "text", "an octal mode that lets not everybody write", '"0660"',
        '"0600"', "permissions of UNIX sockets"),
    Key("[policy]", "socket_group", "text", "a group's name", "the daemon's own", '"postfix"',
        "group of UNIX sockets: that of the smtpd that writes to them"),
    Key("[policy]", "idle_timeout_s", "number", "0.1 to 86,400 seconds", "600.0", "300.0",
        "a connection without a request is closed after that"),
    Key("[policy]", "read_timeout_s", "number", "0.1 to 86,400 seconds", "30.0", "10.0",
        "a request that has begun must be whole by then"),
    Key("[policy]", "max_connections", "whole number", "1 to 100,000", "1000", "200",
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
    Key("[policy]", "rule", "array of tables", "", "four rules: see README", '[{ action = "DUNNO" }]',
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
    Key("[[policy.rule]]", "action", "text",
        "an action as in access(5), with {client} {zones} {score} {reason} {codes} {delist_url}",
        "none: it is needed", '"REJECT {client} is listed by {zones}: {reason}"', "what Postfix is told"),
    Key("[serve]", "listen", "array of text", "ADDRESS:PORT, or unix:PATH; beyond loopback only with "
        "token_file or password_file", '["127.0.0.1:10080"]', '["unix:/run/dnsbl/serve.sock"]',
        "where HTTP is served"),
    Key("[serve]", "token_file", "text", "a path, from the configuration's folder", "none", '"serve.token"',
        "file with the token that requests bring, 20 characters or more"),
    Key("[serve]", "password_file", "text", "a path, from the configuration's folder", "none",
        '"serve.htpasswd"', "file with users and bcrypt hashes, as `htpasswd -B` writes it"),
    Key("[serve]", "hosts", "array of text", "host names", "those of loopback", '["lookup.example.com"]',
        "without token and passwords: names by which browsers may reach the server"),
    Key("[serve]", "trusted_proxies", "array of text", "addresses and networks", '["127.0.0.1", "::1"]',
        '["127.0.0.1", "192.0.2.0/24"]', "proxies whose X-Forwarded-For is believed"),
    Key("[serve]", "rate_per_s", "number", "0 to 1,000,000 subjects; 0: no limit", "50.0", "10.0",
        "subjects a second that one client may look up, over time"),
    Key("[serve]", "burst", "whole number", "1 to 1,000,000", "500", "100",
        "subjects that a client may look up at once"),
    Key("[serve]", "max_connections", "whole number", "1 to 100,000", "500", "100", "connections at once"),
    Key("[serve]", "max_subjects", "whole number", "1 to 1,000,000", "10000", "1000",
        "subjects in one request"),
    Key("[serve]", "authz_zones", "array of text", "names of zones asked, none of them for mail only",
        "all zones asked but allowlists and those for mail only", _ZONES,
        "lists that web visitors are looked up in"),
    Key("[serve]", "authz_score", "number", "0.001 to 1,000,000", "1.0", "2.0",
        "a web visitor with such a score is refused"),
    Key("[serve]", "authz_deadline_s", "number", "0.01 to 60 seconds", "1.0", "0.5",
        "how long a web visitor may have to wait; then it is let in"),
    Key("[serve]", "state", "text", "a path, from the configuration's folder", "none", '"monitor.sqlite"',
        "the state file of `dnsbl monitor`, to be shown"),
)  # fmt: skip


def keys_of(table: str) -> tuple[Key, ...]:
    """The keys of one table, in order.

    >>> [key.name for key in keys_of("codes")][:2]
    ['match', 'mask']
    """
    return tuple(key for key in KEYS if key.table == table)
