/* The inside of intake: intake.c has the listeners, session.c one client's session, admission.c who may send what to whom. */
#ifndef RELAY_INTAKE_INTERNAL_H
#define RELAY_INTAKE_INTERNAL_H

#include "base/list.h"
#include "relay/channel.h"
#include "relay/config.h"
#include "relay/draft.h"
#include "relay/intake.h"
#include "relay/relay.h"
#include "smtp/address.h"
#include "smtp/server.h"

struct door {
    struct intake *intake;
    struct list_node node;
    struct listener listener;
    enum config_door kind;
    struct endpoint endpoint; /* as configured */
    char fd_name[256];        /* empty: it was opened here; systemd allows 255 bytes */
};
struct intake {
    struct relay *relay;
    struct list doors, sessions;
    bool is_stopping;
};

struct session {
    struct intake *intake;
    struct list_node node;
    struct channel channel;
    struct smtp_server *server;
    enum config_door door;
    struct endpoint peer;
    char client[64];          /* the address as it was seen: "[192.0.2.1]", "[unix]" */
    char hostname[256];
    bool is_trusted;          /* by [access] networks, or a unix socket */
    bool is_securing;         /* 220 to STARTTLS is on its way */
    bool is_waiting;          /* an answer is outstanding: the disk */
    bool is_ended;            /* the client is gone; only the answer of the disk is waited for */
    bool has_trace;           /* Received was written */
    struct draft *draft;
    struct arena *arena;      /* of one command */
    char recipient[SMTP_ADDRESS_MAX + 1]; /* the only one, for the trace */
    size_t recipient_count;   /* as the client gave them */
    struct timer timer;
};

/* session.c */
enum err session_open(struct intake *intake, struct door *door);
struct draft *session_draft(struct session *session, const struct smtp_mail *mail); /* NULL: out of memory */
void session_stop(struct session *session);  /* 421 when the present command is answered */
void session_abort(struct session *session);
void session_drop(struct session *session);

/* admission.c: each gives true, or false and the reply. */
bool admission_greet(const struct session *session, struct smtp_reply *reply);
bool admission_mail(struct session *session, const struct smtp_mail *mail, struct smtp_reply *reply);
bool admission_rcpt(struct session *session, const struct smtp_rcpt *rcpt, struct smtp_reply *reply);
bool admission_end(const struct session *session, struct smtp_reply *reply);
void admission_log(const struct session *session, const char *stage, struct slice subject, const struct smtp_reply *reply);

#endif
