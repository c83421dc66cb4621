/* When the wall clock was set back, what waits would wait for a time that is far ahead now: the back-off of destinations and of
 * entries is shortened to what the schedule of waits allows at most. Looked for once a minute; without such a step it costs one look
 * at the end of the index of what is ready when. */
#ifndef RELAY_REWIND_H
#define RELAY_REWIND_H

#include "base/slice.h"

struct schedule;

void rewind_waits(struct schedule *schedule);
/* What the destination waited for is over: those of its messages that were put off for the same reason are due now, a page at a time. */
void rewind_release(struct schedule *schedule, struct slice name, struct slice reason);

#endif
