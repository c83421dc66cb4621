#include "relay/cli_text.h"

#include "base/text.h"

static uint64_t number(const struct json *status, const char *key)
{
    int64_t value = json_number(status, key, 0);
    return value < 0 ? 0 : (uint64_t)value;
}

static void add_head(struct buffer *out, const struct json *status, int64_t now_ms)
{
    buffer_print(out, "Sternpost %.*s runs as ", SLICE_ARGS(json_text(status, "version")));
    cli_text_clean(out, json_text(status, "hostname"));
    buffer_print(out, ", process %llu, since ", (unsigned long long)number(status, "pid"));
    cli_text_time(out, status, "started", now_ms);
    buffer_add_byte(out, '\n');
    if (json_flag(status, "stopping", false))
        buffer_add(out, SLICE("  Stopping      it ends what is under way\n"));
    buffer_add(out, SLICE("  Ready         "));
    if (json_flag(status, "ready", false))
        buffer_add(out, SLICE("yes"));
    else
        buffer_add(out, SLICE("no: "));
    cli_text_clean(out, json_text(status, "problem"));
    buffer_add(out, SLICE("\n  Configuration read "));
    cli_text_time(out, status, "configured", now_ms);
    buffer_add_byte(out, '\n');
}

static void add_queue(struct buffer *out, const struct json *status)
{
    char span[24];
    buffer_add(out, SLICE("  Queue         "));
    cli_text_count(out, number(status, "messages"), "message", "messages");
    if (number(status, "messages") > 0) {
        buffer_add(out, SLICE(", "));
        cli_text_size(out, number(status, "bytes"));
        buffer_print(out, "B; the oldest waits for %.*s",
                     SLICE_ARGS(text_duration_print(json_number(status, "oldest_age_ms", 0) / 1000 * 1000, span)));
    }
    buffer_add(out, SLICE("\n  Now           "));
    cli_text_count(out, number(status, "sessions"), "session", "sessions");
    buffer_add(out, SLICE(" of clients, "));
    cli_text_count(out, number(status, "deliveries"), "delivery", "deliveries");
    buffer_add_byte(out, '\n');
}

static void add_pauses(struct buffer *out, const struct json *status)
{
    const struct json *paused = json_get(status, "paused_routes");
    char span[24];
    for (size_t i = 0; i < json_count(paused); i++) {
        const struct json *pause = json_at(paused, i);
        buffer_add(out, SLICE("  Paused        [route \""));
        cli_text_clean(out, json_text(pause, "route"));
        buffer_print(out, "\"] for %.*s: ", SLICE_ARGS(text_duration_print(json_number(pause, "wait_ms", 0) / 1000 * 1000, span)));
        cli_text_clean(out, json_text(pause, "host"));
        buffer_add(out, SLICE(" refuses the credentials: "));
        cli_text_clean(out, json_text(pause, "reason"));
        buffer_add_byte(out, '\n');
    }
}

void cli_text_status(struct buffer *out, const struct json *status, int64_t now_ms)
{
    const struct json *doors = json_get(status, "listen");
    add_head(out, status, now_ms);
    buffer_add(out, SLICE("  Listening     "));
    for (size_t i = 0; i < json_count(doors); i++) {
        buffer_add(out, i > 0 ? SLICE(" ") : SLICE_EMPTY);
        cli_text_clean(out, json_string_text(json_at(doors, i)));
    }
    buffer_add_byte(out, '\n');
    add_queue(out, status);
    buffer_print(out, "  Policies      %llu enforced, %llu testing; the last refresh of %llu failed\n",
                 (unsigned long long)number(status, "policies_enforce"), (unsigned long long)number(status, "policies_testing"),
                 (unsigned long long)number(status, "policies_failing"));
    add_pauses(out, status);
}
