/* The verification of a stored queue: one walk over every table of one snapshot. For queue/lmdb_check*.c only. */
#ifndef QUEUE_LMDB_CHECK_H
#define QUEUE_LMDB_CHECK_H

#include "queue/lmdb_internal.h"

struct lmdb_check {
    struct lmdb_view view;
    struct arena *arena; /* of one record */
    void (*report)(void *owner, struct slice fault);
    void *owner;
    uint64_t faults;
    struct queue_totals counted;
    bool has_unknown_size; /* of a damaged message */
    struct lmdb_key group; /* what the keys visited last begin with: a destination and sender of due, a destination of turn */
};
/* Reports what is wrong with one record. ERR_NONE unless the rest could not be read. */
typedef enum err lmdb_check_record(struct lmdb_check *check, struct slice key, struct slice value);

lmdb_check_record lmdb_check_place, lmdb_check_due, lmdb_check_turn, lmdb_check_ready;
/* That the key is there; what: "is not scheduled". */
MUST_CHECK enum err lmdb_check_listed(struct lmdb_check *check, enum lmdb_table table, const struct lmdb_key *key,
                                      const char *id, const char *what);

void lmdb_fault(struct lmdb_check *check, const char *format, ...) __attribute__((format(printf, 2, 3)));
const char *lmdb_id_text(uint64_t id, char text[QUEUE_ID_TEXT]);

#endif
