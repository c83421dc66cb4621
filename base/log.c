#include "base/log.h"

#include "base/clock.h"
#include "base/text.h"

#include <assert.h>
#include <string.h>

#define VALUE_MAX ((size_t)1024)
#define DOTS SLICE("...")
/* What log_close may have to add is kept free: ,"cut":true}\n */
#define TAIL_MAX ((size_t)16)
#define PIECE_MAX 8

static const char *const level_names[] = {
    [LOG_ERROR] = "error", [LOG_WARNING] = "warning", [LOG_INFO] = "info", [LOG_DEBUG] = "debug"};
static const char *const format_names[] = {[LOG_LOGFMT] = "logfmt", [LOG_JSON] = "json", [LOG_HUMAN] = "text"};

static void put_head(struct log_line *line, enum log_level level, const char *event);
static void put_human_head(struct log_line *line, enum log_level level, const char *event);
static void put_plain(struct log_line *line, const char *key, struct slice value);
static bool put_key(struct log_line *line, const char *key);
static bool put_value(struct log_line *line, struct slice value, bool quoted);
static void put_characters(struct log_line *line, struct slice value, size_t end);
static size_t plain_length(struct slice text);
static bool put(struct log_line *line, struct slice bytes);
static size_t room(const struct log_line *line);
static size_t next_piece(enum log_format format, struct slice *rest, char out[PIECE_MAX]);
static bool needs_quotes(struct slice value);
static bool is_harmful(uint32_t character);
static bool is_name(const char *name);
static bool find_name(struct slice name, const char *const *names, size_t count, size_t *index);

bool log_open(struct log_line *line, struct log *log, enum log_level level, const char *event)
{
    assert(is_name(event));
    if (level > log->level) {
        return false;
    }
    line->log = log;
    line->length = 0;
    line->cut = false;
    put(line, slice_of(log_priority(log, level)));
    if (log->format == LOG_HUMAN) {
        put_human_head(line, level, event);
    } else {
        put_head(line, level, event);
    }
    return true;
}

/* RFC 5424 6.2.1, as sd-daemon(3) has it. */
const char *log_priority(const struct log *log, enum log_level level)
{
    static const char *const priorities[] = {[LOG_ERROR] = "<3>", [LOG_WARNING] = "<4>", [LOG_INFO] = "<6>", [LOG_DEBUG] = "<7>"};
    return log->has_priority ? priorities[level] : "";
}

void log_text(struct log_line *line, const char *key, struct slice value)
{
    if (value.length == 0) {
        return;
    }
    size_t before = line->length;
    bool quoted = line->log->format == LOG_JSON || needs_quotes(value);
    if (!put_key(line, key) || !put_value(line, value, quoted)) {
        line->length = before;
        line->cut = true;
    }
}

void log_string(struct log_line *line, const char *key, const char *value)
{
    log_text(line, key, slice_of(value));
}

void log_number(struct log_line *line, const char *key, int64_t value)
{
    char digits[32];
    put_plain(line, key, text_print(digits, sizeof digits, "%lld", (long long)value));
}

void log_duration(struct log_line *line, const char *key, int64_t duration_ms)
{
    char text[32];
    if (line->log->format != LOG_JSON) {
        put_plain(line, key, text_duration_print(duration_ms, text));
        return;
    }
    unsigned long long ms = duration_ms < 0 ? 0 - (unsigned long long)duration_ms : (unsigned long long)duration_ms;
    const char *sign = duration_ms < 0 ? "-" : "";
    put_plain(line, key, text_print(text, sizeof text, "%s%llu.%03llu", sign, ms / 1000, ms % 1000));
}

void log_flag(struct log_line *line, const char *key, bool value)
{
    if (line->log->format == LOG_JSON) {
        put_plain(line, key, value ? SLICE("true") : SLICE("false"));
    } else {
        put_plain(line, key, value ? SLICE("yes") : SLICE("no"));
    }
}

void log_close(struct log_line *line)
{
    struct slice tail = line->log->format == LOG_JSON ? SLICE("}\n") : SLICE("\n");
    if (line->cut) {
        tail = line->log->format == LOG_JSON ? SLICE(",\"cut\":true}\n") : SLICE(" cut=yes\n");
    }
    assert(tail.length <= LOG_LINE_MAX - line->length);
    memcpy(line->bytes + line->length, tail.data, tail.length);
    line->length += tail.length;
    line->log->write(line->log, slice_make(line->bytes, line->length));
}

bool log_level_parse(struct slice name, enum log_level *level)
{
    size_t index;
    if (!find_name(name, level_names, sizeof level_names / sizeof level_names[0], &index)) {
        return false;
    }
    *level = (enum log_level)index;
    return true;
}

bool log_format_parse(struct slice name, enum log_format *format)
{
    size_t index;
    if (!find_name(name, format_names, sizeof format_names / sizeof format_names[0], &index)) {
        return false;
    }
    *format = (enum log_format)index;
    return true;
}

static void put_head(struct log_line *line, enum log_level level, const char *event)
{
    char date[32];
    struct slice time = text_date_iso_ms(clock_wall_ms(), date);
    if (line->log->format == LOG_JSON) {
        put(line, SLICE("{\"time\":"));
        put_value(line, time, true);
    } else {
        put(line, SLICE("time="));
        put_value(line, time, false);
    }
    log_string(line, "level", level_names[level]);
    log_string(line, "event", event);
}

static void put_human_head(struct log_line *line, enum log_level level, const char *event)
{
    char date[32];
    struct slice time = text_date_iso(clock_wall_ms(), date);
    put(line, slice_to(slice_from(time, slice_find(time, 'T') + 1), 8));
    put(line, SLICE(" "));
    if (level <= LOG_WARNING) {
        put(line, slice_of(level_names[level]));
        put(line, SLICE(": "));
    }
    put(line, slice_of(event));
}

static void put_plain(struct log_line *line, const char *key, struct slice value)
{
    size_t before = line->length;
    if (!put_key(line, key) || !put(line, value)) {
        line->length = before;
        line->cut = true;
    }
}

static bool put_key(struct log_line *line, const char *key)
{
    assert(is_name(key));
    bool json = line->log->format == LOG_JSON;
    return put(line, json ? SLICE(",\"") : SLICE(" ")) && put(line, slice_of(key)) &&
           put(line, json ? SLICE("\":") : SLICE("="));
}

/* False when not even one character of it and the dots have room. */
static bool put_value(struct log_line *line, struct slice value, bool quoted)
{
    struct slice quote = quoted ? SLICE("\"") : SLICE_EMPTY;
    if (room(line) < 2 * quote.length + PIECE_MAX + DOTS.length) {
        return false;
    }
    put(line, quote);
    size_t left = room(line) - quote.length;
    put_characters(line, value, line->length + (left < VALUE_MAX ? left : VALUE_MAX));
    return put(line, quote);
}

/* Up to the offset end of the line. */
static void put_characters(struct log_line *line, struct slice value, size_t end)
{
    size_t last_cut = end - DOTS.length, cut_at = line->length; /* the last end of a character before last_cut */
    while (value.length > 0) {
        char piece[PIECE_MAX];
        struct slice next = slice_to(value, plain_length(slice_to(value, end - line->length)));
        if (next.length > 0) {
            value = slice_from(value, next.length);
        } else {
            next = slice_make(piece, next_piece(line->log->format, &value, piece));
        }
        if (next.length > end - line->length) {
            line->length = cut_at;
            put(line, DOTS);
            return;
        }
        put(line, next);
        if (line->length <= last_cut) {
            cut_at = line->length;
        } else if (next.data != piece && line->length - next.length <= last_cut) {
            cut_at = last_cut; /* among plain bytes every offset is the end of a character */
        }
    }
}

/* How many bytes at the front stand for themselves in every format, quoted or not. */
static size_t plain_length(struct slice text)
{
    size_t length = 0;
    while (length < text.length && text.data[length] >= 0x20 && text.data[length] <= 0x7e && text.data[length] != '"' &&
           text.data[length] != '\\') {
        length++;
    }
    return length;
}

static bool put(struct log_line *line, struct slice bytes)
{
    if (bytes.length > room(line)) {
        return false;
    }
    memcpy(line->bytes + line->length, bytes.data, bytes.length);
    line->length += bytes.length;
    return true;
}

static size_t room(const struct log_line *line)
{
    return LOG_LINE_MAX - TAIL_MAX - line->length;
}

/* One character of a peer's text in the form that cannot end the value or the line; the bytes written. */
static size_t next_piece(enum log_format format, struct slice *rest, char out[PIECE_MAX])
{
    if (format == LOG_JSON) {
        return text_json_next(rest, out);
    }
    struct slice before = *rest;
    uint32_t character;
    if (!text_utf8_next(rest, &character) || is_harmful(character)) {
        out[0] = '?';
        return 1;
    }
    size_t escape = character == '"' || character == '\\';
    size_t length = before.length - rest->length;
    out[0] = '\\';
    memcpy(out + escape, before.data, length);
    return escape + length;
}

static bool needs_quotes(struct slice value)
{
    for (size_t i = 0; i < value.length; i++) {
        char c = value.data[i];
        if (!byte_is_print(c) || c == '"' || c == '=' || c == '\\') {
            return true;
        }
    }
    return false;
}

/* Controls of both sets, and what moves, hides or reverses text on a terminal. */
static bool is_harmful(uint32_t character)
{
    return character < 0x20 || (character >= 0x7f && character <= 0x9f) ||
           (character >= 0x200b && character <= 0x200f) || (character >= 0x2028 && character <= 0x202e) ||
           (character >= 0x2060 && character <= 0x206f) || character == 0xfeff;
}

static bool is_name(const char *name)
{
    struct slice s = slice_of(name);
    for (size_t i = 0; i < s.length; i++) {
        if (!byte_is_alnum(s.data[i]) && s.data[i] != '_') {
            return false;
        }
    }
    return s.length > 0;
}

static bool find_name(struct slice name, const char *const *names, size_t count, size_t *index)
{
    for (*index = 0; *index < count; (*index)++) {
        if (slice_equal(name, slice_of(names[*index]))) {
            return true;
        }
    }
    return false;
}
