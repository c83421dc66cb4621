/* Next hops that several recipient domains share: HOST:PORT of a [route]. A provider counts what comes from us, not the domains behind
 * it, so its limits (connections, rate) hold for all that goes there together. Story: a delivery enters the hop of its message and
 * holds a place there until it ends; a destination whose hop has no place waits in the hop's line, out of the way of the others. Where
 * the sender decides on the route ("from:"), that is only known when a message has been taken: one that cannot go now is parked,
 * so that the other mail of its destination goes on. schedule.c lets them in again when there is a place or the rate allows: those in
 * line and those parked alternately, of the latter each destination in its turn. */
#ifndef RELAY_HOP_H
#define RELAY_HOP_H

#include "relay/destination.h"

/* Destinations in the line of a hop, and messages parked at it, that are kept in memory; the others are found again in the queue. */
#define HOP_WAITING_MAX 64
#define HOP_PARKED_MAX 1000 /* where more would be, whoever has the most gives one up */

struct hop {
    struct schedule *schedule;
    struct map_node node;     /* in schedule.hops, by name */
    char *name;               /* "HOST:PORT" */
    uint32_t connections_max, gap_ms; /* between two messages; 0: no rate */
    size_t connections;       /* deliveries that have entered */
    int64_t pace_next_ms;     /* monotonic: the next message may not begin before that */
    struct list waiting;      /* struct destination, by hop_node */
    struct list parked;       /* destinations that have messages parked here, in turns */
    size_t parked_count;      /* those messages */
    bool is_turn_of_parked;   /* both kinds have every other place */
    bool is_used;             /* by the present configuration */
};

void hop_init(struct schedule *schedule);
void hop_free_all(struct schedule *schedule); /* nothing is parked, and no destination is left */
/* The hop of all mail for this destination, whoever sends it; NULL: it goes by MX, or the sender decides. Without memory: NULL. */
struct hop *hop_of_destination(struct schedule *schedule, struct slice name);
/* That of one message. */
struct hop *hop_of_message(struct schedule *schedule, struct slice destination, struct slice sender);
bool hop_has_place(const struct hop *hop); /* hop may be NULL: yes */
bool hop_is_paced(const struct hop *hop);  /* its rate lets no message begin now */
/* It has no place, and no more destinations can wait for one. */
bool hop_is_closed(const struct hop *hop);
/* A message begins: held is where the delivery has a place, and changes to hop (NULL: none is needed). False: not now; held stays. */
bool hop_enter(struct hop *hop, struct hop **held);
void hop_leave(struct schedule *schedule, struct hop **held);
/* Somebody else waits for a place there: whoever has had a turn may give up its own. */
bool hop_is_crowded(const struct hop *hop);
/* The destination waits in the line of its hop, if that is not too long. */
void hop_wait(struct destination *destination);
void hop_stop_waiting(struct destination *destination);
/* A message in flight that cannot go now; its flight ends when it may, and then it is the next that its destination takes. Too many are
 * parked, most of them for this destination, or no memory: it ends at once, and the destination pauses for a second. */
void hop_park(struct hop *hop, struct destination *destination, const struct queue_pick *pick);
void hop_unpark_all(struct schedule *schedule);
bool hop_has_parked(const struct hop *hop, uint64_t id, uint16_t number); /* hop may be NULL: no */
/* Those who can be let in now return into the schedule's turns. Returns when to look again (monotonic); 0: at a place that gets free. */
int64_t hop_let_in(struct schedule *schedule);
/* The configuration has changed: limits are read anew, and each destination gets its hop. */
void hop_reload(struct schedule *schedule);

#endif
