/* An account of the time that has really passed, for whatever ends after a time: policies, and mail that waits. The wall clock may
 * leap, by somebody's hand or by forged NTP; the time since boot does not, not even over a suspend. So within one boot, also over
 * restarts of the program, the account runs with the latter alone. How much has passed between two boots, or since the queue was
 * another machine's, is known from the wall clock only: once in a boot, when that shows a time that can be, the account is put forward
 * to it, but by a day at most. It never goes back.
 *
 *   steady_open(&steady, mark or NULL, &reading);   the mark is what steady_mark() gave before; it is stored between
 *   steady_look(&steady, &reading)                  once a minute
 *   steady_now_ms(&steady)                          what time it is by the account: milliseconds since 1970 */
#ifndef BASE_STEADY_H
#define BASE_STEADY_H

#include "base/buffer.h"
#include "base/clock.h"

#define STEADY_LEAP_MIN_MS (5 * 60 * 1000)         /* what is less is a correction */
#define STEADY_OFF_MAX_MS (24ll * 3600 * 1000)     /* of the time that the machine was off, so much is believed */
#define STEADY_USUAL_MS (24ll * 3600 * 1000)       /* a clock that has run evenly for so long after a leap counts as set right */

struct steady_reading {
    int64_t wall_ms, boot_ms;
    char boot_id[CLOCK_BOOT_ID_SIZE];
};
struct steady {
    bool is_open;
    bool owes_gap;      /* since this boot the wall clock has shown no time that can be */
    bool has_leapt;     /* by more than the least from what was usual, either way */
    int64_t offset_ms;  /* of the account to the time since boot */
    int64_t usual_ms;   /* the same of the wall clock, where it counts as right */
    int64_t even_ms;    /* the same as it was at even_since_ms; within the least of it since then */
    int64_t even_since_ms; /* since boot */
    char boot_id[CLOCK_BOOT_ID_SIZE];
};
struct steady_mark {
    int64_t account_ms, boot_ms, usual_ms;
    bool owes_gap;
    char boot_id[CLOCK_BOOT_ID_SIZE];
};

enum steady_news { STEADY_SAME, STEADY_LEAPT, STEADY_WELL };

void steady_read(struct steady_reading *reading); /* the clocks */
void steady_open(struct steady *steady, const struct steady_mark *mark, const struct steady_reading *reading);
enum steady_news steady_look(struct steady *steady, const struct steady_reading *reading);
int64_t steady_at(const struct steady *steady, int64_t boot_ms);
/* How far the wall clock is ahead of what it showed when it was last right; negative: behind. */
int64_t steady_leap_ms(const struct steady *steady, const struct steady_reading *reading);

/* By the clocks as they are now. Where no account is open (a part that is tested alone) the wall clock is all that there is. */
int64_t steady_now_ms(const struct steady *steady);
int64_t steady_wall_ms(const struct steady *steady, int64_t account_ms); /* what the wall clock will show then, if nobody sets it */
int64_t steady_latest_ms(const struct steady *steady); /* the later of both clocks: for a day that somebody named as an end */
int64_t steady_told_ms(const struct steady *steady);   /* the leap; 0: none that is told */

/* Stored form; false: that is none. */
void steady_encode(const struct steady *steady, const struct steady_reading *reading, struct buffer *out);
bool steady_decode(struct slice bytes, struct steady_mark *mark);

#endif
