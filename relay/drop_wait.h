/* Files of the drop directory that could not be taken now, for a reason of their own: each is tried again after a wait that doubles,
 * while all others are taken. Of fixed size: of more files that whose wait ends first is forgotten, and so tried sooner. Pure. */
#ifndef RELAY_DROP_WAIT_H
#define RELAY_DROP_WAIT_H

#include "relay/drop_files.h"

#define DROP_WAITS_MAX 256
#define DROP_WAIT_FIRST_MS (60 * 1000)
#define DROP_WAIT_MAX_MS (60 * 60 * 1000)

struct drop_waits {
    struct drop_wait {
        struct drop_name name; /* empty: a free place */
        int64_t until_ms;
        unsigned tries;
    } items[DROP_WAITS_MAX];
    size_t count;
};
/* now_ms: a clock that does not leap. Returns how long this one waits. */
int64_t drop_wait_add(struct drop_waits *waits, const struct drop_name *name, int64_t now_ms);
bool drop_wait_has(const struct drop_waits *waits, const struct drop_name *name, int64_t now_ms); /* it is to be left alone */
void drop_wait_remove(struct drop_waits *waits, const struct drop_name *name); /* it is gone; also one that never waited */

#endif
