/* Receipts: which messages were taken over the submit socket lately, by the names that their senders gave them. Whoever does not hear
 * the answer leaves the same message in the drop directory, under that name: it must not be taken a second time. A receipt is stored in
 * the transaction that takes the message, in one of a few places that are used in turn, also from one run to the next. It counts for files
 * of the same user only: whoever learns the name of another's file, from the log, could else have it thrown away. */
#ifndef RELAY_RECEIPTS_H
#define RELAY_RECEIPTS_H

#include "queue/queue.h"
#include "relay/drop_files.h"

#define RECEIPTS_MAX 256 /* far more than can be without their answer at one time */

#define RECEIPT_OF_ANYBODY UINT32_MAX /* of a version that did not note the user */

/* Whose file is meant. */
struct receipt_file {
    struct drop_name name; /* empty: none */
    uint32_t uid;
};
struct receipts {
    struct receipt_file files[RECEIPTS_MAX];
    uint64_t next; /* number of the next one; its place is the remainder */
};
/* To be stored (queue META) with a message, and noted when it is. */
struct receipt {
    struct receipt_file file;
    uint64_t number;
    char key[24], value[DROP_NAME_LENGTH + 40];
};
/* What earlier runs have stored. */
MUST_CHECK enum err receipts_load(struct receipts *receipts, struct queue *queue);
/* False: the name is none. */
bool receipts_make(struct receipts *receipts, struct slice name, uint32_t uid, struct receipt *receipt);
void receipts_note(struct receipts *receipts, const struct receipt *receipt);
bool receipts_have(const struct receipts *receipts, const struct receipt_file *file);

#endif
