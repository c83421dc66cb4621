/* The book of every message: what a client handed in and was promised, where each recipient's copy was stored, what was
 * reported back. An address names its message, so that whoever sees one knows where it belongs: "m7r2@..." is recipient 2
 * of message 7, with "no" behind it one that mail hosts refuse, "s7@..." the sender. */
#ifndef TEST_SIM_SIM_LEDGER_H
#define TEST_SIM_SIM_LEDGER_H

#include "base/buffer.h"
#include "test/sim/sim_net.h"
#include "test/sim/world.h"

#define SIM_RECIPIENTS_MAX 8
#define SIM_ADDRESS_MAX 128
#define SIM_MESSAGES_MAX 64

struct sim_recipient {
    char address[SIM_ADDRESS_MAX];
    size_t domain;         /* index; SIZE_MAX: none of the world's */
    size_t store_count;
    bool is_accepted;      /* at RCPT, by the relay */
    int64_t greylisted_ms; /* when a mail host first told it to come again; 0: never */
    char bounce_id[128], notice_id[128]; /* Message-IDs of the reports that named it */
    bool may_fail;         /* somebody has given a reason for a bounce */
};
struct sim_message {
    size_t number;         /* from 1 */
    char sender[SIM_ADDRESS_MAX]; /* empty: null */
    struct sim_recipient recipients[SIM_RECIPIENTS_MAX];
    size_t recipient_count;
    struct sim_recipient report; /* a report on its way back to the sender: only may_fail counts */
    struct buffer content;
    bool is_promised;      /* the client has read the 250 */
    int64_t promised_ms;
    bool is_refused;       /* the client has read something else after the end */
    int64_t arrival_ms;
    bool is_handed;        /* its end was sent at least once */
};

void sim_ledger_start(void);
void sim_ledger_end(void);
struct sim_message *sim_ledger_compose(void); /* a new one, of the dice; NULL: the book is full */
void sim_ledger_begun(struct sim_message *message);    /* its envelope is being sent */
void sim_ledger_handed(struct sim_message *message);   /* END has been sent: it may be accepted from now on */
void sim_ledger_promised(struct sim_message *message);
void sim_ledger_refused(struct sim_message *message);
size_t sim_ledger_count(void);
size_t sim_ledger_promised_count(void);

/* Whose address is it? *recipient is the message's report for a sender's. NULL: nobody's. */
struct sim_message *sim_ledger_find(struct slice address, struct sim_recipient **recipient);

/* A mail host has stored a message; its answer ends at that byte of what it wrote on the link. */
struct sim_stored {
    const struct world_host *host;
    struct sim_link *link;
    uint64_t answer_end;
    struct slice sender, content;
    const char (*recipients)[SIM_ADDRESS_MAX];
    size_t recipient_count;
    size_t recipient_first; /* of those that this host took */
};
void sim_ledger_stored(const struct sim_stored *stored);
void sim_ledger_given(const struct sim_link *link); /* the relay has read more of that link */
/* From now on a commit may have worked although the relay was told that it failed. */
void sim_ledger_answers_may_lie(void);
/* Has the relay heard and written down that this recipient has it? */
bool sim_ledger_is_settled(const struct sim_recipient *recipient);
/* The relay may forget what it did not write down before: it crashed, or its disk failed. */
void sim_ledger_lost_memory(void);
/* A reason for bouncing this recipient was given. */
void sim_ledger_excuse(struct slice address);
void sim_ledger_excuse_sender(struct slice sender); /* all messages of this sender (of all without one) */
void sim_ledger_excuse_domain(const struct world_domain *domain); /* all of it that is not delivered */
/* At the end: whatever was promised must have come to something. */
void sim_ledger_close(void);

#endif
