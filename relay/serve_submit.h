/* What `sendmail` hands over to, opened by `serve`: the submit socket and the drop directory. */
#ifndef RELAY_SERVE_SUBMIT_H
#define RELAY_SERVE_SUBMIT_H

#include "relay/serve_system.h"

struct relay;

/* While still root: makes the directories that are missing, for the identity. */
void serve_submit_prepare(const struct config *config, const struct system_identity *identity);
/* Afterwards. What is configured must be there: else 73, with a sentence on standard error. What is the default may be missing: a
 * warning. Returns the exit status. */
int serve_submit_open(struct relay *relay);

#endif
