/* Aging: delay notices, and the end of messages whose time is over. Message ids are ordered by arrival, so both are walks over the
 * oldest messages only, slice by slice. Entries that are tried now are left to their delivery. */
#ifndef RELAY_AGING_H
#define RELAY_AGING_H

#include <stdbool.h>

struct schedule;
/* One slice of work; returns true when there is more to do at once. */
bool aging_run(struct schedule *schedule);

#endif
