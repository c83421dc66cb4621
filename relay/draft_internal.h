/* The inside of a draft: draft.c has its life, its recipients and its commit, draft_content.c what becomes of the content,
 * draft_sign.c our DKIM signature. */
#ifndef RELAY_DRAFT_INTERNAL_H
#define RELAY_DRAFT_INTERNAL_H

#include "base/map.h"
#include "relay/draft.h"
#include "smtp/head.h"
#include "smtp/message.h"
#include "smtp/survey.h"

/* One chunk on its way to the disk; outlives a draft that is given up. */
struct chunk_write {
    struct journal_write write;
    struct queue_change change;
    struct buffer bytes;
    struct draft *draft;
};
struct draft_recipient_node {
    struct draft_recipient recipient;
    struct draft_recipient_node *next;
};
struct draft_destination {
    struct slice name;
    struct draft_recipient_node *first, **last;
    size_t count;
};

struct draft {
    struct relay *relay;
    void *owner;
    void (*ready)(struct draft *draft);
    void (*finished)(struct draft *draft, enum err err);
    struct arena *arena;
    struct queue_message message;
    struct map addresses; /* every recipient once */
    struct draft_destination *destinations;
    size_t destination_count, destination_capacity, recipient_count;

    /* The content: its header section is held until the end, because what is put in front of it may depend on all the rest; the
     * body is stored as it comes, in the chunks behind those that the header section will need. */
    struct smtp_head head;     /* while it is being read */
    struct buffer front;       /* the header section as it is stored */
    struct buffer chunk;       /* of the body, the one that is being filled; of a report, all of it */
    uint32_t front_chunks;     /* kept for `front`, once a chunk of the body was stored */
    uint32_t body_chunks;      /* stored, or on their way */
    size_t chunks_under_way;
    bool is_in_body, is_ended;
    unsigned received_count;
    uint64_t line_length, line_length_max; /* bytes without line ends */
    struct smtp_survey *survey; /* made when it is needed first */
    struct draft_signing *signing; /* NULL: it gets no signature of ours */
    enum draft_fault fault;

    enum err err; /* the first that a chunk met, or memory */
    bool has_stored_chunks, is_finishing, is_stored;
    bool is_report;              /* keeps its chunks for the caller's transaction */
    struct slice mark_key, mark; /* stored beside it */
    bool is_given_up;            /* freed by its owner; lives until its chunks are written */
    struct queue_entry *entries;
    struct queue_change *changes;
    struct journal_write write;
};

#define DRAFT_FRONT_RESERVE 8192 /* bytes that may come before the header section at the end */

/* draft.c */
void draft_fail_for(struct draft *draft, enum err err); /* the first reason counts; ERR_LIMIT: this message will never do */
void draft_signed(struct draft *draft); /* what draft_sign() has begun has ended */
void draft_chunk_done(struct draft *draft, enum err err);
/* draft_content.c: its part of the making and of the end, and what is left to be stored as changes: at most
 * draft_chunks_max() of them, which live as long as the draft. */
void draft_content_init(struct draft *draft);
void draft_content_free(struct draft *draft);
size_t draft_chunks_max(const struct draft *draft);
size_t draft_add_chunks(struct draft *draft, struct queue_change *changes);

/* draft_sign.c: once the header section is known, of each piece of the body, and at the end: true: draft_signed() will follow. */
void draft_sign_begin(struct draft *draft);
void draft_sign_body(struct draft *draft, struct slice content);
bool draft_sign(struct draft *draft);
void draft_sign_free(struct draft *draft);

#endif
