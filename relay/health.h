/* Whether the relay can do its work now: what readiness probes and the metrics ask. The resolver is probed in the background, so
 * that an answer costs nothing and a resolver that falls silent is told in the log before mail waits for it; but not where all mail goes to
 * addresses. */
#ifndef RELAY_HEALTH_H
#define RELAY_HEALTH_H

#include "base/buffer.h"
#include "relay/metrics.h"

struct relay;
struct health;

/* The first probe is sent at once. NULL: out of memory. */
struct health *health_new(struct relay *relay);
void health_free(struct health **health);
/* False: problem says in a sentence what is wrong. health NULL counts as not ready. */
bool health_is_ready(const struct health *health, struct buffer *problem);
/* What is to be told beside "ready": nothing, as a rule. */
void health_remark(const struct relay *relay, struct buffer *remark);
void health_gauges(struct relay *relay, struct metrics_gauges *gauges);

#endif
