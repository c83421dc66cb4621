#include "relay/resolver_wire.h"

#include <assert.h>
#include <string.h>

#define LABEL_MAX 63U
#define CLASS_IN 1
#define TYPE_OPT 41
#define FLAG_RECURSION_DESIRED 0x0100
#define FLAG_AUTHENTIC 0x0020
#define EDNS_DO 0x8000

#define CODE_LIST(X)                                                                                                   \
    X(0, NOERROR)                                                                                                      \
    X(1, FORMERR)                                                                                                      \
    X(2, SERVFAIL)                                                                                                     \
    X(3, NXDOMAIN)                                                                                                     \
    X(4, NOTIMP)                                                                                                       \
    X(5, REFUSED)                                                                                                      \
    X(6, YXDOMAIN)                                                                                                     \
    X(7, YXRRSET)                                                                                                      \
    X(8, NXRRSET)                                                                                                      \
    X(9, NOTAUTH)                                                                                                      \
    X(10, NOTZONE)                                                                                                     \
    X(16, BADVERS)                                                                                                     \
    X(23, BADCOOKIE)

/* RFC 8914 4. 0 is "other": the RCODE says more. */
#define REASON_LIST(X)                                                                                                 \
    X(1, "unsupported DNSKEY algorithm")                                                                               \
    X(2, "unsupported DS digest type")                                                                                 \
    X(3, "stale answer")                                                                                               \
    X(4, "forged answer")                                                                                              \
    X(5, "DNSSEC indeterminate")                                                                                       \
    X(6, "DNSSEC bogus")                                                                                               \
    X(7, "signature expired")                                                                                          \
    X(8, "signature not yet valid")                                                                                    \
    X(9, "DNSKEY missing")                                                                                             \
    X(10, "RRSIGs missing")                                                                                            \
    X(11, "no zone key bit set")                                                                                       \
    X(12, "NSEC missing")                                                                                              \
    X(13, "cached error")                                                                                              \
    X(14, "not ready")                                                                                                 \
    X(15, "blocked")                                                                                                   \
    X(16, "censored")                                                                                                  \
    X(17, "filtered")                                                                                                  \
    X(18, "prohibited")                                                                                                \
    X(19, "stale NXDOMAIN answer")                                                                                     \
    X(20, "not authoritative")                                                                                         \
    X(21, "not supported")                                                                                             \
    X(22, "no reachable authority")                                                                                    \
    X(23, "network error")                                                                                             \
    X(24, "invalid data")

static bool is_plain(uint8_t byte);
static void print_byte(struct buffer *out, uint8_t byte);

uint16_t resolver_kind_number(enum record_kind kind)
{
    static const uint16_t numbers[] = {
        [RECORD_A] = 1, [RECORD_AAAA] = 28, [RECORD_MX] = 15, [RECORD_TXT] = 16, [RECORD_TLSA] = 52};
    return numbers[kind];
}

bool resolver_name_parse(struct slice text, struct resolver_name *name)
{
    struct slice label;
    name->length = 0;
    while (text.length > 0 && slice_cut(&text, '.', &label)) {
        /* One byte stays free for the root. */
        if (label.length == 0 || label.length > LABEL_MAX || name->length + 1 + label.length >= RESOLVER_NAME_MAX) {
            return false;
        }
        name->bytes[name->length++] = (uint8_t)label.length;
        for (size_t i = 0; i < label.length; i++) {
            uint8_t byte = (uint8_t)byte_lower(label.data[i]);
            if (!is_plain(byte)) {
                return false;
            }
            name->bytes[name->length++] = byte;
        }
        if (text.data != NULL && text.length == 0) {
            return false; /* a dot at the end */
        }
    }
    name->bytes[name->length++] = 0;
    return true;
}

bool resolver_name_print(const struct resolver_name *name, struct arena *arena, struct slice *text)
{
    struct buffer out;
    buffer_init(&out, 4 * RESOLVER_NAME_MAX);
    for (size_t at = 0; name->bytes[at] != 0; at += 1U + name->bytes[at]) {
        if (at > 0) {
            buffer_add_byte(&out, '.');
        }
        for (size_t i = 1; i <= name->bytes[at]; i++) {
            print_byte(&out, name->bytes[at + i]);
        }
    }
    bool fits = !buffer_failed(&out) && arena_slice(arena, buffer_slice(&out), text);
    buffer_free(&out);
    return fits;
}

bool resolver_name_equal(const struct resolver_name *a, const struct resolver_name *b)
{
    return a->length == b->length && memcmp(a->bytes, b->bytes, a->length) == 0;
}

void resolver_name_vary(struct resolver_name *name, const uint8_t bits[RESOLVER_CASE_BYTES])
{
    for (size_t at = 0; name->bytes[at] != 0; at += 1U + name->bytes[at]) {
        for (size_t i = at + 1; i <= at + name->bytes[at]; i++) {
            bool is_letter = name->bytes[i] >= 'a' && name->bytes[i] <= 'z';
            if (is_letter && (bits[i / 8] >> i % 8 & 1) != 0) {
                name->bytes[i] = (uint8_t)(name->bytes[i] - 'a' + 'A');
            }
        }
    }
}

bool resolver_name_is_host(const struct resolver_name *name)
{
    for (size_t at = 0; name->bytes[at] != 0; at += 1U + name->bytes[at]) {
        for (size_t i = 1; i <= name->bytes[at]; i++) {
            if (!is_plain(name->bytes[at + i])) {
                return false;
            }
        }
    }
    return true;
}

void resolver_query_print(struct buffer *out, const struct resolver_question *question, uint16_t id, uint16_t udp_size)
{
    assert(question->name.length > 0);
    buffer_add_u16(out, id);
    buffer_add_u16(out, udp_size > 0 ? FLAG_RECURSION_DESIRED | FLAG_AUTHENTIC : FLAG_RECURSION_DESIRED);
    buffer_add_u16(out, 1);
    buffer_add_u32(out, 0);
    buffer_add_u16(out, udp_size > 0 ? 1 : 0);
    buffer_add(out, slice_make(question->name.bytes, question->name.length));
    buffer_add_u16(out, resolver_kind_number(question->kind));
    buffer_add_u16(out, CLASS_IN);
    if (udp_size > 0) {
        buffer_add_u8(out, 0); /* the root */
        buffer_add_u16(out, TYPE_OPT);
        buffer_add_u16(out, udp_size);
        buffer_add_u16(out, 0);
        buffer_add_u16(out, EDNS_DO);
        buffer_add_u16(out, 0);
    }
}

bool resolver_reply_echoes(struct slice packet, const struct resolver_name *asked)
{
    struct reader reader = reader_of(packet);
    reader_u32(&reader); /* id and flags */
    bool has_question = reader_u16(&reader) > 0;
    reader_bytes(&reader, 6); /* the other counts */
    struct slice name = reader_bytes(&reader, has_question ? asked->length : 0);
    return !reader.failed && (!has_question || slice_equal(name, slice_make(asked->bytes, asked->length)));
}

const char *resolver_code_name(unsigned code)
{
    switch (code) {
#define X(number, name)                                                                                                \
    case number:                                                                                                       \
        return #name;
        CODE_LIST(X)
#undef X
    }
    return NULL;
}

const char *resolver_reason_name(int reason)
{
    switch (reason) {
#define X(number, text)                                                                                                \
    case number:                                                                                                       \
        return text;
        REASON_LIST(X)
#undef X
    }
    return NULL;
}

/* Of a label in lower case. */
static bool is_plain(uint8_t byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9') || byte == '-' || byte == '_';
}

static void print_byte(struct buffer *out, uint8_t byte)
{
    if (is_plain(byte)) {
        buffer_add_byte(out, (char)byte);
    } else {
        buffer_print(out, "\\%03u", byte);
    }
}
