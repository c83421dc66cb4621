/* One policy lookup without a finder: for `explain` where no relay runs. The cache is read where it can be, never written. */
#ifndef RELAY_EXPLAIN_LOOKUP_H
#define RELAY_EXPLAIN_LOOKUP_H

#include "relay/fetch.h"
#include "relay/finder.h"
#include "sts/lookup.h"

struct explain_lookup {
    void (*done)(struct explain_lookup *lookup, const struct finding *finding); /* never inside the start */
    struct relay *relay;
    struct arena *arena;      /* the owner's */
    struct slice domain;      /* the owner's */
    struct sts_entry cached;
    struct sts_lookup machine;
    struct resolve txt;
    struct fetch fetch;
    bool is_fetching;
    char name[256];
};
void explain_lookup_start(struct explain_lookup *lookup);
void explain_lookup_cancel(struct explain_lookup *lookup);

#endif
