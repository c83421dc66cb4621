/* Whose turn it is to connect to a policy host. So many fetches at a time; of those that wait, the one goes first whose owner (the
 * registrable domain) and network have the fewest under way, and neither gets more than its share: whoever names a thousand
 * subdomains, or points a thousand domains at a host that says nothing, waits for himself. Nobody is turned away here. An address
 * that is known to be dead has one at a time. Pure but for its memory. */
#ifndef RELAY_FETCH_TURNS_H
#define RELAY_FETCH_TURNS_H

#include "base/ip.h"
#include "base/list.h"
#include "base/map.h"

#define FETCH_TURNS_MAX 32
#define FETCH_TURNS_SHARE 8

struct fetch_share;
enum fetch_turn_state { FETCH_TURN_IDLE, FETCH_TURN_WAITING, FETCH_TURN_RUNNING };
/* One lookup, from its start to its end; most of them fetch nothing. */
struct fetch_turn {
    struct fetch_share *share;
    struct list_node age;    /* among all, in the order of their start */
    struct list_node member; /* among those of the same owner */
    struct list_node node;   /* among those that wait, or run */
    enum fetch_turn_state state;
    struct ip address;
    bool is_dead;            /* the address did not answer a moment ago */
    int64_t since_ms;        /* its start */
};
struct fetch_turns {
    struct map shares; /* by owner */
    struct list ages, waiting, running;
};

void fetch_turns_init(struct fetch_turns *turns, const uint64_t seed[2]);
void fetch_turns_free(struct fetch_turns *turns);
MUST_CHECK enum err fetch_turns_join(struct fetch_turns *turns, struct fetch_turn *turn, struct slice domain, int64_t now_ms);
void fetch_turns_leave(struct fetch_turns *turns, struct fetch_turn *turn);
/* It would connect to this address. */
void fetch_turns_wait(struct fetch_turns *turns, struct fetch_turn *turn, const struct ip *address, bool is_dead);
struct fetch_turn *fetch_turns_next(struct fetch_turns *turns); /* it runs now; NULL: nobody may */
void fetch_turns_over(struct fetch_turns *turns, struct fetch_turn *turn); /* waits and runs no more */
/* Who ends so that others can begin: the last that came of the owner with most of them; where nobody has many, whoever has been at it
 * for long. NULL: nobody should. */
struct fetch_turn *fetch_turns_crowding(struct fetch_turns *turns, int64_t now_ms);

#endif
