"""The rules that hold where a configuration has none, and what of them an imported one has to say. Values only."""

from __future__ import annotations

from typing import Any, Final

REFUSE: Final = "REJECT {subject} is listed by {zones}: {reason} {delist_url}"
"""The action of a rule that refuses what a list has."""

COME_AGAIN: Final = "DEFER_IF_PERMIT {subject} is listed by {zones}; an allowlist is silent, try again later"
"""While an allowlist whose word could turn a rejection does not answer, the client is to come again."""

BASE_RULES: Final[tuple[dict[str, Any], ...]] = (
    {"authenticated": True, "action": "DUNNO"},
    # Submission is a port, not encryption: servers too speak TLS among themselves on port 25.
    {"server_port": [465, 587], "action": "DUNNO"},
    {"client": ["private"], "action": "DUNNO"},
)
"""Whom no list is asked about; a file with rules of its own has to say so too."""

DEFAULT_RULES: Final[tuple[dict[str, Any], ...]] = (
    *BASE_RULES,
    {"score": ">=1", "certain": False, "action": COME_AGAIN},
    # The score, not `listed`: an allowlist's hit must count.
    {"score": ">=1", "action": REFUSE},
)
