/* Which of the policies that are due is refreshed next: of those that the walk over the cache has met, a bounded number, the one that
 * expires first. Those whose last refresh failed have a few slots of their own, so that policy hosts that say nothing hold up nobody
 * else; and of either kind no owner (the registrable domain) has more than a quarter of the slots and an eighth of the places to wait.
 * Whoever finds no place is met again in the next walk. Pure, and without memory of its own. */
#ifndef RELAY_REFRESH_TURNS_H
#define RELAY_REFRESH_TURNS_H

#include "base/slice.h"

#define REFRESH_TURNS_WAITING_MAX 512
#define REFRESH_TURNS_WAITING_SHARE (REFRESH_TURNS_WAITING_MAX / 8)
#define REFRESH_TURNS_MAX 12         /* at once, of those whose last refresh did not fail */
#define REFRESH_TURNS_FAILING_MAX 4  /* ... did */
#define REFRESH_TURNS_DOMAIN_MAX 255

struct refresh_turn {
    uint64_t owner;      /* a hash */
    int64_t due_ms;      /* planned for then */
    int64_t expires_ms;
    bool is_failing;     /* its last refresh failed */
    size_t length;
    char domain[REFRESH_TURNS_DOMAIN_MAX];
};
struct refresh_lane {
    struct refresh_turn *waiting[REFRESH_TURNS_WAITING_MAX];
    struct refresh_turn *running[REFRESH_TURNS_MAX];
    size_t waiting_count, running_count, running_max;
};
struct refresh_turns {
    struct refresh_lane lanes[2]; /* those that do not fail, and those that do */
};

void refresh_turns_init(struct refresh_turns *turns);
struct slice refresh_turn_domain(const struct refresh_turn *turn);
bool refresh_turns_has(const struct refresh_turns *turns, struct slice domain); /* it waits or runs */
/* Returns who has to go for it: NULL, another turn, or this one. */
struct refresh_turn *refresh_turns_add(struct refresh_turns *turns, struct refresh_turn *turn);
struct refresh_turn *refresh_turns_next(struct refresh_turns *turns); /* it runs now; NULL: nobody may */
void refresh_turns_over(struct refresh_turns *turns, struct refresh_turn *turn); /* runs no more */
struct refresh_turn *refresh_turns_take(struct refresh_turns *turns); /* any that waits, at the end; NULL: there is none */

#endif
