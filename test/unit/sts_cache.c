/* The cache entry: its stored form, what may be decided from it, and when it is refreshed. */
#include "sts/cache.h"
#include "base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define TEXT(literal)                                                                                                  \
    {                                                                                                                  \
        "" literal, sizeof(literal) - 1                                                                                \
    }
#define SECOND_MS INT64_C(1000)
#define MINUTE_MS (60 * SECOND_MS)
#define HOUR_MS (60 * MINUTE_MS)
#define DAY_MS (24 * HOUR_MS)
#define NOW_MS INT64_C(1800000000000)

/* Places in the stored form of full_entry(). */
#define NUMBERS (1 + 1 + 7 * 8 + 4)
#define BEFORE_ID (NUMBERS + 3 * 4 + 2)
#define PATTERNS (BEFORE_ID + 4 + 15 + 4 + 32 + 4 + 15 + 4 + 8)

static struct sts_entry policy_entry(int64_t fetched_ms, uint32_t max_age_s);
static struct sts_entry full_entry(void);
static void expect_equal(const struct sts_entry *a, const struct sts_entry *b);
static void set_crc(struct buffer *stored);

static const struct slice full_body = TEXT("version: STSv1\nmode: testing\nmx: *.Example.com\nmax_age: 604800\n");

static void test_round_trip(void **state)
{
    (void)state;
    const struct sts_entry entries[] = {
        full_entry(),
        {.body = SLICE_EMPTY, .failure = SLICE_EMPTY, .exempt_reason = SLICE_EMPTY},
        {.failed_id = "abc",
         .failed_ms = NOW_MS,
         .failing_since_ms = NOW_MS - 1,
         .failure_count = UINT32_MAX,
         .failure = SLICE("HTTP status 404")},
        {.exempt_until_ms = NOW_MS, .exempt_reason = SLICE("their certificate expired, ticket 7")},
    };
    for (size_t i = 0; i < sizeof entries / sizeof *entries; i++) {
        struct arena *arena = arena_new(100000);
        struct buffer stored, again;
        struct sts_entry decoded;
        buffer_init(&stored, 100000);
        buffer_init(&again, 100000);
        buffer_add(&stored, SLICE("before")); /* the form is added to what is there */
        sts_entry_encode(&entries[i], &stored);
        buffer_consume(&stored, strlen("before"));
        assert_int_equal(sts_entry_decode(buffer_slice(&stored), arena, &decoded), ERR_NONE);
        expect_equal(&entries[i], &decoded);
        sts_entry_encode(&decoded, &again);
        assert_true(slice_equal(buffer_slice(&stored), buffer_slice(&again)));
        buffer_free(&stored);
        buffer_free(&again);
        arena_free(&arena);
    }
}

static void test_damage_is_seen(void **state)
{
    (void)state;
    struct sts_entry entry = full_entry(), decoded;
    struct buffer stored;
    struct arena *arena = arena_new(100000);
    buffer_init(&stored, 100000);
    sts_entry_encode(&entry, &stored);
    for (size_t i = 0; i < buffer_length(&stored); i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            stored.data[i] = (char)(stored.data[i] ^ (char)(1u << bit));
            assert_int_equal(sts_entry_decode(buffer_slice(&stored), arena, &decoded), ERR_CORRUPT);
            stored.data[i] = (char)(stored.data[i] ^ (char)(1u << bit));
            arena_reset(arena);
        }
        assert_int_equal(sts_entry_decode(slice_to(buffer_slice(&stored), i), arena, &decoded), ERR_CORRUPT);
        arena_reset(arena);
    }
    assert_int_equal(sts_entry_decode(SLICE("{\"mode\": \"enforce\"}"), arena, &decoded), ERR_CORRUPT);
    buffer_free(&stored);
    arena_free(&arena);
}

/* Well-summed, but not what we write. */
static void test_wrong_contents_are_seen(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        size_t offset;
        char byte;
    } cases[] = {
        {"another version", 0, 3},
        {"an unknown fact", 1, 31},
        {"no policy, but a text of one", 1, 0},
        {"a time beyond all times", 2, 0x7f},
        {"a max_age beyond a year", NUMBERS + 8, 0x7f},
        {"an unknown mode", NUMBERS + 12, 3},
        {"an unknown level", NUMBERS + 13, 3},
        {"patterns without an end", PATTERNS + 4 + 13, 'x'},
        {"an empty pattern", PATTERNS + 4, '\n'},
        {"an id that is too long", BEFORE_ID + 3, 33},
        {"an id of other bytes", BEFORE_ID + 4, '-'},
    };
    struct sts_entry entry = full_entry(), decoded;
    struct arena *arena = arena_new(100000);
    struct buffer stored;
    buffer_init(&stored, 100000);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        print_message("%s\n", cases[i].name);
        buffer_clear(&stored);
        sts_entry_encode(&entry, &stored);
        stored.data[cases[i].offset] = cases[i].byte;
        set_crc(&stored);
        assert_int_equal(sts_entry_decode(buffer_slice(&stored), arena, &decoded), ERR_CORRUPT);
    }
    buffer_free(&stored);
    arena_free(&arena);
}

/* What the first release stored, with the whole text: read, and stored in the present form the next time. */
static void test_the_form_before_is_read(void **state)
{
    (void)state;
    struct sts_entry entry = full_entry(), decoded;
    struct arena *arena = arena_new(100000);
    struct buffer stored;
    buffer_init(&stored, 100000);
    buffer_add_u8(&stored, 1);
    buffer_add_u8(&stored, 3);
    const int64_t times[] = {entry.fetched_ms,       entry.first_fetched_ms, entry.used_ms, entry.failed_ms,
                             entry.failing_since_ms, entry.refresh_ms,       entry.exempt_until_ms};
    for (size_t i = 0; i < sizeof times / sizeof *times; i++)
        buffer_add_u64(&stored, (uint64_t)times[i]);
    buffer_add_u32(&stored, entry.failure_count);
    buffer_add_block(&stored, slice_of(entry.id));
    buffer_add_block(&stored, slice_of(entry.failed_id));
    buffer_add_block(&stored, entry.failure);
    buffer_add_block(&stored, entry.exempt_reason);
    buffer_add_block(&stored, full_body);
    buffer_add_u32(&stored, text_crc32c(buffer_slice(&stored)));
    assert_int_equal(sts_entry_decode(buffer_slice(&stored), arena, &decoded), ERR_NONE);
    assert_int_equal(decoded.exempt_level, STS_EXEMPT_PLAIN); /* as it was meant then */
    entry.exempt_level = STS_EXEMPT_PLAIN;
    entry.fetch_count = 0;
    entry.is_lapse_told = entry.is_overdue_told = false;
    entry.body_size = (uint32_t)full_body.length;
    expect_equal(&entry, &decoded);
    buffer_clear(&stored);
    sts_entry_encode(&decoded, &stored);
    assert_int_equal(stored.data[0], 2);
    assert_int_equal(sts_entry_decode(buffer_slice(&stored), arena, &decoded), ERR_NONE);
    expect_equal(&entry, &decoded);
    buffer_free(&stored);
    arena_free(&arena);
}

/* 64 KiB of text that says little cost little; a policy that says much is kept whole. */
static void test_size(void **state)
{
    (void)state;
    struct sts_fault fault;
    struct arena *arena = arena_new(1u << 20);
    struct buffer body, stored;
    buffer_init(&body, 70000);
    buffer_init(&stored, 100000);
    for (int has_patterns = 0; has_patterns < 2; has_patterns++) {
        struct sts_entry entry = {.has_policy = true}, decoded;
        buffer_clear(&body);
        buffer_clear(&stored);
        buffer_add(&body, full_body);
        for (size_t i = 0; i < 1000; i++)
            buffer_print(&body, has_patterns ? "mx: host%zu.0123456789.0123456789.0123456789.example\n"
                                             : "remark: %zu 0123456789 0123456789 0123456789\n", i);
        assert_true(sts_policy_parse(buffer_slice(&body), arena, &entry.policy, &fault));
        entry.body = buffer_slice(&body);
        entry.body_size = (uint32_t)buffer_length(&body);
        sts_entry_encode(&entry, &stored);
        assert_true(buffer_length(&stored) < (has_patterns ? 60000 : 2048 + 200));
        assert_int_equal(sts_entry_decode(buffer_slice(&stored), arena, &decoded), ERR_NONE);
        assert_true(sts_policy_equal(&entry.policy, &decoded.policy));
        assert_int_equal(decoded.policy.mx_count, has_patterns ? 1001 : 1);
        assert_true(decoded.body.length <= STS_BODY_KEPT_MAX && slice_ends(decoded.body, SLICE("\n")));
        assert_true(slice_starts(buffer_slice(&body), decoded.body));
    }
    buffer_free(&body);
    buffer_free(&stored);
    arena_free(&arena);
}

static void test_ids_fit(void **state)
{
    (void)state;
    const size_t before = BEFORE_ID;
    struct sts_entry entry = {.failure = SLICE_EMPTY}, decoded;
    struct arena *arena = arena_new(100000);
    struct buffer stored, changed;
    buffer_init(&stored, 1000);
    buffer_init(&changed, 1000);
    sts_entry_encode(&entry, &stored);
    for (size_t length = STS_ID_MAX; length <= STS_ID_MAX + 1; length++) {
        buffer_clear(&changed);
        buffer_add(&changed, slice_to(buffer_slice(&stored), before));
        buffer_add_block(&changed, slice_to(SLICE("abcdefghijklmnopqrstuvwxyz0123456"), length));
        buffer_add(&changed, slice_from(buffer_slice(&stored), before + 4));
        set_crc(&changed);
        assert_int_equal(sts_entry_decode(buffer_slice(&changed), arena, &decoded),
                         length <= STS_ID_MAX ? ERR_NONE : ERR_CORRUPT);
    }
    buffer_free(&stored);
    buffer_free(&changed);
    arena_free(&arena);
}

/* Short of memory is not damage: a policy in force must not be dropped for it. */
static void test_memory_limits(void **state)
{
    (void)state;
    struct sts_entry entry = full_entry(), decoded;
    struct buffer stored;
    enum err err = ERR_MEMORY;
    size_t limit;
    buffer_init(&stored, 100000);
    sts_entry_encode(&entry, &stored);
    for (limit = 0; err != ERR_NONE; limit++) {
        struct arena *arena = arena_new(limit);
        err = sts_entry_decode(buffer_slice(&stored), arena, &decoded);
        assert_true(err == ERR_NONE || err == ERR_MEMORY);
        arena_free(&arena);
    }
    assert_true(limit > full_body.length && limit > sizeof(struct slice));
    buffer_free(&stored);
    buffer_init(&stored, 50);
    sts_entry_encode(&entry, &stored);
    assert_true(buffer_failed(&stored));
    buffer_free(&stored);
}

static void test_life(void **state)
{
    (void)state;
    struct sts_entry entry = policy_entry(NOW_MS, 3600);
    assert_int_equal(sts_entry_expires_ms(&entry), NOW_MS + HOUR_MS);
    assert_true(sts_entry_is_live(&entry, NOW_MS));
    assert_true(sts_entry_is_live(&entry, NOW_MS + HOUR_MS - 1));
    assert_false(sts_entry_is_live(&entry, NOW_MS + HOUR_MS));
    assert_true(sts_entry_is_live(&entry, NOW_MS - 400 * DAY_MS)); /* the clock stepped back */
    entry = policy_entry(NOW_MS, 0);
    assert_false(sts_entry_is_live(&entry, NOW_MS));
    assert_false(sts_entry_is_live(&entry, NOW_MS - 1));
    entry = policy_entry(NOW_MS, STS_MAX_AGE_S);
    assert_true(sts_entry_is_live(&entry, NOW_MS + STS_MAX_AGE_S * SECOND_MS - 1));
    entry.has_policy = false;
    assert_int_equal(sts_entry_expires_ms(&entry), 0);
    assert_false(sts_entry_is_live(&entry, NOW_MS));
    entry = (struct sts_entry){.exempt_until_ms = NOW_MS};
    assert_true(sts_entry_is_exempt(&entry, NOW_MS - 1));
    assert_false(sts_entry_is_exempt(&entry, NOW_MS));
}

static void test_back_off(void **state)
{
    (void)state;
    static const struct {
        const char *name, *failed_id;
        int64_t failed_age_ms, fetched_age_ms; /* -1: never */
        bool may_fetch, may_renew;
        uint32_t failure_count;
    } cases[] = {
        {"nothing happened", "", -1, -1, true, true, 0},
        {"failed just now", "a", 0, -1, false, false, 0},
        {"failed almost five minutes ago", "a", 5 * MINUTE_MS - 1, -1, false, false, 0},
        {"failed five minutes ago", "a", 5 * MINUTE_MS, -1, true, true, 0},
        {"another id failed just now", "b", 0, -1, true, false, 0},
        {"another id failed just now, for the second time", "b", 0, -1, true, false, 2},
        {"another id failed just now, for the third time", "b", 0, -1, false, false, 3},
        {"another id failed five minutes ago, for the third time", "b", 5 * MINUTE_MS, -1, true, true, 3},
        {"failed without an id", "", 0, -1, true, false, 0},
        {"failed in the future", "a", -MINUTE_MS, -1, true, true, 0},
        {"fetched just now", "", -1, 0, true, false, 0},
        {"fetched almost five minutes ago", "", -1, 5 * MINUTE_MS - 1, true, false, 0},
        {"fetched five minutes ago", "", -1, 5 * MINUTE_MS, true, true, 0},
        {"fetched long ago, failed just now", "a", 0, DAY_MS, false, false, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sts_entry entry = {.failure_count = cases[i].failure_count,
                                  .failed_ms = cases[i].failed_age_ms == -1 ? 0 : NOW_MS - cases[i].failed_age_ms,
                                  .fetched_ms = cases[i].fetched_age_ms == -1 ? 0 : NOW_MS - cases[i].fetched_age_ms};
        text_print(entry.failed_id, sizeof entry.failed_id, "%s", cases[i].failed_id);
        print_message("%s\n", cases[i].name);
        assert_int_equal(sts_entry_may_fetch(&entry, SLICE("a"), NOW_MS), cases[i].may_fetch);
        assert_int_equal(sts_entry_may_renew(&entry, NOW_MS), cases[i].may_renew);
    }
}

static void test_refresh_after_success(void **state)
{
    (void)state;
    static const struct {
        uint32_t max_age_s;
        int64_t earliest_ms, latest_ms; /* -1: not planned */
    } cases[] = {
        {STS_MAX_AGE_S, 18 * HOUR_MS, 30 * HOUR_MS},
        {604800, 18 * HOUR_MS, 30 * HOUR_MS},
        {172800, 12 * HOUR_MS, 24 * HOUR_MS},
        {86400, 6 * HOUR_MS, 12 * HOUR_MS},
        {3600, 15 * MINUTE_MS, 30 * MINUTE_MS},
        {601, 5 * MINUTE_MS, 5 * MINUTE_MS + 500},
        {301, 5 * MINUTE_MS, 5 * MINUTE_MS},
        {300, -1, -1},
        {0, -1, -1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sts_entry entry = policy_entry(NOW_MS, cases[i].max_age_s);
        int64_t first = sts_entry_next_refresh_ms(&entry, NOW_MS, 0);
        int64_t last = sts_entry_next_refresh_ms(&entry, NOW_MS, UINT32_MAX);
        print_message("max_age %u\n", cases[i].max_age_s);
        if (cases[i].earliest_ms == -1) {
            assert_int_equal(first, 0);
            assert_int_equal(last, 0);
            continue;
        }
        assert_int_equal(first, NOW_MS + cases[i].earliest_ms);
        assert_in_range(NOW_MS + cases[i].latest_ms - last, 0, 1);
        assert_true(last < sts_entry_expires_ms(&entry));
    }
    struct sts_entry none = {.failed_ms = NOW_MS, .failing_since_ms = NOW_MS, .failure_count = 1};
    assert_int_equal(sts_entry_next_refresh_ms(&none, NOW_MS, 0), 0);
}

static void test_refresh_after_failure(void **state)
{
    (void)state;
    static const struct {
        uint32_t failure_count;
        int64_t left_ms, earliest_ms;
    } cases[] = {
        {1, 30 * DAY_MS, 5 * MINUTE_MS},
        {2, 30 * DAY_MS, 10 * MINUTE_MS},
        {3, 30 * DAY_MS, 20 * MINUTE_MS},
        {6, 30 * DAY_MS, 160 * MINUTE_MS},
        {7, 30 * DAY_MS, 4 * HOUR_MS},
        {UINT32_MAX, 30 * DAY_MS, 4 * HOUR_MS},
        {9, 16 * HOUR_MS, 2 * HOUR_MS},
        {9, 8 * HOUR_MS, HOUR_MS},
        {9, 2 * HOUR_MS, 15 * MINUTE_MS},
        {9, HOUR_MS, 7 * MINUTE_MS + 30000},
        {9, 20 * MINUTE_MS, 5 * MINUTE_MS},
        {9, 6 * MINUTE_MS, 5 * MINUTE_MS},
        {9, 5 * MINUTE_MS, -1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sts_entry entry = policy_entry(NOW_MS + cases[i].left_ms - STS_MAX_AGE_S * SECOND_MS, STS_MAX_AGE_S);
        entry.failure_count = cases[i].failure_count;
        entry.failing_since_ms = entry.failed_ms = NOW_MS;
        int64_t first = sts_entry_next_refresh_ms(&entry, NOW_MS, 0);
        int64_t last = sts_entry_next_refresh_ms(&entry, NOW_MS, UINT32_MAX);
        print_message("failure %u, %lld ms left\n", cases[i].failure_count, (long long)cases[i].left_ms);
        assert_int_equal(first, cases[i].earliest_ms == -1 ? 0 : NOW_MS + cases[i].earliest_ms);
        assert_true(last >= first);
        assert_true(last - NOW_MS <= cases[i].earliest_ms * 3 / 2 || last == 0);
    }
}

/* However it is asked: never within five minutes, never at or after expiry. */
static void test_refresh_bounds(void **state)
{
    (void)state;
    uint32_t dice = 1;
    for (int i = 0; i < 100000; i++) {
        dice = dice * 1664525u + 1013904223u;
        struct sts_entry entry = policy_entry(NOW_MS - dice % (40 * 86400) * SECOND_MS, (dice >> 7) % STS_MAX_AGE_S);
        entry.failure_count = dice % 12;
        entry.failing_since_ms = entry.failure_count > 0 ? NOW_MS : 0;
        int64_t at_ms = sts_entry_next_refresh_ms(&entry, NOW_MS, dice);
        if (at_ms == 0)
            assert_true(!sts_entry_is_live(&entry, NOW_MS + 5 * MINUTE_MS));
        else
            assert_true(at_ms >= NOW_MS + 5 * MINUTE_MS && at_ms < sts_entry_expires_ms(&entry));
        assert_true(at_ms <= NOW_MS + 30 * HOUR_MS);
    }
}

static struct sts_entry policy_entry(int64_t fetched_ms, uint32_t max_age_s)
{
    return (struct sts_entry){.has_policy = true,
                              .policy = {.mode = STS_MODE_ENFORCE, .max_age_s = max_age_s},
                              .fetched_ms = fetched_ms,
                              .first_fetched_ms = fetched_ms};
}

static struct sts_entry full_entry(void)
{
    static const struct slice mx[] = {TEXT("*.example.com")};
    return (struct sts_entry){
        .has_policy = true,
        .policy = {.mode = STS_MODE_TESTING, .max_age_s = 604800, .mx = mx, .mx_count = 1},
        .body = full_body,
        .body_size = 70,
        .fetch_count = 2,
        .is_lapse_told = true,
        .is_overdue_told = true,
        .exempt_level = STS_EXEMPT_ENCRYPT,
        .id = "20160831085700Z",
        .fetched_ms = NOW_MS,
        .first_fetched_ms = NOW_MS - DAY_MS,
        .used_ms = NOW_MS + 1,
        .failed_id = "abcdefghijklmnopqrstuvwxyz012345",
        .failed_ms = NOW_MS + 2,
        .failing_since_ms = NOW_MS + 3,
        .failure_count = 4,
        .failure = SLICE("HTTP status 404"),
        .record_gone = true,
        .refresh_ms = NOW_MS + 5,
        .exempt_until_ms = NOW_MS + 6,
        .exempt_reason = SLICE("a reason"),
    };
}

static void expect_equal(const struct sts_entry *a, const struct sts_entry *b)
{
    assert_int_equal(a->has_policy, b->has_policy);
    assert_int_equal(a->policy.mode, b->policy.mode);
    assert_int_equal(a->policy.max_age_s, b->policy.max_age_s);
    assert_int_equal(a->policy.mx_count, b->policy.mx_count);
    for (size_t i = 0; i < a->policy.mx_count; i++)
        assert_true(slice_equal(a->policy.mx[i], b->policy.mx[i]));
    assert_true(slice_equal(a->body, b->body));
    assert_int_equal(a->body_size, b->body_size);
    assert_int_equal(a->fetch_count, b->fetch_count);
    assert_int_equal(a->is_lapse_told, b->is_lapse_told);
    assert_int_equal(a->is_overdue_told, b->is_overdue_told);
    assert_int_equal(a->exempt_level, b->exempt_level);
    assert_string_equal(a->id, b->id);
    assert_int_equal(a->fetched_ms, b->fetched_ms);
    assert_int_equal(a->first_fetched_ms, b->first_fetched_ms);
    assert_int_equal(a->used_ms, b->used_ms);
    assert_string_equal(a->failed_id, b->failed_id);
    assert_int_equal(a->failed_ms, b->failed_ms);
    assert_int_equal(a->failing_since_ms, b->failing_since_ms);
    assert_int_equal(a->failure_count, b->failure_count);
    assert_true(slice_equal(a->failure, b->failure));
    assert_int_equal(a->record_gone, b->record_gone);
    assert_int_equal(a->refresh_ms, b->refresh_ms);
    assert_int_equal(a->exempt_until_ms, b->exempt_until_ms);
    assert_true(slice_equal(a->exempt_reason, b->exempt_reason));
}

static void set_crc(struct buffer *stored)
{
    buffer_truncate(stored, buffer_length(stored) - 4);
    buffer_add_u32(stored, text_crc32c(buffer_slice(stored)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_damage_is_seen),
        cmocka_unit_test(test_wrong_contents_are_seen),
        cmocka_unit_test(test_the_form_before_is_read),
        cmocka_unit_test(test_size),
        cmocka_unit_test(test_ids_fit),
        cmocka_unit_test(test_memory_limits),
        cmocka_unit_test(test_life),
        cmocka_unit_test(test_back_off),
        cmocka_unit_test(test_refresh_after_success),
        cmocka_unit_test(test_refresh_after_failure),
        cmocka_unit_test(test_refresh_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
