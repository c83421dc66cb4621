/* The inside of the finder: finder.c looks up, finder_log.c tells, finder_refresh.c walks the cache. */
#ifndef RELAY_FINDER_INTERNAL_H
#define RELAY_FINDER_INTERNAL_H

#include "base/buffer.h"
#include "base/map.h"
#include "relay/finder.h"
#include "relay/host.h"

struct finder {
    struct relay *relay;
    struct map flights;          /* by domain */
    struct list fetch_queue;     /* flights that wait for their turn to fetch */
    size_t fetch_count;
    struct list starved;         /* requests that found no memory */
    struct timer starved_timer;
    bool is_stopping;
    /* The walk over the cache. */
    struct timer timer;
    struct buffer walked;        /* the last domain visited; empty: from the start */
    size_t modes[3], counting[3]; /* live policies by mode: as of the last whole walk, and of this one */
    size_t refresh_count;        /* refreshes under way */
};

void finder_answer_starved(struct timer *timer);
void finder_log_result(struct finder *finder, struct slice domain, enum sts_lookup_purpose purpose,
                       const struct sts_lookup_result *result);
/* Keeps the count by mode between walks. */
void finder_count(struct finder *finder, const struct sts_entry *before, const struct sts_entry *after);
void finder_plan(struct finder *finder); /* the walk goes on in a while */

#endif
