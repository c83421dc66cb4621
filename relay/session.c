#include "relay/intake_internal.h"

#include "base/text.h"
#include "smtp/message.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COMMAND_TIMEOUT_MS 300000
/* When most places are taken, whoever says nothing has less time. */
#define BUSY_TIMEOUT_MS 20000
#define HANDSHAKE_TIMEOUT_MS 30000
#define PENDING_MAX 65536
#define JOURNAL_BYTES_MAX (64u << 20)
#define ERRORS_MAX 20
#define ARENA_MAX (4u << 20)

static void on_connected(struct channel *channel, enum err err);
static void on_secured(struct channel *channel, const struct tls_verdict *verdict);
static void on_readable(struct channel *channel);
static void on_writable(struct channel *channel);
static void on_ended(struct channel *channel, enum err err);
static void on_timeout(struct timer *timer);
static void drive(struct session *session);
static bool handle(struct session *session, const struct smtp_server_event *event);
static bool flush(struct session *session);
static void answer(struct session *session, const struct smtp_reply *reply);
static bool take_content(struct session *session, struct slice bytes);
static bool take_end(struct session *session);
static void on_draft_ready(struct draft *draft);
static void on_draft_finished(struct draft *draft, enum err err);
static void close_session(struct session *session);

/* ---- opening ---- */

static bool is_trusted(const struct session *session)
{
    const struct config *config = session->intake->relay->config;
    return session->peer.path[0] != '\0' || session->peer.ip.family == IP_NONE ||
           config_networks_have(&config->access_networks, &session->peer.ip);
}

static void set_peer(struct session *session)
{
    char text[48];
    session->peer = channel_peer(&session->channel);
    if (session->peer.ip.family == IP_NONE)
        snprintf(session->client, sizeof session->client, "[unix]");
    else
        snprintf(session->client, sizeof session->client, "[%.*s]", SLICE_ARGS(ip_print(&session->peer.ip, text)));
    session->is_trusted = is_trusted(session);
}

static struct smtp_server *make_server(struct session *session)
{
    const struct config *config = session->intake->relay->config;
    snprintf(session->hostname, sizeof session->hostname, "%.*s", SLICE_ARGS(slice_to(config->hostname, 255)));
    struct smtp_server_options options = {
        .hostname = slice_of(session->hostname),
        .size_max = config->message_size_max,
        .recipients_max = config->recipients_max,
        .starttls = tls_context_serves(session->intake->relay->tls),
        .dsn = true,
        .utf8 = true,
        .errors_max = ERRORS_MAX,
    };
    return smtp_server_new(&options);
}

static void set_timeout(struct session *session)
{
    const struct intake *intake = session->intake;
    bool busy = intake->sessions.count * 10 > (size_t)intake->relay->config->connections_max * 8;
    timer_start(&session->timer, busy ? BUSY_TIMEOUT_MS : COMMAND_TIMEOUT_MS, on_timeout);
}

enum err session_open(struct intake *intake, struct door *door)
{
    struct session *session = calloc(1, sizeof *session);
    struct arena *arena = arena_new(ARENA_MAX);
    if (session == NULL || arena == NULL) {
        free(session);
        arena_free(&arena);
        return ERR_MEMORY;
    }
    session->intake = intake;
    session->arena = arena;
    session->door = door->kind;
    session->channel = (struct channel){
        .connected = on_connected,
        .secured = on_secured,
        .readable = on_readable,
        .writable = on_writable,
        .ended = on_ended,
    };
    session->server = make_server(session);
    enum err err = session->server == NULL ? ERR_MEMORY : channel_accept(&session->channel, &door->listener);
    list_add_last(&intake->sessions, &session->node);
    if (err != ERR_NONE) {
        close_session(session);
        return err;
    }
    intake->relay->metrics.connections_in++;
    set_peer(session);
    set_timeout(session);
    drive(session);
    return ERR_NONE;
}

static void close_session(struct session *session)
{
    struct intake *intake = session->intake;
    /* A commit under way goes on; its answer finds nobody. Until then the session stays. */
    timer_cancel(&session->timer);
    channel_close(&session->channel);
    if (session->is_waiting && session->draft != NULL) {
        session->is_ended = true;
        return;
    }
    draft_free(&session->draft);
    smtp_server_free(&session->server);
    arena_free(&session->arena);
    list_remove(&intake->sessions, &session->node);
    free(session);
    if (intake->is_stopping)
        relay_part_ended(intake->relay);
}

/* Content that is under way is still taken: the client would only send it once more. */
static void stop_if_told(struct session *session)
{
    struct smtp_reply reply = smtp_reply_make(421, 3, 2, "this relay is stopping; try again soon");
    if (session->intake->is_stopping && !smtp_server_is_receiving(session->server))
        smtp_server_stop(session->server, &reply);
}

void session_stop(struct session *session)
{
    if (!session->is_ended && !session->is_waiting)
        drive(session);
}

void session_abort(struct session *session)
{
    if (!session->is_ended)
        close_session(session);
}

void session_drop(struct session *session)
{
    channel_abort(&session->channel);
    session_abort(session);
}

/* ---- what the channel says ---- */

static void on_connected(struct channel *channel, enum err err)
{
    (void)channel;
    (void)err; /* of connections that we open */
}

static void on_secured(struct channel *channel, const struct tls_verdict *verdict)
{
    struct session *session = LIST_OF(channel, struct session, channel);
    if (!verdict->secured) {
        struct log_line line;
        if (log_open(&line, session->intake->relay->log, LOG_INFO, "client_tls_failed")) {
            log_string(&line, "client", session->client);
            log_string(&line, "why", verdict->detail[0] != '\0' ? verdict->detail : tls_failure_text(verdict->failure));
            log_close(&line);
        }
        close_session(session);
        return;
    }
    smtp_server_secured(session->server);
    set_timeout(session);
    drive(session);
}

static void on_readable(struct channel *channel)
{
    struct session *session = LIST_OF(channel, struct session, channel);
    if (!session->is_waiting)
        drive(session);
}

static void on_writable(struct channel *channel)
{
    struct session *session = LIST_OF(channel, struct session, channel);
    if (!session->is_waiting)
        drive(session);
}

static void on_ended(struct channel *channel, enum err err)
{
    (void)err; /* gone is gone */
    close_session(LIST_OF(channel, struct session, channel));
}

static void on_timeout(struct timer *timer)
{
    struct session *session = LIST_OF(timer, struct session, timer);
    struct smtp_reply reply = smtp_reply_make(421, 4, 2, "you took too long; closing");
    smtp_server_stop(session->server, &reply);
    flush(session);
    (void)smtp_server_next(session->server);
    flush(session);
    close_session(session);
}

/* ---- the machine's turn ---- */

static bool flush(struct session *session)
{
    struct slice output = smtp_server_output(session->server);
    if (output.length == 0)
        return true;
    channel_write(&session->channel, output);
    smtp_server_sent(session->server, output.length);
    return true;
}

static void begin_tls(struct session *session)
{
    if (channel_verdict(&session->channel) != NULL)
        return; /* it has begun: this turn only says that the 220 has left */
    struct tls_session *tls = tls_session_server(session->intake->relay->tls);
    if (tls == NULL || !channel_secure(&session->channel, &tls)) {
        close_session(session);
        return;
    }
    timer_start(&session->timer, HANDSHAKE_TIMEOUT_MS, on_timeout);
}

static void drive(struct session *session)
{
    for (;;) {
        if (channel_pending(&session->channel) > PENDING_MAX)
            return; /* a client that does not read its replies gets no more of them: on_writable() goes on */
        stop_if_told(session);
        size_t taken = smtp_server_feed(session->server, channel_input(&session->channel));
        channel_consume(&session->channel, taken);
        if (taken > 0)
            set_timeout(session);
        struct smtp_server_event event = smtp_server_next(session->server);
        flush(session);
        if (event.kind == SMTP_SERVER_WAIT && smtp_server_is_securing(session->server)) {
            begin_tls(session);
            return;
        }
        if (event.kind == SMTP_SERVER_WAIT && taken == 0)
            return;
        if (event.kind != SMTP_SERVER_WAIT && !handle(session, &event))
            return;
    }
}

static void answer(struct session *session, const struct smtp_reply *reply)
{
    smtp_server_answer(session->server, reply);
}

static void answer_or_refuse(struct session *session, bool admitted, const struct smtp_reply *reply)
{
    answer(session, admitted ? NULL : reply);
    arena_reset(session->arena);
}

/* False: the session is gone, or an answer is outstanding. */
static bool handle(struct session *session, const struct smtp_server_event *event)
{
    struct smtp_reply reply;
    switch (event->kind) {
    case SMTP_SERVER_GREETING:
        answer_or_refuse(session, admission_greet(session, &reply), &reply);
        return true;
    case SMTP_SERVER_MAIL:
        answer_or_refuse(session, admission_mail(session, event->mail, &reply), &reply);
        return true;
    case SMTP_SERVER_RCPT:
        answer_or_refuse(session, admission_rcpt(session, event->rcpt, &reply), &reply);
        return true;
    case SMTP_SERVER_CONTENT:
        return take_content(session, event->bytes);
    case SMTP_SERVER_END:
        return take_end(session);
    case SMTP_SERVER_RESET:
        draft_free(&session->draft);
        answer(session, NULL);
        return true;
    case SMTP_SERVER_AUTH:
        reply = smtp_reply_make(454, 7, 0, "authentication is not available here");
        answer(session, &reply);
        return true;
    case SMTP_SERVER_STARTTLS:
    case SMTP_SERVER_DATA:
        answer(session, NULL);
        return true;
    case SMTP_SERVER_CLOSE:
        close_session(session);
        return false;
    case SMTP_SERVER_WAIT:
        break;
    }
    return true;
}

/* ---- content ---- */

static const char *protocol_of(const struct session *session)
{
    if (!smtp_server_is_extended(session->server))
        return "SMTP";
    bool secured = channel_is_secured(&session->channel);
    bool authenticated = smtp_server_is_authenticated(session->server);
    return secured ? (authenticated ? "ESMTPSA" : "ESMTPS") : (authenticated ? "ESMTPA" : "ESMTP");
}

static void add_trace(struct session *session)
{
    char id[QUEUE_ID_TEXT];
    char tls[96];
    const struct tls_verdict *verdict = channel_verdict(&session->channel);
    bool secured = verdict != NULL && verdict->secured;
    struct smtp_trace trace = {
        .hello = smtp_server_hello(session->server),
        .address = slice_of(session->client),
        .hostname = slice_of(session->hostname),
        .with = slice_of(protocol_of(session)),
        .tls = secured ? text_print(tls, sizeof tls, "%s %s", verdict->version, verdict->cipher) : SLICE_EMPTY,
        .id = queue_id_print(draft_id(session->draft), id),
        .recipient = session->recipient_count == 1 ? slice_of(session->recipient) : SLICE_EMPTY,
        .date_ms = clock_wall_ms(),
    };
    struct buffer header;
    buffer_init(&header, 8192);
    smtp_message_received(&header, &trace);
    if (buffer_failed(&header))
        draft_fail(session->draft);
    draft_add_content(session->draft, buffer_slice(&header));
    buffer_free(&header);
    session->has_trace = true;
}

static bool must_wait(const struct session *session)
{
    return draft_is_busy(session->draft) || journal_pending_bytes(session->intake->relay->journal) > JOURNAL_BYTES_MAX;
}

static bool take_content(struct session *session, struct slice bytes)
{
    if (!session->has_trace)
        add_trace(session);
    draft_add_content(session->draft, bytes);
    if (draft_is_busy(session->draft) || (must_wait(session) && draft_has_chunks_under_way(session->draft))) {
        session->is_waiting = true;
        return false;
    }
    answer(session, NULL);
    return true;
}

static void on_draft_ready(struct draft *draft)
{
    struct session *session = draft_owner(draft);
    session->is_waiting = false;
    if (session->is_ended) {
        close_session(session);
        return;
    }
    answer(session, NULL);
    drive(session);
}

static bool take_end(struct session *session)
{
    struct smtp_reply reply;
    if (!session->has_trace)
        add_trace(session);
    if (!admission_end(session, &reply)) {
        draft_free(&session->draft);
        answer(session, &reply);
        return true;
    }
    session->is_waiting = true;
    timer_cancel(&session->timer);
    draft_finish(session->draft, clock_wall_ms());
    return false;
}

static struct smtp_reply reply_of(enum err err, const char *accepted)
{
    switch (err) {
    case ERR_NONE:
        return smtp_reply_make(250, 0, 0, accepted);
    case ERR_FULL:
        return smtp_reply_make(452, 3, 1, "the queue is full; try again later");
    case ERR_MEMORY:
    case ERR_LIMIT:
        return smtp_reply_make(452, 3, 0, "out of memory; try again later");
    default:
        return smtp_reply_make(451, 3, 0, "the message could not be stored; try again later");
    }
}

static void log_accepted(const struct session *session)
{
    struct log_line line;
    char id[QUEUE_ID_TEXT];
    if (!log_open(&line, session->intake->relay->log, LOG_INFO, "accepted"))
        return;
    struct slice sender = draft_sender(session->draft);
    log_text(&line, "id", queue_id_print(draft_id(session->draft), id));
    log_text(&line, "from", sender.length > 0 ? sender : SLICE("<>"));
    if (session->recipient_count == 1)
        log_string(&line, "to", session->recipient);
    log_number(&line, "recipients", (int64_t)draft_recipient_count(session->draft));
    log_number(&line, "size", (int64_t)draft_size(session->draft));
    log_string(&line, "client", session->client);
    log_text(&line, "hello", smtp_server_hello(session->server));
    log_string(&line, "with", protocol_of(session));
    log_close(&line);
}

/* The promise: 250 leaves only here, after the commit. */
static void on_draft_finished(struct draft *draft, enum err err)
{
    struct session *session = draft_owner(draft);
    char id[QUEUE_ID_TEXT];
    char accepted[64];
    snprintf(accepted, sizeof accepted, "queued as %.*s", SLICE_ARGS(queue_id_print(draft_id(draft), id)));
    struct smtp_reply reply = reply_of(err, accepted);
    if (err == ERR_NONE) {
        session->intake->relay->metrics.accepted++;
        log_accepted(session);
    } else {
        admission_log(session, "end", SLICE_EMPTY, &reply);
    }
    session->is_waiting = false;
    draft_free(&session->draft);
    if (session->is_ended) {
        close_session(session);
        return;
    }
    answer(session, &reply);
    set_timeout(session);
    drive(session);
}

struct draft *session_draft(struct session *session, const struct smtp_mail *mail)
{
    char origin[400];
    int length = snprintf(origin, sizeof origin, "smtp %s %.*s", session->client,
                          SLICE_ARGS(slice_to(smtp_server_hello(session->server), 255)));
    struct draft_options options = {
        .sender = mail->reverse_path,
        .origin = slice_to(slice_make(origin, (size_t)length), sizeof origin - 1),
        .utf8 = mail->utf8,
        .ret = (uint8_t)mail->ret,
        .envid = mail->envid,
        .owner = session,
        .ready = on_draft_ready,
        .finished = on_draft_finished,
    };
    return draft_new(session->intake->relay, &options);
}
