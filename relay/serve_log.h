/* Log lines on standard error. While the loop runs, those of one of its turns leave together, by few writes: a line costs little
 * then, and whoever reads the log is woken once. What a crash takes along is the lines of its own turn.
 *
 * Whoever reads the log may stop doing so: a container's log driver, a pager, a terminal on hold. Mail must not stop with him. Nothing is
 * written that would block; what is not taken is kept, up to a limit; lines beyond it are lost, counted, and said as soon as there is
 * room again. */
#ifndef RELAY_SERVE_LOG_H
#define RELAY_SERVE_LOG_H

#include "base/buffer.h"
#include "base/log.h"
#include "relay/host.h"

#define SERVE_LOG_SIZE 16384         /* so much leaves before the turn is over */
#define SERVE_LOG_KEPT_MAX (256u << 10)
#define SERVE_LOG_PATIENCE_MS 1000   /* before and after the loop, for a reader who is only slow */

struct serve_log {
    struct log *log;
    struct timer turn;
    bool gathers;
    bool is_stuck;        /* nobody has taken anything since he was waited for last */
    struct buffer *heard; /* of serve_say.h */
    struct buffer kept;
    uint64_t lost;        /* lines, since it was said last */
};
/* For struct log; its owner is a struct serve_log that was opened for it. */
void serve_log_open(struct serve_log *lines, struct log *log);
void serve_log_close(struct serve_log *lines);
void serve_log_write(struct log *log, struct slice line);
/* on: from now on lines are gathered. Off: what there is leaves, and each line at once. */
void serve_log_gather(struct serve_log *lines, bool on);

#endif
