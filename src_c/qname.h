/* Query names of DNS blocklists, and the addresses they are made from.
 *
 * What it does: address text to bytes and back, address bytes to the reversed form under a zone
 * (RFC 5782 sections 2.1 and 2.4), a domain under a zone (section 3), and which addresses no public
 * list can hold. What it does not: no allocation, no I/O, no locale, no state, no Python, no IDNA.
 *
 * Ownership: every pointer is the caller's and is used only during the call; nothing is kept.
 * Input need not end in NUL and must not overlap output.
 * Threads: every function may be called from any thread at any time, from a signal handler too.
 * Failure: a negative DNSBL_QNAME_E* code, and then nothing was written.
 *
 * Addresses are in network byte order: 4 bytes are IPv4, 16 are IPv6.
 */
#ifndef DNSBL_QNAME_H
#define DNSBL_QNAME_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The longest name as text without its trailing dot: 255 octets on the wire (RFC 1035 section 2.3.4)
 * are 253 characters once the first length octet and the root are taken off. */
#define DNSBL_QNAME_MAX 253
/* A buffer that every query name fits in, NUL included. */
#define DNSBL_QNAME_SIZE (DNSBL_QNAME_MAX + 1)
/* RFC 1035 section 2.3.4. */
#define DNSBL_QNAME_LABEL_MAX 63
/* The longest address text without a scope id: eight groups with a dotted IPv4 tail. */
#define DNSBL_QNAME_ADDR_TEXT_MAX 45
/* A buffer that every address text fits in, NUL included. */
#define DNSBL_QNAME_ADDR_TEXT_SIZE (DNSBL_QNAME_ADDR_TEXT_MAX + 1)
/* The longest scope id: an interface name (IFNAMSIZ - 1 on Linux and macOS) or number. */
#define DNSBL_QNAME_SCOPE_MAX 15

enum {
    DNSBL_QNAME_EADDR = -1,  /* not an address: its text is malformed, or its length neither 4 nor 16 */
    DNSBL_QNAME_ENAME = -2,  /* name or zone: empty, an empty label, a label over 63, a byte not allowed */
    DNSBL_QNAME_ELONG = -3,  /* the whole name would pass DNSBL_QNAME_MAX characters */
    DNSBL_QNAME_ESPACE = -4, /* out_size is too small */
};

/* Reads IPv4 text (four decimal parts without leading zeros) or IPv6 text (RFC 4291 section 2.2)
 * into out and returns the number of bytes, 4 or 16. IPv4-mapped IPv6 (RFC 4291 section 2.5.5.2)
 * is read as the IPv4 address it maps: 4 bytes.
 * A scope id (RFC 4007 section 11) is accepted on link-local IPv6 only. *scope_at is then the offset
 * of its first character, behind the '%', and its end is the text's; else 0. scope_at may be NULL.
 * Errors: DNSBL_QNAME_EADDR. */
int dnsbl_qname_parse(const char *text, size_t text_len, uint8_t out[16], size_t *scope_at);

/* Writes the canonical text (RFC 5952; the mapped form with a dotted tail, section 5) and a NUL, and
 * returns the length without it. DNSBL_QNAME_ADDR_TEXT_SIZE is always enough.
 * Errors: DNSBL_QNAME_EADDR, DNSBL_QNAME_ESPACE. */
int dnsbl_qname_format(const uint8_t *addr, size_t addr_len, char *out, size_t out_size);

/* 1 if no public list can hold the address (private, loopback, link-local, multicast and the like),
 * 0 if it is to be looked up. 127.0.0.1 and 127.0.0.2 are the test entries of RFC 5782 section 5:
 * 0. The IPv4-mapped form is judged as the address it maps.
 * Errors: DNSBL_QNAME_EADDR. */
int dnsbl_qname_is_local(const uint8_t *addr, size_t addr_len);

/* Writes the address reversed, as 4 decimal octets or 32 nibbles, a dot, the zone, and a NUL, and
 * returns the length without it. 16 bytes are always taken as they are: the mapped form gives 32
 * nibbles (RFC 5782 section 5 has such test entries).
 * Dots before and behind the zone are dropped. A name byte is printable ASCII but no space and no
 * backslash, which c-ares would read as an escape.
 * Errors: all of them. */
int dnsbl_qname_reverse(const uint8_t *addr, size_t addr_len, const char *zone, size_t zone_len,
                        char *out, size_t out_size);

/* Writes the name, a dot, the zone, and a NUL, and returns the length without it. Zone as above;
 * the name must come without outer dots.
 * Errors: DNSBL_QNAME_ENAME, DNSBL_QNAME_ELONG, DNSBL_QNAME_ESPACE. */
int dnsbl_qname_join(const char *name, size_t name_len, const char *zone, size_t zone_len, char *out,
                     size_t out_size);

#ifdef __cplusplus
}
#endif

#endif
