/* Reading an answer: whose records count, their TTLs, texts and rcodes, over records made here. */
#include "fanout_internal.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

enum { A = 1, NS = 2, CNAME = 5, SOA = 6, TXT = 16, IN = 1, CHAOS = 3, NOTHING = -1 };
enum { STRINGS = 4, RECORDS = 12, BIG = DNSBL_FANOUT_MAX_TEXT };

typedef struct {
    const char *bytes; /* NULL: c-ares has none to give */
    size_t length;
} string;

typedef struct {
    int type;         /* NOTHING: c-ares has no such record to give */
    const char *name; /* NULL: that of the question */
    int class;        /* 0: IN */
    uint32_t ttl, number;
    const char *alias;
    size_t strings;
    string string[STRINGS];
} rr;

typedef struct {
    int rcode;
    size_t answers, authorities; /* the first of `rr`, and those after them */
    rr rr[RECORDS];
} record;

static const char QUESTION[] = "2.2.0.192.bl.example";
static int allocations_left = -1;

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size)
{
    return allocations_left == 0 ? NULL : __real_malloc(size);
}

/* ---- c-ares' accessors; none may be asked for what is not there ---- */

static int get_rcode(const void *r)
{
    return ((const record *)r)->rcode;
}

static size_t rr_cnt(const void *r, int section)
{
    CHECK(section == 1 || section == 2, "section %d", section);
    return section == 1 ? ((const record *)r)->answers : ((const record *)r)->authorities;
}

static const void *rr_get_const(const void *r, int section, size_t index)
{
    CHECK(index < rr_cnt(r, section), "section %d has no record %zu", section, index);
    if (index >= rr_cnt(r, section))
        return NULL;
    const rr *found = &((const record *)r)->rr[section == 1 ? index : ((const record *)r)->answers + index];
    return found->type == NOTHING ? NULL : found;
}

static int get_type(const void *r)
{
    return ((const rr *)r)->type;
}

static unsigned get_ttl(const void *r)
{
    return ((const rr *)r)->ttl;
}

static const char *get_name(const void *r)
{
    const char *name = ((const rr *)r)->name;
    return name == NULL ? QUESTION : *name == 0 ? NULL : name; /* "": c-ares has none to give */
}

static int get_class(const void *r)
{
    return ((const rr *)r)->class == 0 ? IN : ((const rr *)r)->class;
}

static const char *get_str(const void *r, int key)
{
    CHECK(key == 501 && get_type(r) == CNAME, "key %d", key);
    return ((const rr *)r)->alias;
}

static const void *get_addr(const void *r, int key)
{
    static struct in_addr address;
    CHECK(key == 101 && get_type(r) == A, "key %d", key);
    address.s_addr = htonl(((const rr *)r)->number);
    return ((const rr *)r)->number == 0 ? NULL : &address;
}

static unsigned get_u32(const void *r, int key)
{
    CHECK(key == 607 && get_type(r) == SOA, "key %d", key);
    return ((const rr *)r)->number;
}

static size_t get_abin_cnt(const void *r, int key)
{
    CHECK(key == 1601 && get_type(r) == TXT, "key %d", key);
    return ((const rr *)r)->strings;
}

static const unsigned char *get_abin(const void *r, int key, size_t index, size_t *length)
{
    CHECK(key == 1601 && index < ((const rr *)r)->strings, "key %d, string %zu", key, index);
    if (index >= ((const rr *)r)->strings)
        return NULL;
    *length = ((const rr *)r)->string[index].length;
    return (const unsigned char *)((const rr *)r)->string[index].bytes;
}

static const dnsbl_cares whole = {
    .record_get_rcode = get_rcode,
    .record_rr_cnt = rr_cnt,
    .record_rr_get_const = rr_get_const,
    .rr_get_type = get_type,
    .rr_get_ttl = get_ttl,
    .rr_get_addr = get_addr,
    .rr_get_u32 = get_u32,
    .rr_get_abin_cnt = get_abin_cnt,
    .rr_get_abin = get_abin,
    .rr_get_name = get_name,
    .rr_get_class = get_class,
    .rr_get_str = get_str,
};

/* ---- reading ---- */

static dnsbl_answer answer;

static dnsbl_reading read_by(const dnsbl_cares *cares, int type, const record *r)
{
    question asked = {.type = (uint16_t)type};
    strcpy(asked.name, QUESTION);
    free(answer.address);
    free(answer.text);
    answer = (dnsbl_answer){.text_count = 9, .address_count = 9};
    return dnsbl_answer_read(cares, &answer, &asked, r);
}

static dnsbl_reading read_as(int type, const record *r)
{
    return read_by(&whole, type, r);
}

/* Of these records only that with the last address, 127.0.0.2, counts. */
static void check_one_address(const record *r, const char *what)
{
    CHECK(read_as(A, r) == DNSBL_READ_WHOLE, "%s", what);
    CHECK(answer.address_count == 1 && answer.address[0] == 0x7f000002u, "%s: %u", what, answer.address_count);
}

#define OWN {.type = A, .ttl = 300, .number = 0x7f000002u}

static void test_whose_records_count(void)
{
    check_one_address(&(record){.answers = 1, .rr = {OWN}}, "its own");
    check_one_address(&(record){.answers = 2, .rr = {OWN, {.type = A, .name = "other.example", .number = 1}}},
                      "another's beside it");
    check_one_address(&(record){.answers = 2, .rr = {{.type = A, .class = CHAOS, .number = 1}, OWN}}, "another class");
    check_one_address(&(record){.answers = 2, .rr = {{.type = A, .name = "", .number = 1}, OWN}}, "no name");
    check_one_address(&(record){.answers = 2, .rr = {{.type = NOTHING}, OWN}}, "a record c-ares does not give");
    check_one_address(&(record){.answers = 3, .rr = {{.type = A, .number = 0}, {.type = TXT, .ttl = 1}, OWN}},
                      "one without an address, one of another type");
    CHECK(answer.ttl == 0, "its TTL counts, that of another type does not: %u", answer.ttl);
    check_one_address(&(record){.answers = 1, .rr = {{A, "2.2.0.192.BL.Example.", 0, 1, 0x7f000002u, NULL, 0, {{0}}}}},
                      "its name in other letters, with a dot at the end");

    static const char *const names[] = {"other.example", "2.2.0.192.bl.exampl", "2.2.0.192.bl.example.x", ".", ""};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        record foreign = {.answers = 1, .rr = {{.type = A, .name = names[i], .ttl = 5, .number = 0x7f000002u}}};
        CHECK(read_as(A, &foreign) == DNSBL_READ_UNUSABLE, "%s", names[i]);
        CHECK(answer.address_count == 0 && answer.ttl == DNSBL_NO_TTL, "%s", names[i]);
    }
    record foreign_text = {.answers = 1, .rr = {{.type = TXT, .name = "x", .strings = 1, .string = {{"x", 1}}}}};
    CHECK(read_as(TXT, &foreign_text) == DNSBL_READ_UNUSABLE && answer.text_count == 0, "a text of another");
    foreign_text.answers = 2;
    foreign_text.rr[1] = (rr){.type = TXT, .strings = 1, .string = {{"own", 3}}};
    CHECK(read_as(TXT, &foreign_text) == DNSBL_READ_WHOLE && answer.text_count == 1, "%u texts", answer.text_count);
}

static void test_aliases(void)
{
    record r = {.answers = 4, .rr = {
        {.type = CNAME, .name = "b.example", .alias = "C.example.", .ttl = 70}, {.type = CNAME, .alias = "b.example", .ttl = 90},
        {.type = A, .name = "c.EXAMPLE", .ttl = 80, .number = 0x7f000002u}, {.type = A, .ttl = 1, .number = 1}}};
    check_one_address(&r, "two aliases, the second first");
    CHECK(answer.ttl == 70, "the lowest on the way: %u", answer.ttl);
    r.rr[1].class = CHAOS;
    CHECK(read_as(A, &r) == DNSBL_READ_WHOLE && answer.address[0] == 1, "an alias of another class leads on");

    record ring = {.answers = 3, .rr = {{.type = CNAME, .alias = "b.example"},
        {.type = CNAME, .name = "b.example", .alias = QUESTION}, {.type = A, .name = "b.example", .number = 1}}};
    CHECK(read_as(A, &ring) == DNSBL_READ_WHOLE, "a ring of aliases, left after as many steps as there are records");
    record ended = {.answers = 2, .rr = {{.type = CNAME, .alias = NULL}, OWN}};
    check_one_address(&ended, "an alias of nothing");
    record hole = {.answers = 3, .rr = {{.type = NOTHING}, {.type = CNAME, .alias = "b.example", .ttl = 9}, {.type = A,
        .name = "b.example", .ttl = 9, .number = 0x7f000002u}}};
    check_one_address(&hole, "beside what c-ares does not give");
    record alone = {.answers = 1, .rr = {{.type = CNAME, .alias = "b.example", .ttl = 40}}};
    CHECK(read_as(A, &alone) == DNSBL_READ_WHOLE && answer.address_count == 0 && answer.ttl == 40, "an alias alone");
}

static void test_without_names(void)
{
    dnsbl_cares without = whole;
    without.rr_get_name = NULL;
    without.rr_get_class = NULL;
    without.rr_get_str = NULL;
    record r = {.answers = 2, .rr = {{.type = CNAME, .alias = "b.example"}, {.type = A, .name = "x", .number = 7}}};
    CHECK(read_by(&without, A, &r) == DNSBL_READ_WHOLE && answer.address_count == 1, "where c-ares cannot tell");
}

/* ---- TTLs ---- */

static void test_ttls(void)
{
    record r = {.answers = 3, .rr = {OWN, {.type = A, .ttl = 200, .number = 9}, {.type = A, .ttl = 250, .number = 8}}};
    CHECK(read_as(A, &r) == DNSBL_READ_WHOLE && answer.ttl == 200 && answer.address_count == 3, "%u", answer.ttl);
    CHECK(answer.address[1] == 9 && answer.address[2] == 8, "in their order");
    CHECK(answer.soa_ttl == DNSBL_NO_TTL && answer.soa_minimum == DNSBL_NO_TTL, "no SOA");
    r.rr[1].ttl = 0x80000000u; /* RFC 2181 section 8 */
    CHECK(read_as(A, &r) == DNSBL_READ_WHOLE && answer.ttl == 0, "%u", answer.ttl);
    r.rr[1].ttl = r.rr[0].ttl = r.rr[2].ttl = 0x7fffffffu;
    CHECK(read_as(A, &r) == DNSBL_READ_WHOLE && answer.ttl == 0x7fffffffu, "%u", answer.ttl);

    record none = {.rcode = 3, .authorities = 4, .rr = {{.type = NOTHING}, {.type = NS, .ttl = 5},
        {.type = SOA, .ttl = 700, .number = 60}, {.type = SOA, .ttl = 1, .number = 1}}};
    CHECK(read_as(A, &none) == DNSBL_READ_WHOLE && answer.address_count == 0 && answer.ttl == DNSBL_NO_TTL, "none");
    CHECK(answer.soa_ttl == 700 && answer.soa_minimum == 60, "the first SOA's: %u, %u", answer.soa_ttl, answer.soa_minimum);
    none.rr[2].ttl = none.rr[2].number = 0xffffffffu;
    CHECK(read_as(A, &none) == DNSBL_READ_WHOLE && answer.soa_ttl == 0 && answer.soa_minimum == 0, "the top bit");
}

/* Other nameservers named instead of an answer: that is none. */
static void test_referrals(void)
{
    record r = {.authorities = 2, .rr = {{.type = NS}, {.type = NOTHING}}};
    CHECK(read_as(A, &r) == DNSBL_READ_UNUSABLE, "a referral");
    r.rcode = 3;
    CHECK(read_as(A, &r) == DNSBL_READ_WHOLE, "NXDOMAIN is an answer");
    r = (record){.authorities = 1, .rr = {{.type = TXT}}};
    CHECK(read_as(A, &r) == DNSBL_READ_WHOLE, "no nameserver is named");
    r = (record){.authorities = 2, .rr = {{.type = SOA, .ttl = 8, .number = 8}, {.type = NS}}};
    CHECK(read_as(A, &r) == DNSBL_READ_WHOLE && answer.soa_ttl == 8, "with an SOA");
    r = (record){.answers = 1, .authorities = 1, .rr = {OWN, {.type = NS}}};
    check_one_address(&r, "with an answer");
    r = (record){0};
    CHECK(read_as(A, &r) == DNSBL_READ_WHOLE, "nothing at all");
}

/* ---- texts ---- */

#define TEXT(what) {.type = TXT, .strings = 1, .string = {{what, sizeof what - 1}}}

static bool is_text(int at, const char *bytes, size_t length)
{
    return answer.text_length[at] == length && memcmp(answer.text + at * BIG, bytes, length) == 0;
}

static void test_texts_are_sorted_and_single(void)
{
    record r = {.answers = 7, .rr = {TEXT("m"), TEXT("b"), TEXT("mm"), TEXT("m"), TEXT("a"), TEXT("z"), TEXT("c")}};
    CHECK(read_as(TXT, &r) == DNSBL_READ_WHOLE && answer.text_count == 4 && answer.address == NULL, "%u", answer.text_count);
    CHECK(is_text(0, "a", 1) && is_text(1, "b", 1) && is_text(2, "c", 1) && is_text(3, "m", 1), "the first when sorted");
    r = (record){.answers = 3, .rr = {TEXT("ab"), TEXT("a"), TEXT("ab")}};
    CHECK(read_as(TXT, &r) == DNSBL_READ_WHOLE && answer.text_count == 2, "%u", answer.text_count);
    CHECK(is_text(0, "a", 1) && is_text(1, "ab", 2), "a beginning comes before the whole");
    r = (record){.answers = 3, .rr = {TEXT("m"), TEXT("z"), TEXT("m")}};
    CHECK(read_as(TXT, &r) == DNSBL_READ_WHOLE && answer.text_count == 2, "twice, not the last: %u", answer.text_count);
    r = (record){.answers = 4, .rr = {TEXT("a"), TEXT("b"), TEXT("c"), TEXT("d")}};
    CHECK(read_as(TXT, &r) == DNSBL_READ_WHOLE && answer.text_count == 4 && is_text(3, "d", 1), "the last there is room for");
    r = (record){.answers = 3, .rr = {TEXT("a"), TEXT("b"), TEXT("ab")}};
    CHECK(read_as(TXT, &r) == DNSBL_READ_WHOLE && is_text(1, "ab", 2) && is_text(2, "b", 1), "moved with its length");
    r = (record){.answers = 2, .rr = {TEXT("\xff"), TEXT("a\0b")}};
    CHECK(read_as(TXT, &r) == DNSBL_READ_WHOLE && is_text(0, "a\0b", 3) && is_text(1, "\xff", 1), "as bytes");
}

static void test_texts_are_joined_and_cut(void)
{
    static char x[BIG + 1], y[2] = {'y', 'z'};
    memset(x, 'x', sizeof x);
    record r = {.answers = 1, .rr = {{.type = TXT, .strings = 4, .string = {{"a", 1}, {NULL, 3}, {"", 0}, {"bc", 2}}}}};
    CHECK(read_as(TXT, &r) == DNSBL_READ_WHOLE && is_text(0, "abc", 3), "%u bytes", answer.text_length[0]);
    r.rr[0].string[0] = (string){x, BIG - 1};
    r.rr[0].string[3] = (string){y, 2};
    CHECK(read_as(TXT, &r) == DNSBL_READ_WHOLE && answer.text_length[0] == BIG, "%u bytes", answer.text_length[0]);
    CHECK(answer.text[BIG - 1] == 'y', "cut after the limit");
    r.rr[0].string[0] = (string){x, BIG + 1};
    CHECK(read_as(TXT, &r) == DNSBL_READ_WHOLE && is_text(0, x, BIG), "%u bytes", answer.text_length[0]);
    r.rr[0].strings = 0;
    CHECK(read_as(TXT, &r) == DNSBL_READ_WHOLE && answer.text_count == 1 && is_text(0, "", 0), "an empty one");
}

/* ---- rcodes ---- */

static void test_rcodes(void)
{
    static const int of_status[] = {255, 0, 1, 2, 3, 4, 5, 255, 255};
    dnsbl_cares without = whole;
    without.record_get_rcode = NULL;
    const record none = {.rcode = 7}, one = {.rcode = 7, .answers = 1, .rr = {OWN}};
    for (int status = 0; status < 9; status++) {
        CHECK(dnsbl_answer_rcode(&whole, status, &none) == 7, "status %d", status);
        CHECK(dnsbl_answer_rcode(&without, status, &none) == of_status[status], "status %d", status);
    }
    CHECK(dnsbl_answer_rcode(&without, 0, &one) == 0, "what has an answer has no error");
    for (int rcode = 0; rcode < 256; rcode++)
        CHECK(dnsbl_answer_status(rcode) == (rcode == 0 ? DNSBL_STATUS_OK : rcode == 3 ? DNSBL_STATUS_NXDOMAIN
              : rcode == 5 ? DNSBL_STATUS_REFUSED : DNSBL_STATUS_RCODE), "rcode %d", rcode);
}

/* One that was read without c-ares: what an earlier answer left is gone. */
static void test_a_negative_answer(void)
{
    const dnsbl_negative negative = {.read = true, .soa_ttl = 60, .soa_minimum = 30};
    dnsbl_answer taken = {.ttl = 5, .soa_ttl = 6, .soa_minimum = 7, .address_count = 1, .text_count = 2};
    dnsbl_answer_take_negative(&taken, &negative);
    CHECK(taken.soa_ttl == 60 && taken.soa_minimum == 30 && taken.ttl == DNSBL_NO_TTL, "ttl %u", taken.ttl);
    CHECK(taken.address_count == 0 && taken.text_count == 0, "%d addresses", taken.address_count);
}

static void test_no_memory(void)
{
    const record address = {.answers = 1, .rr = {OWN}}, text = {.answers = 1, .rr = {TEXT("a")}};
    allocations_left = 0;
    CHECK(read_as(A, &address) == DNSBL_READ_NO_MEMORY && answer.address_count == 0, "an address");
    CHECK(read_as(TXT, &text) == DNSBL_READ_NO_MEMORY && answer.text_count == 0, "a text");
    allocations_left = -1;
}

int main(void)
{
    test_whose_records_count();
    test_aliases();
    test_without_names();
    test_ttls();
    test_referrals();
    test_texts_are_sorted_and_single();
    test_texts_are_joined_and_cut();
    test_rcodes();
    test_a_negative_answer();
    test_no_memory();
    free(answer.address);
    free(answer.text);
    return check_result("answer");
}
