/* The inside of intake: intake.c has the listeners, session_open.c how a client's session begins (PROXY header, TLS, time limits),
 * session.c its course, session_auth.c its AUTH, admission.c who may send what to whom. */
#ifndef RELAY_INTAKE_INTERNAL_H
#define RELAY_INTAKE_INTERNAL_H

#include "base/list.h"
#include "relay/authenticator.h"
#include "relay/channel.h"
#include "relay/config.h"
#include "relay/draft.h"
#include "relay/intake.h"
#include "relay/relay.h"
#include "relay/users.h"
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
    struct authenticator *authenticator;
    int64_t log_ms;           /* monotonic: the begin of the present second of lines about clients */
    uint64_t log_count;       /* lines in it, also those left out */
    size_t receiving_max;     /* messages whose content is under way at once; 0: as many as there are clients */
    bool is_stopping;
};

/* Who logged in with what: after a reload both must still be so. */
struct session_login {
    char name[USERS_NAME_MAX + 1];
    struct tls_password stored;
};

struct session {
    struct intake *intake;
    struct list_node node;
    struct channel channel;
    struct smtp_server *server;
    enum config_door door;
    struct endpoint peer;     /* the client, also behind a proxy */
    char client[64];          /* the address as it was seen: "[192.0.2.1]", "[unix]" */
    char hostname[256];
    bool awaits_proxy;        /* the peer must say first for whom it speaks; there is no server yet */
    bool is_utf8;             /* the present message: SMTPUTF8 */
    bool is_unnamed;          /* its proxy did not say who it is */
    bool is_trusted;          /* by [access] networks, or a unix socket */
    bool is_by_address;       /* is_trusted goes by [access] networks, also after a reload */
    bool is_near;             /* on this machine */
    bool is_known;            /* somebody has logged in from there before */
    bool is_waiting;          /* an answer is outstanding: the disk's, or of a password */
    struct authentication authentication;
    char user[96];            /* of AUTH, cleaned; empty: none */
    struct session_login login;
    int64_t opened_ms, progress_ms, content_ms; /* monotonic: the begin, the last step, the begin of the content or 0 */
    uint64_t content_bytes;
    bool is_ended;            /* the client is gone; only the answer of the disk is waited for */
    bool has_trace;           /* Received was written */
    struct draft *draft;
    struct arena *arena;      /* of one command */
    char recipient[SMTP_ADDRESS_MAX + 1]; /* the only one, for the trace */
    size_t recipient_count;   /* as the client gave them */
    struct timer timer;
};

/* Why a client hears no. */
struct refusal {
    enum metrics_refusal reason;
    const char *stage;    /* NULL: the machine's state */
    struct smtp_reply reply;
    struct slice subject; /* the address that it is about; may be empty */
};

/* session_open.c */
enum err session_open(struct intake *intake, struct door *door);
void session_begin_tls(struct session *session); /* after STARTTLS; may close the session */
void session_set_timeout(struct session *session);
bool session_is_proven(const struct session *session); /* may relay, by its address or AUTH */
bool session_is_lenient(void *owner); /* owner: the session */

/* session_auth.c */
bool session_authenticate(struct session *session, const struct smtp_server_event *event); /* false: an answer is outstanding */

/* session.c */
void session_drive(struct session *session);
void session_close(struct session *session);
void session_log(const struct session *session, const char *event, const char *problem, const char *advice);
struct draft *session_draft(struct session *session, const struct smtp_mail *mail); /* NULL: out of memory */
void session_stop(struct session *session);  /* 421 when the present command is answered */
void session_end(struct session *session, const struct refusal *refusal); /* now, with this reply where one can be said */
void session_abort(struct session *session);
void session_drop(struct session *session);

/* intake.c: a line about a client, unless there were too many in this second: a flood of clients must not become one of lines,
 * which fills a disk. How many were left out is said. */
bool intake_log_open(struct intake *intake, struct log_line *line, enum log_level level, const char *event);
size_t intake_places(const struct intake *intake); /* for clients at once: [listen] connections-max, or what fits */
/* One who proved nothing, or is silent, gives way to one who comes when all places are taken. */
bool intake_make_room(struct intake *intake, const struct session *newcomer);

/* admission.c: each gives true, or false and the reply. */
bool admission_requires_auth(const struct session *session); /* the door does, for a client from there */
bool admission_greet(const struct session *session, struct smtp_reply *reply);
bool admission_mail(struct session *session, const struct smtp_mail *mail, struct smtp_reply *reply);
bool admission_data(const struct session *session, struct smtp_reply *reply);
bool admission_rcpt(struct session *session, const struct smtp_rcpt *rcpt, struct smtp_reply *reply);
bool admission_end(const struct session *session, struct smtp_reply *reply);
void admission_tell(const struct session *session, const struct refusal *refusal); /* a line "rejected", and a count */
void admission_refused(void *owner, const struct smtp_refusal *given); /* owner: the session */

#endif
