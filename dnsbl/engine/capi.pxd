# The only gate to src_c. Ownership and threads of each function stand in the headers.
from libc.stdint cimport int16_t, uint8_t, uint16_t, uint32_t, uint64_t


cdef extern from "qname.h" nogil:
    int dnsbl_qname_reverse(const uint8_t *addr, size_t addr_len, const char *zone, size_t zone_len,
                            char *out, size_t out_size)
    int dnsbl_qname_join(const char *name, size_t name_len, const char *zone, size_t zone_len,
                         char *out, size_t out_size)


cdef extern from "fanout.h" nogil:
    ctypedef bint c_bool "bool"
    enum:
        DNSBL_FANOUT_MAX_QUESTIONS
        DNSBL_FANOUT_MAX_NAME
        DNSBL_FANOUT_MAX_SET
        DNSBL_FANOUT_MAX_TEXT
        DNSBL_NO_TTL

    ctypedef enum dnsbl_qtype:
        DNSBL_TYPE_A
        DNSBL_TYPE_TXT

    # Function pointers; here only their addresses matter.
    ctypedef struct dnsbl_cares:
        void *init_options
        void *set_servers_csv
        void *destroy
        void *query_dnsrec
        void *process_fds
        void *process_fd
        void *record_get_rcode
        void *record_rr_cnt
        void *record_rr_get_const
        void *rr_get_type
        void *rr_get_ttl
        void *rr_get_addr
        void *rr_get_u32
        void *rr_get_abin_cnt
        void *rr_get_abin
        void *rr_get_name
        void *rr_get_class
        void *rr_get_str
        void *set_socket_functions
        void *parse
        void *record_destroy
        void *options_loopback
        void *options_remote
        int optmask_loopback
        int optmask_remote

    ctypedef struct dnsbl_loop:
        pass
    ctypedef struct dnsbl_completions:
        pass
    ctypedef struct dnsbl_fan:
        pass
    ctypedef struct dnsbl_ticket:
        pass

    ctypedef struct dnsbl_answer:
        uint8_t status
        uint8_t text_count
        uint16_t address_count
        int16_t rcode
        int16_t server
        uint32_t ttl
        uint32_t soa_ttl
        uint32_t soa_minimum
        uint32_t latency_us
        uint64_t arrived
        uint16_t queries
        uint16_t text_length[4]
        uint32_t *address
        unsigned char *text

    uint64_t dnsbl_fanout_now()
    uint64_t dnsbl_fanout_clock()
    dnsbl_loop *dnsbl_fanout_new()
    int dnsbl_fanout_start(dnsbl_loop *, const dnsbl_cares *)
    void dnsbl_fanout_stock(dnsbl_loop *)
    void dnsbl_fanout_remove_set(dnsbl_loop *, int)
    void dnsbl_fanout_stop(dnsbl_loop *)
    void dnsbl_fanout_free(dnsbl_loop *)
    void dnsbl_fanout_abandon(dnsbl_loop *)
    int dnsbl_fanout_add_set(dnsbl_loop *, const char *const *, const c_bool *, int)
    void dnsbl_fanout_socket(void *, int, int, int)

    dnsbl_fan *dnsbl_fan_new(int, uint64_t)
    void dnsbl_fan_release(dnsbl_fan *)
    char *dnsbl_fan_question(dnsbl_fan *, int, int, dnsbl_qtype, uint64_t, int)
    void dnsbl_fan_zone(dnsbl_fan *, int, uint16_t)
    const dnsbl_answer *dnsbl_fan_answer(const dnsbl_fan *, int)
    bint dnsbl_fan_finished(const dnsbl_fan *)

    dnsbl_ticket *dnsbl_fanout_submit(dnsbl_loop *, dnsbl_fan *, dnsbl_completions *, uint64_t, uint64_t, bint)
    dnsbl_ticket *dnsbl_fanout_submit_quietly(dnsbl_loop *, dnsbl_fan *, dnsbl_completions *, uint64_t, uint64_t, bint)
    void dnsbl_fanout_wake(dnsbl_loop *)
    bint dnsbl_fanout_take_over(dnsbl_loop *)
    void dnsbl_fanout_drive(dnsbl_loop *, dnsbl_completions *, uint64_t)
    bint dnsbl_ticket_done(const dnsbl_ticket *)
    void dnsbl_ticket_abandon(dnsbl_ticket *)
    void dnsbl_ticket_release(dnsbl_ticket *)

    dnsbl_completions *dnsbl_completions_new(bint)
    void dnsbl_completions_close(dnsbl_completions *)
    int dnsbl_completions_fd(const dnsbl_completions *)
    void dnsbl_completions_wait(dnsbl_completions *, uint64_t)
    c_bool dnsbl_completions_is_wanted(dnsbl_completions *)
    void dnsbl_completions_give_way(dnsbl_completions *)
    c_bool dnsbl_fanout_crowded(const dnsbl_loop *)
    dnsbl_ticket *dnsbl_completions_pop(dnsbl_completions *)

    bint dnsbl_fanout_retired(dnsbl_loop *, uint64_t *)
    bint dnsbl_fanout_has_retired(const dnsbl_loop *)
    bint dnsbl_fanout_retired_overflow(dnsbl_loop *)


cdef extern from "plain.h" nogil:
    ctypedef struct dnsbl_plain_rules:
        double ttl_min_s
        double ttl_max_s
        const uint64_t *bound_us
        int buckets
        uint64_t halve_at

    ctypedef struct dnsbl_plain:
        uint64_t zones
        double soonest
        double latest
        size_t size
        size_t way_size
        unsigned char *entry
        unsigned char *way

    void dnsbl_plain_begin(dnsbl_plain *)
    bint dnsbl_plain_add(dnsbl_plain *, const dnsbl_plain_rules *, const dnsbl_answer *, int, uint64_t *,
                         double *, double)
    void dnsbl_plain_end(dnsbl_plain *)


cdef extern from "<dlfcn.h>" nogil:
    void *dlopen(const char *, int)
    void *dlsym(void *, const char *)
    int RTLD_LAZY
    int RTLD_NOLOAD
