"""The OpenAPI description of the paths that programs use. The page itself is not among them."""

from __future__ import annotations

from typing import Any, Final

from dnsbl.model import Outcome

Schema = dict[str, Any]

TEXT: Final[Schema] = {"type": "string"}
NUMBER: Final[Schema] = {"type": "number"}
COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
FLAG: Final[Schema] = {"type": "boolean"}
ANY: Final[Schema] = {"type": "object"}


def _array(of: Schema) -> Schema:
    return {"type": "array", "items": of}


def _or_null(kind: str) -> Schema:
    return {"type": [kind, "null"]}


def _object(properties: dict[str, Schema], *, optional: tuple[str, ...] = ()) -> Schema:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


SCHEMAS: Final[dict[str, Schema]] = {
    "Error": _object({"error": TEXT}),
    "BadSubject": _object({"subject": TEXT, "error": TEXT}),
    "ZoneAnswer": _object(
        {
            "zone": TEXT, "outcome": {"enum": [str(outcome) for outcome in Outcome]}, "codes": _array(TEXT),
            "meanings": _array(TEXT), "score": NUMBER, "reason": _or_null("string"), "detail": TEXT,
            "delist_url": _or_null("string"), "ttl_s": _or_null("number"), "query_name": _or_null("string"),
            "cached": FLAG, "rcode": TEXT, "nameserver": TEXT, "latency_ms": _or_null("number"),
            "matched": _array(TEXT),
        },
        optional=("rcode", "nameserver", "latency_ms", "matched"),
    ),
    "Verdict": _object(
        {
            "subject": TEXT, "listed": FLAG, "complete": FLAG, "score": NUMBER,
            "answers": _array(_ref("ZoneAnswer")), "listings": _array(TEXT), "errors": _array(TEXT),
            "pending": _array(TEXT), "ttl_s": _or_null("number"), "elapsed_s": NUMBER,
        }
    ),
    "Zone": _object(
        {
            "zone": TEXT, "subjects": _array(TEXT), "weight": NUMBER, "authz": FLAG, "operator": TEXT,
            "page": TEXT, "holds": TEXT, "terms": TEXT, "delisting": TEXT, "delist_url": _or_null("string"),
            "set_aside": _or_null("string"), "queries": COUNT, "cache_hits": COUNT,
            "outcomes": {"type": "object", "additionalProperties": COUNT}, "latency_ms": ANY, "budget": ANY,
        }
    ),
    "Report": _object(
        {
            "healthy": FLAG, "nameservers": _array(ANY), "zones": _array(ANY),
            "findings": _array(_object({"about": TEXT, "problem": TEXT, "remedy": TEXT})),
        }
    ),
    "Board": _object({"watched": _array(ANY), "changes": _array(ANY), "meta": ANY}),
    "Statistics": _object({"server": ANY, "policyd": {"type": ["object", "null"]}}),
}  # fmt: skip

SUBJECT: Final[Schema] = {
    "name": "subject", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1},
    "description": "An address, a domain, an e-mail address or a URL, percent-encoded.",
}  # fmt: skip


def _flag(name: str, default: bool, text: str) -> Schema:
    schema = {"type": "string", "enum": ["true", "false"], "default": str(default).lower()}
    return {"name": name, "in": "query", "required": False, "schema": schema, "description": text}


EXPLAIN: Final = _flag("explain", False, "Add how each answer came about.")


def _json(schema: Schema, text: str, kind: str = "application/json") -> Schema:
    return {"description": text, "content": {kind: {"schema": schema}}}


def _error(text: str, name: str = "Error") -> Schema:
    return _json(_ref(name), text)


COMMON: Final = {
    "400": _error("The request is wrong; the text says how."),
    "401": _error("A token or a password is needed."),
    "421": _error("Without a token: the Host header names another server."),
    "429": _error("This client asked too much; Retry-After says when to come again."),
    "500": _error("A fault of the server."),
    "503": _error("The server stops, or is asked too much."),
}


def _get(summary: str, good: dict[str, Schema], parameters: tuple[Schema, ...] = (), **more: Any) -> Schema:
    operation = {"summary": summary, "parameters": list(parameters), "responses": COMMON | good, **more}
    return {"get": operation}


def _post_check(max_subjects: int) -> Schema:
    subjects = _array(TEXT) | {"minItems": 1, "maxItems": max_subjects}
    body = _object({"subjects": subjects}) | {"additionalProperties": False}
    return {
        "post": {
            "summary": f"Look up to {max_subjects:,} subjects up",
            "parameters": [
                _flag("ordered", True, "In the order of the subjects; else as they come."), EXPLAIN,
            ],
            "requestBody": {
                "required": True,
                "content": {
                    "application/json": {"schema": body},
                    "text/plain": {"schema": {"type": "string", "description": "One subject a line."}},
                },
            },
            "responses": COMMON
            | {
                "200": _json(
                    {"anyOf": [_ref("Verdict"), _ref("BadSubject")]},
                    "A line for each subject: its verdict, or what is wrong with it.",
                    "application/x-ndjson",
                ),
                "408": _error("The body did not come in time."),
                "413": _error("Too many subjects, or too long a body."),
                "415": _error("The body is of another type."),
            },
        }
    }  # fmt: skip


def _lookups(max_subjects: int) -> Schema:
    return {
        "/check/{subject}": _get(
            "Look one subject up",
            {"200": _json(_ref("Verdict"), "What `dnsbl check --json` prints.")},
            (SUBJECT, EXPLAIN),
        ),
        "/check": _post_check(max_subjects),
        "/answers/{subject}": _get(
            "Look one subject up, a line for each list as it answers, then one with the verdict",
            {"200": _json(ANY, "Lines of JSON.", "application/x-ndjson")},
            (SUBJECT,),
        ),
        "/zones": _get(
            "The lists asked", {"200": _json(_object({"zones": _array(_ref("Zone"))}), "Every list.")}
        ),
        "/doctor": _get(
            "What is wrong here",
            {"200": _json(_ref("Report"), "What `dnsbl doctor --json` prints, at most five minutes old.")},
        ),
        "/watched": _get(
            "The monitor's state and its last changes",
            {"200": _json(_ref("Board"), "The listed first."), "404": _error("No state file is named.")},
            (
                {"name": "subject", "in": "query", "schema": TEXT, "description": "Only this one."},
                {"name": "before", "in": "query", "schema": {"type": "integer", "minimum": 0, "maximum": 2**63 - 1},
                 "description": "Only changes with a lower number."},
            ),
        ),
    }  # fmt: skip


def _operation() -> Schema:
    metrics = _json(TEXT, "Prometheus' text format.", "text/plain")
    return {
        "/statistics": _get(
            "Counts of this server and of the policy daemon", {"200": _json(_ref("Statistics"), "Counts.")}
        ),
        "/metrics": _get("Counts for Prometheus", {"200": metrics}),
        "/probe": _get(
            "One subject's verdict for Prometheus", {"200": metrics},
            ({"name": "target", "in": "query", "required": True, "schema": TEXT | {"minLength": 1}},),
        ),
        "/authz": _get(
            "Whether a web visitor is let in: the peer, or whom a trusted proxy names in X-Forwarded-For",
            {
                "204": {"description": "Let in. X-Dnsbl says allowed, or unknown."},
                "403": _json(TEXT, "Listed; the text says where and why.", "text/plain"),
            },
        ),
        "/healthz": _get(
            "Whether the server answers", {"200": _json(_object({"status": TEXT}), "It does.")}, security=[]
        ),
    }  # fmt: skip


def description(max_subjects: int) -> Schema:
    """The OpenAPI 3.1 document."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "dnsbl serve", "version": "1", "description": "DNS blocklist lookups."},
        "security": [{}, {"token": []}, {"password": []}],
        "paths": _lookups(max_subjects) | _operation(),
        "components": {
            "schemas": SCHEMAS,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "password": {"type": "http", "scheme": "basic"},
            },
        },
    }
