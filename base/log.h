/* Log lines: one line a decision, "event=delivered id=… to=…", as logfmt, JSON or text. Peers' text is cleaned and
 * quoted here, so no caller can inject a line. A line is built on the caller's stack:
 *
 *     struct log_line line;
 *     if (log_open(&line, log, LOG_INFO, "delivered")) {
 *         log_text(&line, "to", address);
 *         log_close(&line);
 *     }
 *
 * A value over 1024 bytes, or over what is left of LOG_LINE_MAX, is cut and ends with "..."; when even the key has no
 * room any more the field is left out and the line says cut=yes. A cut line is still one valid line of its format.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/slice.h"

enum log_level { LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG };
enum log_format { LOG_LOGFMT, LOG_JSON, LOG_HUMAN };

struct log {
    enum log_level level; /* lines above it are not made */
    enum log_format format;
    bool has_priority; /* each line begins with its syslog priority, "<4>": for a journal that reads standard error */
    void (*write)(struct log *log, struct slice line); /* one whole line with its newline */
    void *owner;
};
#define LOG_LINE_MAX 4096
struct log_line {
    struct log *log;
    size_t length;
    bool cut; /* a field had no room */
    char bytes[LOG_LINE_MAX];
};

bool log_open(struct log_line *line, struct log *log, enum log_level level, const char *event);
void log_text(struct log_line *line, const char *key, struct slice value); /* an empty value is left out */
void log_string(struct log_line *line, const char *key, const char *value);
void log_number(struct log_line *line, const char *key, int64_t value);
void log_duration(struct log_line *line, const char *key, int64_t duration_ms); /* 1.2s; in JSON seconds: 1.234 */
void log_flag(struct log_line *line, const char *key, bool value); /* yes or no; in JSON true or false */
void log_close(struct log_line *line);
/* "<4>", or nothing where the log has no priorities. */
const char *log_priority(const struct log *log, enum log_level level);

/* error warning info debug; text logfmt json. */
bool log_level_parse(struct slice name, enum log_level *level);
bool log_format_parse(struct slice name, enum log_format *format);

#endif
