/* How long a host may take: the times of RFC 5321 4.5.3.2 for each answer, and one for the transaction as a whole, so
 * that a host that gives a word now and then does not keep a connection for ever. Pure. */
#ifndef RELAY_PATIENCE_H
#define RELAY_PATIENCE_H

#include "smtp/client.h"

struct patience {
    enum smtp_client_stage stage;
    int64_t elapsed_ms; /* of the transaction; where there is none it does not count */
    uint64_t size;      /* of the message, in bytes */
};
/* Milliseconds from now on until the host is given up. */
int64_t patience_ms(const struct patience *patience);

#endif
