#include "relay/intake_internal.h"

#include "base/text.h"
#include "smtp/message.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PENDING_MAX 65536

static bool handle(struct session *session, const struct smtp_server_event *event);
static bool flush(struct session *session);
static void answer(struct session *session, const struct smtp_reply *reply);
static bool take_content(struct session *session, struct slice bytes);
static bool take_end(struct session *session);
static void on_draft_ready(struct draft *draft);
static void on_draft_finished(struct draft *draft, enum err err);

/* ---- the end ---- */

void session_close(struct session *session)
{
    struct intake *intake = session->intake;
    /* A commit under way goes on; its answer finds nobody. Until then the session stays. */
    timer_cancel(&session->timer);
    channel_close(&session->channel);
    authentication_cancel(&session->authentication);
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
    if (session->server == NULL)
        session_close(session);
    else if (!session->is_ended && !session->is_waiting)
        session_drive(session);
}

void session_end(struct session *session, const struct refusal *refusal)
{
    assert(!session->is_ended);
    if (session->server != NULL) {
        admission_tell(session, refusal);
        smtp_server_stop(session->server, &refusal->reply);
        (void)flush(session);
        (void)smtp_server_next(session->server);
        (void)flush(session);
    }
    session_close(session);
}

void session_abort(struct session *session)
{
    if (!session->is_ended)
        session_close(session);
}

/* A client in the midst of its content would find a broken connection, and no reason. Where a commit is under way nothing may be said: the
 * message may be ours. */
void session_drop(struct session *session)
{
    struct refusal refusal = {.reason = METRICS_REFUSAL_stop, .reply = smtp_reply_make(421, 3, 2, "this relay is stopping; try again soon")};
    bool is_content_held = session->is_waiting && session->content_ms > 0;
    if (session->is_ended)
        return;
    if (session->server == NULL || (session->is_waiting && !is_content_held)) {
        channel_abort(&session->channel);
        session_close(session);
        return;
    }
    if (!is_content_held) {
        session_end(session, &refusal);
        return;
    }
    admission_tell(session, &refusal);
    answer(session, &refusal.reply); /* of the chunk that waits for the disk */
    (void)flush(session);
    session_close(session);
}

/* ---- the machine's turn ---- */

/* False: there was nothing to say. */
static bool flush(struct session *session)
{
    struct slice output = smtp_server_output(session->server);
    if (output.length == 0)
        return false;
    channel_write(&session->channel, output);
    smtp_server_sent(session->server, output.length);
    return true;
}

static void note_progress(struct session *session, size_t taken, bool has_replied)
{
    bool is_content = session->content_ms > 0 && taken > 0;
    if (!is_content && !has_replied)
        return;
    session->content_bytes += is_content ? taken : 0;
    session->progress_ms = clock_monotonic_ms();
    session_set_timeout(session);
}

void session_drive(struct session *session)
{
    for (;;) {
        if (channel_pending(&session->channel) > PENDING_MAX)
            return; /* a client that does not read its replies gets no more of them: on_writable() goes on */
        stop_if_told(session);
        size_t taken = smtp_server_feed(session->server, channel_input(&session->channel));
        channel_consume(&session->channel, taken);
        struct smtp_server_event event = smtp_server_next(session->server);
        bool has_replied = flush(session);
        note_progress(session, taken, has_replied);
        if (event.kind == SMTP_SERVER_WAIT && smtp_server_is_securing(session->server)) {
            session_begin_tls(session);
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
        session->content_ms = 0;
        return take_end(session);
    case SMTP_SERVER_RESET:
        session->content_ms = 0;
        draft_free(&session->draft);
        answer(session, NULL);
        return true;
    case SMTP_SERVER_AUTH:
        return session_authenticate(session, event);
    case SMTP_SERVER_DATA:
        if (!admission_data(session, &reply)) {
            answer(session, &reply);
            return true;
        }
        session->content_ms = clock_monotonic_ms();
        session->content_bytes = 0;
        answer(session, NULL);
        return true;
    case SMTP_SERVER_STARTTLS:
        answer(session, NULL);
        return true;
    case SMTP_SERVER_CLOSE:
        session_close(session);
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
    if (session->is_utf8) /* RFC 6531 4.3 */
        return secured ? (authenticated ? "UTF8SMTPSA" : "UTF8SMTPS") : (authenticated ? "UTF8SMTPA" : "UTF8SMTP");
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
    draft_add_trace(session->draft, buffer_slice(&header));
    buffer_free(&header);
    session->has_trace = true;
}

static bool take_content(struct session *session, struct slice bytes)
{
    if (!session->has_trace)
        add_trace(session);
    draft_add_content(session->draft, bytes);
    if (draft_is_busy(session->draft)) {
        session->is_waiting = true;
        timer_cancel(&session->timer); /* the wait is the disk's, not the client's */
        return false;
    }
    answer(session, NULL);
    return true;
}

static void on_draft_ready(struct draft *draft)
{
    struct session *session = draft_owner(draft);
    if (!session->is_waiting)
        return;
    session->is_waiting = false;
    if (session->is_ended) {
        session_close(session);
        return;
    }
    answer(session, NULL);
    session->progress_ms = clock_monotonic_ms();
    session_set_timeout(session);
    session_drive(session);
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
    case ERR_LIMIT:
        return smtp_reply_make(552, 3, 4, "the header section of this message is more than this relay can sign and store");
    case ERR_MEMORY:
        return smtp_reply_make(452, 3, 0, "out of memory; try again later");
    default:
        return smtp_reply_make(451, 3, 0, "the message could not be stored; try again later");
    }
}

static enum metrics_refusal reason_of(enum err err)
{
    if (err == ERR_FULL)
        return METRICS_REFUSAL_queue;
    if (err == ERR_LIMIT)
        return METRICS_REFUSAL_content;
    return err == ERR_MEMORY ? METRICS_REFUSAL_memory : METRICS_REFUSAL_disk;
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
    log_string(&line, "user", session->user);
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
        struct refusal refusal = {.reason = reason_of(err), .stage = "end", .reply = reply, .subject = SLICE_EMPTY};
        admission_tell(session, &refusal);
    }
    session->is_waiting = false;
    draft_free(&session->draft);
    if (session->is_ended) {
        session_close(session);
        return;
    }
    answer(session, &reply);
    session_set_timeout(session);
    session_drive(session);
}

void session_log(const struct session *session, const char *event, const char *problem, const char *advice)
{
    struct log_line line;
    if (!intake_log_open(session->intake, &line, LOG_WARNING, event))
        return;
    log_string(&line, "client", session->client);
    log_string(&line, "problem", problem);
    log_string(&line, "advice", advice);
    log_close(&line);
}

struct draft *session_draft(struct session *session, const struct smtp_mail *mail)
{
    char origin[400];
    session->is_utf8 = mail->utf8;
    int length = snprintf(origin, sizeof origin, "smtp %s%s%s %.*s", session->client, session->user[0] == '\0' ? "" : " user ",
                          session->user, SLICE_ARGS(slice_to(smtp_server_hello(session->server), 255)));
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
