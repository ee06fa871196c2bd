# cython: language_level=3, boundscheck=False, wraparound=False, embedsignature=False
"""Addresses and query names, as Python values: a thin cover over src_c/qname.c.

What it does: address text to bytes and back, the reversed query name, and which addresses no public list
can hold. What it does not: domains (dnsbl.subject.domain), no I/O, no state. Safe in any thread.

The types stand in _qname.pyi, the exact rules in src_c/qname.h.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t


cdef extern from "Python.h":
    bint PyUnicode_IS_ASCII(object text)
    void *PyUnicode_DATA(object text)
    Py_ssize_t PyUnicode_GET_LENGTH(object text)
    str PyUnicode_DecodeASCII(const char *text, Py_ssize_t size, const char *errors)


cdef extern from "qname.h" nogil:
    enum:
        DNSBL_QNAME_SIZE
        DNSBL_QNAME_ADDR_TEXT_SIZE
        DNSBL_QNAME_EADDR
        DNSBL_QNAME_ELONG
    int dnsbl_qname_parse(const char *text, size_t text_len, uint8_t *out, size_t *scope_at)
    int dnsbl_qname_format(const uint8_t *addr, size_t addr_len, char *out, size_t out_size)
    int dnsbl_qname_is_local(const uint8_t *addr, size_t addr_len)
    int dnsbl_qname_reverse(const uint8_t *addr, size_t addr_len, const char *zone, size_t zone_len,
                            char *out, size_t out_size)
    int dnsbl_qname_join(const char *name, size_t name_len, const char *zone, size_t zone_len,
                         char *out, size_t out_size)


def parse_address(str text not None):
    """The bytes of an address given as text, in network order: 4 (IPv4) or 16 (IPv6); None if it is none.

    Strict: four decimal parts without leading zeros (RFC 6943 section 3.1.1), or IPv6 text (RFC 4291
    section 2.2), and nothing around it, no white space either. IPv4-mapped IPv6 gives the 4 bytes of the
    IPv4 address. A scope id (`fe80::1%eth0`, RFC 4007 section 11) is accepted on link-local addresses
    only, and dropped.

    >>> parse_address("192.0.2.99")
    b'\\xc0\\x00\\x02c'
    >>> parse_address("::ffff:192.0.2.99") == parse_address("192.0.2.99")
    True
    >>> parse_address("192.0.2.010") is None
    True
    """
    cdef uint8_t out[16]
    cdef int length
    if not PyUnicode_IS_ASCII(text):
        return None
    length = dnsbl_qname_parse(<const char *>PyUnicode_DATA(text), PyUnicode_GET_LENGTH(text), out, NULL)
    if length < 0:
        return None
    return PyBytes_FromStringAndSize(<const char *>out, length)


def scope_id(str text not None):
    """The scope id of a link-local IPv6 address given as text; '' if it is no address or has none.

    >>> scope_id("fe80::1%eth0")
    'eth0'
    """
    cdef uint8_t out[16]
    cdef size_t scope_at = 0
    if not PyUnicode_IS_ASCII(text):
        return ""
    if dnsbl_qname_parse(<const char *>PyUnicode_DATA(text), PyUnicode_GET_LENGTH(text), out, &scope_at) < 0:
        return ""
    return text[scope_at:] if scope_at else ""


def format_address(bytes address not None):
    """The canonical text of 4 or 16 bytes in network order (RFC 5952). ValueError on any other length.

    >>> format_address(bytes.fromhex("20010db8000000000000000000000001"))
    '2001:db8::1'
    """
    cdef char out[DNSBL_QNAME_ADDR_TEXT_SIZE]
    cdef int length = dnsbl_qname_format(
        <const uint8_t *>PyBytes_AS_STRING(address), PyBytes_GET_SIZE(address), out, sizeof(out))
    if length < 0:
        raise _wrong_length(address)
    return PyUnicode_DecodeASCII(out, length, NULL)


def is_local(bytes address not None):
    """Whether no public list can hold these 4 or 16 bytes: private, loopback, link-local, multicast and the like.

    The test entries 127.0.0.1 and 127.0.0.2 (RFC 5782 section 5) are not local; the IPv4-mapped form is
    judged as the address it maps. ValueError on any other length.

    >>> is_local(b"\\x0a\\x00\\x00\\x01")
    True
    """
    cdef int answer = dnsbl_qname_is_local(
        <const uint8_t *>PyBytes_AS_STRING(address), PyBytes_GET_SIZE(address))
    if answer < 0:
        raise _wrong_length(address)
    return answer != 0


def reverse_name(bytes address not None, str zone not None):
    """The query name of 4 or 16 bytes under a zone, without a trailing dot (RFC 5782 sections 2.1 and 2.4).

    16 bytes always give 32 nibbles, the IPv4-mapped form included. Dots around the zone are dropped.
    ValueError if the address has another length, or the zone cannot make a name of at most 253
    characters in labels of 1 to 63.

    >>> reverse_name(b"\\xc0\\x00\\x02c", "bl.example.com")
    '99.2.0.192.bl.example.com'
    """
    cdef char out[DNSBL_QNAME_SIZE]
    cdef int length
    if not PyUnicode_IS_ASCII(zone):
        raise ValueError(f"not a zone name: {zone!r}")
    length = dnsbl_qname_reverse(
        <const uint8_t *>PyBytes_AS_STRING(address), PyBytes_GET_SIZE(address),
        <const char *>PyUnicode_DATA(zone), PyUnicode_GET_LENGTH(zone), out, sizeof(out))
    if length == DNSBL_QNAME_EADDR:
        raise _wrong_length(address)
    if length < 0:
        raise _no_name(length, zone)
    return PyUnicode_DecodeASCII(out, length, NULL)


def join_name(str name not None, str zone not None):
    """The query name of a domain under a zone, without a trailing dot (RFC 5782 section 3).

    `name` is in A-label form and has no dot at either end; dots around the zone are dropped. ValueError if
    the two cannot make a name of at most 253 characters in labels of 1 to 63.

    >>> join_name("example.com", "dbl.example.net")
    'example.com.dbl.example.net'
    """
    cdef char out[DNSBL_QNAME_SIZE]
    cdef int length
    if not (PyUnicode_IS_ASCII(name) and PyUnicode_IS_ASCII(zone)):
        raise ValueError(f"not in A-label form: {name!r} under {zone!r}")
    length = dnsbl_qname_join(
        <const char *>PyUnicode_DATA(name), PyUnicode_GET_LENGTH(name),
        <const char *>PyUnicode_DATA(zone), PyUnicode_GET_LENGTH(zone), out, sizeof(out))
    if length < 0:
        raise _no_name(length, f"{name}.{zone}")
    return PyUnicode_DecodeASCII(out, length, NULL)


cdef _wrong_length(bytes address):
    return ValueError(f"an address has 4 or 16 bytes, this has {len(address)}")


cdef _no_name(int code, str text):
    if code == DNSBL_QNAME_ELONG:
        return ValueError(f"the name would be longer than 253 characters: {text!r}")
    return ValueError(f"not a name of labels of 1 to 63 characters: {text!r}")
