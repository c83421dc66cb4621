/* Which entries a command of the administrator means: one message by its id, or those that a filter lets through. */
#ifndef RELAY_CONTROL_FILTER_H
#define RELAY_CONTROL_FILTER_H

#include "relay/control_internal.h"

/* What an entry is doing. A recipient of it that has an outcome has the name of that instead (queue_status_name). */
#define CONTROL_STATUS_LIST(X)                                                                                         \
    X(WAITING, "waiting")   /* never tried: it is due, or its destination is not to be tried yet */                    \
    X(DEFERRED, "deferred") /* tried, and to be tried again */                                                         \
    X(ACTIVE, "active")     /* being delivered right now */                                                            \
    X(HELD, "held")         /* by the administrator */
enum control_status {
#define X(name, text) CONTROL_STATUS_##name,
    CONTROL_STATUS_LIST(X)
#undef X
    CONTROL_STATUS_COUNT
};
const char *control_status_name(enum control_status status);
enum control_status control_status_of(const struct relay *relay, const struct queue_entry *entry);

struct control_filter {
    uint64_t id;             /* 0: any message */
    struct slice domain;     /* of --to; canonical; empty: any */
    struct slice address;    /* of --to, when it was an address; empty: any */
    bool has_sender, has_status, has_outcome;
    struct slice sender;     /* empty: the null reverse-path */
    struct slice origin;     /* mail of this origin only: whose who asks may see; empty: any */
    int64_t arrived_before_ms; /* 0: any time */
    enum control_status status;
    enum queue_status outcome; /* of a recipient, in what has ended */
};
/* From the request: id, to, from, older, status, which with done is an outcome. The texts live as long as the session. False: it was answered with the fault. */
bool control_filter_read(struct control_session *session, struct control_filter *filter);
/* How much is wanted at most; 0: all. */
bool control_filter_read_limit(struct control_session *session, size_t *limit);
bool control_filter_is_empty(const struct control_filter *filter);
bool control_filter_admits(const struct control_filter *filter, const struct relay *relay,
                           const struct queue_message *message, const struct queue_entry *entry);
bool control_filter_admits_recipient(const struct control_filter *filter, const struct queue_recipient *recipient);
/* A listing of what may be admitted, by the index that suits. */
struct queue_listing control_filter_listing(const struct control_filter *filter);
/* May something after this message still be admitted? */
bool control_filter_is_past(const struct control_filter *filter, const struct queue_message *message);

#endif
