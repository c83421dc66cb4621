#include "relay/cli_text.h"

#include "base/text.h"

static void add_line(struct buffer *out, const char *label, struct slice value);
static void add_time_line(struct buffer *out, const char *label, const struct json *answer, const char *key, int64_t now_ms);
static void add_body(struct buffer *out, struct slice body);

struct slice cli_text_source(struct slice source)
{
    static const struct {
        struct slice source, text;
    } rows[] = {
        {SLICE_INIT("fresh"), SLICE_INIT("fetched just now")},
        {SLICE_INIT("cached"), SLICE_INIT("confirmed by its TXT record")},
        {SLICE_INIT("kept"), SLICE_INIT("KEPT until it expires, although it was not confirmed")},
        {SLICE_INIT("expired-floor"), SLICE_INIT("EXPIRED, but it still binds this message ([sts] expired-floor)")},
        {SLICE_INIT("none"), SLICE_INIT("none")},
        {SLICE_INIT("unavailable"), SLICE_INIT("announced, but NOT TO BE HAD; mail goes as without a policy")},
        {SLICE_INIT("unknown"), SLICE_INIT("NOT KNOWN")},
        {SLICE_INIT("unreadable"), SLICE_INIT("NOT KNOWN")},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (slice_equal(source, rows[i].source))
            return rows[i].text;
    }
    return source;
}

/* "example.org enforce id=2024 fetched 2026-... (3d ago), expires 2026-... (in 4d)" */
void cli_text_policy_line(struct buffer *out, const struct json *policy, int64_t now_ms)
{
    cli_text_clean(out, json_text(policy, "domain"));
    if (json_text(policy, "unreadable").length > 0) {
        buffer_add(out, SLICE("  unreadable: "));
        cli_text_clean(out, json_text(policy, "unreadable"));
        buffer_add_byte(out, '\n');
        return;
    }
    bool has_policy = json_text(policy, "fetched").length > 0;
    buffer_print(out, "  %.*s", SLICE_ARGS(json_text(policy, "mode")));
    if (has_policy) {
        buffer_print(out, ", id %.*s, fetched ", SLICE_ARGS(json_text(policy, "id")));
        cli_text_time(out, policy, "fetched", now_ms);
        buffer_print(out, ", %s ", json_flag(policy, "in_force", false) ? "expires" : "EXPIRED");
        cli_text_time(out, policy, "expires", now_ms);
    }
    if (json_flag(policy, "lapsed", false))
        buffer_add(out, SLICE(", LAPSED: mail goes as without a policy"));
    if (json_flag(policy, "overdue", false))
        buffer_add(out, SLICE(", its refresh is OVERDUE"));
    if (json_flag(policy, "record_gone", false))
        buffer_add(out, SLICE(", its TXT record is gone"));
    if (json_number(policy, "failures", 0) > 0)
        buffer_print(out, ", %lld fetches failed", (long long)json_number(policy, "failures", 0));
    if (json_text(policy, "exempt_until").length > 0) {
        buffer_add(out, SLICE(", EXEMPT until "));
        cli_text_time(out, policy, "exempt_until", now_ms);
    }
    buffer_add_byte(out, '\n');
}

void cli_text_policy(struct buffer *out, const struct json *policy, int64_t now_ms)
{
    bool has_policy = json_text(policy, "fetched").length > 0;
    const struct json *patterns = json_get(policy, "mx");
    cli_text_clean(out, json_text(policy, "domain"));
    buffer_add_byte(out, '\n');
    add_line(out, "Mode", has_policy ? json_text(policy, "mode") : SLICE("no policy is known"));
    if (has_policy && !json_flag(policy, "in_force", false))
        add_line(out, "", SLICE("expired: it binds nothing any more"));
    if (json_flag(policy, "lapsed", false))
        add_line(out, "", SLICE("nothing could be fetched in its place: mail goes as without a policy"));
    if (json_flag(policy, "overdue", false))
        add_line(out, "", SLICE("its refresh is overdue: before it expires a new one must be fetched, or mail goes without"));
    add_line(out, "Id", json_text(policy, "id"));
    for (size_t i = 0; i < json_count(patterns); i++)
        add_line(out, i == 0 ? "MX hosts" : "", json_string_text(json_at(patterns, i)));
    add_time_line(out, "Fetched", policy, "fetched", now_ms);
    add_time_line(out, "Expires", policy, "expires", now_ms);
    add_time_line(out, "Refresh", policy, "refresh", now_ms);
    add_time_line(out, "Last used", policy, "used", now_ms);
    if (json_flag(policy, "record_gone", false))
        add_line(out, "DNS", SLICE("its TXT record is gone, which does not end a policy in force"));
    add_line(out, "Failure", json_text(policy, "failure"));
    add_time_line(out, "Failed", policy, "failed", now_ms);
    add_time_line(out, "Failing since", policy, "failing_since", now_ms);
    add_time_line(out, "Exempt until", policy, "exempt_until", now_ms);
    add_line(out, "Level", json_text(policy, "exempt_level"));
    add_line(out, "Because", json_text(policy, "exempt_reason"));
    add_line(out, "Looked up", cli_text_source(json_text(policy, "source")));
    add_line(out, "", json_text(policy, "why"));
    add_body(out, json_text(policy, "body"));
    if ((size_t)json_number(policy, "body_size", 0) > json_text(policy, "body").length)
        buffer_print(out, "    (cut: only the beginning of its %lld bytes is kept for showing; all of it applies)\n",
                     (long long)json_number(policy, "body_size", 0));
}

static void add_line(struct buffer *out, const char *label, struct slice value)
{
    if (value.length == 0)
        return;
    buffer_print(out, "  %-14s", label);
    cli_text_clean(out, value);
    buffer_add_byte(out, '\n');
}

static void add_time_line(struct buffer *out, const char *label, const struct json *answer, const char *key, int64_t now_ms)
{
    if (json_text(answer, key).length == 0)
        return;
    buffer_print(out, "  %-14s", label);
    cli_text_time(out, answer, key, now_ms);
    buffer_add_byte(out, '\n');
}

static void add_body(struct buffer *out, struct slice body)
{
    struct slice line;
    if (body.length > 0)
        buffer_add(out, SLICE("As it was fetched:\n"));
    while (body.length > 0 && slice_cut(&body, '\n', &line)) {
        if (line.length == 0)
            continue;
        buffer_add(out, SLICE("    "));
        cli_text_clean(out, line);
        buffer_add_byte(out, '\n');
    }
}

void cli_text_match(struct buffer *out, const char *host, const char *pattern, bool as_json)
{
    struct json *object;
    if (!as_json) {
        cli_text_clean(out, slice_of(host));
        buffer_add(out, pattern == NULL ? SLICE(" is not admitted") : SLICE(" is admitted by "));
        cli_text_clean(out, slice_of(pattern));
        buffer_add_byte(out, '\n');
        return;
    }
    object = json_object_new();
    json_set_flag(object, "admitted", pattern != NULL);
    json_set_string(object, "host", host);
    if (pattern != NULL)
        json_set_string(object, "pattern", pattern);
    if (json_print(object, out) == ERR_NONE)
        buffer_add_byte(out, '\n');
    json_free(&object);
}
