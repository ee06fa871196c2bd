"""Who may ask: a bearer token, or a user's password by HTTP Basic (RFC 7617), which browsers ask for.

A password that was right is not hashed anew for ten minutes: bcrypt takes some 0.1 s by design.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import os
from collections import OrderedDict
from collections.abc import Mapping
from time import monotonic
from typing import Final

KNOWN_S: Final = 600.0
MAX_KNOWN: Final = 1_000
MAX_HEADER_BYTES: Final = 1_024
HASHING: Final = 2
"""Passwords hashed at once; who comes besides waits."""
TOKEN_USER: Final = "token"
"""With this user name a browser may give the token as a password."""


class Access:
    """token: empty: none opens. passwords: bcrypt hashes by user."""

    def __init__(self, token: str, passwords: Mapping[str, bytes]) -> None:
        self._token = token.encode()
        self._passwords = passwords
        self._salt = os.urandom(32)
        self._known: OrderedDict[bytes, float] = OrderedDict()
        self._free = asyncio.Semaphore(HASHING)
        self.is_open = not token and not passwords

    async def allows(self, header: bytes) -> bool:
        """Whether an Authorization header's value opens. Without token and passwords everything does."""
        if self.is_open:
            return True
        scheme, _, value = header[:MAX_HEADER_BYTES].partition(b" ")
        if scheme.lower() == b"bearer":
            return self._is_token(value.strip())
        if scheme.lower() != b"basic":
            return False
        try:
            user, _, password = base64.b64decode(value, validate=True).partition(b":")
        except binascii.Error:
            return False
        name = user.decode("utf-8", "replace")
        if name == TOKEN_USER and self._is_token(password):
            return True
        return bool(self._passwords) and await self._is_password(name, password)

    def _is_token(self, value: bytes) -> bool:
        return bool(self._token) and hmac.compare_digest(value, self._token)

    async def _is_password(self, user: str, password: bytes) -> bool:
        digest = hmac.digest(self._salt, user.encode("utf-8", "replace") + b"\0" + password, "sha256")
        until = self._known.get(digest)
        if until is not None and monotonic() < until:
            return True
        hashed = self._passwords.get(user)
        # Of a user who is not there a password is hashed too, so that the time does not tell.
        against = hashed or next(iter(self._passwords.values()))
        async with self._free:
            right = await asyncio.to_thread(_matches, password, against)
        if not right or hashed is None:
            return False
        self._known[digest] = monotonic() + KNOWN_S
        if len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)
        return True


def _matches(password: bytes, hashed: bytes) -> bool:
    import bcrypt

    try:
        return bcrypt.checkpw(password, hashed)
    except ValueError:  # more than 72 bytes, or a NUL
        return False
