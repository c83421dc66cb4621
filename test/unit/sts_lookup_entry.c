/* What a lookup writes down in the entry, and what comes of it later. */
#include "base/idna.h"
#include "test/unit/sts_lookup.h"

static const struct cached live = {.body = ENFORCE, .id = "1", .age_ms = DAY_MS};
static const struct cached expired = {.body = ENFORCE, .id = "1", .age_ms = 7 * DAY_MS};

static void test_failures_are_counted(void **state)
{
    (void)state;
    struct arena *arena = arena_new(1 << 20);
    struct sts_entry entry = entry_of(&live, arena);
    entry.refresh_ms = NOW_MS + HOUR_MS;
    entry = look_up(&entry, ID("2"), FAILS, NOW_MS, arena).entry;
    assert_string_equal(entry.failed_id, "2");
    assert_string_equal(entry.id, "1");
    assert_int_equal(entry.failed_ms, NOW_MS);
    assert_int_equal(entry.failing_since_ms, NOW_MS);
    assert_int_equal(entry.failure_count, 1);
    assert_int_equal(entry.refresh_ms, 0);
    entry = look_up(&entry, ID("2"), INVALID, NOW_MS + HOUR_MS, arena).entry;
    assert_int_equal(entry.failed_ms, NOW_MS + HOUR_MS);
    assert_int_equal(entry.failing_since_ms, NOW_MS);
    assert_int_equal(entry.failure_count, 2);
    assert_int_equal(entry.fetched_ms, NOW_MS - DAY_MS); /* only a success counts for expiry */
    entry = look_up(&entry, ID("2"), ENFORCE_OTHER, NOW_MS + 2 * HOUR_MS, arena).entry;
    assert_string_equal(entry.failed_id, "");
    assert_int_equal(entry.failed_ms, 0);
    assert_int_equal(entry.failing_since_ms, 0);
    assert_int_equal(entry.failure_count, 0);
    assert_int_equal(entry.failure.length, 0);
    assert_string_equal(entry.id, "2");
    assert_int_equal(entry.fetched_ms, NOW_MS + 2 * HOUR_MS);
    assert_int_equal(entry.first_fetched_ms, NOW_MS - DAY_MS); /* the series was not broken */
    assert_true(slice_equal(entry.body, SLICE(ENFORCE_OTHER)));
    entry = look_up(&entry, ID("2"), ENFORCE, NOW_MS + 30 * DAY_MS, arena).entry;
    assert_int_equal(entry.first_fetched_ms, NOW_MS + 30 * DAY_MS);
    arena_free(&arena);
}

/* An administrator may want an expired policy to bind on: the entry still has it. */
static void test_expired_policy_stays_in_the_entry(void **state)
{
    (void)state;
    struct arena *arena = arena_new(1 << 20);
    struct sts_entry entry = entry_of(&expired, arena);
    struct sts_lookup_result result = look_up(&entry, ID("1"), FAILS, NOW_MS, arena);
    assert_false(result.has_policy);
    assert_true(result.entry.has_policy);
    assert_int_equal(result.entry.policy.mode, STS_MODE_ENFORCE);
    assert_true(slice_equal(result.entry.body, SLICE(ENFORCE)));
    assert_int_equal(sts_entry_expires_ms(&result.entry), NOW_MS);
    arena_free(&arena);
}

static void test_refresh_without_record_keeps_the_id(void **state)
{
    (void)state;
    struct arena *arena = arena_new(1 << 20);
    struct sts_entry entry = entry_of(&live, arena);
    entry.used_ms = NOW_MS - HOUR_MS;
    const struct slice texts[2] = {SLICE_EMPTY, SLICE_EMPTY};
    struct sts_lookup lookup;
    sts_lookup_start(&lookup, &(struct sts_lookup_request){.domain = SLICE("example.com"),
                                                           .now_ms = NOW_MS,
                                                           .cached = &entry,
                                                           .arena = arena,
                                                           .purpose = STS_LOOKUP_REFRESH});
    run(&lookup, STS_TXT_NONE, texts, ENFORCE);
    const struct sts_lookup_result *result = sts_lookup_result(&lookup);
    assert_string_equal(result->entry.id, "1");
    assert_int_equal(result->entry.fetched_ms, NOW_MS);
    assert_true(result->entry.record_gone);
    assert_int_equal(result->entry.used_ms, entry.used_ms); /* a refresh is no use */
    assert_int_equal(result->record_id.length, 0);
    assert_false(look_up(&result->entry, ID("1"), NOT_ASKED, NOW_MS, arena).entry.record_gone);
    arena_free(&arena);
}

static void test_use_is_stored_once_an_hour(void **state)
{
    (void)state;
    struct arena *arena = arena_new(1 << 20);
    struct sts_entry entry = entry_of(&live, arena);
    entry.used_ms = NOW_MS - HOUR_MS + 1;
    struct sts_lookup_result result = look_up(&entry, ID("1"), NOT_ASKED, NOW_MS, arena);
    assert_false(result.store);
    assert_int_equal(result.entry.used_ms, NOW_MS);
    result = look_up(&entry, ID("1"), NOT_ASKED, NOW_MS + 1, arena);
    assert_true(result.store);
    assert_int_equal(result.entry.used_ms, NOW_MS + 1);
    assert_true(slice_equal(result.record_id, SLICE("1")));
    arena_free(&arena);
}

/* A clock that was ahead leaves a policy fetched in the future: it holds, and from now on it ages. */
static void test_clock_steps_back(void **state)
{
    (void)state;
    struct arena *arena = arena_new(1 << 20);
    struct sts_entry entry = entry_of(&live, arena);
    entry.fetched_ms = entry.first_fetched_ms = entry.used_ms = NOW_MS + 400 * DAY_MS;
    entry.failing_since_ms = entry.failed_ms = NOW_MS + 400 * DAY_MS;
    entry.refresh_ms = NOW_MS + 401 * DAY_MS;
    struct sts_lookup_result result = look_up(&entry, ID("1"), NOT_ASKED, NOW_MS, arena);
    assert_int_equal(result.source, STS_SOURCE_CACHED);
    assert_true(result.store);
    assert_int_equal(result.entry.fetched_ms, NOW_MS);
    assert_int_equal(result.entry.first_fetched_ms, NOW_MS);
    assert_int_equal(result.entry.failing_since_ms, NOW_MS);
    assert_int_equal(result.entry.used_ms, NOW_MS);
    assert_int_equal(result.entry.refresh_ms, 0);
    result = look_up(&result.entry, NULL, NOT_ASKED, NOW_MS + 7 * DAY_MS - 1, arena);
    assert_int_equal(result.source, STS_SOURCE_KEPT);
    result = look_up(&result.entry, NULL, NOT_ASKED, NOW_MS + 7 * DAY_MS, arena);
    assert_int_equal(result.source, STS_SOURCE_NONE);
    arena_free(&arena);
}

static void test_exemption_stays(void **state)
{
    (void)state;
    struct arena *arena = arena_new(1 << 20);
    struct sts_entry entry = {.exempt_until_ms = NOW_MS + DAY_MS, .exempt_reason = SLICE("a reason")};
    entry = look_up(&entry, ID("1"), ENFORCE, NOW_MS, arena).entry;
    entry = look_up(&entry, ID("2"), FAILS, NOW_MS, arena).entry;
    assert_true(sts_entry_is_exempt(&entry, NOW_MS));
    assert_true(slice_equal(entry.exempt_reason, SLICE("a reason")));
    arena_free(&arena);
}

/* The body belongs to whoever fetched it and is gone after the call. */
static void test_body_is_copied(void **state)
{
    (void)state;
    struct arena *arena = arena_new(1 << 20);
    char body[] = ENFORCE;
    const struct slice text = SLICE(ID("1"));
    struct sts_lookup lookup;
    sts_lookup_start(&lookup,
                     &(struct sts_lookup_request){.domain = SLICE("example.com"), .now_ms = NOW_MS, .arena = arena});
    sts_lookup_txt(&lookup, STS_TXT_FOUND, &text, 1, SLICE_EMPTY);
    sts_lookup_body(&lookup, slice_make(body, sizeof body - 1));
    memset(body, 'x', sizeof body);
    const struct sts_lookup_result *result = sts_lookup_result(&lookup);
    assert_true(slice_equal(result->entry.body, SLICE(ENFORCE)));
    assert_true(sts_policy_admits(&result->entry.policy, SLICE("mx.example.com")));
    arena_free(&arena);
}

#define MANY_MX                                                                                                        \
    "mx: mx1.example.net\nmx: mx2.example.net\nmx: mx3.example.net\nmx: mx4.example.net\nmx: mx5.example.net\n"
#define ENFORCE_MANY ENFORCE MANY_MX MANY_MX MANY_MX MANY_MX

/* Short of memory, a policy in force still applies, and without one mail waits rather than goes without. */
static void test_memory_limits(void **state)
{
    (void)state;
    struct arena *arena = arena_new(1 << 20);
    struct sts_entry entry = entry_of(&live, arena);
    bool was_fresh = false;
    for (size_t limit = 0; limit < 3000; limit++) {
        struct arena *small = arena_new(limit);
        struct sts_lookup_result with = look_up(&entry, ID("2"), ENFORCE_MANY, NOW_MS, small);
        assert_true(with.has_policy && with.entry.policy.mode == STS_MODE_ENFORCE);
        assert_true(with.source == STS_SOURCE_KEPT || with.source == STS_SOURCE_FRESH);
        arena_reset(small);
        struct sts_lookup_result without = look_up(NULL, ID("2"), ENFORCE_MANY, NOW_MS, small);
        assert_true(without.source == STS_SOURCE_UNREADABLE || without.source == STS_SOURCE_FRESH);
        assert_int_equal(without.has_policy, without.source == STS_SOURCE_FRESH);
        was_fresh |= without.has_policy;
        arena_reset(small);
        assert_true(look_up(&entry, ID("2"), FAILS, NOW_MS, small).why.length > 0);
        arena_free(&small);
    }
    assert_true(was_fresh);
    arena_free(&arena);
}

static void vector_unchanged(struct arena *arena)
{
    struct sts_entry entry = entry_of(&(struct cached){.body = ENFORCE, .id = "124"}, arena);
    assert_int_equal(look_up(&entry, ID("124"), NOT_ASKED, NOW_MS, arena).source, STS_SOURCE_CACHED);
}

static void vector_fetch_fails(struct arena *arena)
{
    struct sts_entry entry = entry_of(&(struct cached){.body = ENFORCE, .id = "124"}, arena);
    struct sts_lookup_result result = look_up(&entry, ID("125"), FAILS, NOW_MS, arena);
    assert_int_equal(result.source, STS_SOURCE_KEPT);
    assert_true(result.has_policy && result.entry.policy.mode == STS_MODE_ENFORCE);
}

static void vector_record_gone(struct arena *arena)
{
    struct sts_entry entry = entry_of(&live, arena);
    struct sts_lookup_result result = look_up(&entry, NULL, NOT_ASKED, NOW_MS, arena);
    assert_int_equal(result.source, STS_SOURCE_KEPT);
    assert_true(result.has_policy && result.entry.policy.mode == STS_MODE_ENFORCE);
}

static void vector_back_off(struct arena *arena)
{
    struct sts_entry entry = look_up(NULL, ID("1"), FAILS, NOW_MS, arena).entry;
    struct sts_lookup_result result = look_up(&entry, ID("1"), NOT_ASKED, NOW_MS + 5 * MINUTE_MS - 1, arena);
    assert_int_equal(result.source, STS_SOURCE_UNAVAILABLE);
    assert_false(result.has_policy);
}

static void vector_expired(struct arena *arena)
{
    struct sts_entry entry = look_up(NULL, ID("1"), "version: STSv1\nmode: none\nmax_age: 1\n", NOW_MS, arena).entry;
    assert_int_equal(look_up(&entry, ID("1"), ENFORCE, NOW_MS + 2 * SECOND_MS, arena).source, STS_SOURCE_FRESH);
}

static void vector_bad_store(struct arena *arena)
{
    struct sts_entry entry;
    struct buffer stored;
    assert_int_equal(sts_entry_decode(SLICE("this is no entry"), arena, &entry), ERR_CORRUPT);
    entry = (struct sts_entry){.has_policy = true};
    buffer_init(&stored, 10000);
    sts_entry_encode(&entry, &stored);
    stored.data[1 + 1 + 7 * 8 + 4 + 3 * 4] = 3; /* the mode */
    buffer_truncate(&stored, buffer_length(&stored) - 4);
    buffer_add_u32(&stored, text_crc32c(buffer_slice(&stored)));
    assert_int_equal(sts_entry_decode(buffer_slice(&stored), arena, &entry), ERR_CORRUPT);
    buffer_free(&stored);
    assert_int_equal(look_up(NULL, ID("1"), ENFORCE, NOW_MS, arena).source, STS_SOURCE_FRESH);
}

/* No such domain gets as far as a key. */
static void vector_slash(struct arena *arena)
{
    struct slice canonical;
    assert_int_equal(idna_canonical(SLICE("../../etc/passwd"), arena, &canonical), ERR_SYNTAX);
    assert_int_equal(idna_canonical(SLICE("a/b.example"), arena, &canonical), ERR_SYNTAX);
}

/* Whatever makes a policy be fetched at each look: three times, then once in five minutes; and in between it is applied. */
static void test_no_endless_fetching(void **state)
{
    static const struct {
        const char *name, *body;
        bool changes_id;
    } cases[] = {
        {"max_age 0", ENFORCE_NOW, false},
        {"max_age 1", "version: STSv1\nmode: enforce\nmx: mx.example.com\nmax_age: 1\n", false},
        {"another id at each look", ENFORCE, true},
        {"both", ENFORCE_NOW, true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct arena *arena = arena_new(1 << 20);
        struct sts_entry entry = {.failure = SLICE_EMPTY};
        size_t fetches = 0;
        char record[64];
        print_message("%s\n", cases[i].name);
        for (int k = 0; k < 60; k++) { /* each minute */
            struct sts_lookup lookup;
            struct slice text = text_print(record, sizeof record, ID("%d"), cases[i].changes_id ? k : 0);
            sts_lookup_start(&lookup, &(struct sts_lookup_request){.domain = SLICE("example.com"),
                                                                   .cached = k == 0 ? NULL : &entry,
                                                                   .now_ms = NOW_MS + k * MINUTE_MS,
                                                                   .arena = arena});
            sts_lookup_txt(&lookup, STS_TXT_FOUND, &text, 1, SLICE_EMPTY);
            if (sts_lookup_next(&lookup) == STS_LOOKUP_HTTPS) {
                fetches++;
                sts_lookup_body(&lookup, slice_of(cases[i].body));
            }
            assert_true(sts_lookup_result(&lookup)->has_policy);
            assert_int_equal(sts_lookup_result(&lookup)->entry.policy.mode, STS_MODE_ENFORCE);
            entry = sts_lookup_result(&lookup)->entry;
        }
        assert_true(fetches >= 12 && fetches <= 30);
        arena_free(&arena);
    }
}

/* What nobody can read may have been a policy in force: only one that is fetched now ends the wait. */
static void test_a_damaged_entry_holds_mail(void **state)
{
    static const struct {
        const char *name;
        enum sts_txt_status status;
        const char *record, *https;
        enum sts_source source;
    } cases[] = {
        {"all is well", STS_TXT_FOUND, ID("1"), ENFORCE, STS_SOURCE_FRESH},
        {"mode none", STS_TXT_FOUND, ID("1"), NONE, STS_SOURCE_FRESH},
        {"the record is gone", STS_TXT_NONE, NULL, ENFORCE, STS_SOURCE_FRESH},
        {"the fetch fails", STS_TXT_FOUND, ID("1"), FAILS, STS_SOURCE_UNREADABLE},
        {"the policy is invalid", STS_TXT_FOUND, ID("1"), INVALID, STS_SOURCE_UNREADABLE},
        {"the record is gone, and the fetch fails", STS_TXT_NONE, NULL, FAILS, STS_SOURCE_UNREADABLE},
        {"TXT fails, and the fetch", STS_TXT_FAILED, NULL, FAILS, STS_SOURCE_UNREADABLE},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct arena *arena = arena_new(1 << 20);
        struct slice texts[2] = {slice_of(cases[i].record)};
        struct sts_lookup lookup;
        print_message("%s\n", cases[i].name);
        sts_lookup_start(&lookup, &(struct sts_lookup_request){
                                      .domain = SLICE("example.com"), .is_damaged = true, .now_ms = NOW_MS, .arena = arena});
        run(&lookup, cases[i].status, texts, cases[i].https);
        assert_int_equal(sts_lookup_result(&lookup)->source, cases[i].source);
        assert_int_equal(sts_lookup_result(&lookup)->store, cases[i].source == STS_SOURCE_FRESH);
        arena_free(&arena);
    }
}

static void vector_max_age_0(struct arena *arena)
{
    struct sts_lookup_result result = look_up(NULL, ID("1"), ENFORCE_NOW, NOW_MS, arena);
    assert_true(result.has_policy && result.entry.policy.mode == STS_MODE_ENFORCE);
    assert_false(sts_entry_is_live(&result.entry, NOW_MS)); /* what is stored is that it was fetched: it binds nothing */
    result = look_up(&result.entry, NULL, NOT_ASKED, NOW_MS, arena);
    assert_true(result.source == STS_SOURCE_NONE && !result.has_policy);
}

static void test_cache_vectors(void **state)
{
    (void)state;
    static const struct {
        const char *input;
        void (*run)(struct arena *arena);
    } cases[] = {
        {"cached enforce id=124; TXT id=124", vector_unchanged},
        {"cached enforce id=124; TXT id=125; HTTPS fails", vector_fetch_fails},
        {"cached enforce; TXT now absent", vector_record_gone},
        {"no cache; previous fetch failed <5 min ago (back-off record)", vector_back_off},
        {"cached max_age=1, wait 2s", vector_expired},
        {"cache file is not JSON / contains invalid mode", vector_bad_store},
        {"domain containing '/'", vector_slash},
        {"policy max_age 0", vector_max_age_0},
    };
    struct vectors vectors = vectors_open("cache");
    for (struct vector vector; vectors_next(&vectors, &vector);) {
        struct arena *arena = arena_new(1 << 20);
        bool is_known = false;
        print_message("%s\n", vector.name);
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            if (strcmp(cases[i].input, json_string_value(vector.input)) != 0)
                continue;
            cases[i].run(arena);
            is_known = true;
        }
        assert_true(is_known);
        arena_free(&arena);
    }
    vectors_close(&vectors);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_failures_are_counted),
        cmocka_unit_test(test_expired_policy_stays_in_the_entry),
        cmocka_unit_test(test_refresh_without_record_keeps_the_id),
        cmocka_unit_test(test_use_is_stored_once_an_hour),
        cmocka_unit_test(test_clock_steps_back),
        cmocka_unit_test(test_exemption_stays),
        cmocka_unit_test(test_body_is_copied),
        cmocka_unit_test(test_memory_limits),
        cmocka_unit_test(test_no_endless_fetching),
        cmocka_unit_test(test_a_damaged_entry_holds_mail),
        cmocka_unit_test(test_cache_vectors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
