#include "relay/serve_log.h"

#include "base/list.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define RETRY_MS 100
/* For the line that says how many were lost. */
#define ROOM_TO_SAY 512

static void on_turn(struct timer *timer);

void serve_log_open(struct serve_log *lines, struct log *log)
{
    *lines = (struct serve_log){.log = log};
    buffer_init(&lines->kept, SERVE_LOG_KEPT_MAX);
    log->owner = lines;
    log->write = serve_log_write;
}

void serve_log_close(struct serve_log *lines)
{
    timer_cancel(&lines->turn);
    buffer_free(&lines->kept);
}

/* ---- writing ---- */

/* A pipe that is said to be writable takes PIPE_BUF bytes at least without blocking. The description is shared with whoever started us, so
 * it is not made non-blocking for all. */
static ssize_t write_some(const struct stat *status, struct slice bytes)
{
    if (S_ISSOCK(status->st_mode))
        return send(STDERR_FILENO, bytes.data, bytes.length, MSG_DONTWAIT | MSG_NOSIGNAL);
    struct slice part = S_ISREG(status->st_mode) ? bytes : slice_to(bytes, PIPE_BUF);
    return write(STDERR_FILENO, part.data, part.length);
}

static bool is_writable(int64_t patience_ms)
{
    struct pollfd error = {.fd = STDERR_FILENO, .events = POLLOUT};
    return poll(&error, 1, (int)patience_ms) > 0 && (error.revents & (POLLOUT | POLLERR | POLLNVAL)) != 0;
}

/* What nobody can ever take is gone; what nobody takes now stays. */
static void leave(struct serve_log *lines, int64_t patience_ms)
{
    struct stat status;
    bool is_open = fstat(STDERR_FILENO, &status) == 0;
    while (is_open && buffer_length(&lines->kept) > 0 && is_writable(patience_ms)) {
        ssize_t written = write_some(&status, buffer_slice(&lines->kept));
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0 && errno == EAGAIN)
            break;
        is_open = written > 0;
        if (is_open)
            buffer_consume(&lines->kept, (size_t)written);
        lines->is_stuck = false;
    }
    if (!is_open)
        buffer_clear(&lines->kept);
    lines->is_stuck = buffer_length(&lines->kept) > 0 && (lines->is_stuck || patience_ms > 0);
}

static void leave_at_once(struct serve_log *lines)
{
    leave(lines, lines->is_stuck ? 0 : SERVE_LOG_PATIENCE_MS);
}

static void say_lost(struct serve_log *lines)
{
    struct log_line line;
    uint64_t lost = lines->lost;
    if (lost == 0 || buffer_room(&lines->kept) < ROOM_TO_SAY)
        return;
    lines->lost = 0;
    if (!log_open(&line, lines->log, LOG_ERROR, "log_lost"))
        return;
    log_number(&line, "lines", (int64_t)lost);
    log_string(&line, "problem", "nobody took the log for a while: lines are missing here");
    log_close(&line);
}

static void keep(struct serve_log *lines, struct slice line)
{
    if (lines->lost > 0)
        say_lost(lines);
    bool fits = lines->lost == 0 && line.length <= buffer_room(&lines->kept);
    if (fits)
        buffer_add(&lines->kept, line);
    if (!fits || buffer_failed(&lines->kept))
        lines->lost++;
    lines->kept.failed = false; /* for want of memory: the next may have some */
}

static void on_turn(struct timer *timer)
{
    struct serve_log *lines = LIST_OF(timer, struct serve_log, turn);
    leave(lines, 0);
    say_lost(lines);
    if (buffer_length(&lines->kept) > 0 && !timer_is_running(timer))
        timer_start(timer, RETRY_MS, on_turn);
}

void serve_log_write(struct log *log, struct slice line)
{
    struct serve_log *lines = log->owner;
    bool is_much = buffer_length(&lines->kept) + line.length > SERVE_LOG_SIZE;
    if (lines->gathers && is_much && !lines->is_stuck)
        leave(lines, 0);
    keep(lines, line);
    if (!lines->gathers)
        leave_at_once(lines);
    else if (!timer_is_running(&lines->turn))
        timer_start(&lines->turn, 0, on_turn);
}

void serve_log_gather(struct serve_log *lines, bool on)
{
    lines->gathers = on;
    timer_cancel(&lines->turn);
    lines->is_stuck = false;
    leave_at_once(lines);
    say_lost(lines);
}
