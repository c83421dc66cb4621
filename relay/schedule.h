/* The scheduler: decides which destination is worked on next. Destinations take turns; each has its window, its concurrency and its
 * back-off. Story: the queue says which destinations are ready (schedule_wake on every commit of new mail, else a timer at the
 * next due time); for each a struct destination and a delivery is made; a delivery takes entry after entry and ends when there
 * are no more, or when it has had its turn and others wait for its place; then the turn passes on. */
#ifndef RELAY_SCHEDULE_H
#define RELAY_SCHEDULE_H

#include "relay/destination.h"
#include "relay/place.h"

/* In the order of arrival; an entry inside a message, since a slice of work can end there. */
struct aging_place {
    uint64_t id;
    uint32_t number;
};

struct schedule {
    struct relay *relay;
    struct map destinations;   /* those with work or state in memory */
    struct map hops;           /* next hops that destinations share: hop.h */
    struct list turns;         /* destinations that could use another delivery */
    struct list idles;         /* deliveries that keep an open connection for a moment: ended when room is needed */
    size_t delivery_count;     /* all, also those that have lent their place */
    size_t lent_count, lent_max; /* of them, those without a place, and how many those may be */
    struct list places_wanted; /* of them, those that want theirs back: first come, first served */
    int64_t gathered_ms;       /* monotonic: when ready destinations were last looked for, */
    struct queue_ready gathered; /* and up to which; without a name: from the front again */
    char gathered_name[QUEUE_NAME_MAX];
    bool is_cut;               /* that look ended before its end: so many were there that cannot use a place */
    int64_t hop_next_ms;       /* monotonic: when the first of the hops lets somebody in; 0: when a place gets free */
    int64_t hurried_ms;        /* monotonic: when slow hosts were last looked for, since others wait */
    int64_t pace_next_ms;      /* monotonic: the first of the destinations that their rate holds back; 0: none */
    struct timer timer;        /* at the next due time */
    struct timer run_timer;    /* runs a turn as soon as the loop is back */
    struct timer aging_timer;
    bool is_stopping;
    bool is_held;              /* nothing is taken until the journal has caught up */
    struct aging_place noticed, expired; /* how far the two walks of aging.h have come */
    uint64_t postponed_id;     /* the first message that this walk could not tell of, since it was being delivered; 0: none */
};
struct schedule *schedule_new(struct relay *relay);
void schedule_free(struct schedule **schedule);
/* The destination by its name, made known if it was not: it may be forgotten in the next turn unless it has flights or work. NULL: out
 * of memory. */
struct destination *schedule_destination(struct schedule *schedule, struct slice name);
/* New mail for this destination was committed. */
void schedule_arrived(struct schedule *schedule, struct slice destination);
/* An entry became due by other means. */
void schedule_wake(struct schedule *schedule, struct slice destination);
void schedule_reload(struct schedule *schedule); /* the configuration has changed: all that waits is looked at anew */
void schedule_run_soon(struct schedule *schedule);
/* Too many outcomes wait to be written: what is taken now would be delivered once more after a crash. The destination's
 * connections wait, and go on when half of it is on disk. */
bool schedule_holds(struct schedule *schedule, struct destination *destination);
/* An outcome has been written. */
void schedule_recorded(struct schedule *schedule);
bool schedule_has_room(const struct schedule *schedule); /* a place is free */
/* All places are taken, and a destination that has none waits for one, or a delivery that lent its own. */
bool schedule_is_crowded(const struct schedule *schedule);
/* No new deliveries; running ones are told to end. deadline: those that wait for the answer to a final dot get until
 * schedule_abort(). */
void schedule_stop(struct schedule *schedule);
void schedule_abort(struct schedule *schedule);
bool schedule_is_idle(const struct schedule *schedule);
/* A delivery has ended. */
void schedule_ended(struct schedule *schedule, struct destination *destination);

#endif
