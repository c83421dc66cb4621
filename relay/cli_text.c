#include "relay/cli_text.h"

#include "base/text.h"

#define RECIPIENTS_IN_A_LINE 5

static void add_recipient(struct buffer *out, const struct json *recipient, int64_t now_ms);
static void add_state(struct buffer *out, const struct json *recipient, int64_t now_ms);

/* ---- values ---- */

static bool is_harmless(uint32_t character)
{
    return character == '\n' || character == '\t' || (character >= 0x20 && character < 0x7f) || character >= 0xa0;
}

void cli_text_clean(struct buffer *out, struct slice text)
{
    while (text.length > 0) {
        struct slice before = text;
        uint32_t character;
        bool is_text = text_utf8_next(&text, &character);
        if (is_text && is_harmless(character))
            buffer_add(out, slice_to(before, before.length - text.length));
        else if (!is_text || character != '\r')
            buffer_add_byte(out, '?');
    }
}

void cli_text_time(struct buffer *out, const struct json *answer, const char *key, int64_t now_ms)
{
    struct slice text = json_text(answer, key);
    int64_t time_ms;
    char span[24];
    if (text_date_parse(text, &time_ms) != ERR_NONE)
        return;
    int64_t away_ms = time_ms > now_ms ? time_ms - now_ms : now_ms - time_ms;
    struct slice printed = text_duration_print(away_ms / 1000 * 1000, span);
    cli_text_clean(out, text);
    if (away_ms < 1000)
        buffer_add(out, SLICE(" (now)"));
    else
        buffer_print(out, time_ms > now_ms ? " (in %.*s)" : " (%.*s ago)", SLICE_ARGS(printed));
}

void cli_text_size(struct buffer *out, uint64_t bytes)
{
    static const char units[] = {'K', 'M', 'G', 'T'};
    size_t unit = 0;
    if (bytes < 1024) {
        buffer_print(out, "%llu", (unsigned long long)bytes);
        return;
    }
    uint64_t tenths = bytes * 10 / 1024;
    while (tenths >= 10240 && unit + 1 < sizeof units) {
        tenths /= 1024;
        unit++;
    }
    buffer_print(out, "%llu.%llu%c", (unsigned long long)(tenths / 10), (unsigned long long)(tenths % 10), units[unit]);
}

void cli_text_count(struct buffer *out, uint64_t count, const char *one, const char *many)
{
    buffer_print(out, "%llu %s", (unsigned long long)count, count == 1 ? one : many);
}

static void add_sender(struct buffer *out, const struct json *message)
{
    struct slice sender = json_text(message, "sender");
    cli_text_clean(out, sender.length > 0 ? sender : SLICE("<>"));
}

static void add_size(struct buffer *out, const struct json *message)
{
    int64_t size = json_number(message, "size", 0);
    cli_text_size(out, size < 0 ? 0 : (uint64_t)size);
}

static void add_line(struct buffer *out, const char *label, struct slice value)
{
    if (value.length == 0)
        return;
    buffer_print(out, "  %-14s", label);
    cli_text_clean(out, value);
    buffer_add_byte(out, '\n');
}

/* ---- messages ---- */

static void add_gathered(struct buffer *out, const struct json *message, int64_t now_ms)
{
    int64_t count = json_number(message, "report_recipients", 0);
    if (count <= 0)
        return;
    buffer_add(out, SLICE("    a report on "));
    cli_text_count(out, (uint64_t)count, "recipient", "recipients");
    buffer_add(out, SLICE(" goes to the sender at the latest "));
    cli_text_time(out, message, "report_due", now_ms);
    buffer_add(out, SLICE(": it waits for others that fail\n"));
}

void cli_text_listed(struct buffer *out, const struct json *message, int64_t now_ms)
{
    struct buffer size;
    buffer_init(&size, 64);
    add_size(&size, message);
    cli_text_clean(out, json_text(message, "id"));
    buffer_print(out, " %7.*s  ", SLICE_ARGS(buffer_slice(&size)));
    buffer_free(&size);
    bool has_ended = json_text(message, "ended").length > 0;
    buffer_add(out, has_ended ? SLICE("ended ") : SLICE_EMPTY);
    cli_text_clean(out, json_text(message, has_ended ? "ended" : "arrived"));
    buffer_add(out, SLICE("  from "));
    add_sender(out, message);
    buffer_add_byte(out, '\n');
    const struct json *recipients = json_get(message, "recipients");
    for (size_t i = 0; i < json_count(recipients); i++)
        add_recipient(out, json_at(recipients, i), now_ms);
    add_gathered(out, message, now_ms);
}

void cli_text_shown(struct buffer *out, const struct json *message, int64_t now_ms)
{
    if (!json_flag(message, "continued", false)) {
        cli_text_clean(out, json_text(message, "id"));
        buffer_add(out, SLICE("\n  From          "));
        add_sender(out, message);
        buffer_add(out, SLICE("\n  Arrived       "));
        cli_text_time(out, message, "arrived", now_ms);
        buffer_add(out, SLICE("\n  Size          "));
        add_size(out, message);
        buffer_add_byte(out, '\n');
        add_line(out, "Came by", json_text(message, "origin"));
        add_line(out, "ENVID", json_text(message, "envid"));
        struct slice header = json_text(message, "header");
        if (header.length > 0)
            buffer_add(out, SLICE("Header:\n"));
        struct slice line;
        while (header.length > 0 && slice_cut(&header, '\n', &line)) {
            if (line.length > 1)
                add_line(out, "", line);
        }
        buffer_add(out, SLICE("Recipients:\n"));
    }
    const struct json *recipients = json_get(message, "recipients");
    for (size_t i = 0; i < json_count(recipients); i++)
        add_recipient(out, json_at(recipients, i), now_ms);
    add_gathered(out, message, now_ms);
}

static void add_recipient(struct buffer *out, const struct json *recipient, int64_t now_ms)
{
    struct slice text = json_text(recipient, "text");
    buffer_add(out, SLICE("    to "));
    cli_text_clean(out, json_text(recipient, "address"));
    buffer_add(out, SLICE(": "));
    add_state(out, recipient, now_ms);
    if (text.length > 0)
        buffer_add(out, SLICE("\n       "));
    cli_text_clean(out, text);
    buffer_add_byte(out, '\n');
}

/* "deferred (policy), 3 attempts, next 2026-11-24T03:20:22Z (in 4m)" */
static void add_state(struct buffer *out, const struct json *recipient, int64_t now_ms)
{
    struct slice reason = json_text(recipient, "reason");
    int64_t attempts = json_number(recipient, "attempts", 0);
    cli_text_clean(out, json_text(recipient, "status"));
    if (reason.length > 0)
        buffer_print(out, " (%.*s)", SLICE_ARGS(reason));
    if (attempts > 0) {
        buffer_add(out, SLICE(", "));
        cli_text_count(out, (uint64_t)attempts, "attempt", "attempts");
    }
    if (json_text(recipient, "next_attempt").length > 0) {
        buffer_add(out, SLICE(", next "));
        cli_text_time(out, recipient, "next_attempt", now_ms);
    }
}

/* ---- changes ---- */

static void add_remark(struct buffer *out, int64_t count, const char *one, const char *many)
{
    if (count <= 0)
        return;
    cli_text_count(out, (uint64_t)count, one, many);
    buffer_add(out, SLICE(".\n"));
}

void cli_text_changed(struct buffer *out, const struct json *answer)
{
    static const struct {
        struct slice command;
        const char *one, *many;
    } rows[] = {
        {SLICE_INIT("queue flush"), "message will be tried now", "messages will be tried now"},
        {SLICE_INIT("queue hold"), "message is held", "messages are held"},
        {SLICE_INIT("queue release"), "message is released and due now", "messages are released and due now"},
        {SLICE_INIT("queue delete"), "message is deleted", "messages are deleted"},
    };
    struct slice command = json_text(answer, "command");
    int64_t messages = json_number(answer, "messages", 0);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (slice_equal(command, rows[i].command)) {
            cli_text_count(out, messages < 0 ? 0 : (uint64_t)messages, rows[i].one, rows[i].many);
            buffer_add(out, SLICE(".\n"));
        }
    }
    add_remark(out, json_number(answer, "unchanged", 0), "was so already", "were so already");
    add_remark(out, json_number(answer, "active", 0), "is being delivered right now and is left alone",
               "are being delivered right now and are left alone");
    add_remark(out, json_number(answer, "held", 0), "is held and stays so (see queue release)",
               "are held and stay so (see queue release)");
}

/* ---- why ---- */

static void add_addresses(struct buffer *out, const struct json *entry)
{
    const struct json *recipients = json_get(entry, "recipients");
    size_t count = json_count(recipients);
    int64_t all = json_number(entry, "recipient_count", (int64_t)count);
    size_t told = count < RECIPIENTS_IN_A_LINE ? count : RECIPIENTS_IN_A_LINE;
    for (size_t i = 0; i < told; i++) {
        buffer_add(out, i > 0 ? SLICE(", ") : SLICE_EMPTY);
        cli_text_clean(out, json_string_text(json_at(recipients, i)));
    }
    if (all > (int64_t)told)
        buffer_print(out, " and %lld more", (long long)all - (long long)told);
}

static void add_time_line(struct buffer *out, const char *label, const struct json *answer, const char *key, int64_t now_ms)
{
    if (json_text(answer, key).length == 0)
        return;
    buffer_print(out, "  %-14s", label);
    cli_text_time(out, answer, key, now_ms);
    buffer_add_byte(out, '\n');
}

static void add_policy(struct buffer *out, const struct json *record, int64_t now_ms)
{
    const struct json *policy = json_get(record, "policy");
    char span[24];
    if (policy == NULL)
        return;
    struct slice mode = json_text(policy, "mode");
    int64_t age_ms = json_number(policy, "age_ms", 0) + now_ms - json_number(record, "attempted_ms", now_ms);
    buffer_add(out, SLICE("  Policy        "));
    if (mode.length > 0)
        buffer_print(out, "%.*s, id %.*s, fetched %.*s ago; ", SLICE_ARGS(mode), SLICE_ARGS(json_text(policy, "id")),
                     SLICE_ARGS(text_duration_print(age_ms < 0 ? 0 : age_ms / 1000 * 1000, span)));
    bool is_fresh = slice_equal(json_text(policy, "source"), SLICE("fresh"));
    buffer_add(out, is_fresh ? SLICE("it was new then") : cli_text_source(json_text(policy, "source")));
    buffer_add_byte(out, '\n');
}

static void add_steps(struct buffer *out, const struct json *record)
{
    const struct json *steps = json_get(record, "steps");
    if (json_count(steps) > 0)
        buffer_add(out, SLICE("  Step by step:\n"));
    for (size_t i = 0; i < json_count(steps); i++) {
        const struct json *step = json_at(steps, i);
        buffer_print(out, "    %-9.*s ", SLICE_ARGS(json_text(step, "step")));
        cli_text_clean(out, json_text(step, "subject"));
        buffer_add(out, SLICE(": "));
        cli_text_clean(out, json_text(step, "result"));
        buffer_add_byte(out, '\n');
    }
}

static void add_attempts(struct buffer *out, const struct json *entry)
{
    int64_t attempts = json_number(entry, "attempts", 0);
    int64_t failures = json_number(entry, "destination_failures", 0);
    buffer_add(out, SLICE("  Attempts      "));
    if (attempts > 0)
        buffer_print(out, "%lld", (long long)attempts);
    else
        buffer_add(out, SLICE("not one yet"));
    if (failures > 0)
        buffer_print(out, "; the destination as a whole failed %lld in a row", (long long)failures);
    buffer_add_byte(out, '\n');
}

void cli_text_why(struct buffer *out, const struct json *entry, int64_t now_ms)
{
    const struct json *record = json_get(entry, "record");
    cli_text_clean(out, json_text(entry, "id"));
    buffer_add(out, SLICE(" from "));
    add_sender(out, entry);
    buffer_add(out, SLICE(" to "));
    add_addresses(out, entry);
    buffer_add_byte(out, '\n');
    add_line(out, "Status", json_text(entry, "status"));
    add_line(out, "What failed", json_text(entry, "problem"));
    if (json_flag(entry, "of_destination", false))
        add_line(out, "", SLICE("(met by another message for the same destination, which holds up this one too)"));
    add_time_line(out, "Since", entry, json_text(entry, "first_attempt").length > 0 ? "first_attempt" : "destination_failing_since",
                  now_ms);
    add_attempts(out, entry);
    add_time_line(out, "Last attempt", entry, "last_attempt", now_ms);
    add_time_line(out, "Next attempt", entry, "next_attempt", now_ms);
    add_line(out, "Waits", json_text(entry, "delay"));
    add_time_line(out, "Gives up", entry, "expires", now_ms);
    add_policy(out, record, now_ms);
    add_steps(out, record);
    if (slice_equal(json_text(entry, "status"), SLICE("held")))
        add_line(out, "To do", SLICE("sternpost queue release lets it go"));
    add_line(out, "To do", json_text(entry, "advice"));
}
