/* Messages for the tests of the queue: one line makes one, and one more stores it. */
#ifndef TEST_UNIT_MAIL_H
#define TEST_UNIT_MAIL_H

#include "queue/queue.h"

#define MAIL_RECIPIENTS 4 /* entries of one message, at most */

struct mail {
    uint64_t id;
    const char *from;                /* NULL: a@example.com */
    const char *to[MAIL_RECIPIENTS]; /* destinations, one entry each; NULL: example.org once */
    int64_t due_ms;
    uint32_t size;                   /* bytes of content; 0: 10 */
    bool held;
};

/* The content of a message made by mail_accept: the same for the same id, different for others. */
void mail_content(uint64_t id, char *out, size_t length);
/* The changes of one message: its chunks and its acceptance. mail_change_free() when they were applied. */
struct mail_changes {
    struct queue_change changes[8];
    size_t count;
    struct queue_message message;
    struct queue_entry entries[MAIL_RECIPIENTS];
    struct queue_recipient recipients[MAIL_RECIPIENTS];
    char addresses[MAIL_RECIPIENTS][64];
    char *content;
};
void mail_make(const struct mail *mail, struct mail_changes *changes);
void mail_free(struct mail_changes *changes);

MUST_CHECK enum err mail_accept(struct queue *queue, const struct mail *mail);
MUST_CHECK enum err mail_apply(struct queue *queue, const struct queue_change *change); /* one change as one batch */

/* What is done to a stored entry, in one batch. */
enum mail_fate { MAIL_DEFER, MAIL_HOLD, MAIL_RELEASE, MAIL_DELIVER };
MUST_CHECK enum err mail_update(struct queue *queue, uint64_t id, uint16_t number, enum mail_fate fate,
                                int64_t time_ms); /* when it is due, or when it is done */

#endif
