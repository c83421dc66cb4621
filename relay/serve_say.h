/* What `serve` says beside its events: faults of the configuration and the start, one sentence a line, "sternpost: …"; and warnings as
 * events. While a reload is asked for over the control socket, whoever asks hears it too. */
#ifndef RELAY_SERVE_SAY_H
#define RELAY_SERVE_SAY_H

#include "base/buffer.h"
#include "base/log.h"

/* log: one whose owner is a struct serve_log. */
void serve_say(struct log *log, const char *format, ...) __attribute__((format(printf, 2, 3)));
void serve_say_lines(struct log *log, const struct buffer *lines);
void serve_warn(struct log *log, const char *event, const char *text, const char *advice);
void serve_warn_lines(struct log *log, const char *event, const struct buffer *lines);
/* Only for whoever hears: what the log tells in another form. */
void serve_mention(struct log *log, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* What is said from now on is put there as well; NULL: no longer. */
void serve_hear(struct log *log, struct buffer *heard);

#endif
