/* What the relay must know of the policies: reckoned from what the policy hosts served and it got whole, over a connection on
 * which the host's name was proved. Such a policy is known for max_age from the question for its record, of time that has
 * really passed, unless another took its place in the same way. What the relay wrote down is looked at for two things only: to
 * demand that it is what it must know, and to learn whether it was in time where a crash or a lack of memory came between. */
#ifndef TEST_SIM_SIM_KNOWN_H
#define TEST_SIM_SIM_KNOWN_H

#include "test/sim/queue_memory.h"
#include "test/sim/sim_net.h"
#include "test/sim/world.h"

/* What binds mail for a domain. While a policy is on its way to the disk mail may go by the one before or by the new one. */
struct sim_known {
    bool is_free;                            /* nothing binds it, or may not yet */
    const struct world_publication *ways[2]; /* else: enforced; one of them must be kept. The second may be NULL */
};

void sim_known_start(void);
void sim_known_end(void);
void sim_known_all(void); /* no policy that is served as ever may have come to its end, but of the crowd */
struct sim_known sim_known_of(const struct world_domain *domain);

/* From the world: the relay asks for the domain's record; the whole of a policy was written up to that byte of the link, by a
 * host that proved itself; the relay has read more of a link. */
void sim_known_asked(const struct world_domain *domain);
void sim_known_offered(const struct world_domain *domain, const struct sim_link *link, uint64_t end);
void sim_known_given(const struct sim_link *link);
/* From the relay: it has this queue open (NULL: it is down); it may have written; what it did not write is lost. */
void sim_known_watch(struct queue *queue);
void sim_known_committed(void);
void sim_known_lost_memory(void);

#endif
