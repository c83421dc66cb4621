#include "sts/lookup.h"

#include <assert.h>
#include <string.h>

#define SECOND_MS INT64_C(1000)
#define HOUR_MS (3600 * SECOND_MS)
#define REFRESH_AHEAD_MAX_MS (48 * HOUR_MS) /* no refresh is planned further ahead */

static void heal_clock(struct sts_entry *entry, int64_t now_ms, bool *store);
static void note_use(struct sts_lookup *lookup);
static void note_record(struct sts_lookup *lookup);
static void without_record(struct sts_lookup *lookup);
static void with_record(struct sts_lookup *lookup);
static void finish_backed_off(struct sts_lookup *lookup);
static void finish_cached(struct sts_lookup *lookup);
static bool wants_fetch(const struct sts_lookup *lookup);
static bool is_live(const struct sts_lookup *lookup);
static bool print_fault(struct arena *arena, const struct sts_fault *fault, struct slice *why);
static void fetched(struct sts_lookup *lookup, const struct sts_policy *policy, struct slice kept, size_t body_size);
static void fetch_failed(struct sts_lookup *lookup, struct slice why);
static void compare(struct sts_lookup_result *result, const struct sts_policy *policy);
static void give_up_memory(struct sts_lookup *lookup);
static void finish(struct sts_lookup *lookup, enum sts_source source);
static void finish_kept_or(struct sts_lookup *lookup, enum sts_source source);

const char *sts_source_name(enum sts_source source)
{
    switch (source) {
#define X(name, text)                                                                                                  \
    case STS_SOURCE_##name:                                                                                            \
        return text;
        STS_SOURCE_LIST(X)
#undef X
    }
    return "";
}

void sts_lookup_start(struct sts_lookup *lookup, const struct sts_lookup_request *request)
{
    *lookup = (struct sts_lookup){.request = *request, .step = STS_LOOKUP_TXT};
    lookup->result.why = lookup->result.record_id = SLICE_EMPTY;
    if (request->cached == NULL) {
        lookup->result.entry.body = lookup->result.entry.failure = lookup->result.entry.exempt_reason = SLICE_EMPTY;
        return;
    }
    lookup->result.entry = *request->cached;
    heal_clock(&lookup->result.entry, request->now_ms, &lookup->result.store);
    if (request->purpose != STS_LOOKUP_REFRESH)
        note_use(lookup);
}

enum sts_lookup_step sts_lookup_next(const struct sts_lookup *lookup)
{
    return lookup->step;
}

void sts_lookup_txt(struct sts_lookup *lookup, enum sts_txt_status status, const struct slice *texts, size_t count,
                    struct slice detail)
{
    struct sts_lookup_result *result = &lookup->result;
    const char *why = "there is no MTA-STS record";
    assert(lookup->step == STS_LOOKUP_TXT);
    if (status == STS_TXT_FAILED) {
        if (!arena_print(lookup->request.arena, &result->why, "the TXT lookup of _mta-sts.%.*s failed: %.*s",
                         SLICE_ARGS(lookup->request.domain), SLICE_ARGS(detail)))
            result->why = SLICE("the TXT lookup failed");
        if (wants_fetch(lookup))
            lookup->step = STS_LOOKUP_HTTPS;
        else
            finish_kept_or(lookup, STS_SOURCE_UNKNOWN);
    } else if (status == STS_TXT_FOUND && sts_record_choose(texts, count, &lookup->record, &why)) {
        with_record(lookup);
    } else {
        lookup->record = (struct sts_record){0};
        result->why = slice_of(why);
        without_record(lookup);
    }
}

void sts_lookup_body(struct sts_lookup *lookup, struct slice body)
{
    struct arena *arena = lookup->request.arena;
    struct sts_policy policy;
    struct sts_fault fault;
    struct slice why;
    assert(lookup->step == STS_LOOKUP_HTTPS);
    if (sts_policy_parse(body, arena, &policy, &fault)) {
        struct slice kept;
        if (arena_slice(arena, sts_entry_cut_body(body), &kept))
            fetched(lookup, &policy, kept, body.length);
        else
            give_up_memory(lookup);
    } else if (!fault.out_of_memory && print_fault(arena, &fault, &why)) {
        fetch_failed(lookup, why);
    } else {
        give_up_memory(lookup);
    }
}

void sts_lookup_fetch_failed(struct sts_lookup *lookup, struct slice why)
{
    assert(lookup->step == STS_LOOKUP_HTTPS);
    struct slice copy;
    if (!arena_print(lookup->request.arena, &copy, "the policy fetch from mta-sts.%.*s failed: %.*s",
                     SLICE_ARGS(lookup->request.domain), SLICE_ARGS(why)))
        copy = SLICE("the policy fetch failed");
    fetch_failed(lookup, copy);
}

void sts_lookup_give_up(struct sts_lookup *lookup, struct slice why)
{
    assert(lookup->step != STS_LOOKUP_DONE);
    lookup->result.why = why;
    finish_kept_or(lookup, STS_SOURCE_UNREADABLE);
}

const struct sts_lookup_result *sts_lookup_result(const struct sts_lookup *lookup)
{
    assert(lookup->step == STS_LOOKUP_DONE);
    return &lookup->result;
}

/* A clock that stepped back leaves times in the future. What was fetched then counts as fetched now and is written
 * down, so that the policy neither dies at once nor lives until that future. */
static void heal_clock(struct sts_entry *entry, int64_t now_ms, bool *store)
{
    int64_t *const past[] = {&entry->fetched_ms, &entry->first_fetched_ms, &entry->used_ms, &entry->failed_ms,
                             &entry->failing_since_ms};
    for (size_t i = 0; i < sizeof past / sizeof *past; i++) {
        if (*past[i] <= now_ms)
            continue;
        *past[i] = now_ms;
        *store = true;
    }
    if (entry->refresh_ms > now_ms + REFRESH_AHEAD_MAX_MS) {
        entry->refresh_ms = 0;
        *store = true;
    }
}

/* Once an hour is enough to know which policies are in use; a write for each delivery would be too much. */
static void note_use(struct sts_lookup *lookup)
{
    struct sts_entry *entry = &lookup->result.entry;
    if (entry->used_ms == 0 || lookup->request.now_ms - entry->used_ms >= HOUR_MS)
        lookup->result.store = true;
    entry->used_ms = lookup->request.now_ms;
}

static void with_record(struct sts_lookup *lookup)
{
    struct sts_lookup_result *result = &lookup->result;
    struct slice id = slice_of(lookup->record.id);
    bool is_current = is_live(lookup) && slice_equal(slice_of(result->entry.id), id);
    note_record(lookup);
    if (is_current && wants_fetch(lookup))
        lookup->step = STS_LOOKUP_HTTPS;
    else if (is_current)
        finish_cached(lookup);
    else if (lookup->request.purpose == STS_LOOKUP_REFRESH ||
             sts_entry_may_fetch(&result->entry, id, lookup->request.now_ms))
        lookup->step = STS_LOOKUP_HTTPS;
    else
        finish_backed_off(lookup);
}

/* Where the policy was fetched a moment ago, it stands for one fetched now, whatever its max_age (perhaps 0): to hold mail would be
 * harsher than the domain wants, and to have no policy weaker. */
static void finish_backed_off(struct sts_lookup *lookup)
{
    struct sts_lookup_result *result = &lookup->result;
    if (sts_entry_is_young(&result->entry, lookup->request.now_ms)) {
        result->why = SLICE("it was fetched several times within minutes, and is not fetched again before five more have passed");
        finish(lookup, STS_SOURCE_KEPT);
        return;
    }
    if (!arena_print(lookup->request.arena, &result->why, "not fetched again within five minutes of a failure: %.*s",
                     SLICE_ARGS(result->entry.failure)))
        result->why = result->entry.failure;
    finish_kept_or(lookup, STS_SOURCE_UNAVAILABLE);
}

static void finish_cached(struct sts_lookup *lookup)
{
    if (lookup->request.purpose == STS_LOOKUP_RENEW)
        lookup->result.why = SLICE("the policy was fetched, or could not be, less than five minutes ago");
    finish(lookup, STS_SOURCE_CACHED);
}

/* RFC 8461 3.1: without a usable record the domain has no policy, but one in force stays so. */
static void without_record(struct sts_lookup *lookup)
{
    struct sts_lookup_result *result = &lookup->result;
    if (is_live(lookup)) {
        result->record_gone = true;
        result->store |= !result->entry.record_gone;
        result->entry.record_gone = true;
    }
    if (wants_fetch(lookup))
        lookup->step = STS_LOOKUP_HTTPS;
    else
        finish_kept_or(lookup, STS_SOURCE_NONE);
}

static void note_record(struct sts_lookup *lookup)
{
    struct sts_lookup_result *result = &lookup->result;
    if (!arena_slice(lookup->request.arena, slice_of(lookup->record.id), &result->record_id))
        result->record_id = slice_of(lookup->record.id);
    result->store |= result->entry.record_gone;
    result->entry.record_gone = false;
}

/* Is a policy that binds to be fetched again although the TXT record does not ask for it? Whoever wants it renewed is bound by
 * it, even if it has expired meanwhile. */
static bool wants_fetch(const struct sts_lookup *lookup)
{
    if (lookup->request.is_damaged)
        return true;
    switch (lookup->request.purpose) {
        case STS_LOOKUP_DELIVERY:
            return false;
        case STS_LOOKUP_REFRESH:
            return is_live(lookup);
        case STS_LOOKUP_RENEW:
            return lookup->result.entry.has_policy && sts_entry_may_renew(&lookup->result.entry, lookup->request.now_ms);
    }
    return false;
}

static bool is_live(const struct sts_lookup *lookup)
{
    return sts_entry_is_live(&lookup->result.entry, lookup->request.now_ms);
}

static bool print_fault(struct arena *arena, const struct sts_fault *fault, struct slice *why)
{
    return fault->line == 0 ? arena_print(arena, why, "the policy is invalid: %s", fault->why)
                            : arena_print(arena, why, "the policy is invalid, line %zu: %s", fault->line, fault->why);
}

/* A policy that was validly fetched takes the place of whatever was there. Without a record its id is that of the last
 * record seen, so that the next one with another id is followed. */
static void fetched(struct sts_lookup *lookup, const struct sts_policy *policy, struct slice kept, size_t body_size)
{
    struct sts_lookup_result *result = &lookup->result;
    struct sts_entry *entry = &result->entry;
    int64_t now_ms = lookup->request.now_ms;
    compare(result, policy);
    if (!is_live(lookup))
        entry->first_fetched_ms = now_ms;
    entry->has_policy = true;
    entry->policy = *policy;
    entry->body = kept;
    entry->body_size = (uint32_t)body_size;
    entry->fetch_count = sts_entry_is_young(entry, now_ms) ? entry->fetch_count + 1 : 1;
    entry->fetched_ms = now_ms;
    entry->is_lapse_told = entry->is_overdue_told = false;
    entry->refresh_ms = 0;
    if (lookup->record.id[0] != '\0')
        memcpy(entry->id, lookup->record.id, sizeof entry->id);
    entry->failed_id[0] = '\0';
    entry->failed_ms = entry->failing_since_ms = 0;
    entry->failure_count = 0;
    entry->failure = SLICE_EMPTY;
    if (lookup->request.purpose != STS_LOOKUP_REFRESH)
        entry->used_ms = now_ms;
    result->store = true; /* also with max_age 0: it ends a policy in force, and fetches are counted */
    result->has_policy = true;
    finish(lookup, STS_SOURCE_FRESH);
}

static void fetch_failed(struct sts_lookup *lookup, struct slice why)
{
    struct sts_lookup_result *result = &lookup->result;
    struct sts_entry *entry = &result->entry;
    memcpy(entry->failed_id, lookup->record.id, sizeof entry->failed_id);
    entry->failed_ms = lookup->request.now_ms;
    if (entry->failing_since_ms == 0)
        entry->failing_since_ms = lookup->request.now_ms;
    if (entry->failure_count < UINT32_MAX)
        entry->failure_count++;
    entry->failure = why;
    entry->refresh_ms = 0;
    result->fetch_failed = true;
    result->why = why;
    result->store = !lookup->request.is_damaged; /* it would take the place of what nobody could read */
    finish_kept_or(lookup, STS_SOURCE_UNAVAILABLE);
}

static void compare(struct sts_lookup_result *result, const struct sts_policy *policy)
{
    const struct sts_policy *before = &result->entry.policy;
    if (!result->entry.has_policy)
        return;
    result->changed = !sts_policy_equal(before, policy);
    result->weakened = before->mode == STS_MODE_ENFORCE && policy->mode != STS_MODE_ENFORCE;
}

/* Our own trouble, not the domain's: nothing is held against it, and without a policy in force mail waits. */
static void give_up_memory(struct sts_lookup *lookup)
{
    lookup->result.why = SLICE("out of memory");
    finish_kept_or(lookup, STS_SOURCE_UNREADABLE);
}

static void finish(struct sts_lookup *lookup, enum sts_source source)
{
    lookup->result.source = source;
    lookup->result.has_policy |= source == STS_SOURCE_CACHED || source == STS_SOURCE_KEPT;
    lookup->step = STS_LOOKUP_DONE;
}

/* RFC 8461 3.3: a policy in force is applied whatever failed. */
static void finish_kept_or(struct sts_lookup *lookup, enum sts_source source)
{
    finish(lookup, is_live(lookup)                ? STS_SOURCE_KEPT
                   : lookup->request.is_damaged ? STS_SOURCE_UNREADABLE
                                                : source);
}
