/* The rules that hold at every moment, judged from the outside: from what the world said and served, and from the bytes
 * that are on the disk. */
#ifndef TEST_SIM_SIM_ORACLE_H
#define TEST_SIM_SIM_ORACLE_H

#include "queue/queue.h"
#include "test/sim/world.h"

void sim_oracle_start(void);
/* The relay has this queue open; NULL: it is down. */
void sim_oracle_watch(struct queue *queue);
void sim_oracle_committed(void); /* the disk may have changed */
void sim_oracle_clock_stepped(int64_t step_ms);
void sim_oracle_reloaded(void);
/* A whole valid response of the true policy host has been written, on a connection that began then. */
void sim_oracle_served(const struct world_domain *domain, const struct world_publication *publication, int64_t from_ms);
/* The enforced policy that the relay has on its disk and that has not expired; NULL: none. */
const struct world_publication *sim_oracle_known(const struct world_domain *domain);
void sim_oracle_asked(struct slice name);                  /* a DNS query */
void sim_oracle_connecting(const struct world_host *host); /* a connection to a mail host */
void sim_oracle_attempted(const struct world_domain *domain, struct slice address); /* this recipient is tried now */
void sim_oracle_answered(struct slice reply);              /* the relay says that to a client */
bool sim_oracle_queue_is_empty(void);

#endif
