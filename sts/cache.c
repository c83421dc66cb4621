/* The stored form, all numbers big endian: version (u8), facts (u8), the times (u64 each), failure_count (u32); in version 2
 * fetch_count, body_size, max_age (u32 each), mode and exempt_level (u8 each); then the texts as blocks (u32 length and bytes), then the
 * CRC-32C of all that. The patterns are one block of lines. Version 1 has the whole policy as its last block instead. */
#include "sts/cache.h"

#include <assert.h>
#include <string.h>

#include "base/text.h"

#define FORMAT_VERSION 2
#define FORMAT_WITH_BODY 1
#define CRC_SIZE 4u
#define SECOND_MS INT64_C(1000)
#define MINUTE_MS (60 * SECOND_MS)
#define HOUR_MS (60 * MINUTE_MS)

/* RFC 8461 3.3: after a failure not again within five minutes. */
#define BACKOFF_MS (5 * MINUTE_MS)
#define REFRESH_MIN_MS (18 * HOUR_MS) /* after a success: "once per day", at a point that nobody can foresee */
#define REFRESH_MAX_MS (30 * HOUR_MS)
#define RETRY_MAX_MS (4 * HOUR_MS)
#define IDS_AT_ONCE 3 /* after so many fetches in a row no other id is tried at once any more */

enum { FACT_HAS_POLICY = 1, FACT_RECORD_GONE = 2, FACT_LAPSE_TOLD = 4, FACT_OVERDUE_TOLD = 8, FACTS_ALL = 15 };

static bool is_recent(int64_t then_ms, int64_t now_ms);
static int64_t left_ms(const struct sts_entry *entry, int64_t now_ms);
static int64_t retry_delay_ms(const struct sts_entry *entry, int64_t left);
static int64_t point_between(int64_t low, int64_t high, uint32_t dice);
static int64_t lesser(int64_t a, int64_t b);
static int64_t greater(int64_t a, int64_t b);
static void encode_patterns(const struct sts_entry *entry, struct buffer *out);
static enum err decode_fields(struct reader *reader, uint8_t version, struct arena *arena, struct sts_entry *entry);
static void decode_numbers(struct reader *reader, struct sts_entry *entry);
static enum err decode_patterns(struct slice lines, struct arena *arena, struct sts_policy *policy);
static enum err decode_body(struct arena *arena, struct sts_entry *entry);
static void decode_times(struct reader *reader, struct sts_entry *entry);
static int64_t decode_time(struct reader *reader);
static void decode_id(struct reader *reader, char id[STS_ID_MAX + 1]);
static bool decode_text(struct reader *reader, struct arena *arena, struct slice *text);

int64_t sts_entry_expires_ms(const struct sts_entry *entry)
{
    return entry->has_policy ? entry->fetched_ms + entry->policy.max_age_s * SECOND_MS : 0;
}

bool sts_entry_is_live(const struct sts_entry *entry, int64_t now_ms)
{
    return left_ms(entry, now_ms) > 0;
}

/* Only the last id that failed is known; so a record that changes to and fro, or ever anew, soon waits with every id. */
bool sts_entry_may_fetch(const struct sts_entry *entry, struct slice id, int64_t now_ms)
{
    bool is_another = !slice_equal(slice_of(entry->failed_id), id);
    if (sts_entry_is_young(entry, now_ms) && entry->fetch_count >= IDS_AT_ONCE)
        return false;
    return !is_recent(entry->failed_ms, now_ms) || (is_another && entry->failure_count < IDS_AT_ONCE);
}

bool sts_entry_may_renew(const struct sts_entry *entry, int64_t now_ms)
{
    return !is_recent(entry->failed_ms, now_ms) && !is_recent(entry->fetched_ms, now_ms);
}

bool sts_entry_is_young(const struct sts_entry *entry, int64_t now_ms)
{
    return entry->has_policy && is_recent(entry->fetched_ms, now_ms);
}

bool sts_entry_is_exempt(const struct sts_entry *entry, int64_t now_ms)
{
    return now_ms < entry->exempt_until_ms;
}

static bool is_enforced(const struct sts_entry *entry)
{
    return entry->has_policy && entry->policy.mode == STS_MODE_ENFORCE && entry->policy.max_age_s * SECOND_MS > BACKOFF_MS;
}

bool sts_entry_is_overdue(const struct sts_entry *entry, int64_t now_ms)
{
    int64_t age_ms = entry->policy.max_age_s * SECOND_MS;
    int64_t due_ms = lesser(REFRESH_MAX_MS, age_ms / 2);
    int64_t left = left_ms(entry, now_ms);
    return is_enforced(entry) && left > 0 && left <= (age_ms - due_ms) / 2;
}

bool sts_entry_has_lapsed(const struct sts_entry *entry, int64_t now_ms)
{
    return is_enforced(entry) && !sts_entry_is_live(entry, now_ms);
}

int64_t sts_entry_next_refresh_ms(const struct sts_entry *entry, int64_t now_ms, uint32_t dice)
{
    int64_t left = left_ms(entry, now_ms);
    int64_t low = lesser(REFRESH_MIN_MS, left / 4), high = lesser(REFRESH_MAX_MS, left / 2);
    if (entry->failing_since_ms != 0) {
        low = retry_delay_ms(entry, left);
        high = low + low / 2;
    }
    int64_t delay = greater(BACKOFF_MS, point_between(low, high, dice));
    return delay < left ? now_ms + delay : 0;
}

const char *sts_exempt_level_name(enum sts_exempt_level level)
{
    switch (level) {
#define X(name, text)                                                                                                  \
    case STS_EXEMPT_##name:                                                                                            \
        return text;
        STS_EXEMPT_LEVEL_LIST(X)
#undef X
    }
    return "";
}

bool sts_exempt_level_parse(struct slice text, enum sts_exempt_level *level)
{
#define X(name, word)                                                                                                  \
    if (slice_equal(text, SLICE(word))) {                                                                              \
        *level = STS_EXEMPT_##name;                                                                                    \
        return true;                                                                                                   \
    }
    STS_EXEMPT_LEVEL_LIST(X)
#undef X
    return false;
}

struct slice sts_entry_cut_body(struct slice body)
{
    size_t length = STS_BODY_KEPT_MAX;
    if (body.length <= length)
        return body;
    while (length > 0 && body.data[length - 1] != '\n')
        length--;
    return slice_to(body, length);
}

static void encode_patterns(const struct sts_entry *entry, struct buffer *out)
{
    size_t count = entry->has_policy ? entry->policy.mx_count : 0;
    size_t length = 0;
    for (size_t i = 0; i < count; i++)
        length += entry->policy.mx[i].length + 1;
    buffer_add_u32(out, (uint32_t)length);
    for (size_t i = 0; i < count; i++) {
        buffer_add(out, entry->policy.mx[i]);
        buffer_add_u8(out, '\n');
    }
}

void sts_entry_encode(const struct sts_entry *entry, struct buffer *out)
{
    size_t start = buffer_length(out);
    assert(!entry->has_policy || entry->policy.mode == STS_MODE_NONE || entry->policy.mx_count > 0);
    buffer_add_u8(out, FORMAT_VERSION);
    buffer_add_u8(out,
                  (uint8_t)((entry->has_policy ? FACT_HAS_POLICY : 0) | (entry->record_gone ? FACT_RECORD_GONE : 0) |
                            (entry->is_lapse_told ? FACT_LAPSE_TOLD : 0) | (entry->is_overdue_told ? FACT_OVERDUE_TOLD : 0)));
    buffer_add_u64(out, (uint64_t)entry->fetched_ms);
    buffer_add_u64(out, (uint64_t)entry->first_fetched_ms);
    buffer_add_u64(out, (uint64_t)entry->used_ms);
    buffer_add_u64(out, (uint64_t)entry->failed_ms);
    buffer_add_u64(out, (uint64_t)entry->failing_since_ms);
    buffer_add_u64(out, (uint64_t)entry->refresh_ms);
    buffer_add_u64(out, (uint64_t)entry->exempt_until_ms);
    buffer_add_u32(out, entry->failure_count);
    buffer_add_u32(out, entry->fetch_count);
    buffer_add_u32(out, entry->body_size);
    buffer_add_u32(out, entry->has_policy ? entry->policy.max_age_s : 0);
    buffer_add_u8(out, (uint8_t)(entry->has_policy ? entry->policy.mode : STS_MODE_NONE));
    buffer_add_u8(out, (uint8_t)entry->exempt_level);
    buffer_add_block(out, slice_of(entry->id));
    buffer_add_block(out, slice_of(entry->failed_id));
    buffer_add_block(out, entry->failure);
    buffer_add_block(out, entry->exempt_reason);
    encode_patterns(entry, out);
    buffer_add_block(out, entry->has_policy ? sts_entry_cut_body(entry->body) : SLICE_EMPTY);
    if (!buffer_failed(out))
        buffer_add_u32(out, text_crc32c(slice_from(buffer_slice(out), start)));
}

enum err sts_entry_decode(struct slice bytes, struct arena *arena, struct sts_entry *entry)
{
    *entry = (struct sts_entry){0};
    if (bytes.length < CRC_SIZE)
        return ERR_CORRUPT;
    struct reader trailer = reader_of(slice_from(bytes, bytes.length - CRC_SIZE));
    struct slice content = slice_to(bytes, bytes.length - CRC_SIZE);
    if (reader_u32(&trailer) != text_crc32c(content))
        return ERR_CORRUPT;
    struct reader reader = reader_of(content);
    uint8_t version = reader_u8(&reader);
    if (version != FORMAT_VERSION && version != FORMAT_WITH_BODY)
        return ERR_CORRUPT;
    return decode_fields(&reader, version, arena, entry);
}

/* A time in the future is of a clock that stepped back since: it tells nothing, and must not block. */
static bool is_recent(int64_t then_ms, int64_t now_ms)
{
    return then_ms != 0 && then_ms <= now_ms && now_ms - then_ms < BACKOFF_MS;
}

/* A policy fetched in the future counts as fetched now: it is neither immortal nor dead at once. */
static int64_t left_ms(const struct sts_entry *entry, int64_t now_ms)
{
    int64_t expires_ms = sts_entry_expires_ms(entry);
    if (!entry->has_policy)
        return 0;
    return entry->fetched_ms > now_ms ? entry->policy.max_age_s * SECOND_MS : greater(0, expires_ms - now_ms);
}

/* 5, 10, 20 ... minutes up to four hours, but never over an eighth of the time that is left. */
static int64_t retry_delay_ms(const struct sts_entry *entry, int64_t left)
{
    int64_t delay = BACKOFF_MS;
    for (uint32_t i = 1; i < entry->failure_count && delay < RETRY_MAX_MS; i++)
        delay *= 2;
    return lesser(lesser(delay, RETRY_MAX_MS), left / 8);
}

static int64_t point_between(int64_t low, int64_t high, uint32_t dice)
{
    return low + (int64_t)(((uint64_t)(high - low) * dice) >> 32);
}

static int64_t lesser(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t greater(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static enum err decode_fields(struct reader *reader, uint8_t version, struct arena *arena, struct sts_entry *entry)
{
    uint8_t facts = reader_u8(reader);
    struct slice patterns = SLICE_EMPTY;
    decode_times(reader, entry);
    entry->failure_count = reader_u32(reader);
    if (version == FORMAT_WITH_BODY)
        entry->exempt_level = STS_EXEMPT_PLAIN; /* what an exemption was then */
    else
        decode_numbers(reader, entry);
    decode_id(reader, entry->id);
    decode_id(reader, entry->failed_id);
    bool copied = decode_text(reader, arena, &entry->failure) && decode_text(reader, arena, &entry->exempt_reason) &&
                  (version == FORMAT_WITH_BODY || decode_text(reader, arena, &patterns)) &&
                  decode_text(reader, arena, &entry->body);
    if (!copied)
        return ERR_MEMORY;
    entry->has_policy = (facts & FACT_HAS_POLICY) != 0;
    entry->record_gone = (facts & FACT_RECORD_GONE) != 0;
    entry->is_lapse_told = (facts & FACT_LAPSE_TOLD) != 0;
    entry->is_overdue_told = (facts & FACT_OVERDUE_TOLD) != 0;
    if (!reader_done(reader) || facts > FACTS_ALL)
        return ERR_CORRUPT;
    if (!entry->has_policy)
        return entry->body.length + patterns.length == 0 ? ERR_NONE : ERR_CORRUPT;
    return version == FORMAT_WITH_BODY ? decode_body(arena, entry) : decode_patterns(patterns, arena, &entry->policy);
}

static void decode_numbers(struct reader *reader, struct sts_entry *entry)
{
    entry->fetch_count = reader_u32(reader);
    entry->body_size = reader_u32(reader);
    entry->policy.max_age_s = reader_u32(reader);
    uint8_t mode = reader_u8(reader);
    uint8_t level = reader_u8(reader);
    if (mode > STS_MODE_ENFORCE || level > STS_EXEMPT_PLAIN || entry->policy.max_age_s > STS_MAX_AGE_S)
        reader->failed = true;
    entry->policy.mode = reader->failed ? STS_MODE_NONE : (enum sts_mode)mode;
    entry->exempt_level = reader->failed ? STS_EXEMPT_ANY_HOST : (enum sts_exempt_level)level;
}

static void decode_times(struct reader *reader, struct sts_entry *entry)
{
    entry->fetched_ms = decode_time(reader);
    entry->first_fetched_ms = decode_time(reader);
    entry->used_ms = decode_time(reader);
    entry->failed_ms = decode_time(reader);
    entry->failing_since_ms = decode_time(reader);
    entry->refresh_ms = decode_time(reader);
    entry->exempt_until_ms = decode_time(reader);
}

/* Far enough from the limits of the type that max_age can be added. */
static int64_t decode_time(struct reader *reader)
{
    uint64_t time = reader_u64(reader);
    if (time > INT64_MAX / 2)
        reader->failed = true;
    return reader->failed ? 0 : (int64_t)time;
}

static void decode_id(struct reader *reader, char id[STS_ID_MAX + 1])
{
    struct slice text = reader_block(reader);
    for (size_t i = 0; i < text.length && !reader->failed; i++)
        reader->failed = i >= STS_ID_MAX || !byte_is_alnum(text.data[i]);
    if (!reader->failed && text.length > 0)
        memcpy(id, text.data, text.length);
}

/* False: out of memory. */
static bool decode_text(struct reader *reader, struct arena *arena, struct slice *text)
{
    struct slice stored = reader_block(reader);
    *text = SLICE_EMPTY;
    return stored.length == 0 || arena_slice(arena, stored, text);
}

static enum err decode_patterns(struct slice lines, struct arena *arena, struct sts_policy *policy)
{
    size_t count = 0;
    for (size_t i = 0; i < lines.length; i++)
        count += lines.data[i] == '\n';
    bool is_whole = lines.length == 0 || slice_ends(lines, SLICE("\n"));
    if (count > STS_MX_MAX || !is_whole || (count == 0 && policy->mode != STS_MODE_NONE))
        return ERR_CORRUPT;
    struct slice *mx = arena_array(arena, count + 1, sizeof *mx);
    if (mx == NULL)
        return ERR_MEMORY;
    for (size_t i = 0; i < count; i++) {
        if (!slice_cut(&lines, '\n', &mx[i]) || mx[i].length == 0)
            return ERR_CORRUPT;
    }
    policy->mx = mx;
    policy->mx_count = count;
    return ERR_NONE;
}

static enum err decode_body(struct arena *arena, struct sts_entry *entry)
{
    struct sts_fault fault;
    if (!sts_policy_parse(entry->body, arena, &entry->policy, &fault))
        return fault.out_of_memory ? ERR_MEMORY : ERR_CORRUPT;
    entry->body_size = (uint32_t)entry->body.length;
    entry->body = sts_entry_cut_body(entry->body);
    return ERR_NONE;
}
