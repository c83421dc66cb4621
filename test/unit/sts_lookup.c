/* Finding the policy of a domain: RFC 8461 3.3, 5.1, 10.2, and what is decided beyond, case by case. */
#include "test/unit/sts_lookup.h"

static const struct cached live = {.body = ENFORCE, .id = "1", .age_ms = DAY_MS};
static const struct cached live_none = {.body = NONE, .id = "1", .age_ms = HOUR_MS};
static const struct cached live_gone = {.body = ENFORCE, .id = "1", .age_ms = DAY_MS, .record_gone = true};
static const struct cached live_young = {.body = ENFORCE, .id = "1", .age_ms = 4 * MINUTE_MS};
static const struct cached live_failing = {.body = ENFORCE, .id = "1", .age_ms = DAY_MS, .failed_id = "2",
                                           .failed_age_ms = 4 * MINUTE_MS};
static const struct cached live_failed = {.body = ENFORCE, .id = "1", .age_ms = DAY_MS, .failed_id = "2",
                                          .failed_age_ms = 5 * MINUTE_MS};
static const struct cached expired = {.body = ENFORCE, .id = "1", .age_ms = 7 * DAY_MS};
static const struct cached expired_gone = {.body = ENFORCE, .id = "1", .age_ms = 7 * DAY_MS, .record_gone = true};
static const struct cached failing = {.failed_id = "1", .failed_age_ms = 4 * MINUTE_MS};
static const struct cached failed = {.failed_id = "1", .failed_age_ms = 5 * MINUTE_MS};

enum { POLICY = 1, STORE = 2, CHANGED = 4, WEAKENED = 8, FAILED = 16, GONE = 32 };

struct lookup_case {
    const char *name;
    enum sts_lookup_purpose purpose;
    const struct cached *cached;
    enum sts_txt_status status;
    struct slice texts[2];
    const char *https;
    enum sts_source source;
    unsigned facts;
    enum sts_mode mode; /* with POLICY */
    const char *why;    /* part of it; NULL: empty */
};

#define MODE_ENFORCE .mode = STS_MODE_ENFORCE

static const struct lookup_case lookup_cases[] = {
    /* ---- nothing cached ---- */
    {.name = "no record", .status = STS_TXT_NONE, .https = NOT_ASKED, .source = STS_SOURCE_NONE,
     .why = "there is no MTA-STS record"},
    {.name = "other records only", .texts = {TEXT("v=spf1 -all"), TEXT("x")}, .https = NOT_ASKED,
     .source = STS_SOURCE_NONE, .why = "there is no MTA-STS record"},
    {.name = "two records", .texts = {TEXT(ID("1")), TEXT(ID("2"))}, .https = NOT_ASKED, .source = STS_SOURCE_NONE,
     .why = "more than one"},
    {.name = "invalid record", .texts = {TEXT("v=STSv1; id=a-b")}, .https = NOT_ASKED, .source = STS_SOURCE_NONE,
     .why = "the id is not"},
    {.name = "TXT lookup fails", .status = STS_TXT_FAILED, .https = NOT_ASKED, .source = STS_SOURCE_UNKNOWN,
     .why = "the TXT lookup of _mta-sts.example.com failed: SERVFAIL from 192.0.2.53"},
    {.name = "first policy", .texts = {TEXT(ID("1"))}, .https = ENFORCE, .source = STS_SOURCE_FRESH,
     .facts = POLICY | STORE, MODE_ENFORCE},
    {.name = "first policy, mode none", .texts = {TEXT(ID("1"))}, .https = NONE, .source = STS_SOURCE_FRESH,
     .facts = POLICY | STORE, .mode = STS_MODE_NONE},
    {.name = "first policy, max_age 0", .texts = {TEXT(ID("1"))}, .https = ENFORCE_NOW, .source = STS_SOURCE_FRESH,
     .facts = POLICY | STORE, MODE_ENFORCE},
    {.name = "fetch fails", .texts = {TEXT(ID("1"))}, .https = FAILS, .source = STS_SOURCE_UNAVAILABLE,
     .facts = STORE | FAILED, .why = "the policy fetch from mta-sts.example.com failed: HTTP status 404"},
    {.name = "invalid policy", .texts = {TEXT(ID("1"))}, .https = INVALID, .source = STS_SOURCE_UNAVAILABLE,
     .facts = STORE | FAILED, .why = "the policy is invalid: there is no mx field"},
    {.name = "invalid line", .texts = {TEXT(ID("1"))}, .https = "version: STSv1\nmx: -\n",
     .source = STS_SOURCE_UNAVAILABLE, .facts = STORE | FAILED, .why = "the policy is invalid, line 2: an mx is not"},
    {.name = "refresh of an unknown domain", .purpose = STS_LOOKUP_REFRESH, .status = STS_TXT_NONE, .https = NOT_ASKED,
     .source = STS_SOURCE_NONE, .why = "there is no"},
    {.name = "renewal of an unknown domain", .purpose = STS_LOOKUP_RENEW, .status = STS_TXT_FAILED, .https = NOT_ASKED,
     .source = STS_SOURCE_UNKNOWN, .why = "failed"},
    /* ---- only a failure cached ---- */
    {.name = "same id within back-off", .cached = &failing, .texts = {TEXT(ID("1"))}, .https = NOT_ASKED,
     .source = STS_SOURCE_UNAVAILABLE, .why = "within five minutes of a failure: HTTP status 503"},
    {.name = "same id after back-off", .cached = &failed, .texts = {TEXT(ID("1"))}, .https = ENFORCE,
     .source = STS_SOURCE_FRESH, .facts = POLICY | STORE, MODE_ENFORCE},
    {.name = "same id after back-off fails again", .cached = &failed, .texts = {TEXT(ID("1"))}, .https = FAILS,
     .source = STS_SOURCE_UNAVAILABLE, .facts = STORE | FAILED, .why = "404"},
    {.name = "another id within back-off", .cached = &failing, .texts = {TEXT(ID("2"))}, .https = ENFORCE,
     .source = STS_SOURCE_FRESH, .facts = POLICY | STORE, MODE_ENFORCE},
    {.name = "TXT fails within back-off", .cached = &failing, .status = STS_TXT_FAILED, .https = NOT_ASKED,
     .source = STS_SOURCE_UNKNOWN, .why = "SERVFAIL"},
    {.name = "refresh within back-off", .purpose = STS_LOOKUP_REFRESH, .cached = &failing, .texts = {TEXT(ID("1"))},
     .https = ENFORCE, .source = STS_SOURCE_FRESH, .facts = POLICY | STORE, MODE_ENFORCE},
    /* ---- a policy in force ---- */
    {.name = "id unchanged", .cached = &live, .texts = {TEXT(ID("1"))}, .https = NOT_ASKED,
     .source = STS_SOURCE_CACHED, .facts = POLICY, MODE_ENFORCE},
    {.name = "id unchanged, record was gone before", .cached = &live_gone, .texts = {TEXT(ID("1"))}, .https = NOT_ASKED,
     .source = STS_SOURCE_CACHED, .facts = POLICY | STORE, MODE_ENFORCE},
    {.name = "id changed", .cached = &live, .texts = {TEXT(ID("2"))}, .https = ENFORCE_OTHER,
     .source = STS_SOURCE_FRESH, .facts = POLICY | STORE | CHANGED, MODE_ENFORCE},
    {.name = "id changed, same policy", .cached = &live, .texts = {TEXT(ID("2"))}, .https = ENFORCE_REMARK,
     .source = STS_SOURCE_FRESH, .facts = POLICY | STORE, MODE_ENFORCE},
    {.name = "id changed, now testing", .cached = &live, .texts = {TEXT(ID("2"))}, .https = TESTING,
     .source = STS_SOURCE_FRESH, .facts = POLICY | STORE | CHANGED | WEAKENED, .mode = STS_MODE_TESTING},
    {.name = "id changed, now none", .cached = &live, .texts = {TEXT(ID("2"))}, .https = NONE,
     .source = STS_SOURCE_FRESH, .facts = POLICY | STORE | CHANGED | WEAKENED, .mode = STS_MODE_NONE},
    {.name = "id changed, from none to enforce", .cached = &live_none, .texts = {TEXT(ID("2"))}, .https = ENFORCE,
     .source = STS_SOURCE_FRESH, .facts = POLICY | STORE | CHANGED, MODE_ENFORCE},
    {.name = "id changed, from none to testing", .cached = &live_none, .texts = {TEXT(ID("2"))}, .https = TESTING,
     .source = STS_SOURCE_FRESH, .facts = POLICY | STORE | CHANGED, .mode = STS_MODE_TESTING},
    {.name = "id changed, max_age 0 ends the one in force", .cached = &live, .texts = {TEXT(ID("2"))},
     .https = ENFORCE_NOW, .source = STS_SOURCE_FRESH, .facts = POLICY | STORE | CHANGED, MODE_ENFORCE},
    {.name = "id changed, fetch fails", .cached = &live, .texts = {TEXT(ID("2"))}, .https = FAILS,
     .source = STS_SOURCE_KEPT, .facts = POLICY | STORE | FAILED, MODE_ENFORCE, .why = "404"},
    {.name = "id changed, invalid policy", .cached = &live, .texts = {TEXT(ID("2"))}, .https = INVALID,
     .source = STS_SOURCE_KEPT, .facts = POLICY | STORE | FAILED, MODE_ENFORCE, .why = "no mx"},
    {.name = "id changed, within back-off", .cached = &live_failing, .texts = {TEXT(ID("2"))}, .https = NOT_ASKED,
     .source = STS_SOURCE_KEPT, .facts = POLICY, MODE_ENFORCE, .why = "503"},
    {.name = "id changed, after back-off", .cached = &live_failed, .texts = {TEXT(ID("2"))}, .https = ENFORCE_OTHER,
     .source = STS_SOURCE_FRESH, .facts = POLICY | STORE | CHANGED, MODE_ENFORCE},
    {.name = "id changed back, within back-off", .cached = &live_failing, .texts = {TEXT(ID("1"))}, .https = NOT_ASKED,
     .source = STS_SOURCE_CACHED, .facts = POLICY, MODE_ENFORCE},
    {.name = "id changed once more, within back-off", .cached = &live_failing, .texts = {TEXT(ID("3"))},
     .https = FAILS, .source = STS_SOURCE_KEPT, .facts = POLICY | STORE | FAILED, MODE_ENFORCE, .why = "404"},
    {.name = "record gone", .cached = &live, .status = STS_TXT_NONE, .https = NOT_ASKED, .source = STS_SOURCE_KEPT,
     .facts = POLICY | STORE | GONE, MODE_ENFORCE, .why = "there is no MTA-STS record"},
    {.name = "record still gone", .cached = &live_gone, .status = STS_TXT_NONE, .https = NOT_ASKED,
     .source = STS_SOURCE_KEPT, .facts = POLICY | GONE, MODE_ENFORCE, .why = "there is no MTA-STS record"},
    {.name = "two records now", .cached = &live, .texts = {TEXT(ID("1")), TEXT(ID("2"))}, .https = NOT_ASKED,
     .source = STS_SOURCE_KEPT, .facts = POLICY | STORE | GONE, MODE_ENFORCE, .why = "more than one"},
    {.name = "invalid record now", .cached = &live, .texts = {TEXT("v=STSv1;")}, .https = NOT_ASKED,
     .source = STS_SOURCE_KEPT, .facts = POLICY | STORE | GONE, MODE_ENFORCE, .why = "has no id"},
    {.name = "TXT lookup fails now", .cached = &live, .status = STS_TXT_FAILED, .https = NOT_ASKED,
     .source = STS_SOURCE_KEPT, .facts = POLICY, MODE_ENFORCE, .why = "SERVFAIL"},
    {.name = "TXT lookup fails, mode none", .cached = &live_none, .status = STS_TXT_FAILED, .https = NOT_ASKED,
     .source = STS_SOURCE_KEPT, .facts = POLICY, .mode = STS_MODE_NONE, .why = "SERVFAIL"},
    /* ---- refresh ---- */
    {.name = "refresh, id unchanged", .purpose = STS_LOOKUP_REFRESH, .cached = &live, .texts = {TEXT(ID("1"))},
     .https = ENFORCE, .source = STS_SOURCE_FRESH, .facts = POLICY | STORE, MODE_ENFORCE},
    {.name = "refresh, id unchanged, policy changed", .purpose = STS_LOOKUP_REFRESH, .cached = &live,
     .texts = {TEXT(ID("1"))}, .https = NONE, .source = STS_SOURCE_FRESH,
     .facts = POLICY | STORE | CHANGED | WEAKENED, .mode = STS_MODE_NONE},
    {.name = "refresh, id unchanged, fetch fails", .purpose = STS_LOOKUP_REFRESH, .cached = &live,
     .texts = {TEXT(ID("1"))}, .https = FAILS, .source = STS_SOURCE_KEPT, .facts = POLICY | STORE | FAILED,
     MODE_ENFORCE, .why = "404"},
    {.name = "refresh, record gone", .purpose = STS_LOOKUP_REFRESH, .cached = &live, .status = STS_TXT_NONE,
     .https = ENFORCE, .source = STS_SOURCE_FRESH, .facts = POLICY | STORE | GONE, MODE_ENFORCE, .why = "there is no"},
    {.name = "refresh, all gone", .purpose = STS_LOOKUP_REFRESH, .cached = &live, .status = STS_TXT_NONE,
     .https = FAILS, .source = STS_SOURCE_KEPT, .facts = POLICY | STORE | FAILED | GONE, MODE_ENFORCE, .why = "404"},
    {.name = "refresh, TXT fails", .purpose = STS_LOOKUP_REFRESH, .cached = &live, .status = STS_TXT_FAILED,
     .https = ENFORCE, .source = STS_SOURCE_FRESH, .facts = POLICY | STORE, MODE_ENFORCE, .why = "SERVFAIL"},
    {.name = "refresh, both fail", .purpose = STS_LOOKUP_REFRESH, .cached = &live, .status = STS_TXT_FAILED,
     .https = FAILS, .source = STS_SOURCE_KEPT, .facts = POLICY | STORE | FAILED, MODE_ENFORCE, .why = "404"},
    {.name = "refresh of an expired policy, record gone", .purpose = STS_LOOKUP_REFRESH, .cached = &expired,
     .status = STS_TXT_NONE, .https = NOT_ASKED, .source = STS_SOURCE_NONE, .why = "there is no"},
    /* ---- renewal ---- */
    {.name = "renewal, id unchanged", .purpose = STS_LOOKUP_RENEW, .cached = &live, .texts = {TEXT(ID("1"))},
     .https = ENFORCE_OTHER, .source = STS_SOURCE_FRESH, .facts = POLICY | STORE | CHANGED, MODE_ENFORCE},
    {.name = "renewal, fetch fails", .purpose = STS_LOOKUP_RENEW, .cached = &live, .texts = {TEXT(ID("1"))},
     .https = FAILS, .source = STS_SOURCE_KEPT, .facts = POLICY | STORE | FAILED, MODE_ENFORCE, .why = "404"},
    {.name = "renewal, fetched minutes ago", .purpose = STS_LOOKUP_RENEW, .cached = &live_young,
     .texts = {TEXT(ID("1"))}, .https = NOT_ASKED, .source = STS_SOURCE_CACHED, .facts = POLICY, MODE_ENFORCE,
     .why = "less than five minutes ago"},
    {.name = "renewal, failed minutes ago", .purpose = STS_LOOKUP_RENEW, .cached = &live_failing,
     .texts = {TEXT(ID("1"))}, .https = NOT_ASKED, .source = STS_SOURCE_CACHED, .facts = POLICY, MODE_ENFORCE,
     .why = "less than five minutes ago"},
    {.name = "renewal, fetched minutes ago, id changed", .purpose = STS_LOOKUP_RENEW, .cached = &live_young,
     .texts = {TEXT(ID("2"))}, .https = ENFORCE_OTHER, .source = STS_SOURCE_FRESH, .facts = POLICY | STORE | CHANGED,
     MODE_ENFORCE},
    {.name = "renewal, record gone", .purpose = STS_LOOKUP_RENEW, .cached = &live, .status = STS_TXT_NONE,
     .https = NONE, .source = STS_SOURCE_FRESH, .facts = POLICY | STORE | GONE | CHANGED | WEAKENED,
     .mode = STS_MODE_NONE, .why = "there is no"},
    {.name = "renewal, TXT fails", .purpose = STS_LOOKUP_RENEW, .cached = &live, .status = STS_TXT_FAILED,
     .https = FAILS, .source = STS_SOURCE_KEPT, .facts = POLICY | STORE | FAILED, MODE_ENFORCE, .why = "404"},
    {.name = "renewal, TXT fails, fetched minutes ago", .purpose = STS_LOOKUP_RENEW, .cached = &live_young,
     .status = STS_TXT_FAILED, .https = NOT_ASKED, .source = STS_SOURCE_KEPT, .facts = POLICY, MODE_ENFORCE,
     .why = "SERVFAIL"},
    /* What binds a message after its expiry is asked for as well: its domain may have withdrawn it. */
    {.name = "renewal of an expired policy, record gone", .purpose = STS_LOOKUP_RENEW, .cached = &expired,
     .status = STS_TXT_NONE, .https = NONE, .source = STS_SOURCE_FRESH, .facts = POLICY | STORE | CHANGED | WEAKENED,
     .mode = STS_MODE_NONE, .why = "there is no"},
    {.name = "renewal of an expired policy, TXT fails", .purpose = STS_LOOKUP_RENEW, .cached = &expired,
     .status = STS_TXT_FAILED, .https = FAILS, .source = STS_SOURCE_UNAVAILABLE, .facts = STORE | FAILED, .why = "404"},
    {.name = "refresh of an expired policy, record gone", .purpose = STS_LOOKUP_REFRESH, .cached = &expired,
     .status = STS_TXT_NONE, .https = NOT_ASKED, .source = STS_SOURCE_NONE, .why = "there is no"},
    /* ---- a policy that expired ---- */
    {.name = "expired, id unchanged", .cached = &expired, .texts = {TEXT(ID("1"))}, .https = ENFORCE,
     .source = STS_SOURCE_FRESH, .facts = POLICY | STORE, MODE_ENFORCE},
    {.name = "expired, fetch fails", .cached = &expired, .texts = {TEXT(ID("1"))}, .https = FAILS,
     .source = STS_SOURCE_UNAVAILABLE, .facts = STORE | FAILED, .why = "404"},
    {.name = "expired, record gone", .cached = &expired, .status = STS_TXT_NONE, .https = NOT_ASKED,
     .source = STS_SOURCE_NONE, .why = "there is no"},
    {.name = "expired, TXT fails", .cached = &expired, .status = STS_TXT_FAILED, .https = NOT_ASKED,
     .source = STS_SOURCE_UNKNOWN, .why = "SERVFAIL"},
    {.name = "expired, the record is back, fetch fails", .cached = &expired_gone, .texts = {TEXT(ID("1"))},
     .https = FAILS, .source = STS_SOURCE_UNAVAILABLE, .facts = STORE | FAILED, .why = "404"},
};

static unsigned facts_of(const struct sts_lookup_result *result);

static void test_lookups(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof lookup_cases / sizeof *lookup_cases; i++) {
        const struct lookup_case *item = &lookup_cases[i];
        struct arena *arena = arena_new(1 << 20);
        struct sts_entry entry = {0};
        if (item->cached != NULL)
            entry = entry_of(item->cached, arena);
        struct sts_lookup lookup;
        sts_lookup_start(&lookup, &(struct sts_lookup_request){.domain = SLICE("example.com"),
                                                               .purpose = item->purpose,
                                                               .cached = item->cached == NULL ? NULL : &entry,
                                                               .now_ms = NOW_MS,
                                                               .arena = arena});
        run(&lookup, item->status, item->texts, item->https);
        const struct sts_lookup_result *result = sts_lookup_result(&lookup);
        print_message("%s: %s, %.*s\n", item->name, sts_source_name(result->source), SLICE_ARGS(result->why));
        assert_int_equal(result->source, item->source);
        assert_int_equal(facts_of(result), item->facts);
        if (result->has_policy)
            assert_int_equal(result->entry.policy.mode, item->mode);
        if (item->why == NULL)
            assert_int_equal(result->why.length, 0);
        else
            assert_true(slice_find_slice(result->why, slice_of(item->why)) < result->why.length);
        arena_free(&arena);
    }
}

static unsigned facts_of(const struct sts_lookup_result *result)
{
    return (result->has_policy ? POLICY : 0u) | (result->store ? STORE : 0u) | (result->changed ? CHANGED : 0u) |
           (result->weakened ? WEAKENED : 0u) | (result->fetch_failed ? FAILED : 0u) |
           (result->record_gone ? GONE : 0u);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lookups),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
