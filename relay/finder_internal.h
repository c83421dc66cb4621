/* The inside of the finder: finder.c looks up, finder_log.c tells, finder_refresh.c walks the cache, finder_room.c bounds it,
 * finder_write.c writes what is neither learned nor looked up. */
#ifndef RELAY_FINDER_INTERNAL_H
#define RELAY_FINDER_INTERNAL_H

#include "base/buffer.h"
#include "base/map.h"
#include "relay/fetch_turns.h"
#include "relay/finder.h"
#include "relay/host.h"
#include "relay/refresh_turns.h"

#define FINDER_ROOM_HOURS 720
/* What goes first: what binds nothing; what was in use on one day only; what has been enforced for longer. */
enum finder_room_class { FINDER_ROOM_DEAD, FINDER_ROOM_FRESH, FINDER_ROOM_LIVE, FINDER_ROOM_CLASSES };
/* Owners (registrable domains) are told apart by two rows of counters instead of a list, so that memory does not grow with their number.
 * One that shares a counter with another in one row hardly ever does in the other. */
#define FINDER_ROOM_ROWS 2
#define FINDER_ROOM_COUNTERS 4096
struct finder_room {
    int64_t begun_ms;            /* of this walk; 0: not begun */
    uint64_t bytes;              /* of all that was met and kept */
    uint64_t by_age[FINDER_ROOM_CLASSES][FINDER_ROOM_HOURS]; /* of them, what may be forgotten, by hours since its last use */
    bool is_tight;               /* the walk before found too much */
    bool is_stuck;               /* ... and there was nothing that may go */
    /* What this walk forgets: all that is of a lesser class or was last used before the mark's hour, and of that hour so many
     * bytes. */
    bool is_freeing;
    enum finder_room_class mark_class;
    int64_t mark_hour;
    uint64_t mark_bytes;
    size_t freed_count;
    /* Bytes by owner: of what may be forgotten, of what may not, and what this walk forgets of it. */
    uint64_t shares[FINDER_ROOM_ROWS][FINDER_ROOM_COUNTERS], held[FINDER_ROOM_COUNTERS];
    uint64_t excess[FINDER_ROOM_ROWS][FINDER_ROOM_COUNTERS];
};

struct finder {
    struct relay *relay;
    struct map flights;          /* by domain */
    struct fetch_turns turns;    /* of the flights, to connect to a policy host */
    struct timer turn_timer;
    struct list starved;         /* requests that found no memory */
    struct timer starved_timer;
    bool is_stopping;
    /* The walk over the cache. */
    struct timer timer;
    struct buffer walked;        /* the last domain visited; empty: from the start */
    size_t modes[3], counting[3]; /* live policies by mode: as of the last whole walk, and of this one */
    size_t failing, counting_failing; /* of them, whose refresh fails (but for mode none) */
    size_t overdue, counting_overdue; /* ... is overdue */
    struct finder_room room;
    uint64_t cache_bytes;        /* as of the last whole walk */
    struct refresh_turns refreshes;
    size_t writing_count;        /* finder_write, under way */
};

void finder_answer_starved(struct timer *timer);
/* before: the entry as it was in the cache; NULL: there was none. */
struct finder_event {
    struct slice domain;
    enum sts_lookup_purpose purpose;
    const struct sts_entry *before;
    struct sts_lookup_result *result; /* notes in its entry what is told once */
};
void finder_log_result(struct finder *finder, const struct finder_event *event);
/* Each once a policy; notes in the entry that it is told, which the caller stores. */
void finder_tell_overdue(struct finder *finder, struct slice domain, struct sts_entry *entry);
void finder_tell_lapsed(struct finder *finder, struct slice domain, struct sts_entry *entry);
/* Meets an entry of so many stored bytes in the walk; false: it is to be forgotten. */
bool finder_room_admits(struct finder *finder, struct slice domain, const struct sts_entry *entry, size_t size);
void finder_room_walked(struct finder *finder); /* the whole cache was met */
MUST_CHECK enum err finder_write(struct finder *finder, struct slice domain, const struct sts_entry *entry); /* NULL: forgets it */
void finder_end_refreshes(struct finder *finder);
/* Keeps the count by mode between walks. */
void finder_count(struct finder *finder, const struct sts_entry *before, const struct sts_entry *after);
void finder_plan(struct finder *finder); /* the walk goes on in a while */

#endif
