/* Takes an answer apart. One walk through the whole packet checks that every record lies within it and notes what
 * belongs to the answer as a whole; then the chain of CNAMEs is followed; then the records at its end are read. */
#include "relay/resolver_wire.h"

#include <assert.h>
#include <string.h>

#define HEADER_SIZE 12U
#define LABEL_MAX 63U
#define POINTER 0xc0U
#define CLASS_IN 1U
#define TYPE_NS 2U
#define TYPE_CNAME 5U
#define TYPE_SOA 6U
#define TYPE_OPT 41U
#define OPTION_EXTENDED_ERROR 15U
#define JUMPS_MAX 32U /* pointers in one name; nobody needs more, and each costs time */
#define CHAIN_MAX 12U /* CNAMEs in one answer */

#define FLAG_RESPONSE 0x8000U
#define FLAG_OPCODE 0x7800U
#define FLAG_AUTHORITATIVE 0x0400U
#define FLAG_TRUNCATED 0x0200U
#define FLAG_RECURSION_AVAILABLE 0x0080U
#define FLAG_AUTHENTIC 0x0020U
#define FLAG_CODE 0x000fU

/* A place in a packet, with a sticky error. */
struct wire {
    struct slice packet;
    size_t at;
    unsigned left; /* records of the section, while one is stepped through */
    bool failed;
};
struct wire_record {
    size_t owner_at;
    unsigned type, class;
    uint32_t ttl_raw; /* the OPT record keeps other things there */
    uint32_t ttl_s;
    size_t data_at, data_length;
};
struct survey {
    struct slice packet;
    unsigned flags;
    unsigned code;
    int reason;
    size_t answer_at;
    unsigned answer_count;
    bool has_soa, has_ns;
    struct resolver_name soa_owner;
    uint32_t negative_ttl_s;
};

static unsigned wire_u8(struct wire *wire);
static unsigned wire_u16(struct wire *wire);
static uint32_t wire_u32(struct wire *wire);
static struct slice wire_bytes(struct wire *wire, size_t length);
static void wire_name(struct wire *wire, struct resolver_name *name);
static void wire_label(struct wire *wire, unsigned length, struct resolver_name *name);
static void wire_skip_name(struct wire *wire);
static bool wire_record(struct wire *wire, struct wire_record *record);
static bool owner_of(struct slice packet, const struct wire_record *record, struct resolver_name *owner);
static bool survey_record(struct wire *wire, struct wire_record *record, struct resolver_name *owner);
static struct wire data_of(struct slice packet, const struct wire_record *record);
static bool survey_packet(struct slice packet, const struct resolver_question *question, struct survey *survey);
static bool survey_question(struct wire *wire, const struct resolver_question *question);
static bool survey_answer(struct wire *wire, unsigned count, struct survey *survey);
static bool is_name(struct wire data);
static bool survey_authority(struct wire *wire, unsigned count, struct survey *survey);
static bool survey_soa(const struct wire_record *record, struct survey *survey);
static bool survey_additional(struct wire *wire, unsigned count, struct survey *survey);
static bool survey_options(struct wire data, struct survey *survey);
static struct wire answer_of(const struct survey *survey);
static bool next_owned(struct wire *wire, const struct resolver_name *owner, unsigned type, struct wire_record *record);
static enum resolver_finding judge(const struct survey *survey, const struct resolver_question *question,
                                   struct arena *arena, struct resolver_reply *reply);
static bool follow_chain(const struct survey *survey, unsigned type, struct resolver_reply *reply);
static bool follow_alias(const struct survey *survey, struct resolver_reply *reply);
static enum resolver_finding judge_empty(const struct survey *survey, const struct resolver_question *question,
                                         struct resolver_reply *reply);
static bool is_within(const struct resolver_name *name, const struct resolver_name *ancestor);
static bool read_records(const struct survey *survey, enum record_kind kind, struct arena *arena,
                         struct resolver_reply *reply);
static bool read_record(struct wire *data, enum record_kind kind, struct arena *arena, struct resolve_record *record);
static bool read_address(struct wire *data, enum record_kind kind, struct resolve_record *record);
static bool read_mx(struct wire *data, struct arena *arena, struct resolve_record *record);
static bool read_txt(struct wire *data, struct arena *arena, struct resolve_record *record);
static bool read_tlsa(struct wire *data, struct arena *arena, struct resolve_record *record);
static uint32_t smaller(uint32_t a, uint32_t b);

void resolver_reply_parse(struct slice packet, const struct resolver_question *question, struct arena *arena,
                          struct resolver_reply *reply)
{
    struct survey survey;
    *reply = (struct resolver_reply){.ttl_s = UINT32_MAX, .canonical = question->name};
    bool is_whole = survey_packet(packet, question, &survey);
    reply->code = survey.code;
    reply->reason = survey.reason;
    reply->secure = (survey.flags & FLAG_AUTHENTIC) != 0;
    if ((survey.flags & FLAG_TRUNCATED) != 0) {
        reply->finding = RESOLVER_TRUNCATED;
    } else if (!is_whole) {
        reply->finding = RESOLVER_MALFORMED;
    } else if (survey.code != RESOLVER_NOERROR && survey.code != RESOLVER_NXDOMAIN) {
        reply->finding = RESOLVER_ERROR;
    } else {
        reply->finding = judge(&survey, question, arena, reply);
    }
    reply->ttl_s = reply->ttl_s == UINT32_MAX ? 0 : reply->ttl_s;
}

static enum resolver_finding judge(const struct survey *survey, const struct resolver_question *question,
                                   struct arena *arena, struct resolver_reply *reply)
{
    if (!follow_chain(survey, resolver_kind_number(question->kind), reply)) {
        return RESOLVER_LOOP;
    }
    if (reply->count == 0) {
        return judge_empty(survey, question, reply);
    }
    /* Records of a name that is said not to be contradict themselves. */
    if (survey->code == RESOLVER_NXDOMAIN || !read_records(survey, question->kind, arena, reply)) {
        return RESOLVER_MALFORMED;
    }
    return reply->count > 0 ? RESOLVER_RECORDS : RESOLVER_UNUSABLE;
}

static unsigned wire_u8(struct wire *wire)
{
    struct slice byte = wire_bytes(wire, 1);
    return byte.length == 1 ? (uint8_t)byte.data[0] : 0;
}

static unsigned wire_u16(struct wire *wire)
{
    unsigned high = wire_u8(wire);
    return high << 8 | wire_u8(wire);
}

static uint32_t wire_u32(struct wire *wire)
{
    uint32_t high = wire_u16(wire);
    return high << 16 | wire_u16(wire);
}

static struct slice wire_bytes(struct wire *wire, size_t length)
{
    if (wire->failed || length > wire->packet.length - wire->at) {
        wire->failed = true;
        return SLICE_EMPTY;
    }
    struct slice bytes = slice_make(wire->packet.data + wire->at, length);
    wire->at += length;
    return bytes;
}

/* A pointer must go before the run of labels that it ends, so every name comes to an end (RFC 1035 4.1.4: "a prior
 * occurrence"). */
static void wire_name(struct wire *wire, struct resolver_name *name)
{
    struct wire run = *wire;
    size_t run_start = run.at;
    unsigned jumps = 0, length = 1;
    name->length = 0;
    while (length > 0 && !run.failed) {
        length = wire_u8(&run);
        if ((length & POINTER) != POINTER) {
            wire_label(&run, length, name);
            continue;
        }
        size_t target = (size_t)(length & ~POINTER) << 8 | wire_u8(&run);
        wire->at = jumps++ > 0 ? wire->at : run.at;
        run.failed = run.failed || target < HEADER_SIZE || target >= run_start || jumps > JUMPS_MAX;
        run.at = run_start = target;
    }
    wire->at = jumps > 0 ? wire->at : run.at;
    wire->failed = run.failed;
    if (wire->failed) {
        *name = (struct resolver_name){.length = 1};
    }
}

static void wire_label(struct wire *wire, unsigned length, struct resolver_name *name)
{
    size_t root = length > 0 ? 1 : 0; /* what must still fit behind the label */
    struct slice label = wire_bytes(wire, length);
    if (wire->failed || length > LABEL_MAX || name->length + 1 + length + root > RESOLVER_NAME_MAX) {
        wire->failed = true;
        return;
    }
    name->bytes[name->length++] = (uint8_t)length;
    for (size_t i = 0; i < label.length; i++) {
        name->bytes[name->length++] = (uint8_t)byte_lower(label.data[i]);
    }
}

/* Steps over a name without following its pointers. */
static void wire_skip_name(struct wire *wire)
{
    unsigned length = 1;
    while (length > 0 && !wire->failed) {
        length = wire_u8(wire);
        if ((length & POINTER) == POINTER) {
            wire_u8(wire);
            return;
        }
        wire->failed = wire->failed || length > LABEL_MAX;
        wire_bytes(wire, length);
    }
}

/* All but the owner, which is read by owner_of(): most records are passed over for their type alone. */
static bool wire_record(struct wire *wire, struct wire_record *record)
{
    record->owner_at = wire->at;
    wire_skip_name(wire);
    record->type = wire_u16(wire);
    record->class = wire_u16(wire);
    record->ttl_raw = wire_u32(wire);
    record->ttl_s = record->ttl_raw > INT32_MAX ? 0 : record->ttl_raw; /* RFC 2181 8 */
    record->data_length = wire_u16(wire);
    record->data_at = wire->at;
    wire_bytes(wire, record->data_length);
    return !wire->failed;
}

static bool owner_of(struct slice packet, const struct wire_record *record, struct resolver_name *owner)
{
    struct wire wire = {.packet = packet, .at = record->owner_at};
    wire_name(&wire, owner);
    return !wire.failed;
}

/* A reader that ends where the record's data ends; compression still reaches all that is before. */
static struct wire data_of(struct slice packet, const struct wire_record *record)
{
    return (struct wire){.packet = slice_to(packet, record->data_at + record->data_length), .at = record->data_at};
}

/* False: malformed. The flags are set only when the packet answers this question. */
static bool survey_packet(struct slice packet, const struct resolver_question *question, struct survey *survey)
{
    struct wire wire = {.packet = packet};
    *survey = (struct survey){.packet = packet, .reason = -1};
    wire_u16(&wire); /* the id */
    unsigned flags = wire_u16(&wire);
    unsigned question_count = wire_u16(&wire), answer_count = wire_u16(&wire);
    unsigned authority_count = wire_u16(&wire), additional_count = wire_u16(&wire);
    unsigned code = flags & FLAG_CODE;
    if (wire.failed || (flags & FLAG_RESPONSE) == 0 || (flags & FLAG_OPCODE) != 0 || question_count > 1) {
        return false;
    }
    /* A server that could not read the query may not repeat it. */
    bool may_lack_question = code == RESOLVER_FORMERR || code == RESOLVER_NOTIMP;
    if (question_count == 0 ? !may_lack_question : !survey_question(&wire, question)) {
        return false;
    }
    survey->flags = flags;
    survey->code = code;
    if ((flags & FLAG_TRUNCATED) != 0) {
        return true;
    }
    return survey_answer(&wire, answer_count, survey) && survey_authority(&wire, authority_count, survey) &&
           survey_additional(&wire, additional_count, survey);
}

static bool survey_question(struct wire *wire, const struct resolver_question *question)
{
    struct resolver_name name;
    wire_name(wire, &name);
    unsigned type = wire_u16(wire), class = wire_u16(wire);
    return !wire->failed && resolver_name_equal(&name, &question->name) &&
           type == resolver_kind_number(question->kind) && class == CLASS_IN;
}

/* A record whose owner can be read too. */
static bool survey_record(struct wire *wire, struct wire_record *record, struct resolver_name *owner)
{
    return wire_record(wire, record) && owner_of(wire->packet, record, owner);
}

static bool survey_answer(struct wire *wire, unsigned count, struct survey *survey)
{
    struct wire_record record;
    struct resolver_name owner;
    survey->answer_at = wire->at;
    survey->answer_count = count;
    while (count > 0 && survey_record(wire, &record, &owner)) {
        count--;
        if (record.type == TYPE_CNAME && !is_name(data_of(survey->packet, &record))) {
            return false;
        }
    }
    return count == 0;
}

static bool is_name(struct wire data)
{
    struct resolver_name name;
    wire_name(&data, &name);
    return !data.failed && data.at == data.packet.length;
}

static bool survey_authority(struct wire *wire, unsigned count, struct survey *survey)
{
    struct wire_record record;
    struct resolver_name owner;
    while (count > 0 && survey_record(wire, &record, &owner)) {
        count--;
        if (record.class != CLASS_IN) {
            continue;
        }
        survey->has_ns = survey->has_ns || record.type == TYPE_NS;
        if (record.type == TYPE_SOA && !survey_soa(&record, survey)) {
            return false;
        }
        survey->soa_owner = record.type == TYPE_SOA ? owner : survey->soa_owner;
    }
    return count == 0;
}

static bool survey_soa(const struct wire_record *record, struct survey *survey)
{
    struct wire data = data_of(survey->packet, record);
    struct resolver_name name;
    wire_name(&data, &name);
    wire_name(&data, &name);
    wire_bytes(&data, 16); /* serial, refresh, retry, expire */
    uint32_t minimum_s = wire_u32(&data);
    survey->has_soa = true;
    survey->negative_ttl_s = smaller(record->ttl_s, minimum_s); /* RFC 2308 5 */
    return !data.failed;
}

static bool survey_additional(struct wire *wire, unsigned count, struct survey *survey)
{
    struct wire_record record;
    struct resolver_name owner;
    while (count > 0 && survey_record(wire, &record, &owner)) {
        count--;
        if (record.type != TYPE_OPT) {
            continue;
        }
        survey->code |= record.ttl_raw >> 24 << 4; /* RFC 6891 6.1.3 */
        if (!survey_options(data_of(survey->packet, &record), survey)) {
            return false;
        }
    }
    return count == 0;
}

static bool survey_options(struct wire data, struct survey *survey)
{
    while (!data.failed && data.at < data.packet.length) {
        unsigned option = wire_u16(&data);
        struct slice value = wire_bytes(&data, wire_u16(&data));
        if (option == OPTION_EXTENDED_ERROR && value.length >= 2 && survey->reason < 0) {
            survey->reason = (uint8_t)value.data[0] << 8 | (uint8_t)value.data[1];
        }
    }
    return !data.failed;
}

static struct wire answer_of(const struct survey *survey)
{
    return (struct wire){.packet = survey->packet, .at = survey->answer_at, .left = survey->answer_count};
}

/* Steps to the next record of the answer that has this owner and type. */
static bool next_owned(struct wire *wire, const struct resolver_name *owner, unsigned type, struct wire_record *record)
{
    struct resolver_name name;
    while (wire->left > 0 && wire_record(wire, record)) {
        wire->left--;
        if (record->type == type && record->class == CLASS_IN && owner_of(wire->packet, record, &name) &&
            resolver_name_equal(&name, owner)) {
            return true;
        }
    }
    return false;
}

/* Goes from name to name until one has records of the type, or no CNAME, and counts the records; false: it does not
 * end. */
static bool follow_chain(const struct survey *survey, unsigned type, struct resolver_reply *reply)
{
    for (unsigned links = 0; links <= CHAIN_MAX; links++) {
        struct wire answer = answer_of(survey);
        struct wire_record record;
        while (next_owned(&answer, &reply->canonical, type, &record)) {
            reply->ttl_s = smaller(reply->ttl_s, record.ttl_s);
            reply->count++;
        }
        if (reply->count > 0 || !follow_alias(survey, reply)) {
            return true;
        }
    }
    return false;
}

/* One CNAME further; the survey has seen to it that each has a name. */
static bool follow_alias(const struct survey *survey, struct resolver_reply *reply)
{
    struct wire answer = answer_of(survey);
    struct wire_record record;
    if (!next_owned(&answer, &reply->canonical, TYPE_CNAME, &record)) {
        return false;
    }
    struct wire data = data_of(survey->packet, &record);
    wire_name(&data, &reply->canonical);
    reply->ttl_s = smaller(reply->ttl_s, record.ttl_s);
    return true;
}

/* RFC 2308 2.2: no record of the type, or a server that points elsewhere; after a chain of CNAMEs, perhaps a server
 * that knows only the zone that the chain began in. */
static enum resolver_finding judge_empty(const struct survey *survey, const struct resolver_question *question,
                                         struct resolver_reply *reply)
{
    bool is_aliased = !resolver_name_equal(&reply->canonical, &question->name);
    bool is_authoritative = (survey->flags & FLAG_AUTHORITATIVE) != 0;
    bool is_recursive = (survey->flags & FLAG_RECURSION_AVAILABLE) != 0;
    bool is_zone_known = survey->has_soa && is_within(&reply->canonical, &survey->soa_owner);
    bool has_name = survey->code != RESOLVER_NXDOMAIN;
    if (has_name && is_aliased && !is_zone_known) {
        return RESOLVER_ALIAS;
    }
    if (has_name && !survey->has_soa && !is_authoritative && (survey->has_ns || !is_recursive)) {
        return RESOLVER_REFERRAL;
    }
    reply->ttl_s = smaller(reply->ttl_s, survey->negative_ttl_s);
    return has_name ? RESOLVER_NO_RECORD : RESOLVER_NO_NAME;
}

static bool is_within(const struct resolver_name *name, const struct resolver_name *ancestor)
{
    for (size_t at = 0; at < name->length; at += 1U + name->bytes[at]) {
        if (name->length - at == ancestor->length && memcmp(name->bytes + at, ancestor->bytes, ancestor->length) == 0) {
            return true;
        }
    }
    return false;
}

/* The records that follow_chain() has counted. False: one is malformed. */
static bool read_records(const struct survey *survey, enum record_kind kind, struct arena *arena,
                         struct resolver_reply *reply)
{
    size_t count_max = kind == RECORD_A || kind == RECORD_AAAA ? RESOLVER_ADDRESSES_MAX : RESOLVER_RECORDS_MAX;
    size_t unread = reply->count < count_max ? reply->count : count_max;
    struct wire answer = answer_of(survey);
    struct wire_record found;
    reply->dropped = reply->count - unread;
    reply->count = 0;
    reply->records = arena_array(arena, unread, sizeof *reply->records);
    if (reply->records == NULL) {
        reply->dropped += unread;
        return true;
    }
    while (unread-- > 0 && next_owned(&answer, &reply->canonical, resolver_kind_number(kind), &found)) {
        struct wire data = data_of(survey->packet, &found);
        bool is_usable = read_record(&data, kind, arena, &reply->records[reply->count]);
        if (data.failed || data.at != data.packet.length) {
            return false;
        }
        reply->count += is_usable ? 1 : 0;
        reply->dropped += is_usable ? 0 : 1;
    }
    return true;
}

static bool read_record(struct wire *data, enum record_kind kind, struct arena *arena, struct resolve_record *record)
{
    switch (kind) {
        case RECORD_A:
        case RECORD_AAAA:
            return read_address(data, kind, record);
        case RECORD_MX:
            return read_mx(data, arena, record);
        case RECORD_TXT:
            return read_txt(data, arena, record);
        case RECORD_TLSA:
            return read_tlsa(data, arena, record);
    }
    return false;
}

static bool read_address(struct wire *data, enum record_kind kind, struct resolve_record *record)
{
    struct slice bytes = wire_bytes(data, kind == RECORD_A ? 4 : 16);
    if (data->failed) {
        return false;
    }
    const uint8_t *address = (const uint8_t *)bytes.data;
    record->ip = kind == RECORD_A ? ip_v4(address) : ip_v6(address);
    return true;
}

static bool read_mx(struct wire *data, struct arena *arena, struct resolve_record *record)
{
    struct resolver_name name;
    record->preference = (uint16_t)wire_u16(data);
    wire_name(data, &name);
    return !data->failed && resolver_name_is_host(&name) && resolver_name_print(&name, arena, &record->name);
}

/* Joins the strings without anything between (RFC 7208 3.3, RFC 8461 3.1). */
static bool read_txt(struct wire *data, struct arena *arena, struct resolve_record *record)
{
    char *joined = arena_alloc(arena, data->packet.length - data->at + 1);
    size_t length = 0;
    while (!data->failed && data->at < data->packet.length) {
        struct slice part = wire_bytes(data, wire_u8(data));
        if (joined != NULL) {
            memcpy(joined + length, part.data, part.length);
        }
        length += part.length;
    }
    record->text = slice_make(joined, length);
    return joined != NULL;
}

/* Data of no length is passed on: RFC 7672 2.1 knows records that are there but unusable. */
static bool read_tlsa(struct wire *data, struct arena *arena, struct resolve_record *record)
{
    record->usage = (uint8_t)wire_u8(data);
    record->selector = (uint8_t)wire_u8(data);
    record->matching = (uint8_t)wire_u8(data);
    struct slice rest = wire_bytes(data, data->packet.length - data->at);
    return !data->failed && arena_slice(arena, rest, &record->data);
}

static uint32_t smaller(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}
