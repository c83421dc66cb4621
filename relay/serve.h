/* `sternpost serve`: the relay in the foreground, from configuration to drained stop. Joins the real host with the relay; like
 * main.c it is no part of the simulator. */
#ifndef RELAY_SERVE_H
#define RELAY_SERVE_H

#include "relay/config.h"

/* The source is read again at SIGHUP, so it must live as long as the call. Returns the exit status of interface: 0 drained, 78
 * configuration, 69 address in use, 77 not permitted, 73 cannot be created, 75 queue held by another relay, 74 disk error, 70 out
 * of memory. Faults are sentences on standard error. */
int serve_run(const struct config_source *source);

#endif
