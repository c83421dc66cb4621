/* How often something was got wrong, by key (an address, a name), and how long to wait before the next try. Memory is fixed: of
 * more keys than there is room for, those are forgotten whose wait ends first. Pure but for its memory; the clock is the caller's. */
#ifndef RELAY_THROTTLE_H
#define RELAY_THROTTLE_H

#include "base/slice.h"

#define THROTTLE_FREE 5                       /* failures that cost nothing */
#define THROTTLE_WAIT_MAX_MS (15 * 60 * 1000) /* the wait doubles from a second up to this */
#define THROTTLE_MEMORY_MS (60 * 60 * 1000)   /* so long without a failure, and all is forgotten */
#define THROTTLE_KEYS 4096

struct throttle_slot;
struct throttle {
    uint64_t seed[2];
    struct throttle_slot *slots; /* NULL until prepared */
};
void throttle_init(struct throttle *throttle, const uint64_t seed[2]);
void throttle_free(struct throttle *throttle);
/* Milliseconds until the next try; 0: now. */
int64_t throttle_wait_ms(const struct throttle *throttle, struct slice key, int64_t now_ms);
/* Makes the memory for throttle_charge(). False: there is none. */
bool throttle_prepare(struct throttle *throttle);
/* Counts a failure. */
void throttle_charge(struct throttle *throttle, struct slice key, int64_t now_ms);

#endif
