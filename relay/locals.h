/* Local addresses: what [local] says of our own domains, and the aliases file. Nothing is delivered locally; an address of
 * a local domain becomes other addresses, or goes to root. */
#ifndef RELAY_LOCALS_H
#define RELAY_LOCALS_H

#include "relay/config.h"

struct locals;
/* Reads the aliases file (absent: none). Faults of single lines are warnings that name file:line; the rest counts. */
MUST_CHECK enum err locals_load(const struct config *config, struct locals **locals, struct buffer *warnings);
void locals_free(struct locals **locals);

enum locals_result {
    LOCALS_REMOTE,  /* not ours: deliver as it is */
    LOCALS_EXPANDED, /* out holds the addresses instead */
    LOCALS_UNKNOWN, /* ours, but neither alias nor root: 550 5.1.1, exit 67; names the key to set */
    LOCALS_LOOP,     /* aliases refer to each other without end */
    LOCALS_TOO_MANY, /* more than 1,000 addresses */
    LOCALS_MEMORY,
};
/* address: local@domain, or a bare local part, which counts as ours. Expansion is recursive, without duplicates, into the arena. */
enum locals_result locals_expand(const struct locals *locals, struct slice address, struct arena *arena,
                                 struct config_list *out);
/* Every alias is expanded; those that cannot be are told, a line each. How many these are: mail for them is refused. */
size_t locals_check(const struct locals *locals, struct slice path, struct buffer *faults);
size_t locals_alias_count(const struct locals *locals);
/* Does mail for root, which is where cron's goes, leave for anywhere? Where it does not, the sentence says what to do. */
bool locals_knows_root(const struct locals *locals);
#define LOCALS_NO_ROOT                                                                                                 \
    "Mail for root and other users of this machine, such as that of cron, is refused: set [local] root = you@example.com, or write an alias " \
    "for root."
bool locals_has_domain(const struct locals *locals, struct slice canonical_domain);

#endif
