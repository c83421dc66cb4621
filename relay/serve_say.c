#include "relay/serve_say.h"

#include "base/text.h"
#include "relay/serve_log.h"

#include <stdarg.h>
#include <stdio.h>

static void hear(struct log *log, const char *prefix, struct slice text)
{
    struct serve_log *lines = log->owner;
    if (lines->heard != NULL)
        buffer_print(lines->heard, "%s%.*s\n", prefix, SLICE_ARGS(text));
}

/* As a line of the log, which keeps its place among the events. */
static void say(struct log *log, struct slice text)
{
    char line[LOG_LINE_MAX];
    hear(log, "", text);
    size_t length = text_print(line, sizeof line - 1, "%ssternpost: %.*s", log_priority(log, LOG_ERROR), SLICE_ARGS(text)).length;
    line[length++] = '\n';
    log->write(log, slice_make(line, length));
}

void serve_say(struct log *log, const char *format, ...)
{
    char text[LOG_LINE_MAX];
    struct slice rest, line;
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    rest = slice_of(length < 0 ? format : text);
    while (slice_cut(&rest, '\n', &line)) {
        if (line.length > 0)
            say(log, line);
    }
}

void serve_say_lines(struct log *log, const struct buffer *lines)
{
    struct slice rest = buffer_slice(lines);
    struct slice line;
    while (slice_cut(&rest, '\n', &line)) {
        if (line.length > 0)
            say(log, line);
    }
}

void serve_warn(struct log *log, const char *event, const char *text, const char *advice)
{
    struct log_line line;
    hear(log, "warning: ", slice_of(text));
    if (!log_open(&line, log, LOG_WARNING, event))
        return;
    log_string(&line, "problem", text);
    log_string(&line, "advice", advice);
    log_close(&line);
}

void serve_warn_lines(struct log *log, const char *event, const struct buffer *lines)
{
    struct slice rest = buffer_slice(lines);
    struct slice text;
    while (slice_cut(&rest, '\n', &text)) {
        struct log_line line;
        if (text.length == 0)
            continue;
        hear(log, "warning: ", text);
        if (!log_open(&line, log, LOG_WARNING, event))
            continue;
        log_text(&line, "problem", text);
        log_close(&line);
    }
}

void serve_mention(struct log *log, const char *format, ...)
{
    char text[LOG_LINE_MAX];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (length > 0)
        hear(log, "", slice_of(text));
}

void serve_hear(struct log *log, struct buffer *heard)
{
    struct serve_log *lines = log->owner;
    lines->heard = heard;
}
