/* How many lines of the log one user of the machine may cause: so many at once, then a few a second. Whoever can run programs here could
 * else fill the disk with refusals, and hide in them what others do. When a user's lines begin to be left out the log says so, and his
 * next line says how many were, of him and of those who had his place before. Of fixed size; the clock is the host's. */
#ifndef RELAY_LOG_SHARE_H
#define RELAY_LOG_SHARE_H

#include "base/log.h"

#define LOG_SHARE_BURST 100
#define LOG_SHARE_PER_SECOND 5
#define LOG_SHARE_USERS_MAX 64 /* of more the one that was heard of least lately gives his place away, with what is left of it */

struct log_share {
    struct log_share_user {
        int64_t last_ms; /* 0: a free place */
        int64_t tokens_ms; /* what is left, in milliseconds of the rate */
        uint64_t left_out;
        uint32_t uid;
    } users[LOG_SHARE_USERS_MAX];
};
struct log_share_line {
    uint32_t uid;
    enum log_level level;
    const char *event;
};
/* As log_open(), with the uid in the line already; false also when this user has had his share. */
bool log_share_open(struct log_share *share, struct log *log, struct log_line *line, const struct log_share_line *what);

#endif
