/* Clients of the relay: applications that hand in mail over SMTP, some of them badly, some of them with no right to. */
#ifndef TEST_SIM_SIM_CLIENT_H
#define TEST_SIM_SIM_CLIENT_H

#include "base/ip.h"

#include <stdbool.h>
#include <stddef.h>

void sim_clients_start(size_t message_count); /* plans when they come */
void sim_clients_end(void);
bool sim_clients_are_done(void);
/* Where the relay listens, and whom it trusts. */
#define SIM_CLIENT_DOOR "10.1.1.1:2525"
#define SIM_CLIENT_NETWORK "10.0.0.0/24"

#endif
