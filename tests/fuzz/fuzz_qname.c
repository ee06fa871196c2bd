/* Any text as an address, and any two texts as a name and a zone. What is read must be what the system's own
 * reader reads, come back the same from text, and make a name that the DNS can carry. */
#include <arpa/inet.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "qname.h"
#include "require.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void agrees_with_the_system(const char *text, size_t size, const uint8_t *addr, int got)
{
    char copy[DNSBL_QNAME_ADDR_TEXT_SIZE];
    uint8_t theirs[16];
    if (size >= sizeof copy || memchr(text, '\0', size) != NULL || memchr(text, '%', size) != NULL)
        return;
    memcpy(copy, text, size);
    copy[size] = '\0';
    bool is_ip6 = strchr(copy, ':') != NULL;
    bool read = inet_pton(is_ip6 ? AF_INET6 : AF_INET, copy, theirs) == 1;
    REQUIRE(read == (got > 0));
    if (!read)
        return;
    REQUIRE(is_ip6 || got == 4);
    REQUIRE(memcmp(is_ip6 && got == 4 ? theirs + 12 : theirs, addr, (size_t)got) == 0);
}

static void is_a_name(const char *name, int length)
{
    size_t label = 0;
    REQUIRE(length > 0 && length <= DNSBL_QNAME_MAX && strlen(name) == (size_t)length);
    for (int i = 0; i < length; i++) {
        label = name[i] == '.' ? 0 : label + 1;
        REQUIRE(label <= DNSBL_QNAME_LABEL_MAX && name[i] > ' ' && name[i] <= '~' && name[i] != '\\');
        REQUIRE(label > 0 || (i > 0 && i < length - 1 && name[i - 1] != '.'));
    }
}

static void address(const char *text, size_t size)
{
    uint8_t addr[16] = {0}, again[16] = {0};
    char shown[DNSBL_QNAME_ADDR_TEXT_SIZE], name[DNSBL_QNAME_SIZE];
    size_t scope_at = 0;
    int got = dnsbl_qname_parse(text, size, addr, &scope_at);
    agrees_with_the_system(text, size, addr, got);
    if (got < 0)
        return;
    REQUIRE((got == 4 || got == 16) && scope_at <= size);
    int length = dnsbl_qname_format(addr, (size_t)got, shown, sizeof shown);
    REQUIRE(length > 0 && dnsbl_qname_parse(shown, (size_t)length, again, NULL) == got);
    REQUIRE(memcmp(addr, again, (size_t)got) == 0);
    REQUIRE(dnsbl_qname_is_local(addr, (size_t)got) == dnsbl_qname_is_local(again, (size_t)got));
    length = dnsbl_qname_reverse(addr, (size_t)got, "bl.example", 10, name, sizeof name);
    is_a_name(name, length);
}

static void names(const char *text, size_t size)
{
    char name[DNSBL_QNAME_SIZE], small[32];
    const uint8_t addr[4] = {192, 0, 2, 99};
    const char *parted = memchr(text, '\n', size);
    size_t head = parted == NULL ? size : (size_t)(parted - text);
    const char *zone = parted == NULL ? text + size : parted + 1;
    size_t zone_size = size - (size_t)(zone - text);
    int length = dnsbl_qname_join(text, head, zone, zone_size, name, sizeof name);
    int in_small = dnsbl_qname_join(text, head, zone, zone_size, small, sizeof small);
    if (length > 0)
        is_a_name(name, length);
    REQUIRE(in_small == (length >= (int)sizeof small ? DNSBL_QNAME_ESPACE : length));
    length = dnsbl_qname_reverse(addr, sizeof addr, zone, zone_size, name, sizeof name);
    if (length > 0)
        is_a_name(name, length);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* Copies of the exact size, so that a byte read beyond is seen. */
    char *text = malloc(size == 0 ? 1 : size);
    REQUIRE(text != NULL);
    if (size > 0)
        memcpy(text, data, size);
    address(text, size);
    names(text, size);
    free(text);
    return 0;
}
