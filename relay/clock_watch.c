#include "relay/clock_watch.h"

#include "base/text.h"
#include "relay/journal.h"
#include "relay/relay.h"

#include <stdlib.h>

#define LOOK_MS (60 * 1000)
#define STORE_MS (3600 * 1000) /* more is lost only over a power cut, and what the wall clock then says makes up for it */
#define KEY "clock"
#define MARK_MAX 1024

static void on_look(struct timer *timer);
static void look(struct clock_watch *watch);
static void store(struct clock_watch *watch, const struct steady_reading *reading);
static void log_news(struct clock_watch *watch, enum steady_news news, const struct steady_reading *reading);

bool clock_watch_read(struct queue *queue, struct steady *steady)
{
    struct arena *arena = arena_new(MARK_MAX);
    struct slice bytes;
    struct steady_mark mark;
    struct steady_reading reading;
    enum err err = arena == NULL ? ERR_MEMORY : queue_meta_get(queue, SLICE(KEY), arena, &bytes);
    bool is_known = err == ERR_NONE && steady_decode(bytes, &mark);
    steady_read(&reading);
    steady_open(steady, is_known ? &mark : NULL, &reading);
    arena_free(&arena);
    return is_known || err == ERR_NOT_FOUND;
}

void clock_watch_start(struct clock_watch *watch, struct relay *relay)
{
    struct log_line line;
    *watch = (struct clock_watch){.relay = relay};
    if (!clock_watch_read(relay->queue, &watch->relay->steady) && log_open(&line, relay->log, LOG_ERROR, "clock_unknown")) {
        log_string(&line, "problem", "the account of the time that has passed cannot be read from the queue: it starts again from the clock");
        log_string(&line, "advice", "see that the time of this machine is right; `sternpost queue check` tells what else is damaged");
        log_close(&line);
    }
    look(watch);
}

void clock_watch_stop(struct clock_watch *watch)
{
    timer_cancel(&watch->timer);
}

static void on_look(struct timer *timer)
{
    look(LIST_OF(timer, struct clock_watch, timer));
}

static void look(struct clock_watch *watch)
{
    struct steady_reading reading;
    int64_t offset_ms = watch->relay->steady.offset_ms;
    steady_read(&reading);
    enum steady_news news = steady_look(&watch->relay->steady, &reading);
    if (news != STEADY_SAME)
        log_news(watch, news, &reading);
    bool is_new = watch->stored_ms == 0 || news != STEADY_SAME || watch->relay->steady.offset_ms != offset_ms;
    if (!watch->relay->is_stopping && (is_new || reading.boot_ms - watch->stored_ms >= STORE_MS))
        store(watch, &reading);
    timer_start(&watch->timer, LOOK_MS, on_look);
}

/* ---- written down ---- */

struct mark_write {
    struct journal_write write;
    struct queue_change change;
    struct buffer bytes;
};

static void written(struct journal_write *write, enum err err)
{
    (void)err; /* the journal has told; an older account loses nothing within this boot */
    struct mark_write *mark = LIST_OF(write, struct mark_write, write);
    buffer_free(&mark->bytes);
    free(mark);
}

/* Without memory the next look tries again. */
static void store(struct clock_watch *watch, const struct steady_reading *reading)
{
    struct mark_write *mark = calloc(1, sizeof *mark);
    if (mark == NULL)
        return;
    buffer_init(&mark->bytes, MARK_MAX);
    steady_encode(&watch->relay->steady, reading, &mark->bytes);
    if (buffer_failed(&mark->bytes)) {
        buffer_free(&mark->bytes);
        free(mark);
        return;
    }
    watch->stored_ms = reading->boot_ms;
    mark->change = (struct queue_change){.kind = QUEUE_CHANGE_META, .key = SLICE(KEY), .bytes = buffer_slice(&mark->bytes)};
    mark->write = (struct journal_write){.changes = &mark->change, .change_count = 1, .done = written};
    journal_submit(watch->relay->journal, &mark->write);
}

/* ---- told ---- */

static void log_news(struct clock_watch *watch, enum steady_news news, const struct steady_reading *reading)
{
    struct log_line line;
    int64_t leap_ms = steady_leap_ms(&watch->relay->steady, reading);
    bool has_leapt = news == STEADY_LEAPT;
    char time[32];
    if (!log_open(&line, watch->relay->log, has_leapt ? LOG_ERROR : LOG_INFO, has_leapt ? "clock_leapt" : "clock_well"))
        return;
    if (has_leapt) {
        log_duration(&line, "by", leap_ms < 0 ? -leap_ms : leap_ms);
        log_string(&line, "direction", leap_ms < 0 ? "back" : "forward");
        log_text(&line, "expected", text_date_iso(reading->wall_ms - leap_ms, time));
        log_string(&line, "problem", "the clock of this machine shows another time than has passed since it was last right");
        log_string(&line, "advice",
                   "see that its time comes from a source that can be trusted (NTS, or a server of your own): forged time is an attack on TLS "
                   "and on policies. Policies and mail that waits do not expire by the leap, only by time that really passes; certificates may "
                   "look expired meanwhile, and that mail waits");
    } else {
        log_string(&line, "reason", "the clock shows the time again that it should, or has run evenly for a day");
    }
    log_close(&line);
}
