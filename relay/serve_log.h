/* Log lines on standard error. While the loop runs, those of one of its turns leave together, by one write: a line costs little
 * then, and whoever reads the log is woken once. What a crash takes along is the lines of its own turn. */
#ifndef RELAY_SERVE_LOG_H
#define RELAY_SERVE_LOG_H

#include "base/buffer.h"
#include "base/log.h"
#include "relay/host.h"

#define SERVE_LOG_SIZE 16384

struct serve_log {
    struct timer turn;
    bool gathers;
    struct buffer *heard; /* of serve_say.h */
    size_t length;
    char bytes[SERVE_LOG_SIZE];
};
/* For struct log; its owner is a struct serve_log, all zero at first. */
void serve_log_write(struct log *log, struct slice line);
/* on: from now on lines are gathered. Off: what there is leaves, and each line at once. */
void serve_log_gather(struct serve_log *lines, bool on);

#endif
