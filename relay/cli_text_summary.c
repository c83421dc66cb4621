#include "relay/cli_text.h"

#include "base/text.h"

static uint64_t number(const struct json *group, const char *key)
{
    int64_t value = json_number(group, key, 0);
    return value < 0 ? 0 : (uint64_t)value;
}

/* "   12 messages   3.4MB  example.com: deferred (policy), the oldest 2026-11-24T03:05:22Z (2h ago)" and what was said of one of them. */
void cli_text_summed(struct buffer *out, const struct json *group, int64_t now_ms)
{
    struct buffer size;
    struct slice status = json_text(group, "status");
    struct slice reason = json_text(group, "reason");
    struct slice text = json_text(group, "text");
    uint64_t messages = number(group, "messages");
    buffer_init(&size, 64);
    cli_text_size(&size, number(group, "bytes"));
    buffer_print(out, "%7llu %-8s %7.*sB  ", (unsigned long long)messages, messages == 1 ? "message" : "messages", SLICE_ARGS(buffer_slice(&size)));
    buffer_free(&size);
    cli_text_clean(out, json_text(group, "destination"));
    if (status.length > 0)
        buffer_print(out, ": %.*s", SLICE_ARGS(status));
    if (reason.length > 0)
        buffer_print(out, " (%.*s)", SLICE_ARGS(reason));
    buffer_add(out, SLICE(", the oldest "));
    cli_text_time(out, group, "oldest", now_ms);
    if (text.length > 0)
        buffer_add(out, SLICE("\n       "));
    cli_text_clean(out, text);
    buffer_add_byte(out, '\n');
}
