/* A draft is a message on its way into the queue: recipients and content are added, chunks go to the journal as they fill
 * (bounded memory whatever the size), and the last write makes it the queue's. Whoever takes mail in (SMTP, sendmail, the
 * drop directory, reports) makes drafts. */
#ifndef RELAY_DRAFT_H
#define RELAY_DRAFT_H

#include "relay/journal.h"
#include "smtp/message.h"
#include "smtp/reply.h"

struct draft;

struct draft_options {
    uint64_t id;         /* 0: a new one */
    struct slice sender; /* reverse-path */
    struct slice origin;
    bool utf8;
    uint8_t ret;
    struct slice envid;
    struct slice mark_key, mark; /* a small state (queue META) that is stored in the transaction that makes the message the queue's; no
                                    key: none */
    bool is_report;      /* kept in memory (at most 1 MiB) for draft_changes(), not for draft_finish() */
    void *owner;
    /* A chunk was written and draft_is_busy() is false: whoever waited goes on. Also called where nobody waits, so that no wait can
     * be missed. */
    void (*ready)(struct draft *draft);
    /* Of draft_finish(): the outcome of the commit; ERR_LIMIT: this message can never be taken. The draft is still there and must be
     * freed by the owner. */
    void (*finished)(struct draft *draft, enum err err);
};
struct draft *draft_new(struct relay *relay, const struct draft_options *options); /* NULL: out of memory */
void *draft_owner(const struct draft *draft);
uint64_t draft_id(const struct draft *draft);
/* At any time but between draft_finish() and finished(). Chunks that were written already are discarded unless the draft
 * was finished well. A write under way completes in the background. */
void draft_free(struct draft **draft);

/* domain: canonical, decides the destination. Copied. A second time the same address counts once. */
struct draft_recipient {
    struct slice address, domain, orcpt;
    uint8_t notify;
};
MUST_CHECK enum err draft_add_recipient(struct draft *draft, const struct draft_recipient *recipient);
size_t draft_recipient_count(const struct draft *draft);

/* Header fields of our own, whole, before any content. */
void draft_add_trace(struct draft *draft, struct slice fields);
/* CRLF lines, any cut. The header section is repaired (smtp/head.h) unless it is signed or a report's; the body is stored as chunks
 * fill. Errors show in finished(). */
void draft_add_content(struct draft *draft, struct slice content);
/* The caller has no memory for what it was to add: finished() will say so. */
void draft_fail(struct draft *draft);
/* Too much is waiting for the disk, of this draft or of all: add no more until ready(). A busy draft has a chunk under way, so
 * ready() (or finished()) always follows. */
bool draft_is_busy(const struct draft *draft);
struct slice draft_sender(const struct draft *draft);
uint64_t draft_size(const struct draft *draft);
/* The content is complete: what is wrong with it? A faulty draft must not be finished. */
enum draft_fault {
    DRAFT_FINE,
    DRAFT_LOOP,   /* it has come a longer way than any honest message (RFC 5321 6.3) */
    DRAFT_HEADER, /* its header section is too long */
    DRAFT_LINE,   /* a line that must not be broken is too long to be passed on */
};
enum draft_fault draft_end(struct draft *draft);
struct smtp_reply draft_fault_reply(enum draft_fault fault);
/* due: when to try first, wall clock. After draft_end(). */
void draft_finish(struct draft *draft, int64_t due_ms);

/* For reports, which are stored in the same transaction as the outcome that causes them: the changes that would make the
 * (small, complete) draft the queue's; they live as long as the draft. */
MUST_CHECK enum err draft_changes(struct draft *draft, int64_t due_ms, const struct queue_change **changes, size_t *count);
/* The destinations of the draft, for waking the scheduler after a commit. */
void draft_wake(struct draft *draft);
struct slice draft_destination_name(const struct draft *draft, size_t index); /* empty beyond the last */

#endif
