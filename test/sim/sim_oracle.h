/* The rules that hold at every moment, judged from the outside: from what the world said and served, and from the bytes
 * that are on the disk. */
#ifndef TEST_SIM_SIM_ORACLE_H
#define TEST_SIM_SIM_ORACLE_H

#include "queue/queue.h"
#include "test/sim/world.h"

void sim_oracle_start(void);
/* The relay has this queue open; NULL: it is down. */
void sim_oracle_watch(struct queue *queue);
void sim_oracle_clock_stepped(int64_t step_ms);
void sim_oracle_reloaded(void);
void sim_oracle_asked(struct slice name);                  /* a DNS query */
void sim_oracle_connecting(const struct world_host *host); /* a connection to a mail host */
void sim_oracle_attempted(const struct world_domain *domain, struct slice address); /* this recipient is tried now */
void sim_oracle_answered(struct slice reply);              /* the relay says that to a client */
bool sim_oracle_queue_is_empty(void);

#endif
