#include "test/unit/dns_script.h"

#include <unistd.h>

static bool say_records(const struct dns_query *query, struct dns_message *message)
{
    dns_answer(query, message, DNS_AD);
    if (query->type == DNS_A) {
        dns_a(message, NULL, 300, 0xc0000201);
        dns_a(message, NULL, 200, 0xc0000202);
    } else if (query->type == DNS_AAAA) {
        dns_record(message, DNS_ANSWER, NULL, DNS_AAAA, 300);
        dns_data(message, SLICE("\x20\1\xd\xb8\0\0\0\0\0\0\0\0\0\0\0\1"));
    } else if (query->type == DNS_MX) {
        dns_mx(message, NULL, 10, "MX1.Example.Test");
        dns_mx(message, NULL, 20, "o\\ dd.test");
    } else if (query->type == DNS_TXT) {
        dns_record(message, DNS_ANSWER, NULL, DNS_TXT, 300);
        dns_text(message, SLICE("v=STSv1; "));
        dns_text(message, SLICE("id=1;"));
        dns_record_end(message);
    } else {
        dns_record(message, DNS_ANSWER, NULL, DNS_TLSA, 300);
        dns_data(message, SLICE("\3\1\1digest"));
    }
    return true;
}

static bool say_plain(const struct dns_query *query, struct dns_message *message)
{
    dns_answer(query, message, 0);
    dns_a(message, NULL, 300, 0xc0000207);
    return true;
}

static bool say_odd_names(const struct dns_query *query, struct dns_message *message)
{
    dns_answer(query, message, 0);
    dns_mx(message, NULL, 10, "o\\ dd.test");
    return true;
}

static bool say_no_name(const struct dns_query *query, struct dns_message *message)
{
    dns_answer(query, message, DNS_AD | 3);
    dns_soa(message, "test", 300, 60);
    return true;
}

static bool say_no_record(const struct dns_query *query, struct dns_message *message)
{
    dns_answer(query, message, 0);
    dns_soa(message, "test", 30, 60);
    return true;
}

static bool say_bogus(const struct dns_query *query, struct dns_message *message)
{
    dns_answer(query, message, 2);
    dns_opt(message, 0, 6);
    return true;
}

static bool say_refused(const struct dns_query *query, struct dns_message *message)
{
    dns_answer(query, message, 5);
    return true;
}

static bool say_referral(const struct dns_query *query, struct dns_message *message)
{
    dns_answer(query, message, 0);
    dns_record(message, DNS_AUTHORITY, "test", DNS_NS, 9);
    dns_name(message, "ns.test");
    dns_record_end(message);
    return true;
}

static bool say_nothing(const struct dns_query *query, struct dns_message *message)
{
    (void)query;
    (void)message;
    return false;
}

/* A right header over records that are cut. */
static bool say_nonsense(const struct dns_query *query, struct dns_message *message)
{
    dns_answer(query, message, 0);
    dns_a(message, NULL, 300, 1);
    buffer_truncate(&message->bytes, buffer_length(&message->bytes) - 2);
    return true;
}

static bool say_noise(const struct dns_query *query, struct dns_message *message)
{
    (void)query;
    buffer_init(&message->bytes, 100);
    buffer_add(&message->bytes, SLICE("noise"));
    return true;
}

/* An answer to another question, then silence: not a reason to believe anything. */
static bool say_other_id(const struct dns_query *query, struct dns_message *message)
{
    struct dns_query other = *query;
    other.id ^= 1;
    return say_records(&other, message);
}

static bool say_big(const struct dns_query *query, struct dns_message *message)
{
    dns_answer(query, message, query->is_tcp ? DNS_AD : DNS_TC);
    for (size_t i = 0; query->is_tcp && i < 2; i++) {
        dns_record(message, DNS_ANSWER, NULL, DNS_TXT, 300);
        for (size_t part = 0; part < 20; part++) {
            char text[255];
            memset(text, (int)('a' + part), sizeof text);
            dns_text(message, slice_make(text, sizeof text));
        }
        dns_record_end(message);
    }
    return true;
}

static bool say_truncated(const struct dns_query *query, struct dns_message *message)
{
    dns_answer(query, message, DNS_TC);
    return true;
}

static bool say_broken_off(const struct dns_query *query, struct dns_message *message)
{
    dns_answer(query, message, DNS_TC);
    return !query->is_tcp;
}

/* Formats that know no EDNS: an error of its own kind each, with and without the question. */
static bool refuse_edns(const struct dns_query *query, struct dns_message *message)
{
    if (!query->has_edns) {
        return say_plain(query, message);
    }
    if (slice_starts(slice_of(query->name), SLICE("formerr"))) {
        dns_begin(message, query->id, DNS_QR | 1);
    } else if (slice_starts(slice_of(query->name), SLICE("notimp"))) {
        dns_answer(query, message, 4);
    } else {
        dns_answer(query, message, 0);
        dns_opt(message, 1, -1);
    }
    return true;
}

static bool say_formerr(const struct dns_query *query, struct dns_message *message)
{
    dns_begin(message, query->id, DNS_QR | 1);
    return true;
}

static bool say_chain(const struct dns_query *query, struct dns_message *message)
{
    dns_answer(query, message, DNS_AD);
    dns_cname(message, NULL, 100, "b.test");
    dns_cname(message, "b.test", 40, "C.test");
    dns_a(message, "c.test", 300, 0xc0000201);
    return true;
}

/* Each answer has one link: 3.link.test -> 2.link.test -> ... -> 0.link.test, which has an address. */
static bool say_link(const struct dns_query *query, struct dns_message *message)
{
    char next[64];
    unsigned long number = strtoul(query->name, NULL, 10);
    dns_answer(query, message, number == 1 ? 0 : DNS_AD);
    if (number == 0) {
        dns_a(message, NULL, 300, 0xc0000201);
        return true;
    }
    snprintf(next, sizeof next, "%lu.link.test", number - 1);
    dns_cname(message, NULL, (uint32_t)(100 + number), next);
    return true;
}

static bool say_loop(const struct dns_query *query, struct dns_message *message)
{
    dns_answer(query, message, 0);
    dns_cname(message, NULL, 60, query->name[0] == 'x' ? "y.loop.test" : "x.loop.test");
    return true;
}

static bool say_loop_in_one(const struct dns_query *query, struct dns_message *message)
{
    dns_answer(query, message, 0);
    dns_cname(message, NULL, 60, query->name);
    return true;
}

static bool say_link_to_nowhere(const struct dns_query *query, struct dns_message *message)
{
    dns_answer(query, message, 0);
    dns_cname(message, NULL, 60, "a.nx.test");
    return true;
}

static bool say_query(const struct dns_query *query, struct dns_message *message)
{
    char text[200];
    dns_answer(query, message, 0);
    int length = snprintf(text, sizeof text, "flags %04x edns %d do %d size %u", query->flags, query->has_edns,
                          query->has_do, query->udp_size);
    dns_record(message, DNS_ANSWER, NULL, DNS_TXT, 300);
    dns_text(message, slice_make(text, (size_t)length));
    dns_record_end(message);
    return true;
}

static bool say_slowly(const struct dns_query *query, struct dns_message *message)
{
    usleep(1000);
    return say_plain(query, message);
}

static bool say_records_the_second_time(const struct dns_query *query, struct dns_message *message)
{
    return query->count > 1 && say_plain(query, message);
}

static bool say_letters(const struct dns_query *query, struct dns_message *message)
{
    dns_answer(query, message, 0);
    dns_record(message, DNS_ANSWER, NULL, DNS_TXT, 300);
    dns_text(message, slice_of(query->asked));
    dns_record_end(message);
    return true;
}

/* Whatever was asked, in the letters of the question or in lower case. Over TCP the address is another one. */
static bool say_address(const struct dns_query *query, struct dns_message *message)
{
    dns_answer(query, message, 0);
    dns_a(message, NULL, 300, query->is_tcp ? 0xc0000307 : 0xc0000207);
    return true;
}

static bool say_lowered(const struct dns_query *query, struct dns_message *message)
{
    dns_answer_lowered(query, message, 0);
    dns_a(message, NULL, 300, query->is_tcp ? 0xc0000307 : 0xc0000207);
    return true;
}

/* What is forged leads to 192.0.4.x. */
static bool forge_lowered(const struct dns_query *query, struct dns_message *message, size_t index)
{
    dns_answer_lowered(query, message, 0);
    dns_a(message, NULL, 300, 0xc0000407);
    return index < 1;
}

static bool forge_id(const struct dns_query *query, struct dns_message *message, size_t index)
{
    struct dns_query other = *query;
    other.id ^= (unsigned)index + 1;
    say_address(&other, message);
    return index < 3;
}

static bool forge_two_ids(const struct dns_query *query, struct dns_message *message, size_t index)
{
    forge_id(query, message, index);
    return index < 2;
}

static bool forge_question(const struct dns_query *query, struct dns_message *message, size_t index)
{
    struct dns_query other = *query;
    other.asked[0] ^= (char)(index + 1);
    say_address(&other, message);
    return index < 3;
}

static bool forge_type(const struct dns_query *query, struct dns_message *message, size_t index)
{
    struct dns_query other = *query;
    other.type += (unsigned)index + 1;
    say_address(&other, message);
    return index < 3;
}

const struct dns_entry dns_script[] = {
    {.name = "asked.test", .answer = say_letters},
    {.name = "kept.case.test", .answer = say_address},
    {.name = "lost.case.test", .answer = say_lowered},
    {.name = "lowered.forged.test", .answer = say_address, .forge = forge_lowered},
    {.name = "id.forged.test", .answer = say_address, .forge = forge_id},
    {.name = "two.forged.test", .answer = say_address, .forge = forge_two_ids},
    {.name = "question.forged.test", .answer = say_address, .forge = forge_question},
    {.name = "type.forged.test", .answer = say_address, .forge = forge_type},
    {.name = "nx.test", .answer = say_no_name},
    {.name = "odd.test", .answer = say_odd_names},
    {.name = "nodata.test", .answer = say_no_record},
    {.name = "bogus.test", .answer = say_bogus},
    {.name = "refused.test", .answer = say_refused},
    {.name = "referral.test", .answer = say_referral},
    {.name = "silent.test", .answer = say_nothing},
    {.name = "nonsense.test", .answer = say_nonsense},
    {.name = "noise.test", .answer = say_noise},
    {.name = "otherid.test", .answer = say_other_id},
    {.name = "big.test", .answer = say_big},
    {.name = "truncated.test", .answer = say_truncated},
    {.name = "brokenoff.test", .answer = say_broken_off},
    {.name = "noedns.test", .answer = refuse_edns},
    {.name = "badformat.test", .answer = say_formerr},
    {.name = "chain.test", .answer = say_chain},
    {.name = "link.test", .answer = say_link},
    {.name = "loop.test", .answer = say_loop},
    {.name = "self.test", .answer = say_loop_in_one},
    {.name = "nowhere.test", .answer = say_link_to_nowhere},
    {.name = "query.test", .answer = say_query},
    {.name = "slow.test", .answer = say_slowly},
    {.name = "lost.test", .answer = say_records_the_second_time},
    {.name = "", .answer = say_records},
    {.name = NULL},
};
const struct dns_entry dns_script_silent[] = {{.name = "", .answer = say_nothing}, {.name = NULL}};
const struct dns_entry dns_script_bogus[] = {{.name = "", .answer = say_bogus}, {.name = NULL}};
const struct dns_entry dns_script_plain[] = {{.name = "", .answer = say_plain}, {.name = NULL}};
