/* A cache, a resolver and a policy host for the tests of sts/lookup. */
#ifndef TEST_UNIT_STS_LOOKUP_H
#define TEST_UNIT_STS_LOOKUP_H

#include "sts/lookup.h"
#include "base/text.h"
#include "test/unit/sts_vectors.h"

#define SECOND_MS INT64_C(1000)
#define MINUTE_MS (60 * SECOND_MS)
#define HOUR_MS (60 * MINUTE_MS)
#define DAY_MS (24 * HOUR_MS)
#define NOW_MS INT64_C(1800000000000)

#define ENFORCE "version: STSv1\nmode: enforce\nmx: mx.example.com\nmax_age: 604800\n"
#define ENFORCE_OTHER "version: STSv1\nmode: enforce\nmx: mx2.example.com\nmax_age: 604800\n"
#define ENFORCE_REMARK "version: STSv1\nmode: enforce\nmx: MX.example.com\nmax_age: 604800\nremark: the same\n"
#define ENFORCE_NOW "version: STSv1\nmode: enforce\nmx: mx.example.com\nmax_age: 0\n"
#define TESTING "version: STSv1\nmode: testing\nmx: mx.example.com\nmax_age: 604800\n"
#define NONE "version: STSv1\nmode: none\nmax_age: 86400\n"
#define INVALID "version: STSv1\nmode: enforce\nmax_age: 604800\n"

#define ID(id) "v=STSv1; id=" id ";"

/* What is in the cache. */
struct cached {
    const char *body; /* NULL: no policy */
    const char *id;
    int64_t age_ms; /* since it was fetched */
    const char *failed_id;
    int64_t failed_age_ms;
    bool record_gone;
};

/* What the policy host answers; NULL: a failure. */
#define FAILS NULL
#define NOT_ASKED "not asked" /* the machine must not want HTTPS at all */

static inline struct sts_entry entry_of(const struct cached *cached, struct arena *arena)
{
    struct sts_entry entry = {.body = SLICE_EMPTY,
                              .failure = SLICE_EMPTY,
                              .exempt_reason = SLICE_EMPTY,
                              .used_ms = NOW_MS,
                              .record_gone = cached->record_gone};
    struct sts_fault fault;
    if (cached->body != NULL) {
        entry.has_policy = true;
        entry.body = slice_of(cached->body);
        entry.fetched_ms = entry.first_fetched_ms = NOW_MS - cached->age_ms;
        assert_true(sts_policy_parse(entry.body, arena, &entry.policy, &fault));
        text_print(entry.id, sizeof entry.id, "%s", cached->id);
    }
    if (cached->failed_id != NULL) {
        entry.failed_ms = entry.failing_since_ms = NOW_MS - cached->failed_age_ms;
        entry.failure_count = 1;
        entry.failure = SLICE("HTTP status 503");
        text_print(entry.failed_id, sizeof entry.failed_id, "%s", cached->failed_id);
    }
    return entry;
}

/* Plays the resolver and the policy host; fails the test when HTTPS is wanted against expectation, or is not. */
static inline void run(struct sts_lookup *lookup, enum sts_txt_status status, const struct slice *texts,
                       const char *https)
{
    bool is_asked = https == FAILS || strcmp(https, NOT_ASKED) != 0;
    size_t count = texts[0].length == 0 ? 0 : texts[1].length == 0 ? 1 : 2;
    assert_int_equal(sts_lookup_next(lookup), STS_LOOKUP_TXT);
    sts_lookup_txt(lookup, status, texts, count, SLICE("SERVFAIL from 192.0.2.53"));
    assert_int_equal(sts_lookup_next(lookup), is_asked ? STS_LOOKUP_HTTPS : STS_LOOKUP_DONE);
    if (https == FAILS)
        sts_lookup_fetch_failed(lookup, SLICE("HTTP status 404"));
    else if (is_asked)
        sts_lookup_body(lookup, slice_of(https));
    assert_int_equal(sts_lookup_next(lookup), STS_LOOKUP_DONE);
}

/* A delivery asks; record NULL: there is none. */
static inline struct sts_lookup_result look_up(const struct sts_entry *cached, const char *record, const char *https,
                                               int64_t now_ms, struct arena *arena)
{
    struct sts_lookup lookup;
    struct slice texts[2] = {slice_of(record)};
    sts_lookup_start(&lookup, &(struct sts_lookup_request){
                                  .domain = SLICE("example.com"), .cached = cached, .now_ms = now_ms, .arena = arena});
    run(&lookup, record == NULL ? STS_TXT_NONE : STS_TXT_FOUND, texts, https);
    return *sts_lookup_result(&lookup);
}

#endif
