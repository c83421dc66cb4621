#include "relay/resolver_conf.h"
#include "relay/resolver_wire.h"
#include "test/unit/dns.h"

static struct dns_message message;
static struct arena *arena;

static int set_up(void **state)
{
    (void)state;
    arena = arena_new(1 << 20);
    return arena == NULL ? 1 : 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_free(&arena);
    return 0;
}

static struct resolver_question question_of(const char *name, enum record_kind kind)
{
    struct resolver_question question = {.kind = kind};
    assert_true(resolver_name_parse(slice_of(name), &question.name));
    return question;
}

/* Parses what dns_*() have written, in memory of its exact size, and also every beginning of it. */
static struct resolver_reply parse_question(const char *name, enum record_kind kind)
{
    struct resolver_question question = question_of(name, kind);
    struct slice bytes = dns_bytes(&message);
    struct resolver_reply reply;
    for (size_t length = 0; length <= bytes.length; length++) {
        char *copy = malloc(length > 0 ? length : 1);
        assert_non_null(copy);
        memcpy(copy, bytes.data, length);
        arena_reset(arena);
        resolver_reply_parse(slice_make(copy, length), &question, arena, &reply);
        free(copy);
        if (length < bytes.length && reply.finding != RESOLVER_TRUNCATED) {
            check_number("cut", reply.finding, RESOLVER_MALFORMED);
        }
    }
    buffer_free(&message.bytes);
    return reply;
}

static void check_name(const char *name, const struct resolver_name *got, const char *expected)
{
    struct slice text;
    assert_true(resolver_name_print(got, arena, &text));
    check_slice(name, text, slice_of(expected));
}

static void begin(const char *name, unsigned type, unsigned flags)
{
    dns_begin(&message, 77, DNS_QR | DNS_RD | flags);
    dns_question(&message, name, type);
}

#define LABEL_63 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static void test_names(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool is_name;
        const char *printed;
    } cases[] = {
        {"example.org", true, "example.org"},
        {"Example.ORG", true, "example.org"},
        {"_25._tcp.mx-1.example.org", true, "_25._tcp.mx-1.example.org"},
        {"", true, ""},
        {"org", true, "org"},
        {"example.org.", false, NULL},
        {".", false, NULL},
        {".org", false, NULL},
        {"a..org", false, NULL},
        {"a b.org", false, NULL},
        {"a\\.org", false, NULL},
        {"b\xc3\xbc"
         "cher.example",
         false, NULL},
        {LABEL_63 ".org", true, LABEL_63 ".org"},
        {LABEL_63 "a.org", false, NULL},
        {LABEL_63 "." LABEL_63 "." LABEL_63 ".aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", true,
         LABEL_63 "." LABEL_63 "." LABEL_63 ".aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},
        {LABEL_63 "." LABEL_63 "." LABEL_63 ".aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false,
         NULL},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct resolver_name name;
        check_number(cases[i].text, resolver_name_parse(slice_of(cases[i].text), &name), cases[i].is_name);
        if (cases[i].is_name) {
            check_name(cases[i].text, &name, cases[i].printed);
            check_number(cases[i].text, name.length, strlen(cases[i].text) + (cases[i].text[0] != '\0' ? 2 : 1));
            check_true(cases[i].text, resolver_name_is_host(&name));
        }
    }
    struct resolver_name nul;
    assert_false(resolver_name_parse(SLICE("a\0b.org"), &nul));
}

static void test_letters_are_varied(void **state)
{
    (void)state;
    struct resolver_name name, other;
    uint8_t bits[RESOLVER_CASE_BYTES];
    memset(bits, 0xff, sizeof bits);
    assert_true(resolver_name_parse(SLICE("_25._tcp.mx-1." LABEL_63 ".example"), &name));
    other = name;
    resolver_name_vary(&name, bits);
    check_slice("upper", slice_make(name.bytes, 20), SLICE("\3_25\4_TCP\4MX-1\77AAAAA"));
    check_number("length", name.length, other.length);
    assert_true(slice_equal_nocase(slice_make(name.bytes, name.length), slice_make(other.bytes, other.length)));
    resolver_name_vary(&name, bits);
    check_slice("what is in upper case stays", slice_make(name.bytes, 9), SLICE("\3_25\4_TCP"));
    name = other;
    memset(bits, 0, sizeof bits);
    resolver_name_vary(&name, bits);
    assert_true(resolver_name_equal(&name, &other));
    bits[0] = 1 << 7;
    resolver_name_vary(&name, bits);
    check_slice("one", slice_make(name.bytes, 9), SLICE("\3_25\4_tCp"));
}

static void test_echoes(void **state)
{
    (void)state;
    static const struct {
        const char *name, *question;
        bool echoes;
    } cases[] = {
        {"same", "a.TeSt", true},
        {"lower case", "a.test", false},
        {"one letter", "a.TEST", false},
        {"another name", "b.TeSt", false},
        {"shorter", "a.TeS", false},
        {"longer", "a.TeSt.x", false},
        {"no question", NULL, true},
    };
    struct resolver_name asked = {.bytes = "\1a\4TeSt", .length = 8};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        dns_begin(&message, 77, DNS_QR);
        if (cases[i].question != NULL) {
            dns_question(&message, cases[i].question, DNS_A);
        }
        struct slice bytes = dns_bytes(&message);
        check_number(cases[i].name, resolver_reply_echoes(bytes, &asked), cases[i].echoes);
        size_t needed = cases[i].question == NULL ? 12 : 12 + asked.length;
        for (size_t length = 0; length < needed; length++) {
            check_true("cut", !resolver_reply_echoes(slice_to(bytes, length), &asked));
        }
        buffer_free(&message.bytes);
    }
}

static void test_queries(void **state)
{
    (void)state;
    struct resolver_question question = question_of("mx.test", RECORD_TLSA);
    struct buffer out;
    buffer_init(&out, 512);
    resolver_query_print(&out, &question, 0x1234, 0);
    check_slice("plain", buffer_slice(&out), SLICE("\x12\x34\x01\0\0\1\0\0\0\0\0\0\2mx\4test\0\0\x34\0\1"));
    buffer_clear(&out);
    resolver_query_print(&out, &question, 0x1234, 1232);
    check_slice("EDNS", buffer_slice(&out),
                SLICE("\x12\x34\x01\x20\0\1\0\0\0\0\0\1\2mx\4test\0\0\x34\0\1\0\0\x29\4\xd0\0\0\x80\0\0\0"));
    buffer_free(&out);
}

static void test_addresses(void **state)
{
    (void)state;
    begin("Host.Test", DNS_A, DNS_RA | DNS_AD);
    dns_a(&message, NULL, 300, 0xc0000201);
    dns_a(&message, "HOST.test", 100, 0xc0000202);
    dns_a(&message, "other.test", 5, 0xc0000203);
    dns_record(&message, DNS_ANSWER, NULL, DNS_RRSIG, 5);
    dns_data(&message, SLICE("signature"));
    dns_opt(&message, 0, -1);
    struct resolver_reply reply = parse_question("host.test", RECORD_A);
    check_number("finding", reply.finding, RESOLVER_RECORDS);
    check_number("count", reply.count, 2);
    check_number("ttl", reply.ttl_s, 100);
    check_true("secure", reply.secure);
    check_name("canonical", &reply.canonical, "host.test");
    char text[48];
    check_slice("second", ip_print(&reply.records[1].ip, text), SLICE("192.0.2.2"));

    begin("host.test", DNS_AAAA, DNS_RA);
    dns_record(&message, DNS_ANSWER, NULL, DNS_AAAA, 0x80000001); /* beyond 31 bits: none, by RFC 2181 */
    dns_data(&message, SLICE("\x20\1\xd\xb8\0\0\0\0\0\0\0\0\0\0\0\1"));
    reply = parse_question("host.test", RECORD_AAAA);
    check_number("finding", reply.finding, RESOLVER_RECORDS);
    check_slice("v6", ip_print(&reply.records[0].ip, text), SLICE("2001:db8::1"));
    check_number("ttl", reply.ttl_s, 0);
    check_true("not secure", !reply.secure);
}

static void test_mx(void **state)
{
    (void)state;
    begin("test", DNS_MX, DNS_RA);
    dns_mx(&message, NULL, 10, "MX1.Test");
    dns_mx(&message, NULL, 20, "evil\n250 ok.test");
    dns_mx(&message, NULL, 20, "with\\.dot.test");
    dns_mx(&message, NULL, 65535, "mx_2.test");
    dns_record(&message, DNS_ANSWER, NULL, DNS_MX, 60); /* compressed */
    buffer_add_u16(&message.bytes, 7);
    buffer_add(&message.bytes, SLICE("\3mx3"));
    dns_pointer(&message, 12);
    dns_record_end(&message);
    struct resolver_reply reply = parse_question("test", RECORD_MX);
    check_number("finding", reply.finding, RESOLVER_RECORDS);
    check_number("count", reply.count, 3);
    check_number("dropped", reply.dropped, 2);
    check_slice("first", reply.records[0].name, SLICE("mx1.test"));
    check_slice("second", reply.records[1].name, SLICE("mx_2.test"));
    check_number("preference", reply.records[1].preference, 65535);
    check_slice("third", reply.records[2].name, SLICE("mx3.test"));
    check_number("ttl", reply.ttl_s, 60);

    begin("test", DNS_MX, DNS_RA);
    dns_mx(&message, NULL, 0, "");
    reply = parse_question("test", RECORD_MX);
    check_number("null MX", reply.count, 1);
    check_slice("null MX", reply.records[0].name, SLICE(""));

    begin("test", DNS_MX, DNS_RA);
    dns_mx(&message, NULL, 0, "only\\ this.test");
    reply = parse_question("test", RECORD_MX);
    check_number("none that can be used: not as if there were none", reply.finding, RESOLVER_UNUSABLE);
    check_number("dropped", reply.dropped, 1);
}

static void test_txt_and_tlsa(void **state)
{
    (void)state;
    begin("_mta-sts.test", DNS_TXT, DNS_RA);
    dns_record(&message, DNS_ANSWER, NULL, DNS_TXT, 60);
    dns_text(&message, SLICE("v=STSv1; "));
    dns_text(&message, SLICE(""));
    dns_text(&message, SLICE("id=1\0;"));
    dns_record_end(&message);
    dns_record(&message, DNS_ANSWER, NULL, DNS_TXT, 60);
    dns_record_end(&message);
    struct resolver_reply reply = parse_question("_mta-sts.test", RECORD_TXT);
    check_number("count", reply.count, 2);
    check_slice("joined", reply.records[0].text, SLICE("v=STSv1; id=1\0;"));
    check_slice("empty", reply.records[1].text, SLICE(""));

    begin("_25._tcp.mx.test", DNS_TLSA, DNS_RA | DNS_AD);
    dns_record(&message, DNS_ANSWER, NULL, DNS_TLSA, 60);
    dns_data(&message, SLICE("\3\1\2digest"));
    dns_record(&message, DNS_ANSWER, NULL, DNS_TLSA, 60);
    dns_data(&message, SLICE("\3\1\1"));
    reply = parse_question("_25._tcp.mx.test", RECORD_TLSA);
    check_number("count", reply.count, 2);
    check_number("usage", reply.records[0].usage, 3);
    check_number("selector", reply.records[0].selector, 1);
    check_number("matching", reply.records[0].matching, 2);
    check_slice("data", reply.records[0].data, SLICE("digest"));
    check_slice("no data", reply.records[1].data, SLICE(""));
}

static void test_data_of_wrong_length(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum record_kind kind;
        struct slice data;
    } cases[] = {
        {"A of 3", RECORD_A, {"abc", 3}},
        {"A of 5", RECORD_A, {"abcde", 5}},
        {"A of 0", RECORD_A, {"", 0}},
        {"AAAA of 4", RECORD_AAAA, {"abcd", 4}},
        {"MX of 1", RECORD_MX, {"a", 1}},
        {"MX without name", RECORD_MX, {"\0\1", 2}},
        {"MX with a cut name", RECORD_MX, {"\0\1\5mx", 5}},
        {"MX with more", RECORD_MX, {"\0\1\2mx\0x", 7}},
        {"MX pointing beyond", RECORD_MX, {"\0\1\xc0\xff", 4}},
        {"MX pointing into the header", RECORD_MX, {"\0\1\xc0\1", 4}},
        {"MX pointing at itself", RECORD_MX, {"\0\1\xc0\x24", 4}},
        {"MX of a label type that is no more", RECORD_MX, {"\0\1\x41x\0", 5}},
        {"TXT with a cut string", RECORD_TXT, {"\5abc", 4}},
        {"TLSA of 2", RECORD_TLSA, {"\3\1", 2}},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        unsigned type = resolver_kind_number(cases[i].kind);
        begin("test", type, DNS_RA); /* the record's data is at 0x22 */
        dns_record(&message, DNS_ANSWER, NULL, type, 60);
        dns_data(&message, cases[i].data);
        struct resolver_reply reply = parse_question("test", cases[i].kind);
        check_number(cases[i].name, reply.finding, RESOLVER_MALFORMED);
    }
}

static void test_negative_answers(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        unsigned flags;
        int soa_ttl_s, minimum_s; /* -1: no SOA */
        bool has_ns;
        enum resolver_finding finding;
        uint32_t ttl_s;
    } cases[] = {
        {"no name", DNS_RA | 3, 300, 60, false, RESOLVER_NO_NAME, 60},
        {"no name, the SOA's own lifetime", DNS_RA | 3, 30, 60, true, RESOLVER_NO_NAME, 30},
        {"no name, no SOA", DNS_RA | 3, -1, 0, false, RESOLVER_NO_NAME, 0},
        {"no record", DNS_RA, 300, 60, false, RESOLVER_NO_RECORD, 60},
        {"no record, no SOA", DNS_RA, -1, 0, false, RESOLVER_NO_RECORD, 0},
        {"no record, by the zone's own server", DNS_AA, -1, 0, false, RESOLVER_NO_RECORD, 0},
        {"no record, with SOA and NS", 0, 300, 60, true, RESOLVER_NO_RECORD, 60},
        {"referral", DNS_RA, -1, 0, true, RESOLVER_REFERRAL, 0},
        {"empty from who does not resolve", 0, -1, 0, false, RESOLVER_REFERRAL, 0},
        {"servfail", DNS_RA | 2, -1, 0, false, RESOLVER_ERROR, 0},
        {"refused", 5, -1, 0, false, RESOLVER_ERROR, 0},
        {"truncated", DNS_RA | DNS_TC, -1, 0, false, RESOLVER_TRUNCATED, 0},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        begin("a.test", DNS_MX, cases[i].flags);
        if (cases[i].has_ns) {
            dns_record(&message, DNS_AUTHORITY, "test", DNS_NS, 9);
            dns_name(&message, "ns.test");
            dns_record_end(&message);
        }
        if (cases[i].soa_ttl_s >= 0) {
            dns_soa(&message, "test", (uint32_t)cases[i].soa_ttl_s, (uint32_t)cases[i].minimum_s);
        }
        struct resolver_reply reply = parse_question("a.test", RECORD_MX);
        check_number(cases[i].name, reply.finding, cases[i].finding);
        check_number(cases[i].name, reply.ttl_s, cases[i].ttl_s);
        check_number(cases[i].name, reply.count, 0);
    }
}

static void test_chains(void **state)
{
    (void)state;
    begin("www.test", DNS_A, DNS_RA);
    dns_a(&message, "c.test", 300, 0xc0000201); /* in any order */
    dns_cname(&message, "b.test", 50, "C.test");
    dns_cname(&message, NULL, 100, "b.Test");
    struct resolver_reply reply = parse_question("www.test", RECORD_A);
    check_number("chain", reply.finding, RESOLVER_RECORDS);
    check_number("ttl", reply.ttl_s, 50);
    check_name("its end", &reply.canonical, "c.test");

    begin("www.test", DNS_A, DNS_RA);
    dns_cname(&message, NULL, 100, "strange\\ name.test");
    reply = parse_question("www.test", RECORD_A);
    check_number("no target", reply.finding, RESOLVER_ALIAS);
    check_name("its end", &reply.canonical, "strange\\032name.test");
    check_number("ttl", reply.ttl_s, 100);

    begin("www.test", DNS_A, DNS_RA);
    dns_cname(&message, NULL, 100, "b.example");
    dns_soa(&message, "example", 20, 30);
    reply = parse_question("www.test", RECORD_A);
    check_number("the target has none", reply.finding, RESOLVER_NO_RECORD);
    check_number("ttl", reply.ttl_s, 20);

    begin("www.test", DNS_A, DNS_RA);
    dns_cname(&message, NULL, 100, "b.example");
    dns_soa(&message, "test", 20, 30);
    reply = parse_question("www.test", RECORD_A);
    check_number("an SOA of another zone", reply.finding, RESOLVER_ALIAS);

    begin("www.test", DNS_A, DNS_RA | 3);
    dns_cname(&message, NULL, 10, "b.example");
    dns_soa(&message, "example", 20, 30);
    reply = parse_question("www.test", RECORD_A);
    check_number("the target is not there", reply.finding, RESOLVER_NO_NAME);
    check_number("ttl", reply.ttl_s, 10);

    begin("www.test", DNS_A, DNS_RA);
    dns_cname(&message, NULL, 10, "b.test");
    dns_cname(&message, "b.test", 10, "www.test");
    reply = parse_question("www.test", RECORD_A);
    check_number("loop", reply.finding, RESOLVER_LOOP);

    begin("www.test", DNS_A, DNS_RA);
    dns_cname(&message, NULL, 10, "www.test");
    reply = parse_question("www.test", RECORD_A);
    check_number("loop of one", reply.finding, RESOLVER_LOOP);

    begin("www.test", DNS_A, DNS_RA);
    dns_record(&message, DNS_ANSWER, NULL, DNS_CNAME, 10);
    dns_data(&message, SLICE("\7x"));
    reply = parse_question("www.test", RECORD_A);
    check_number("a cut target", reply.finding, RESOLVER_MALFORMED);

    begin("www.test", DNS_A, DNS_RA | 3);
    dns_a(&message, NULL, 300, 0xc0000201);
    reply = parse_question("www.test", RECORD_A);
    check_number("records of a name that is not there", reply.finding, RESOLVER_MALFORMED);
}

static void test_errors_have_reasons(void **state)
{
    (void)state;
    begin("test", DNS_A, DNS_RA | 2);
    dns_opt(&message, 0, 6);
    struct resolver_reply reply = parse_question("test", RECORD_A);
    check_number("finding", reply.finding, RESOLVER_ERROR);
    check_slice("code", slice_of(resolver_code_name(reply.code)), SLICE("SERVFAIL"));
    check_slice("reason", slice_of(resolver_reason_name(reply.reason)), SLICE("DNSSEC bogus"));

    begin("test", DNS_A, DNS_RA);
    dns_opt(&message, 1, -1);
    reply = parse_question("test", RECORD_A);
    check_number("a code of EDNS", reply.finding, RESOLVER_ERROR);
    check_number("BADVERS", reply.code, RESOLVER_BADVERS);
    check_number("no reason", reply.reason, -1);
    assert_null(resolver_code_name(4000));
    assert_null(resolver_reason_name(-1));
    assert_null(resolver_reason_name(49152));

    begin("test", DNS_A, DNS_RA | 2);
    dns_record(&message, DNS_ADDITIONAL, "", DNS_OPT, 0);
    dns_data(&message, SLICE("\0\xf\0\4\0"));
    reply = parse_question("test", RECORD_A);
    check_number("a cut option", reply.finding, RESOLVER_MALFORMED);
}

/* What does not answer this question is nothing at all. */
static void test_other_questions(void **state)
{
    (void)state;
    static const struct {
        const char *name, *question;
        unsigned type, flags, count;
        enum resolver_finding finding;
    } cases[] = {
        {"right", "test", DNS_A, DNS_QR | DNS_RA | 3, 1, RESOLVER_NO_NAME},
        {"case does not count", "TEST", DNS_A, DNS_QR | DNS_RA | 3, 1, RESOLVER_NO_NAME},
        {"another name", "tess", DNS_A, DNS_QR | DNS_RA | 3, 1, RESOLVER_MALFORMED},
        {"a longer name", "a.test", DNS_A, DNS_QR | DNS_RA | 3, 1, RESOLVER_MALFORMED},
        {"another type", "test", DNS_AAAA, DNS_QR | DNS_RA | 3, 1, RESOLVER_MALFORMED},
        {"another name, truncated", "tess", DNS_A, DNS_QR | DNS_RA | DNS_TC, 1, RESOLVER_MALFORMED},
        {"a question", "test", DNS_A, DNS_RD, 1, RESOLVER_MALFORMED},
        {"another opcode", "test", DNS_A, DNS_QR | 0x2000, 1, RESOLVER_MALFORMED},
        {"two questions", "test", DNS_A, DNS_QR | DNS_RA | 3, 2, RESOLVER_MALFORMED},
        {"no question", "test", DNS_A, DNS_QR | DNS_RA | 3, 0, RESOLVER_MALFORMED},
        {"no question, for it was not understood", "test", DNS_A, DNS_QR | 1, 0, RESOLVER_ERROR},
        {"no question, for it is not implemented", "test", DNS_A, DNS_QR | 4, 0, RESOLVER_ERROR},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        dns_begin(&message, 77, cases[i].flags);
        for (unsigned n = 0; n < cases[i].count; n++) {
            dns_question(&message, cases[i].question, cases[i].type);
        }
        struct resolver_reply reply = parse_question("test", RECORD_A);
        check_number(cases[i].name, reply.finding, cases[i].finding);
    }
}

static void test_limits(void **state)
{
    (void)state;
    struct resolver_reply reply;
    struct resolver_question question = question_of("test", RECORD_A);
    begin("test", DNS_A, DNS_RA);
    for (uint32_t i = 0; i < 100; i++) {
        dns_a(&message, NULL, 300, 0x0a000000 + i);
    }
    resolver_reply_parse(dns_bytes(&message), &question, arena, &reply);
    check_number("finding", reply.finding, RESOLVER_RECORDS);
    check_number("count", reply.count, RESOLVER_ADDRESSES_MAX);
    check_number("dropped", reply.dropped, 100 - RESOLVER_ADDRESSES_MAX);
    buffer_free(&message.bytes);

    question = question_of("test", RECORD_MX);
    begin("test", DNS_MX, DNS_RA);
    for (unsigned i = 0; i < 1000; i++) {
        dns_mx(&message, NULL, i, "mx.test");
    }
    for (size_t limit = 0; limit < 60000; limit += limit < 2000 ? 13 : 997) {
        struct arena *small = arena_new(limit);
        resolver_reply_parse(dns_bytes(&message), &question, small, &reply);
        assert_true(reply.finding == RESOLVER_UNUSABLE || reply.count > 0);
        check_number("none is lost unseen", reply.count + reply.dropped, 1000);
        assert_true(reply.count <= RESOLVER_RECORDS_MAX);
        arena_free(&small);
    }
    resolver_reply_parse(dns_bytes(&message), &question, arena, &reply);
    check_number("count", reply.count, RESOLVER_RECORDS_MAX);
    check_number("dropped", reply.dropped, 1000 - RESOLVER_RECORDS_MAX);
    buffer_free(&message.bytes);
}

/* A name of pointers to pointers, thousands deep, is given up early. */
static void test_deep_pointers(void **state)
{
    (void)state;
    struct resolver_reply reply;
    struct resolver_question question = question_of("test", RECORD_MX);
    begin("test", DNS_MX, DNS_RA);
    dns_record(&message, DNS_ANSWER, NULL, DNS_TXT, 1);
    size_t start = buffer_length(&message.bytes);
    buffer_add_u8(&message.bytes, 0);
    buffer_add_u8(&message.bytes, 0);
    for (size_t i = 0; i < 4000; i++) {
        dns_pointer(&message, (unsigned)(start + 2 * i));
    }
    dns_record_end(&message);
    dns_record(&message, DNS_ANSWER, NULL, DNS_MX, 1);
    buffer_add_u16(&message.bytes, 1);
    dns_pointer(&message, (unsigned)(start + 2 * 4000));
    dns_record_end(&message);
    resolver_reply_parse(dns_bytes(&message), &question, arena, &reply);
    check_number("given up", reply.finding, RESOLVER_MALFORMED);
    buffer_free(&message.bytes);
}

static void test_resolv_conf(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t count;
        const char *last;
    } cases[] = {
        {"", 0, ""},
        {"nameserver 192.0.2.1\n", 1, "192.0.2.1:53"},
        {"nameserver 192.0.2.1", 1, "192.0.2.1:53"},
        {"# c\nsearch example.org\nnameserver\t 192.0.2.1 # mine\r\noptions edns0\nnameserver ::1\n", 2, "[::1]:53"},
        {" nameserver 192.0.2.1\n;nameserver 192.0.2.2\n#nameserver 192.0.2.3\nnameservers 192.0.2.4\n", 0, ""},
        {"nameserver\nnameserver x\nnameserver fe80::1%eth0\nnameserver 192.0.2.256\nnameserver 192.0.2.5\n", 1,
         "192.0.2.5:53"},
        {"nameserver 192.0.2.1\nnameserver 192.0.2.2\nnameserver 192.0.2.3\nnameserver 192.0.2.4\n", 3, "192.0.2.3:53"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct endpoint servers[3];
        char text[128];
        size_t count = resolver_conf_parse(slice_of(cases[i].text), servers, COUNT_OF(servers));
        check_number(cases[i].text, count, cases[i].count);
        if (count > 0) {
            check_slice(cases[i].text, endpoint_print(&servers[count - 1], text), slice_of(cases[i].last));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_names, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_letters_are_varied, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_echoes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_queries, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_addresses, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_mx, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_txt_and_tlsa, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_data_of_wrong_length, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_negative_answers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_chains, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_errors_have_reasons, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_other_questions, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_limits, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_deep_pointers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_resolv_conf, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
