#include "cares.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

static void *symbol(void *library, const char *name)
{
    void *found = dlsym(library, name);
    if (found == NULL) {
        fprintf(stderr, "c-ares lacks %s\n", name);
        exit(2);
    }
    return found;
}

void cares_table(dnsbl_cares *table)
{
    const char *path = getenv("DNSBL_CARES");
    void *library = dlopen(path, RTLD_LAZY);
    if (library == NULL) {
        fprintf(stderr, "no c-ares: %s\n", dlerror());
        exit(2);
    }
    *table = (dnsbl_cares){
        .record_get_rcode = symbol(library, "ares_dns_record_get_rcode"),
        .record_rr_cnt = symbol(library, "ares_dns_record_rr_cnt"),
        .record_rr_get_const = symbol(library, "ares_dns_record_rr_get_const"),
        .rr_get_type = symbol(library, "ares_dns_rr_get_type"),
        .rr_get_ttl = symbol(library, "ares_dns_rr_get_ttl"),
        .rr_get_addr = symbol(library, "ares_dns_rr_get_addr"),
        .rr_get_u32 = symbol(library, "ares_dns_rr_get_u32"),
        .rr_get_abin_cnt = symbol(library, "ares_dns_rr_get_abin_cnt"),
        .rr_get_abin = symbol(library, "ares_dns_rr_get_abin"),
        .rr_get_name = symbol(library, "ares_dns_rr_get_name"),
        .rr_get_class = symbol(library, "ares_dns_rr_get_class"),
        .rr_get_str = symbol(library, "ares_dns_rr_get_str"),
        .parse = symbol(library, "ares_dns_parse"),
        .record_destroy = symbol(library, "ares_dns_record_destroy"),
    };
}
