# Part of _engine.pyx: the addresses of c-ares' functions, as src_c wants them.


cdef void *pointer(number) except? NULL:
    return <void *><uintptr_t>number


cdef void *pointer_or_null(number) except *:
    return <void *><uintptr_t>number


def extra_functions(cares):
    """The addresses of c-ares' functions that pycares does not declare, 0 for one that is not exported."""
    cdef bytes path = cares.library_path().encode(), symbol
    cdef void *library = dlopen(path, RTLD_LAZY | RTLD_NOLOAD)
    cdef dict found = {}
    for name in cares.EXTRAS:
        symbol = name.encode("ascii")
        found[name] = 0 if library == NULL else <uintptr_t>dlsym(library, symbol)
    cares.tell_missing([name for name, address in found.items() if not address])
    return found


cdef dnsbl_cares cares_table(cares, options) except *:
    cdef dnsbl_cares table
    found = cares.addresses()
    table.init_options = pointer(found["ares_init_options"])
    table.set_servers_csv = pointer(found["ares_set_servers_csv"])
    table.destroy = pointer(found["ares_destroy"])
    table.query_dnsrec = pointer(found["ares_query_dnsrec"])
    table.process_fd = pointer(found["ares_process_fd"])
    table.record_rr_cnt = pointer(found["ares_dns_record_rr_cnt"])
    table.record_rr_get_const = pointer(found["ares_dns_record_rr_get_const"])
    table.rr_get_type = pointer(found["ares_dns_rr_get_type"])
    table.rr_get_ttl = pointer(found["ares_dns_rr_get_ttl"])
    table.rr_get_addr = pointer(found["ares_dns_rr_get_addr"])
    table.rr_get_u32 = pointer(found["ares_dns_rr_get_u32"])
    table.rr_get_abin_cnt = pointer(found["ares_dns_rr_get_abin_cnt"])
    table.rr_get_abin = pointer(found["ares_dns_rr_get_abin"])
    found = extra_functions(cares)
    table.process_fds = pointer_or_null(found["ares_process_fds"])
    table.record_get_rcode = pointer_or_null(found["ares_dns_record_get_rcode"])
    if all(found[name] for name in cares.OWNERS):
        table.rr_get_name = pointer(found["ares_dns_rr_get_name"])
        table.rr_get_class = pointer(found["ares_dns_rr_get_class"])
        table.rr_get_str = pointer(found["ares_dns_rr_get_str"])
    else:
        table.rr_get_name = table.rr_get_class = table.rr_get_str = NULL
    if all(found[name] for name in cares.FRONT):
        table.set_socket_functions = pointer(found["ares_set_socket_functions_ex"])
        table.parse = pointer(found["ares_dns_parse"])
        table.record_destroy = pointer(found["ares_dns_record_destroy"])
    else:
        table.set_socket_functions = table.parse = table.record_destroy = NULL
    table.options_loopback = pointer(options.loopback)
    table.options_remote = pointer(options.remote)
    table.optmask_loopback = options.optmask_loopback
    table.optmask_remote = options.optmask_remote
    return table
