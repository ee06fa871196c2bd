"""c-ares as it comes with pycares: finds its functions, checks that they are the expected ones.

pycares carries c-ares inside its CFFI module `pycares._cares`, which is private: so the functions are
checked by name and C signature at import, and anything unexpected is one ImportError that names both
versions. No query is made here, and no channel lives here: the loop thread makes its own.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from typing import Any

import pycares

try:
    from pycares import _cares
except ImportError:
    raise ImportError(
        f"dnsbl needs the module pycares._cares, which pycares {pycares.__version__} with c-ares "
        f"{pycares.ARES_VERSION} does not have: install pycares 5.2.1 or newer"
    ) from None

MINIMUM = (1, 34, 9)
"""Older ones have use-after-frees around cancel, close and the socket callback that touch this program."""

_FFI = _cares.ffi
_LIB = _cares.lib

SIGNATURES = {
    "ares_init_options": "int(*)(struct ares_channeldata * *, struct ares_options *, int)",
    "ares_set_servers_csv": "int(*)(struct ares_channeldata *, char *)",
    "ares_destroy": "void(*)(struct ares_channeldata *)",
    "ares_query_dnsrec": (
        "ares_status_t(*)(struct ares_channeldata *, char *, ares_dns_class_t, ares_dns_rec_type_t, "
        "void(*)(void *, ares_status_t, size_t, struct ares_dns_record *), void *, unsigned short *)"
    ),
    "ares_process_fd": "void(*)(struct ares_channeldata *, int32_t, int32_t)",
    "ares_dns_record_rr_cnt": "size_t(*)(struct ares_dns_record *, ares_dns_section_t)",
    "ares_dns_record_rr_get_const": (
        "struct ares_dns_rr *(*)(struct ares_dns_record *, ares_dns_section_t, size_t)"
    ),
    "ares_dns_rr_get_type": "ares_dns_rec_type_t(*)(struct ares_dns_rr *)",
    "ares_dns_rr_get_ttl": "unsigned int(*)(struct ares_dns_rr *)",
    "ares_dns_rr_get_addr": "struct in_addr *(*)(struct ares_dns_rr *, ares_dns_rr_key_t)",
    "ares_dns_rr_get_u32": "unsigned int(*)(struct ares_dns_rr *, ares_dns_rr_key_t)",
    "ares_dns_rr_get_abin_cnt": "size_t(*)(struct ares_dns_rr *, ares_dns_rr_key_t)",
    "ares_dns_rr_get_abin": "unsigned char *(*)(struct ares_dns_rr *, ares_dns_rr_key_t, size_t, size_t *)",
}
"""The functions the engine calls, with their C types as CFFI prints them."""

FRONT = ("ares_set_socket_functions_ex", "ares_dns_parse", "ares_dns_record_destroy")
OWNERS = ("ares_dns_rr_get_name", "ares_dns_rr_get_class", "ares_dns_rr_get_str")

EXTRAS = {
    "ares_process_fds": "answers slower than c-ares' own timeout are lost",
    "ares_dns_record_get_rcode": "rcodes above 5 are not told apart",
    **dict.fromkeys(FRONT, "one list's malformed answer can spoil the answers of others"),
    **dict.fromkeys(OWNERS, "records of another name are taken for the list's"),
}
"""Functions that pycares does not declare, looked for in its shared object: what is lost without each."""

# Public ABI of c-ares (ares.h of 1.34); CFFI names only some of them.
_FLAG_STAYOPEN = 1 << 4
_FLAG_NOSEARCH = 1 << 5
_FLAG_NOCHECKRESP = 1 << 7
_OPT_FLAGS = 1 << 0
_OPT_TRIES = 1 << 2
_OPT_LOOKUPS = 1 << 8
_OPT_SOCK_STATE_CB = 1 << 9
_OPT_SOCK_RCVBUF = 1 << 12
_OPT_TIMEOUTMS = 1 << 13
_OPT_NOROTATE = 1 << 16
_OPT_RESOLVCONF = 1 << 17
_OPT_UDP_MAX_QUERIES = 1 << 19
_OPT_QUERY_CACHE = 1 << 21

_QUERIES_PER_PORT = 256
"""Queries from one source port before it changes (RFC 5452 section 9.2), except towards loopback."""

_QUERIES_PER_LOCAL_PORT = 500
"""Towards loopback: the receive buffer of one socket holds the answers to so many, all at once."""

_RECEIVE_BUFFER_BYTES = 212_992
"""Linux' default; asked for, the kernel doubles it, so that a burst of answers finds room."""


def check() -> None:
    """Raise ImportError, naming both versions, unless the loaded c-ares is one the engine can drive."""
    version = _FFI.string(_LIB.ares_version(_FFI.NULL)).decode()
    numbers = tuple(int(part) for part in re.findall("[0-9]+", version)[:3])  # of 1.35.0-DEV as well
    versions = f"pycares {pycares.__version__} with c-ares {version}"
    if numbers < MINIMUM:
        raise ImportError(
            f"dnsbl needs c-ares 1.34.9 or newer and found {versions}: install pycares 5.2.1 or newer"
        )
    for name, expected in SIGNATURES.items():
        if not hasattr(_LIB, name):
            raise ImportError(f"dnsbl needs {name}, which {versions} does not offer: install pycares 5.2.1")
        found = _FFI.typeof(_FFI.addressof(_LIB, name)).cname
        if found != expected:
            raise ImportError(
                f"dnsbl needs {name} as {expected!r}; in {versions} it is {found!r}: install pycares 5.2.1"
            )


_told: set[str] = set()
"""The functions whose absence was told of."""


def tell_missing(names: Sequence[str]) -> None:
    """Warn once, in one line, of the functions of `EXTRAS` that are not exported and of what is lost."""
    names = [name for name in names if name not in _told]
    if not names:
        return
    _told.update(names)
    lost = "; ".join(dict.fromkeys(EXTRAS[name] for name in names))
    warnings.warn(
        f"pycares {pycares.__version__} does not export {', '.join(names)}: {lost}; install pycares 5.2.1",
        RuntimeWarning,
        stacklevel=2,
    )


def addresses() -> dict[str, int]:
    """The address of each function of `SIGNATURES`."""
    return {name: int(_FFI.cast("uintptr_t", _FFI.addressof(_LIB, name))) for name in SIGNATURES}


def library_path() -> str:
    """The file of the shared object that c-ares is in, for what CFFI does not declare."""
    return str(_cares.__file__)


class Options:
    """Two `struct ares_options`, for nameservers on loopback and for all others.

    `callback` and `data` are the addresses of the socket state callback and of its argument. The
    structs live as long as this object.
    """

    def __init__(self, callback: int, data: int) -> None:
        self._alive: list[Any] = []
        self.loopback, self.optmask_loopback = self._make(callback, data, _QUERIES_PER_LOCAL_PORT)
        self.remote, self.optmask_remote = self._make(callback, data, _QUERIES_PER_PORT)

    def _make(self, callback: int, data: int, queries_per_port: int) -> tuple[int, int]:
        options = _FFI.new("struct ares_options *")
        nowhere = _FFI.new("char[]", b"/dev/null")
        only_dns = _FFI.new("char[]", b"b")
        self._alive += [options, nowhere, only_dns]
        # Setting flags replaces the default, EDNS included: with it c-ares keeps a cookie per nameserver,
        # which forwarders break, and a text too long for 512 bytes comes by TCP. Answers with an error rcode
        # are wanted too (NOCHECKRESP); which server is asked next is decided by the loop, so one try.
        options.flags = _FLAG_NOSEARCH | _FLAG_STAYOPEN | _FLAG_NOCHECKRESP
        options.tries = 1
        options.timeout = 5000  # used only where ares_process_fds is missing
        options.lookups = only_dns
        options.resolvconf_path = nowhere
        options.socket_receive_buffer_size = _RECEIVE_BUFFER_BYTES
        options.sock_state_cb = _FFI.cast("ares_sock_state_cb", callback)
        options.sock_state_cb_data = _FFI.cast("void *", data)
        # c-ares' own cache has no size limit and keeps answers that RFC 2308 says not to keep.
        options.qcache_max_ttl = 0
        options.udp_max_queries = queries_per_port
        optmask = (
            _OPT_FLAGS | _OPT_TRIES | _OPT_TIMEOUTMS | _OPT_LOOKUPS | _OPT_SOCK_STATE_CB | _OPT_NOROTATE
            | _OPT_RESOLVCONF | _OPT_QUERY_CACHE | _OPT_SOCK_RCVBUF | _OPT_UDP_MAX_QUERIES
        )  # fmt: skip
        return int(_FFI.cast("uintptr_t", options)), optmask
