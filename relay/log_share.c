#include "relay/log_share.h"

#include "base/clock.h"

#define TOKEN_MS (1000 / LOG_SHARE_PER_SECOND)
#define FULL_MS ((int64_t)LOG_SHARE_BURST * TOKEN_MS)

/* A new one takes over what the place has left, or one user with the uids of many containers had a new share with each of them. */
static struct log_share_user *find(struct log_share *share, uint32_t uid)
{
    struct log_share_user *oldest = &share->users[0];
    for (size_t i = 0; i < LOG_SHARE_USERS_MAX; i++) {
        struct log_share_user *user = &share->users[i];
        if (user->last_ms != 0 && user->uid == uid)
            return user;
        if (user->last_ms < oldest->last_ms)
            oldest = user;
    }
    oldest->uid = uid;
    return oldest;
}

static bool take(struct log_share_user *user)
{
    int64_t now_ms = clock_monotonic_ms() + 1; /* never 0 */
    int64_t gained_ms = user->last_ms == 0 ? FULL_MS : now_ms - user->last_ms;
    user->tokens_ms = gained_ms < FULL_MS - user->tokens_ms ? user->tokens_ms + gained_ms : FULL_MS;
    user->last_ms = now_ms;
    if (user->tokens_ms < TOKEN_MS)
        return false;
    user->tokens_ms -= TOKEN_MS;
    return true;
}

static void say_limited(struct log *log, uint32_t uid)
{
    struct log_line line;
    if (!log_open(&line, log, LOG_WARNING, "log_limited"))
        return;
    log_number(&line, "uid", uid);
    log_string(&line, "problem", "this user causes more log lines than one user may: some are left out, and counted");
    log_close(&line);
}

bool log_share_open(struct log_share *share, struct log *log, struct log_line *line, const struct log_share_line *what)
{
    if (what->level > log->level)
        return false;
    struct log_share_user *user = find(share, what->uid);
    if (!take(user)) {
        if (user->left_out++ == 0)
            say_limited(log, what->uid);
        return false;
    }
    if (!log_open(line, log, what->level, what->event))
        return false;
    log_number(line, "uid", what->uid);
    if (user->left_out > 0)
        log_number(line, "left_out", (int64_t)user->left_out);
    user->left_out = 0;
    return true;
}
