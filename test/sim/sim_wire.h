/* What leaves the relay towards mail hosts, read as an eavesdropper reads it (and beneath TLS, whose mask is no secret
 * here): no envelope may go where a policy that the relay knows forbids it. */
#ifndef TEST_SIM_SIM_WIRE_H
#define TEST_SIM_SIM_WIRE_H

#include "test/sim/sim_net.h"
#include "test/sim/world.h"

/* A connection of the relay to a mail host, or to the attacker in its place. */
void sim_wire_open(struct sim_link *link, const struct world_host *host);
void sim_wire_close(struct sim_link *link);
void sim_wire_written(struct sim_link *link, struct slice bytes);
/* The mail host's side of the story: that it offers CHUNKING, the certificate it shows, and that it says 354 now. */
void sim_wire_chunking(struct sim_link *link);
void sim_wire_shown(struct sim_link *link, const struct sim_certificate *certificate);
void sim_wire_content(struct sim_link *link);
void sim_wires_start(void);
void sim_wires_end(void);

#endif
