#include "relay/intake_internal.h"

#include "relay/recipient.h"

#include <stdio.h>
#include <string.h>

static bool refuse(const struct session *session, struct smtp_reply *reply, struct smtp_reply with, struct slice subject);

void admission_log(const struct session *session, const char *stage, struct slice subject, const struct smtp_reply *reply)
{
    struct log_line line;
    char status[16];
    if (!intake_log_open(session->intake, &line, LOG_WARNING, "rejected"))
        return;
    log_string(&line, "client", session->client);
    log_text(&line, "hello", smtp_server_hello(session->server));
    log_string(&line, "stage", stage);
    log_text(&line, "address", subject);
    log_number(&line, "code", reply->code);
    log_text(&line, "dsn", smtp_status_print(reply->status, status));
    log_text(&line, "reply", reply->text);
    log_close(&line);
}

static bool refuse(const struct session *session, struct smtp_reply *reply, struct smtp_reply with, struct slice subject)
{
    *reply = with;
    session->intake->relay->metrics.rejected++;
    admission_log(session, smtp_server_state(session->server), subject, reply);
    return false;
}

/* ---- greeting ---- */

/* Of IPv6 a network: whoever has an address of it has all. */
static bool is_same_client(const struct ip *a, const struct ip *b)
{
    return a->family == b->family && memcmp(a->bytes, b->bytes, a->family == IP_V6 ? 8 : sizeof a->bytes) == 0;
}

static size_t sessions_of_client(const struct session *session)
{
    size_t count = 0;
    struct list_node *node = list_first(&session->intake->sessions);
    for (; node != NULL; node = list_next(&session->intake->sessions, node)) {
        const struct session *other = LIST_OF(node, struct session, node);
        count += is_same_client(&other->peer.ip, &session->peer.ip);
    }
    return count;
}

bool admission_greet(const struct session *session, struct smtp_reply *reply)
{
    static const char too_many[] = "too many connections ([listen] connections-max); try again later";
    static const char too_many_of_yours[] = "too many connections from %s ([listen] connections-per-client is %u); try again later";
    unsigned per_client = session->intake->relay->config->connections_per_client;
    struct slice text;
    if (session->intake->sessions.count > intake_places(session->intake) && !intake_make_room(session->intake, session))
        return refuse(session, reply, smtp_reply_make(421, 3, 2, too_many), SLICE_EMPTY);
    if (session->peer.ip.family == IP_NONE || sessions_of_client(session) <= per_client)
        return true;
    if (!arena_print(session->arena, &text, too_many_of_yours, session->client, per_client))
        text = SLICE("too many connections from your address; try again later");
    return refuse(session, reply, (struct smtp_reply){.code = 421, .status = {4, 7, 0}, .text = text}, SLICE_EMPTY);
}

/* ---- MAIL ---- */

bool admission_requires_auth(const struct session *session)
{
    return session->door == CONFIG_SUBMISSIONS || (session->door == CONFIG_SUBMISSION && !session->is_near);
}

static bool lacks_auth(const struct session *session)
{
    return admission_requires_auth(session) && !smtp_server_is_authenticated(session->server);
}

static bool refuse_without_auth(struct session *session, struct slice address, struct smtp_reply *reply)
{
    static const char form[] = "%sauthentication required: from your address %s this port takes mail of the users in [access] "
                               "users-file only";
    struct slice text;
    const char *first = channel_is_secured(&session->channel) ? "" : "STARTTLS and ";
    if (!arena_print(session->arena, &text, form, first, session->client))
        text = SLICE("authentication required");
    return refuse(session, reply, (struct smtp_reply){.code = 530, .status = {5, 7, 0}, .text = text}, address);
}

bool admission_mail(struct session *session, const struct smtp_mail *mail, struct smtp_reply *reply)
{
    struct relay *relay = session->intake->relay;
    if (lacks_auth(session))
        return refuse_without_auth(session, mail->reverse_path, reply);
    if (journal_is_full(relay->journal))
        return refuse(session, reply, smtp_reply_make(452, 3, 1, "the queue is full; try again later"), mail->reverse_path);
    draft_free(&session->draft);
    session->draft = session_draft(session, mail);
    if (session->draft == NULL)
        return refuse(session, reply, smtp_reply_make(452, 3, 0, "out of memory; try again later"), mail->reverse_path);
    session->has_trace = false;
    session->recipient_count = 0;
    return true;
}

/* ---- RCPT ---- */

static bool refuse_relaying(struct session *session, struct slice address, struct smtp_reply *reply)
{
    static const char form[] = "relaying denied: your address %s may not relay here; %sto allow it, add it to [access] networks";
    struct slice text;
    bool may_log_in = session->intake->relay->users != NULL && tls_context_serves(session->intake->relay->tls);
    if (!arena_print(session->arena, &text, form, session->client, may_log_in ? "log in over TLS, or " : ""))
        text = SLICE("relaying denied");
    return refuse(session, reply, (struct smtp_reply){.code = 550, .status = {5, 7, 1}, .text = text}, address);
}

static bool may_relay(const struct session *session)
{
    return session_is_proven(session) && !lacks_auth(session);
}

static void note_recipient(struct session *session, struct slice address)
{
    session->recipient_count++;
    struct slice kept = slice_to(address, sizeof session->recipient - 1);
    memcpy(session->recipient, kept.data, kept.length);
    session->recipient[kept.length] = '\0';
}

bool admission_rcpt(struct session *session, const struct smtp_rcpt *rcpt, struct smtp_reply *reply)
{
    struct draft_recipient given = {.address = rcpt->address, .orcpt = rcpt->orcpt, .notify = (uint8_t)rcpt->notify};
    if (!may_relay(session))
        return refuse_relaying(session, rcpt->address, reply);
    enum recipient_result result =
        recipient_add(session->intake->relay->locals, session->draft, &given, session->arena);
    if (result != RECIPIENT_ADDED)
        return refuse(session, reply, recipient_reply(result), rcpt->address);
    note_recipient(session, rcpt->address);
    return true;
}

/* ---- the end of the content ---- */

bool admission_end(const struct session *session, struct smtp_reply *reply)
{
    enum draft_fault fault = draft_end(session->draft);
    return fault == DRAFT_FINE || refuse(session, reply, draft_fault_reply(fault), SLICE_EMPTY);
}
