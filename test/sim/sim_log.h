/* What happened in a run, in order: the relay's own log lines and what the world did, each with the simulated time. A
 * hash of all of it tells whether two runs went the same way. */
#ifndef TEST_SIM_SIM_LOG_H
#define TEST_SIM_SIM_LOG_H

#include "base/slice.h"

#include <stdbool.h>

void sim_log_start(bool aloud); /* aloud: also on standard output, at once */
void sim_log(const char *format, ...) __attribute__((format(printf, 1, 2)));
void sim_log_relay(struct slice line);
uint64_t sim_log_hash(void);
size_t sim_log_relay_count(void); /* lines of the relay */
void sim_log_print_tail(size_t bytes); /* the last part of it, on standard output; safe in a signal handler */

/* A rule was broken: the first such sentence is what the run ends with. */
void sim_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
bool sim_failed(void);
const char *sim_failure(void); /* empty: none */

#endif
