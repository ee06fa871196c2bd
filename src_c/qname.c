/* See qname.h. */
#include "qname.h"

#include <string.h>

#define IP4_TEXT_MIN 7
#define IP4_TEXT_MAX 15
#define IP4_OFFSET 12 /* where the mapped address lies in 16 bytes */

/* The longest reversed form: 32 nibbles with 31 dots. */
#define REVERSED_MAX 63

static const uint8_t MAPPED_PREFIX[IP4_OFFSET] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static int is_mapped(const uint8_t addr[16]) {
    return memcmp(addr, MAPPED_PREFIX, sizeof MAPPED_PREFIX) == 0;
}

static int is_link_local(const uint8_t addr[16]) {
    return addr[0] == 0xfe && (addr[1] & 0xc0) == 0x80;
}

/* ---- text to bytes ---- */

/* A leading zero is refused: one reader takes it for octal, the next for decimal, and they would
 * check different addresses (RFC 6943 section 3.1.1). */
static int parse_ip4(const char *text, size_t len, uint8_t out[4]) {
    size_t i = 0;

    if (len < IP4_TEXT_MIN || len > IP4_TEXT_MAX)
        return DNSBL_QNAME_EADDR;
    for (int part = 0; part < 4; part++) {
        unsigned value = 0;
        size_t start = i;
        while (i < len && i - start < 3 && text[i] >= '0' && text[i] <= '9')
            value = value * 10 + (unsigned)(text[i++] - '0');
        if (i == start || value > 255 || (i - start > 1 && text[start] == '0'))
            return DNSBL_QNAME_EADDR;
        if (part < 3 && (i == len || text[i++] != '.'))
            return DNSBL_QNAME_EADDR;
        out[part] = (uint8_t)value;
    }
    return i == len ? 4 : DNSBL_QNAME_EADDR;
}

static int hex_value(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* Moves what was read behind "::" (it starts at `gap`, `used` bytes are read) to the end. */
static int close_gap(uint8_t out[16], int gap, int used) {
    if (gap < 0)
        return used == 16 ? 16 : DNSBL_QNAME_EADDR;
    if (used == 16) /* "::" stands for at least one group (RFC 4291 section 2.2) */
        return DNSBL_QNAME_EADDR;
    memmove(out + 16 - (used - gap), out + gap, (size_t)(used - gap));
    memset(out + gap, 0, (size_t)(16 - used));
    return 16;
}

/* The group of up to four hexadecimal digits at `i`; where it ends. */
static size_t read_group(const char *text, size_t len, size_t i, unsigned *value) {
    size_t end = i + 4 < len ? i + 4 : len;
    int digit;
    *value = 0;
    for (; i < end && (digit = hex_value(text[i])) >= 0; i++)
        *value = *value << 4 | (unsigned)digit;
    return i;
}

static int parse_ip6(const char *text, size_t len, uint8_t out[16]) {
    size_t i = 0;
    int used = 0, gap = -1;

    if (len < 2 || len > DNSBL_QNAME_ADDR_TEXT_MAX)
        return DNSBL_QNAME_EADDR;
    if (text[0] == ':') {
        if (text[1] != ':')
            return DNSBL_QNAME_EADDR;
        gap = 0;
        i = 2;
    }
    while (i < len) {
        unsigned value;
        size_t start = i;
        i = read_group(text, len, i, &value);
        if (i == start || used == 16)
            return DNSBL_QNAME_EADDR;
        if (i < len && text[i] == '.') {
            if (used > IP4_OFFSET || parse_ip4(text + start, len - start, out + used) < 0)
                return DNSBL_QNAME_EADDR;
            return close_gap(out, gap, used + 4);
        }
        out[used++] = (uint8_t)(value >> 8);
        out[used++] = (uint8_t)value;
        if (i == len)
            break;
        if (text[i++] != ':' || i == len)
            return DNSBL_QNAME_EADDR;
        if (text[i] == ':') {
            if (gap >= 0)
                return DNSBL_QNAME_EADDR;
            gap = used;
            i++;
        }
    }
    return close_gap(out, gap, used);
}

/* The characters of an interface name: what is left of printable ASCII without those that end or
 * part an address in the texts it stands in (RFC 4007 section 11.2; Linux allows no '/' and ':'). */
static int scope_ok(const char *scope, size_t len) {
    if (len == 0 || len > DNSBL_QNAME_SCOPE_MAX)
        return 0;
    for (size_t i = 0; i < len; i++)
        if (scope[i] <= ' ' || scope[i] > '~' || strchr("%/:[]", scope[i]) != NULL)
            return 0;
    return 1;
}

int dnsbl_qname_parse(const char *text, size_t text_len, uint8_t out[16], size_t *scope_at) {
    uint8_t addr[16];
    size_t addr_len = text_len;
    const char *percent;
    int got;

    if (text_len > DNSBL_QNAME_ADDR_TEXT_MAX + 1 + DNSBL_QNAME_SCOPE_MAX || text_len == 0)
        return DNSBL_QNAME_EADDR;
    if (memchr(text, ':', text_len) == NULL) {
        got = parse_ip4(text, text_len, addr);
    } else {
        percent = memchr(text, '%', text_len);
        if (percent != NULL)
            addr_len = (size_t)(percent - text);
        got = parse_ip6(text, addr_len, addr);
        if (got > 0 && percent != NULL &&
            !(is_link_local(addr) && scope_ok(percent + 1, text_len - addr_len - 1)))
            got = DNSBL_QNAME_EADDR;
    }
    if (got < 0)
        return got;
    if (scope_at != NULL)
        *scope_at = addr_len < text_len ? addr_len + 1 : 0;
    if (got == 16 && is_mapped(addr)) {
        memcpy(out, addr + IP4_OFFSET, 4);
        return 4;
    }
    memcpy(out, addr, (size_t)got);
    return got;
}

/* ---- bytes to text ---- */

static char *put_decimal(char *out, unsigned value) {
    if (value >= 100)
        *out++ = (char)('0' + value / 100);
    if (value >= 10)
        *out++ = (char)('0' + value / 10 % 10);
    *out++ = (char)('0' + value % 10);
    return out;
}

/* Four octets with a dot between them, from `octet` on, `step` being 1 or -1. */
static char *put_octets(char *out, const uint8_t *octet, int step) {
    for (int i = 0; i < 4; i++) {
        if (i > 0)
            *out++ = '.';
        out = put_decimal(out, octet[i * step]);
    }
    return out;
}

static const char HEX[] = "0123456789abcdef";

static char *put_group(char *out, const uint8_t *group) {
    unsigned value = (unsigned)group[0] << 8 | group[1];
    for (int shift = 12; shift >= 0; shift -= 4)
        if (value >> shift != 0 || shift == 0)
            *out++ = HEX[value >> shift & 0xf];
    return out;
}

/* The longest run of zero groups, the first of equals, at least two long (RFC 5952 section 4.2). */
static void longest_zeros(const uint8_t addr[16], int groups, int *start, int *length) {
    *start = -1;
    *length = 1;
    for (int i = 0, run = 0; i < groups; i++) {
        run = addr[2 * i] == 0 && addr[2 * i + 1] == 0 ? run + 1 : 0;
        if (run > *length) {
            *length = run;
            *start = i + 1 - run;
        }
    }
}

static char *put_ip6(char *out, const uint8_t addr[16]) {
    int mapped = is_mapped(addr), groups = mapped ? 6 : 8, start, length;

    longest_zeros(addr, groups, &start, &length);
    for (int i = 0; i < groups; i++) {
        if (i == start) {
            *out++ = ':';
            *out++ = ':';
            i += length - 1;
            continue;
        }
        if (i > 0 && out[-1] != ':')
            *out++ = ':';
        out = put_group(out, addr + 2 * i);
    }
    if (mapped) {
        *out++ = ':';
        out = put_octets(out, addr + IP4_OFFSET, 1);
    }
    return out;
}

int dnsbl_qname_format(const uint8_t *addr, size_t addr_len, char *out, size_t out_size) {
    char text[DNSBL_QNAME_ADDR_TEXT_SIZE];
    size_t len;

    if (addr_len == 4)
        len = (size_t)(put_octets(text, addr, 1) - text);
    else if (addr_len == 16)
        len = (size_t)(put_ip6(text, addr) - text);
    else
        return DNSBL_QNAME_EADDR;
    if (out_size <= len)
        return DNSBL_QNAME_ESPACE;
    memcpy(out, text, len);
    out[len] = '\0';
    return (int)len;
}

/* ---- which addresses are not looked up ---- */

static int is_local_ip4(const uint8_t a[4]) {
    if (a[0] == 127)
        return !(a[1] == 0 && a[2] == 0 && (a[3] == 1 || a[3] == 2)); /* RFC 5782 section 5 */
    return a[0] == 0                              /* this network, RFC 1122 section 3.2.1.3 */
           || a[0] == 10                          /* private, RFC 1918 section 3 */
           || (a[0] == 100 && (a[1] & 0xc0) == 64) /* carriers' NAT, RFC 6598 section 7 */
           || (a[0] == 169 && a[1] == 254)        /* link-local, RFC 3927 section 2.1 */
           || (a[0] == 172 && (a[1] & 0xf0) == 16) /* private */
           || (a[0] == 192 && a[1] == 168)        /* private */
           || a[0] >= 224;                        /* multicast, reserved, broadcast, RFC 1112 section 4 */
}

static int is_local_ip6(const uint8_t a[16]) {
    static const uint8_t zeros[15] = {0};
    if (is_mapped(a))
        return is_local_ip4(a + IP4_OFFSET);
    return (memcmp(a, zeros, sizeof zeros) == 0 && a[15] <= 1) /* :: and ::1, RFC 4291 section 2.5 */
           || (a[0] & 0xfe) == 0xfc                            /* unique local, RFC 4193 section 3.1 */
           || is_link_local(a)                                 /* RFC 4291 section 2.5.6 */
           || a[0] == 0xff;                                    /* multicast, RFC 4291 section 2.7 */
}

int dnsbl_qname_is_local(const uint8_t *addr, size_t addr_len) {
    if (addr_len == 4)
        return is_local_ip4(addr);
    if (addr_len == 16)
        return is_local_ip6(addr);
    return DNSBL_QNAME_EADDR;
}

/* ---- names ---- */

/* Labels of 1 to 63 allowed bytes, one dot between two of them, none outside. */
static int name_ok(const char *name, size_t len) {
    size_t label_len = 0;

    for (size_t i = 0; i < len; i++) {
        if (name[i] == '.') {
            if (label_len == 0)
                return 0;
            label_len = 0;
        } else if (name[i] <= ' ' || name[i] > '~' || name[i] == '\\' ||
                   ++label_len > DNSBL_QNAME_LABEL_MAX) {
            return 0;
        }
    }
    return label_len > 0;
}

/* The zone is checked here, `head` by the caller. */
static int put_name(const char *head, size_t head_len, const char *zone, size_t zone_len, char *out,
                    size_t out_size) {
    size_t len;

    while (zone_len > 0 && zone[0] == '.') {
        zone++;
        zone_len--;
    }
    while (zone_len > 0 && zone[zone_len - 1] == '.')
        zone_len--;
    if (!name_ok(zone, zone_len))
        return DNSBL_QNAME_ENAME;
    if (zone_len > DNSBL_QNAME_MAX || head_len > DNSBL_QNAME_MAX)
        return DNSBL_QNAME_ELONG;
    len = head_len + 1 + zone_len;
    if (len > DNSBL_QNAME_MAX)
        return DNSBL_QNAME_ELONG;
    if (out_size <= len)
        return DNSBL_QNAME_ESPACE;
    memcpy(out, head, head_len);
    out[head_len] = '.';
    memcpy(out + head_len + 1, zone, zone_len);
    out[len] = '\0';
    return (int)len;
}

int dnsbl_qname_reverse(const uint8_t *addr, size_t addr_len, const char *zone, size_t zone_len,
                        char *out, size_t out_size) {
    char reversed[REVERSED_MAX + 1]; /* one more: each nibble is written with its dot */
    size_t len;

    if (addr_len == 4) {
        len = (size_t)(put_octets(reversed, addr + 3, -1) - reversed);
    } else if (addr_len == 16) {
        for (int i = 0; i < 16; i++) {
            char *at = reversed + 4 * i;
            at[0] = HEX[addr[15 - i] & 0xf];
            at[1] = '.';
            at[2] = HEX[addr[15 - i] >> 4];
            at[3] = '.';
        }
        len = REVERSED_MAX;
    } else {
        return DNSBL_QNAME_EADDR;
    }
    return put_name(reversed, len, zone, zone_len, out, out_size);
}

int dnsbl_qname_join(const char *name, size_t name_len, const char *zone, size_t zone_len, char *out,
                     size_t out_size) {
    if (!name_ok(name, name_len))
        return DNSBL_QNAME_ENAME;
    return put_name(name, name_len, zone, zone_len, out, out_size);
}
