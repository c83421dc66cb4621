/* The property that all else is for: whoever controls DNS and the network, but no certificate, cannot end a policy that
 * is in force. */
#include "test/unit/sts_lookup.h"

static uint32_t roll(uint64_t *dice, uint32_t bound)
{
    *dice ^= *dice << 13;
    *dice ^= *dice >> 7;
    *dice ^= *dice << 17;
    return (uint32_t)((*dice >> 16) % bound);
}

static const char *const attacks_https[] = {
    FAILS,
    "",
    "garbage",
    INVALID,
    "version: STSv1\nmode: none\n",
    "<html>",
    "version: STSv2\nmode: none\nmax_age: 1\n",
    "version: STSv1\nmode: none\nmax_age: -1\n",
    "mode: none\nmax_age: 86400\n",
};
static const char *const attacks_txt[] = {
    "",
    "v=STSv1",
    "v=STSv1;",
    "garbage",
    ID("1"),
    ID("2"),
    ID("3"),
    "v=STSv1; id=",
    "v=STSv1; id=none; mode=none",
    "v=spf1 -all",
    "v=STSv2; id=1",
};

/* One lookup in the attacker's world. */
static struct sts_lookup_result attacked(const struct sts_entry *entry, int64_t now_ms, uint64_t *dice,
                                         struct arena *arena)
{
    struct sts_lookup lookup;
    struct slice texts[2];
    for (size_t i = 0; i < 2; i++)
        texts[i] = slice_of(attacks_txt[roll(dice, sizeof attacks_txt / sizeof *attacks_txt)]);
    sts_lookup_start(&lookup, &(struct sts_lookup_request){.domain = SLICE("example.com"),
                                                           .purpose = (enum sts_lookup_purpose)roll(dice, 3),
                                                           .cached = entry,
                                                           .now_ms = now_ms,
                                                           .arena = arena});
    sts_lookup_txt(&lookup, (enum sts_txt_status)roll(dice, 3), texts, roll(dice, 3), SLICE("attack"));
    if (sts_lookup_next(&lookup) == STS_LOOKUP_HTTPS) {
        const char *body = attacks_https[roll(dice, sizeof attacks_https / sizeof *attacks_https)];
        if (body == NULL)
            sts_lookup_fetch_failed(&lookup, SLICE("attack"));
        else
            sts_lookup_body(&lookup, slice_of(body));
    }
    return *sts_lookup_result(&lookup);
}

/* Through the store, as after a restart, whenever the machine says so; else the change is lost, as in a crash. */
static void restart(struct sts_entry *entry, const struct sts_lookup_result *result, struct arena **arena)
{
    struct arena *fresh = arena_new(1 << 20);
    struct buffer stored;
    buffer_init(&stored, 1 << 20);
    sts_entry_encode(result->store ? &result->entry : entry, &stored);
    assert_int_equal(sts_entry_decode(buffer_slice(&stored), fresh, entry), ERR_NONE);
    buffer_free(&stored);
    arena_free(arena);
    *arena = fresh;
}

static void expect_enforced(const struct sts_lookup_result *result)
{
    assert_true(result->has_policy);
    assert_int_equal(result->entry.policy.mode, STS_MODE_ENFORCE);
    assert_true(sts_policy_admits(&result->entry.policy, SLICE("mx.example.com")));
    assert_false(sts_policy_admits(&result->entry.policy, SLICE("mx.attacker.example")));
    assert_true(result->source == STS_SOURCE_CACHED || result->source == STS_SOURCE_KEPT);
}

static void test_attacks_do_not_end_a_policy(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 300; seed++) {
        uint64_t dice = seed * UINT64_C(0x9e3779b97f4a7c15);
        struct arena *arena = arena_new(1 << 20);
        struct sts_entry entry = entry_of(&(struct cached){.body = ENFORCE, .id = "1"}, arena);
        const int64_t expires_ms = NOW_MS + 7 * DAY_MS;
        int64_t now_ms = NOW_MS, last_ms = 0;
        while (now_ms < expires_ms + DAY_MS) {
            struct sts_lookup_result result = attacked(&entry, now_ms, &dice, arena);
            if (now_ms < expires_ms)
                expect_enforced(&result);
            else
                assert_false(result.has_policy);
            assert_int_equal(result.entry.fetched_ms, NOW_MS);
            restart(&entry, &result, &arena);
            last_ms = now_ms;
            now_ms += roll(&dice, (uint32_t)(6 * HOUR_MS));
        }
        assert_true(last_ms >= expires_ms); /* the days after it were seen too */
        arena_free(&arena);
    }
}

/* With a clock that steps back and forth: never dead before its time, and never alive beyond max_age after the last
 * step back. */
static void test_clock_steps_do_not_end_a_policy(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 300; seed++) {
        uint64_t dice = seed * UINT64_C(0x9e3779b97f4a7c15);
        struct arena *arena = arena_new(1 << 20);
        struct sts_entry entry = entry_of(&(struct cached){.body = ENFORCE, .id = "1"}, arena);
        int64_t now_ms = NOW_MS, least_ms = NOW_MS;
        for (int step = 0; step < 100; step++) {
            struct sts_lookup_result result = attacked(&entry, now_ms, &dice, arena);
            least_ms = now_ms < least_ms ? now_ms : least_ms;
            if (now_ms < least_ms + 7 * DAY_MS)
                expect_enforced(&result);
            else
                assert_false(result.has_policy);
            restart(&entry, &result, &arena);
            now_ms += (int64_t)roll(&dice, (uint32_t)(24 * HOUR_MS)) - (roll(&dice, 4) == 0 ? 2 * DAY_MS : 0);
        }
        arena_free(&arena);
    }
}

static void test_attacks_are_attacks(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof attacks_https / sizeof *attacks_https; i++) {
        struct arena *arena = arena_new(1 << 20);
        struct sts_policy policy;
        struct sts_fault fault;
        assert_true(attacks_https[i] == NULL || !sts_policy_parse(slice_of(attacks_https[i]), arena, &policy, &fault));
        arena_free(&arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_attacks_are_attacks),
        cmocka_unit_test(test_attacks_do_not_end_a_policy),
        cmocka_unit_test(test_clock_steps_do_not_end_a_policy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
