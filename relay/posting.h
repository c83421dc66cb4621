/* A posting: a message that a program of this machine hands in, from its submission to the queue. Whoever carries it (the submit
 * socket, the drop directory) starts it, adds the text as it comes and finishes it when it is complete; all recipients are taken or
 * none. The verdict is an exit status of sendmail and a sentence. */
#ifndef RELAY_POSTING_H
#define RELAY_POSTING_H

#include "relay/draft.h"
#include "relay/submission.h"
#include "smtp/address.h"

#define POSTING_TEXT_MAX 600
#define POSTING_ORIGIN "sendmail uid %u" /* what the queue keeps of where a message came from */

enum posting_exit {
    POSTING_STORED = 0,
    POSTING_DATA = 65,      /* an address or the message is wrong */
    POSTING_NO_USER = 67,   /* a local user without alias, and no [local] root */
    POSTING_SOFTWARE = 70,
    POSTING_TEMPORARY = 75, /* nothing is stored; try again */
};

struct posting {
    /* The owner's; the slices are copied. */
    struct relay *relay;
    uint32_t uid;       /* of the user who hands it in */
    const char *way;    /* how it comes, for the log */
    struct slice mark_key, mark; /* of draft_options */
    void (*ready)(struct posting *posting);    /* posting_is_busy() became false */
    void (*finished)(struct posting *posting); /* the verdict is there; may be called inside posting_finish() */

    /* The verdict. */
    enum posting_exit exit;
    char text[POSTING_TEXT_MAX]; /* a sentence; empty when it is stored */
    bool is_for_all;             /* TEMPORARY for a reason that any other message would meet now: the queue takes none */
    uint64_t id;                 /* of the message */

    /* Its own. */
    struct draft *draft;
    struct arena *arena;
    char recipient[SMTP_ADDRESS_MAX + 1]; /* the only one, for the trace and the log */
    size_t recipient_count;
    uint64_t rest;  /* bytes of the text that are still to come */
    int normaliser;
    bool has_text;  /* the trace field was written */
    bool is_finishing;
};

/* False: the verdict says why not. The struct must be zeroed but for what the owner sets. */
MUST_CHECK bool posting_start(struct posting *posting, const struct submission *submission);
/* Takes what belongs to the text; returns how much that was. LF and CRLF line ends, any bytes, any cut. */
size_t posting_add(struct posting *posting, struct slice bytes);
bool posting_is_complete(const struct posting *posting); /* nothing of the text is missing */
bool posting_is_busy(const struct posting *posting);     /* add no more until ready() */
void posting_finish(struct posting *posting);            /* of a complete one */
/* Gives it up; also after the end, when it frees what is left. Not between posting_finish() and finished(). */
void posting_cancel(struct posting *posting);

#endif
