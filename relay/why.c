#include "relay/why.h"

#include "base/json.h"
#include "base/text.h"

#include <stdarg.h>
#include <stdio.h>

#define WHY_TEXT_MAX 400

static void add_steps(const struct why *why, struct json *record);
static void add_policy(const struct why *why, struct json *record);

void why_init(struct why *why, struct arena *arena)
{
    *why = (struct why){.arena = arena, .policy_age_ms = -1};
}

void why_add(struct why *why, const char *what, struct slice subject, const char *format, ...)
{
    if (why->count == WHY_STEPS_MAX) {
        why->dropped++;
        return;
    }
    char text[WHY_TEXT_MAX];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    size_t kept = length < 0 ? 0 : (size_t)length < sizeof text ? (size_t)length : sizeof text - 1;
    struct why_step *step = &why->steps[why->count];
    step->what = what;
    if (arena_slice(why->arena, slice_to(subject, 255), &step->subject) &&
        arena_slice(why->arena, slice_make(text, kept), &step->result))
        why->count++;
    else
        why->dropped++;
}

static void note_entry(struct why *why, const struct sts_entry *entry, int64_t now_ms)
{
    why->policy_mode = slice_of(sts_mode_name(entry->policy.mode));
    why->policy_age_ms = now_ms > entry->fetched_ms ? now_ms - entry->fetched_ms : 0;
    if (!arena_slice(why->arena, slice_of(entry->id), &why->policy_id))
        why->policy_id = SLICE_EMPTY;
}

/* What it means where there is no policy to be applied. */
static const char *absence_of(enum sts_source source)
{
    switch (source) {
        case STS_SOURCE_UNAVAILABLE:
            return "announced, but not to be had, so mail goes as without one";
        case STS_SOURCE_UNKNOWN:
            return "nobody knows whether there is one";
        case STS_SOURCE_UNREADABLE:
            return "what is known of it cannot be read now";
        default:
            return "none";
    }
}

void why_policy(struct why *why, struct slice domain, const struct finding *finding, int64_t now_ms)
{
    const struct sts_lookup_result *result = &finding->result;
    const struct sts_entry *entry = &result->entry;
    const char *source = result->source == STS_SOURCE_FRESH  ? "fetched just now"
                         : result->source == STS_SOURCE_KEPT ? "kept until it expires"
                                                             : "confirmed by its TXT record";
    char until[32];
    why->policy_source = slice_of(sts_source_name(result->source));
    const char *said = result->has_policy ? source : absence_of(result->source);
    if (result->has_policy) {
        note_entry(why, entry, now_ms);
        why_add(why, "policy", domain, "%s, id %s, %s%s%.*s", sts_mode_name(entry->policy.mode), entry->id, said,
                result->why.length > 0 ? ": " : "", SLICE_ARGS(result->why));
    } else {
        why_add(why, "policy", domain, "%s%s%.*s", said, result->why.length > 0 ? ": " : "", SLICE_ARGS(result->why));
    }
    if (finding->exempt)
        why_add(why, "policy", domain, "set aside by an exemption until %.*s (%s): %.*s",
                SLICE_ARGS(text_date_iso(entry->exempt_until_ms, until)), sts_exempt_level_name(finding->exempt_level),
                SLICE_ARGS(finding->exempt_reason));
}

void why_floor(struct why *why, struct slice domain, const struct sts_entry *expired, int64_t now_ms)
{
    char expiry[32];
    note_entry(why, expired, now_ms);
    why->policy_source = SLICE("expired-floor");
    why_add(why, "policy", domain,
            "%s, id %s, expired %.*s; it was in force when this message was queued and so still binds it ([sts] "
            "expired-floor)",
            sts_mode_name(expired->policy.mode), expired->id,
            SLICE_ARGS(text_date_iso(sts_entry_expires_ms(expired), expiry)));
}

void why_print(const struct why *why, const struct why_end *end, struct buffer *out)
{
    struct json *record = json_object_new();
    struct buffer text;
    buffer_init(&text, 2048);
    verdict_print(end->trouble, &text);
    json_set_text(record, "problem", buffer_slice(&text));
    buffer_clear(&text);
    verdict_advice(end->trouble, &text);
    json_set_text(record, "advice", buffer_slice(&text));
    buffer_free(&text);
    json_set_string(record, "reason", verdict_of(end->trouble).reason);
    json_set_number(record, "attempted_ms", end->attempted_ms);
    json_set_number(record, "since_ms", end->since_ms);
    json_set_number(record, "next_ms", end->next_ms);
    json_set_number(record, "attempts", end->attempts);
    add_policy(why, record);
    add_steps(why, record);
    if (json_print(record, out) != ERR_NONE)
        buffer_clear(out);
    json_free(&record);
}

static void add_policy(const struct why *why, struct json *record)
{
    if (why->policy_source.length == 0)
        return;
    struct json *policy = json_object_new();
    json_set_text(policy, "source", why->policy_source);
    if (why->policy_age_ms >= 0) {
        json_set_text(policy, "mode", why->policy_mode);
        json_set_text(policy, "id", why->policy_id);
        json_set_number(policy, "age_ms", why->policy_age_ms);
    }
    json_set(record, "policy", &policy);
}

static void add_steps(const struct why *why, struct json *record)
{
    struct json *steps = json_array_new();
    for (size_t i = 0; i < why->count; i++) {
        struct json *step = json_object_new();
        json_set_string(step, "step", why->steps[i].what);
        json_set_text(step, "subject", why->steps[i].subject);
        json_set_text(step, "result", why->steps[i].result);
        json_append(steps, &step);
    }
    json_set(record, "steps", &steps);
    if (why->dropped > 0)
        json_set_number(record, "steps_dropped", (int64_t)why->dropped);
}
