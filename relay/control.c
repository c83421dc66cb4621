#include "relay/control.h"

#include "base/text.h"
#include "relay/config.h"
#include "relay/control_internal.h"
#include "relay/submission.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define REQUEST_MAX 65536
#define ARENA_MAX (16u << 20)
#define SESSIONS_MAX 64 /* of each socket */
/* Of one user on the open socket. Whoever holds them all keeps nobody else out: sendmail has the drop directory. */
#define SESSIONS_PER_USER 16
/* Bytes that requests over the open socket may take, of one user and of all. Small ones are free, so that whoever fills these keeps nobody
 * from handing in mail to a few. */
#define COST_FREE 8192
#define COST_PER_USER (4u << 20)
#define COST_MAX (16u << 20)
#define DEPTH_MAX 8
/* Listings and the like, at once, of those who see only their own: each may walk over the whole queue. */
#define SEARCHES_MAX 4
/* A client of the open socket is waited for so long, and so many times as long when it only reads slowly: a pager may sit between. */
#define PATIENCE_MS 30000
#define PATIENCE_OF_READERS 30
/* A step more is run only while less than that waits for the client. */
#define OUTPUT_MAX 65536

struct control_door {
    struct control *control;
    struct listener listener;
    bool is_open, is_waiting; /* a connection waits until a session has ended */
    bool is_public;           /* anybody may connect */
    size_t session_count;
};
struct control {
    struct relay *relay;
    struct control_door own, submit;
    struct list sessions;
};

static const struct control_command *const commands[] = {
    &control_health,
    &control_metrics,
    &control_status,
    &control_reload,
    &control_queue_list,
    &control_queue_summary,
    &control_queue_show,
    &control_queue_why,
    &control_queue_export,
    &control_queue_flush,
    &control_queue_hold,
    &control_queue_release,
    &control_queue_delete,
    &control_policy_list,
    &control_policy_show,
    &control_policy_refresh,
    &control_policy_forget,
    &control_policy_exempt,
    &control_explain,
    &control_test_send,
    &control_aliases,
    &control_submit_message,
};

static void close_door(struct control_door *door);
static void on_incoming(struct listener *listener);
static void on_connected(struct stream *stream, enum err err);
static void on_received(struct stream *stream, struct slice bytes);
static void on_drained(struct stream *stream);
static void on_ended(struct stream *stream, enum err err);
static void on_timer(struct timer *timer);
static void on_patience(struct timer *timer);
static void on_written(struct journal_write *write, enum err err);
static void begin(struct control_session *session, struct slice line);
static void leave(struct control_session *session);
static void end_session(struct control_session *session);

struct control *control_new(struct relay *relay)
{
    struct control *control = calloc(1, sizeof *control);
    if (control == NULL)
        return NULL;
    control->relay = relay;
    control->own = (struct control_door){.control = control, .listener = {.incoming = on_incoming}};
    control->submit = (struct control_door){.control = control, .listener = {.incoming = on_incoming}, .is_public = true};
    list_init(&control->sessions);
    return control;
}

void control_free(struct control **control)
{
    if (*control == NULL)
        return;
    assert(list_is_empty(&(*control)->sessions));
    close_door(&(*control)->own);
    close_door(&(*control)->submit);
    free(*control);
    *control = NULL;
}

static enum err open_door(struct control_door *door, struct slice path, unsigned mode, struct buffer *fault)
{
    struct listener_options options = {.fd = -1, .mode = mode};
    enum err err = ERR_LIMIT;
    if (path.length < sizeof options.endpoint.path) {
        memcpy(options.endpoint.path, path.data, path.length);
        err = listener_open(&door->listener, &options);
    }
    door->is_open = err == ERR_NONE;
    if (err == ERR_LIMIT)
        buffer_print(fault, "%.*s: a socket's path may have %zu bytes", SLICE_ARGS(path), sizeof options.endpoint.path - 1);
    else if (err != ERR_NONE)
        buffer_print(fault, "%.*s cannot be created: %s", SLICE_ARGS(path), err_text(err));
    return err;
}

static void close_door(struct control_door *door)
{
    if (door->is_open)
        listener_close(&door->listener);
    door->is_open = false;
}

enum err control_open(struct control *control, struct buffer *fault)
{
    return open_door(&control->own, control->relay->config->control_socket, 0660, fault);
}

enum err control_open_submit(struct control *control, struct buffer *fault)
{
    return open_door(&control->submit, control->relay->config->submit_socket, 0666, fault);
}

void control_close(struct control *control)
{
    close_door(&control->own);
    close_door(&control->submit);
    struct list_node *node = list_first(&control->sessions);
    while (node != NULL) {
        struct control_session *session = LIST_OF(node, struct control_session, node);
        node = list_next(&control->sessions, node);
        if (session->is_promising)
            continue; /* it has its answer when the disk has given one */
        if (session->state == CONTROL_RUNNING) {
            if (session->command->cancel != NULL)
                session->command->cancel(session);
            control_fail(session, CONTROL_UNAVAILABLE, "the relay stops");
        }
        if (session->state != CONTROL_GONE) {
            stream_close(&session->stream);
            leave(session);
        }
    }
}

bool control_is_idle(const struct control *control)
{
    return list_is_empty(&control->sessions);
}

/* ---- a connection ---- */

static struct control_session *session_new(struct control_door *door)
{
    struct control_session *session = calloc(1, sizeof *session);
    if (session == NULL)
        return NULL;
    session->control = door->control;
    session->relay = door->control->relay;
    session->door = door;
    session->stream = (struct stream){
        .connected = on_connected, .received = on_received, .drained = on_drained, .ended = on_ended};
    buffer_init(&session->input, door->is_public ? SUBMISSION_LINE_MAX : REQUEST_MAX);
    session->arena = arena_new(ARENA_MAX);
    session->scratch = arena_new(ARENA_MAX);
    if (session->arena == NULL || session->scratch == NULL) {
        arena_free(&session->arena);
        arena_free(&session->scratch);
        free(session);
        return NULL;
    }
    list_add_last(&door->control->sessions, &session->node);
    door->session_count++;
    return session;
}

static size_t sessions_of_user(const struct control_session *session)
{
    size_t count = 0;
    struct list_node *node = list_first(&session->control->sessions);
    for (; node != NULL; node = list_next(&session->control->sessions, node)) {
        const struct control_session *other = LIST_OF(node, struct control_session, node);
        count += other->door == session->door && other->uid == session->uid ? 1 : 0;
    }
    return count;
}

/* Who could use the control socket too. Over the open one nobody sees more than his own mail: it is the one that is lent to containers,
 * whose root is no administrator here. */
static bool may_administer(const struct control_session *session)
{
    uint32_t own_uid;
    uint32_t own_gid;
    stream_own_user(&own_uid, &own_gid);
    return session->uid == 0 || session->uid == own_uid || stream_peer_in_group(&session->stream, own_gid);
}

static size_t cost_of(const struct control_session *session)
{
    size_t cost = buffer_length(&session->input) + session->cost;
    return cost > COST_FREE ? cost - COST_FREE : 0;
}

/* Of what this one has come to. */
static bool is_over_budget(const struct control_session *session)
{
    size_t all = 0, of_user = 0;
    struct list_node *node = list_first(&session->control->sessions);
    if (!session->door->is_public || cost_of(session) == 0)
        return false;
    for (; node != NULL; node = list_next(&session->control->sessions, node)) {
        const struct control_session *other = LIST_OF(node, struct control_session, node);
        size_t cost = other->door == session->door ? cost_of(other) : 0;
        all += cost;
        of_user += other->uid == session->uid ? cost : 0;
    }
    return all > COST_MAX || of_user > COST_PER_USER;
}

static void refuse_over_budget(struct control_session *session)
{
    session->state = CONTROL_RUNNING;
    buffer_free(&session->input);
    control_fail(session, CONTROL_UNAVAILABLE, "too many large requests at once; try again in a moment");
}

/* Too many at once wait in the kernel's queue. */
static void on_incoming(struct listener *listener)
{
    struct control_door *door = LIST_OF(listener, struct control_door, listener);
    struct control_session *session;
    uint32_t gid;
    door->is_waiting = door->session_count >= SESSIONS_MAX;
    if (door->is_waiting)
        return;
    session = session_new(door);
    if (session == NULL) {
        listener_resume(listener);
        return;
    }
    if (stream_accept(listener, &session->stream) != ERR_NONE) {
        leave(session);
        return;
    }
    if (!stream_peer_uid(&session->stream, &session->uid, &gid))
        session->uid = UINT32_MAX;
    session->sees_all = !door->is_public;
    stream_read(&session->stream, true);
    if (!door->is_public)
        return;
    timer_start(&session->patience, PATIENCE_MS, on_patience);
    if (sessions_of_user(session) > SESSIONS_PER_USER) {
        session->state = CONTROL_RUNNING;
        control_fail(session, CONTROL_UNAVAILABLE, "you have too many connections");
    }
}

static void on_connected(struct stream *stream, enum err err)
{
    (void)stream;
    (void)err; /* of stream_connect() only */
}

/* The first line is the request; what stands behind it is its command's. */
static void read_request(struct control_session *session, struct slice bytes)
{
    size_t end = slice_find(bytes, '\n');
    buffer_add(&session->input, slice_to(bytes, end));
    if (buffer_failed(&session->input)) {
        session->state = CONTROL_RUNNING;
        control_fail(session, CONTROL_USAGE, "the request is longer than %zu bytes", session->input.limit);
    } else if (is_over_budget(session)) {
        refuse_over_budget(session);
    } else if (end < bytes.length) {
        session->state = CONTROL_RUNNING;
        begin(session, buffer_slice(&session->input));
        buffer_free(&session->input);
        control_more(session, slice_from(bytes, end + 1));
    }
}

void control_more(struct control_session *session, struct slice bytes)
{
    if (session->state == CONTROL_RUNNING && session->command != NULL && session->command->more != NULL)
        session->command->more(session, bytes);
}

static void on_received(struct stream *stream, struct slice bytes)
{
    struct control_session *session = LIST_OF(stream, struct control_session, stream);
    session->has_moved = true;
    if (session->state == CONTROL_READING)
        read_request(session, bytes);
    else
        control_more(session, bytes);
}

static void on_drained(struct stream *stream)
{
    struct control_session *session = LIST_OF(stream, struct control_session, stream);
    session->has_moved = true;
    if (session->state == CONTROL_ENDING) {
        stream_close(&session->stream);
        leave(session);
    } else if (session->wants_step) {
        timer_start(&session->timer, 0, on_timer);
    }
}

/* The client is told nothing more, whether it only said so or is gone. */
static void on_ended(struct stream *stream, enum err err)
{
    (void)err;
    struct control_session *session = LIST_OF(stream, struct control_session, stream);
    if (session->state == CONTROL_RUNNING && session->command != NULL && session->command->cancel != NULL)
        session->command->cancel(session);
    stream_abort(&session->stream);
    leave(session);
}

static void leave(struct control_session *session)
{
    session->state = CONTROL_GONE;
    session->wants_step = false;
    timer_cancel(&session->timer);
    timer_cancel(&session->patience);
    if (session->pending == 0)
        timer_start(&session->timer, 0, on_timer);
}

/* A client that neither sends what is missing nor takes what it asked for holds a place that others want. */
static void on_patience(struct timer *timer)
{
    struct control_session *session = LIST_OF(timer, struct control_session, patience);
    bool is_to_send = session->state == CONTROL_READING || session->wants_more;
    bool is_to_read = stream_pending(&session->stream) > 0;
    session->idle_rounds = session->has_moved || (!is_to_send && !is_to_read) ? 0 : session->idle_rounds + 1;
    session->has_moved = false;
    if (session->idle_rounds >= (is_to_send ? 1 : PATIENCE_OF_READERS)) {
        on_ended(&session->stream, ERR_TIMEOUT);
        return;
    }
    timer_start(&session->patience, PATIENCE_MS, on_patience);
}

static void on_timer(struct timer *timer)
{
    struct control_session *session = LIST_OF(timer, struct control_session, timer);
    if (session->state == CONTROL_GONE) {
        end_session(session);
    } else if (session->state == CONTROL_RUNNING && session->wants_step) {
        session->wants_step = false;
        session->command->step(session);
    }
}

static void end_session(struct control_session *session)
{
    struct control *control = session->control;
    struct control_door *door = session->door;
    list_remove(&control->sessions, &session->node);
    door->session_count--;
    json_free(&session->request);
    buffer_free(&session->input);
    arena_free(&session->arena);
    arena_free(&session->scratch);
    free(session->own);
    free(session);
    if (door->is_waiting && door->is_open) {
        door->is_waiting = false;
        listener_resume(&door->listener);
    }
    if (control_is_idle(control))
        relay_part_ended(control->relay);
}

/* ---- a request ---- */

static const struct control_command *find_command(struct slice name)
{
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (slice_equal(name, slice_of(commands[i]->name)))
            return commands[i];
    }
    return NULL;
}

static size_t searches_of_users(const struct control *control)
{
    size_t count = 0;
    struct list_node *node = list_first(&control->sessions);
    for (; node != NULL; node = list_next(&control->sessions, node)) {
        const struct control_session *other = LIST_OF(node, struct control_session, node);
        bool is_search = other->command != NULL && other->command != &control_submit_message;
        count += is_search && other->state == CONTROL_RUNNING && !other->sees_all ? 1 : 0;
    }
    return count;
}

void control_forget_request(struct control_session *session)
{
    json_free(&session->request);
    arena_reset(session->arena);
    session->cost = 0;
}

/* Measured before anything is made of it. False: it was answered. */
static bool parse(struct control_session *session, struct slice line)
{
    struct json_bounds bounds = submission_bounds(session->relay->config->recipients_max);
    bounds.depth_max = DEPTH_MAX;
    session->cost = json_measure(line).value_max * JSON_VALUE_COST;
    if (is_over_budget(session)) {
        refuse_over_budget(session);
        return false;
    }
    enum err err = json_parse_bounded(line, &bounds, &session->request);
    if (err == ERR_LIMIT)
        control_fail(session, CONTROL_DATA, "the request has more in it than any of %u recipients ([listen] recipients-max)",
                     session->relay->config->recipients_max);
    else if (err != ERR_NONE)
        control_fail(session, CONTROL_USAGE, "the request is no JSON object");
    return err == ERR_NONE;
}

/* A client that can go to the control socket is told where it is. */
static bool was_sent_on(struct control_session *session)
{
    struct slice path = session->relay->config->control_socket;
    bool is_sent_on = session->door->is_public && session->control->own.is_open && path.length > 0 &&
                      json_flag(session->request, "may-go-on", false) && may_administer(session);
    if (!is_sent_on)
        return false;
    struct json *last = json_object_new();
    json_set_text(last, "control", path);
    control_end(session, &last, CONTROL_NOT_PERMITTED);
    return true;
}

static void begin(struct control_session *session, struct slice line)
{
    if (!parse(session, line) || was_sent_on(session))
        return;
    const struct control_command *command = find_command(control_text(session, "command"));
    if (command == NULL) {
        struct slice name = control_text(session, "command");
        control_fail(session, CONTROL_USAGE, "this relay knows no command \"%.*s\"", SLICE_ARGS(slice_to(name, 64)));
        return;
    }
    if (session->door->is_public && !command->is_public) {
        control_fail(session, CONTROL_NOT_PERMITTED, "\"%s\" is for the control socket", command->name);
        return;
    }
    if (!session->sees_all && command != &control_submit_message && searches_of_users(session->control) >= SEARCHES_MAX) {
        control_fail(session, CONTROL_TEMPORARY, "too many users ask at once; try again in a moment");
        return;
    }
    session->own = calloc(1, command->state_size + 1);
    if (session->own == NULL) {
        control_fail(session, CONTROL_SOFTWARE, "out of memory");
        return;
    }
    session->command = command;
    command->start(session);
}

/* ---- steps ---- */

void control_go_on(struct control_session *session)
{
    if (session->state != CONTROL_RUNNING)
        return;
    session->wants_step = true;
    if (stream_pending(&session->stream) < OUTPUT_MAX)
        timer_start(&session->timer, 0, on_timer);
}

/* ---- writes ---- */

void control_begin_write(struct control_session *session)
{
    session->pending++;
}

void control_end_write(struct control_session *session)
{
    session->pending--;
    if (session->state == CONTROL_GONE && session->pending == 0)
        timer_start(&session->timer, 0, on_timer);
}

void control_submit(struct control_session *session, const struct queue_change *changes, size_t count,
                    void (*written)(struct control_session *session, enum err err))
{
    assert(!list_has(&session->write.node));
    control_begin_write(session);
    session->written = written;
    session->write = (struct journal_write){.changes = changes, .change_count = count, .done = on_written};
    journal_submit(session->relay->journal, &session->write);
}

static void on_written(struct journal_write *write, enum err err)
{
    struct control_session *session = LIST_OF(write, struct control_session, write);
    session->written(session, err);
    control_end_write(session);
}
