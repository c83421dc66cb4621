/* Receipts: which messages were taken over the submit socket lately, by the names that their senders gave them. Whoever does not hear
 * the answer leaves the same message in the drop directory, under that name: it must not be taken a second time. A receipt is stored in
 * the transaction that takes the message, in one of a few places that are used in turn, also from one run to the next. */
#ifndef RELAY_RECEIPTS_H
#define RELAY_RECEIPTS_H

#include "queue/queue.h"
#include "relay/drop_files.h"

#define RECEIPTS_MAX 256 /* far more than can be without their answer at one time */

struct receipts {
    struct drop_name names[RECEIPTS_MAX]; /* empty: none */
    uint64_t next; /* number of the next one; its place is the remainder */
};
/* To be stored (queue META) with a message, and noted when it is. */
struct receipt {
    struct drop_name name;
    uint64_t number;
    char key[24], value[DROP_NAME_LENGTH + 24];
};
/* What earlier runs have stored. */
MUST_CHECK enum err receipts_load(struct receipts *receipts, struct queue *queue);
/* False: the name is none. */
bool receipts_make(struct receipts *receipts, struct slice name, struct receipt *receipt);
void receipts_note(struct receipts *receipts, const struct receipt *receipt);
bool receipts_have(const struct receipts *receipts, struct slice name);

#endif
