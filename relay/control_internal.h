/* The inside of the control server: control.c accepts connections and runs commands, the other control_*.c are the commands.
 *
 * A session is one connection with one request. start() looks at the request; it may answer and end at once, or ask for steps:
 * after control_go_on() the command's step() is called in a later turn of the loop, as soon as the client has taken most of what
 * was written before, so that neither the loop nor the memory is held by a long answer or a slow reader. A command that waits for
 * something else calls control_answer() and control_done() from its own callbacks. When the client goes away or the relay stops,
 * cancel() is called and the session ends; only a write to the journal lives on until it is done. */
#ifndef RELAY_CONTROL_INTERNAL_H
#define RELAY_CONTROL_INTERNAL_H

#include "base/arena.h"
#include "base/json.h"
#include "relay/control.h"
#include "relay/destination.h"
#include "relay/host.h"
#include "relay/journal.h"
#include "relay/relay.h"

/* The exit statuses that the relay decides (interface, Commands). */
enum control_exit {
    CONTROL_DONE = 0,
    CONTROL_NO = 1,
    CONTROL_USAGE = 64,
    CONTROL_DATA = 65,
    CONTROL_UNAVAILABLE = 69,
    CONTROL_SOFTWARE = 70,
    CONTROL_IO = 74,
    CONTROL_TEMPORARY = 75,
    CONTROL_NOT_PERMITTED = 77,
    CONTROL_CONFIG = 78,
};

#define CONTROL_STATE_LIST(X)                                                                                          \
    X(READING) /* the request is not complete */                                                                       \
    X(RUNNING)                                                                                                         \
    X(ENDING) /* the last line is on its way */                                                                        \
    X(GONE)   /* nobody listens any more; writes are still under way, or the end of this turn is awaited */
enum control_state {
#define X(name) CONTROL_##name,
    CONTROL_STATE_LIST(X)
#undef X
};

struct control_session;
struct control_command {
    const char *name;
    size_t state_size;                              /* of what session->own points to, zeroed */
    void (*start)(struct control_session *session);
    void (*step)(struct control_session *session);   /* NULL: it never goes on */
    void (*cancel)(struct control_session *session); /* NULL: nothing to cancel */
    void (*more)(struct control_session *session, struct slice bytes); /* what follows the request; NULL: nobody looks at it */
    bool is_public;                                 /* on the submit socket too, where a session may not see all */
};

struct control_door;
struct control_session {
    struct control *control;
    struct control_door *door;
    struct relay *relay;
    struct list_node node;
    struct stream stream;
    enum control_state state;
    uint32_t uid;              /* of the client */
    bool sees_all;             /* mail of others too: over the control socket */
    size_t cost;               /* bytes that the parsed request takes at most */
    bool wants_more;           /* the command waits for what follows the request */
    bool is_promising;         /* a stop waits until the command has answered */
    bool has_moved;            /* since patience was looked at last */
    struct timer patience;
    unsigned idle_rounds;      /* of it */
    struct buffer input;
    struct json *request;
    const struct control_command *command;
    void *own;                 /* the command's state */
    struct arena *arena;       /* lives as long as the session */
    struct arena *scratch;     /* the command's, to reset as it likes */
    struct timer timer;        /* for the next step, or the end */
    bool wants_step;
    struct journal_write write;
    size_t pending;            /* writes under way: the session lives until they are done */
    void (*written)(struct control_session *session, enum err err);
};

/* One line. Takes the object over. */
void control_answer(struct control_session *session, struct json **object);
/* The last line; nothing may be said after it. */
void control_done(struct control_session *session, enum control_exit status);
void control_end(struct control_session *session, struct json **last, enum control_exit status); /* of a line that is made already */
void control_fail(struct control_session *session, enum control_exit status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void control_go_on(struct control_session *session);
/* One at a time. The changes must live until written(), which is called in any case, also when the client has gone. */
void control_submit(struct control_session *session, const struct queue_change *changes, size_t count,
                    void (*written)(struct control_session *session, enum err err));
/* The same for what is written in another way, such as a draft: the session lives from one to the other. */
void control_begin_write(struct control_session *session);
void control_end_write(struct control_session *session);
void control_forget_request(struct control_session *session); /* all that was in it is copied, or not needed any more */
void control_more(struct control_session *session, struct slice bytes); /* gives the command what it did not take before */
/* Texts of the request; empty when absent. */
struct slice control_text(const struct control_session *session, const char *key);
/* The canonical form of a domain or of an address's domain, in the arena; empty: it is none. */
struct slice control_domain(struct control_session *session, struct slice text);

/* What an answer says besides its results, for people. */
void control_note(struct control_session *session, const char *format, ...) __attribute__((format(printf, 2, 3)));

void control_set_time(struct json *object, const char *key, int64_t wall_ms); /* ISO 8601; 0: left out */
void control_set_id(struct json *object, const char *key, uint64_t id);
/* A log line on what an administrator did. */
bool control_log(struct control_session *session, struct log_line *line, const char *event);

extern const struct control_command control_health, control_metrics, control_queue_list, control_queue_summary, control_queue_show, control_queue_why,
    control_queue_export, control_queue_flush, control_queue_hold, control_queue_release, control_queue_delete,
    control_policy_list, control_policy_show, control_policy_refresh, control_policy_forget, control_policy_exempt,
    control_explain, control_status, control_reload, control_test_send, control_aliases, control_submit_message;

#endif
