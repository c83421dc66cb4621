/* Writes DNS messages for tests: dns_begin(), then the records of each section in order; dns_bytes() fills in the
 * counts. Names are given as text; "\" quotes the next byte, and nothing is checked, so that wrong messages can be
 * made. */
#ifndef TEST_UNIT_DNS_H
#define TEST_UNIT_DNS_H

#include "base/buffer.h"
#include "test/unit/check.h"

enum {
    DNS_A = 1,
    DNS_NS = 2,
    DNS_CNAME = 5,
    DNS_SOA = 6,
    DNS_MX = 15,
    DNS_TXT = 16,
    DNS_AAAA = 28,
    DNS_OPT = 41,
    DNS_RRSIG = 46,
    DNS_TLSA = 52
};
enum { DNS_QR = 0x8000, DNS_AA = 0x0400, DNS_TC = 0x0200, DNS_RD = 0x0100, DNS_RA = 0x0080, DNS_AD = 0x0020 };
enum dns_section { DNS_QUESTION, DNS_ANSWER, DNS_AUTHORITY, DNS_ADDITIONAL, DNS_SECTIONS };

struct dns_message {
    struct buffer bytes;
    unsigned counts[DNS_SECTIONS];
    size_t record_at; /* where the length of the record's data stands */
};

static inline void dns_begin(struct dns_message *message, unsigned id, unsigned flags)
{
    *message = (struct dns_message){0};
    buffer_init(&message->bytes, 200000);
    buffer_add_u16(&message->bytes, (uint16_t)id);
    buffer_add_u16(&message->bytes, (uint16_t)flags);
    buffer_add_u64(&message->bytes, 0);
}

static inline struct slice dns_bytes(struct dns_message *message)
{
    for (size_t i = 0; i < DNS_SECTIONS; i++) {
        message->bytes.data[message->bytes.start + 4 + 2 * i] = (char)(message->counts[i] >> 8);
        message->bytes.data[message->bytes.start + 5 + 2 * i] = (char)message->counts[i];
    }
    assert_false(buffer_failed(&message->bytes));
    return buffer_slice(&message->bytes);
}

static inline void dns_name(struct dns_message *message, const char *name)
{
    while (*name != '\0') {
        char label[64];
        size_t length = 0;
        while (*name != '\0' && *name != '.') {
            name += *name == '\\' ? 1 : 0;
            assert_true(length < sizeof label);
            label[length++] = *name++;
        }
        name += *name == '.' ? 1 : 0;
        buffer_add_u8(&message->bytes, (uint8_t)length);
        buffer_add(&message->bytes, slice_make(label, length));
    }
    buffer_add_u8(&message->bytes, 0);
}

/* A pointer, to the question's name unless said otherwise. */
static inline void dns_pointer(struct dns_message *message, unsigned target)
{
    buffer_add_u16(&message->bytes, (uint16_t)(0xc000U | target));
}

static inline void dns_question(struct dns_message *message, const char *name, unsigned type)
{
    dns_name(message, name);
    buffer_add_u16(&message->bytes, (uint16_t)type);
    buffer_add_u16(&message->bytes, 1);
    message->counts[DNS_QUESTION]++;
}

/* What follows, up to dns_record_end(), is its data. owner NULL: a pointer to the question's name. */
static inline void dns_record(struct dns_message *message, enum dns_section section, const char *owner, unsigned type,
                              uint32_t ttl_s)
{
    if (owner == NULL) {
        dns_pointer(message, 12);
    } else {
        dns_name(message, owner);
    }
    buffer_add_u16(&message->bytes, (uint16_t)type);
    buffer_add_u16(&message->bytes, 1);
    buffer_add_u32(&message->bytes, ttl_s);
    message->record_at = buffer_length(&message->bytes);
    buffer_add_u16(&message->bytes, 0);
    message->counts[section]++;
}

static inline void dns_record_end(struct dns_message *message)
{
    size_t length = buffer_length(&message->bytes) - message->record_at - 2;
    char *at = message->bytes.data + message->bytes.start + message->record_at;
    at[0] = (char)(length >> 8);
    at[1] = (char)length;
}

static inline void dns_data(struct dns_message *message, struct slice data)
{
    buffer_add(&message->bytes, data);
    dns_record_end(message);
}

static inline void dns_a(struct dns_message *message, const char *owner, uint32_t ttl_s, uint32_t address)
{
    dns_record(message, DNS_ANSWER, owner, DNS_A, ttl_s);
    buffer_add_u32(&message->bytes, address);
    dns_record_end(message);
}

static inline void dns_mx(struct dns_message *message, const char *owner, unsigned preference, const char *exchange)
{
    dns_record(message, DNS_ANSWER, owner, DNS_MX, 300);
    buffer_add_u16(&message->bytes, (uint16_t)preference);
    dns_name(message, exchange);
    dns_record_end(message);
}

static inline void dns_cname(struct dns_message *message, const char *owner, uint32_t ttl_s, const char *target)
{
    dns_record(message, DNS_ANSWER, owner, DNS_CNAME, ttl_s);
    dns_name(message, target);
    dns_record_end(message);
}

static inline void dns_text(struct dns_message *message, struct slice text)
{
    buffer_add_u8(&message->bytes, (uint8_t)text.length);
    buffer_add(&message->bytes, text);
}

static inline void dns_soa(struct dns_message *message, const char *owner, uint32_t ttl_s, uint32_t minimum_s)
{
    dns_record(message, DNS_AUTHORITY, owner, DNS_SOA, ttl_s);
    dns_name(message, "ns.test");
    dns_name(message, "hostmaster.test");
    buffer_add_u64(&message->bytes, 1);
    buffer_add_u64(&message->bytes, 2);
    buffer_add_u32(&message->bytes, minimum_s);
    dns_record_end(message);
}

/* An OPT record, with an extended error unless reason is negative. */
static inline void dns_opt(struct dns_message *message, unsigned code_high, int reason)
{
    dns_record(message, DNS_ADDITIONAL, "", DNS_OPT, (uint32_t)code_high << 24);
    if (reason >= 0) {
        buffer_add_u16(&message->bytes, 15);
        buffer_add_u16(&message->bytes, 6);
        buffer_add_u16(&message->bytes, (uint16_t)reason);
        buffer_add(&message->bytes, SLICE("text"));
    }
    dns_record_end(message);
}

#endif
