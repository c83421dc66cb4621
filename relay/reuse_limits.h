/* How many messages a host takes over one connection, as it was found out: some answer 4xx to MAIL from then on and leave the
 * connection open, so that everything sent over it would only be put off. A limit holds for an hour, then it is found out anew: it
 * may have been raised, or the refusal had another cause. Pure but for its memory, which is bounded: of more addresses than there is
 * room for, those learned longest ago are forgotten. The clock (monotonic) is the caller's. */
#ifndef RELAY_REUSE_LIMITS_H
#define RELAY_REUSE_LIMITS_H

#include "base/ip.h"
#include "base/list.h"
#include "base/map.h"

#define REUSE_LIMITS_MAX 1024
#define REUSE_LIMITS_KEEP_MS (60 * 60 * 1000)

struct reuse_limits {
    struct map map;   /* by address and port */
    struct list list; /* by when they were learned, the oldest first */
};

void reuse_limits_init(struct reuse_limits *limits, const uint64_t seed[2]);
void reuse_limits_free(struct reuse_limits *limits);
/* It took so many messages (at least one) over a connection and refused the next, which a fresh connection could carry. False: that was
 * known. Without memory it is not remembered. */
bool reuse_limits_learn(struct reuse_limits *limits, const struct endpoint *peer, uint32_t messages, int64_t now_ms);
/* Messages that one connection may carry; UINT32_MAX: no limit is known. */
uint32_t reuse_limits_ask(struct reuse_limits *limits, const struct endpoint *peer, int64_t now_ms);

#endif
