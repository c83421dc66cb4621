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

void why_policy(struct why *why, const struct finding *finding, int64_t now_ms)
{
    const struct sts_lookup_result *result = &finding->result;
    why->policy_source = slice_of(sts_source_name(result->source));
    if (result->has_policy) {
        why->policy_mode = slice_of(sts_mode_name(result->entry.policy.mode));
        why->policy_age_ms = now_ms > result->entry.fetched_ms ? now_ms - result->entry.fetched_ms : 0;
        if (!arena_slice(why->arena, slice_of(result->entry.id), &why->policy_id))
            why->policy_id = SLICE_EMPTY;
    }
    if (result->why.length > 0)
        why_add(why, "policy", why->policy_source, "%.*s", SLICE_ARGS(result->why));
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
