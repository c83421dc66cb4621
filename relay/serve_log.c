#include "relay/serve_log.h"

#include "base/list.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

static void write_all(struct slice bytes)
{
    while (bytes.length > 0) {
        ssize_t written = write(STDERR_FILENO, bytes.data, bytes.length);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return; /* a log that nobody takes must not stop mail */
        bytes = slice_from(bytes, (size_t)written);
    }
}

static void leave(struct serve_log *lines)
{
    write_all(slice_make(lines->bytes, lines->length));
    lines->length = 0;
}

static void on_turn(struct timer *timer)
{
    leave(LIST_OF(timer, struct serve_log, turn));
}

void serve_log_write(struct log *log, struct slice line)
{
    struct serve_log *lines = log->owner;
    assert(line.length <= sizeof lines->bytes);
    if (!lines->gathers) {
        write_all(line);
        return;
    }
    if (line.length > sizeof lines->bytes - lines->length)
        leave(lines);
    memcpy(lines->bytes + lines->length, line.data, line.length);
    lines->length += line.length;
    if (!timer_is_running(&lines->turn))
        timer_start(&lines->turn, 0, on_turn);
}

void serve_log_gather(struct serve_log *lines, bool on)
{
    lines->gathers = on;
    timer_cancel(&lines->turn);
    leave(lines);
}
