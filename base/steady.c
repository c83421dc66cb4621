#include "base/steady.h"

#include <string.h>

#define FORMAT_VERSION 1
#define YEAR_2020_MS INT64_C(1577836800000) /* no clock that is set shows an earlier time */

static void take_gap(struct steady *steady, const struct steady_reading *reading);
static void follow(struct steady *steady, const struct steady_reading *reading);

static int64_t magnitude(int64_t ms)
{
    return ms < 0 ? -ms : ms;
}

/* Of the wall clock to the time since boot: constant but for somebody who sets the clock. */
static int64_t wall_offset(const struct steady_reading *reading)
{
    return reading->wall_ms - reading->boot_ms;
}

void steady_read(struct steady_reading *reading)
{
    *reading = (struct steady_reading){.wall_ms = clock_wall_ms(), .boot_ms = clock_boot_ms()};
    clock_boot_id(reading->boot_id);
}

void steady_open(struct steady *steady, const struct steady_mark *mark, const struct steady_reading *reading)
{
    *steady = (struct steady){.is_open = true,
                              .owes_gap = reading->wall_ms < YEAR_2020_MS,
                              .offset_ms = wall_offset(reading),
                              .usual_ms = wall_offset(reading),
                              .even_ms = wall_offset(reading),
                              .even_since_ms = reading->boot_ms};
    memcpy(steady->boot_id, reading->boot_id, sizeof steady->boot_id);
    if (mark == NULL)
        return;
    bool is_same_boot = mark->boot_id[0] != '\0' && strcmp(mark->boot_id, reading->boot_id) == 0 && mark->boot_ms <= reading->boot_ms;
    if (is_same_boot) {
        steady->offset_ms = mark->account_ms - mark->boot_ms;
        steady->usual_ms = mark->usual_ms;
        steady->owes_gap = mark->owes_gap;
        return;
    }
    /* What has passed since the boot need not have passed since the mark: the queue may come from another machine. */
    steady->offset_ms = steady->usual_ms = mark->account_ms - reading->boot_ms;
    steady->owes_gap = true;
}

int64_t steady_at(const struct steady *steady, int64_t boot_ms)
{
    return boot_ms + steady->offset_ms;
}

int64_t steady_leap_ms(const struct steady *steady, const struct steady_reading *reading)
{
    return wall_offset(reading) - steady->usual_ms;
}

enum steady_news steady_look(struct steady *steady, const struct steady_reading *reading)
{
    bool had_leapt = steady->has_leapt;
    take_gap(steady, reading);
    follow(steady, reading);
    steady->has_leapt = magnitude(steady_leap_ms(steady, reading)) > STEADY_LEAP_MIN_MS;
    return steady->has_leapt == had_leapt ? STEADY_SAME : steady->has_leapt ? STEADY_LEAPT : STEADY_WELL;
}

/* A clock that shows less than what has passed for certain is not set yet, as on machines without a battery. An account that was begun
 * under such a clock has nothing to lose. */
static void take_gap(struct steady *steady, const struct steady_reading *reading)
{
    int64_t account_ms = steady_at(steady, reading->boot_ms);
    int64_t gap_ms = reading->wall_ms - account_ms;
    if (!steady->owes_gap || gap_ms < 0 || reading->wall_ms < YEAR_2020_MS)
        return;
    steady->owes_gap = false;
    bool is_believed = gap_ms < STEADY_OFF_MAX_MS || account_ms < YEAR_2020_MS;
    steady->offset_ms += is_believed ? gap_ms : STEADY_OFF_MAX_MS;
    steady->usual_ms = steady->offset_ms;
}

/* Small corrections add up over months, and some leaps are right: a machine that was paused from outside wakes up later. Neither is told
 * for ever; the account takes no notice of them. */
static void follow(struct steady *steady, const struct steady_reading *reading)
{
    int64_t offset_ms = wall_offset(reading);
    bool is_even = magnitude(offset_ms - steady->even_ms) <= STEADY_LEAP_MIN_MS;
    bool is_over = reading->boot_ms - steady->even_since_ms >= STEADY_USUAL_MS;
    if (is_even && !is_over)
        return;
    if (is_even && !steady->owes_gap)
        steady->usual_ms = offset_ms;
    steady->even_ms = offset_ms;
    steady->even_since_ms = reading->boot_ms;
}

int64_t steady_now_ms(const struct steady *steady)
{
    return steady->is_open ? steady_at(steady, clock_boot_ms()) : clock_wall_ms();
}

int64_t steady_wall_ms(const struct steady *steady, int64_t account_ms)
{
    return clock_wall_ms() + account_ms - steady_now_ms(steady);
}

int64_t steady_latest_ms(const struct steady *steady)
{
    int64_t account_ms = steady_now_ms(steady);
    int64_t wall_ms = clock_wall_ms();
    return wall_ms > account_ms ? wall_ms : account_ms;
}

int64_t steady_told_ms(const struct steady *steady)
{
    if (!steady->is_open || !steady->has_leapt)
        return 0;
    return clock_wall_ms() - clock_boot_ms() - steady->usual_ms;
}

/* ---- stored ---- */

/* All numbers big endian: version (u8), owes_gap (u8), account, time since boot, usual offset (u64 each), the boot's name as a block. */
void steady_encode(const struct steady *steady, const struct steady_reading *reading, struct buffer *out)
{
    buffer_add_u8(out, FORMAT_VERSION);
    buffer_add_u8(out, steady->owes_gap);
    buffer_add_u64(out, (uint64_t)steady_at(steady, reading->boot_ms));
    buffer_add_u64(out, (uint64_t)reading->boot_ms);
    buffer_add_u64(out, (uint64_t)steady->usual_ms);
    buffer_add_block(out, slice_of(steady->boot_id));
}

bool steady_decode(struct slice bytes, struct steady_mark *mark)
{
    struct reader reader = reader_of(bytes);
    uint8_t version = reader_u8(&reader);
    uint8_t owes_gap = reader_u8(&reader);
    *mark = (struct steady_mark){.owes_gap = owes_gap == 1};
    mark->account_ms = (int64_t)reader_u64(&reader);
    mark->boot_ms = (int64_t)reader_u64(&reader);
    mark->usual_ms = (int64_t)reader_u64(&reader);
    struct slice boot_id = reader_block(&reader);
    if (!reader_done(&reader) || version != FORMAT_VERSION || owes_gap > 1 || boot_id.length >= sizeof mark->boot_id ||
        mark->account_ms < 0 || mark->account_ms > INT64_MAX / 4 || mark->boot_ms < 0)
        return false;
    memcpy(mark->boot_id, boot_id.data, boot_id.length);
    return true;
}
