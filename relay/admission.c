#include "relay/intake_internal.h"

#include "relay/recipient.h"
#include "relay/users.h"

#include <stdio.h>
#include <string.h>

static bool refuse(const struct session *session, struct smtp_reply *reply, struct refusal refusal);

/* One line and one count for each: also of what only a client of this very session has heard so far. */
void admission_tell(const struct session *session, const struct refusal *refusal)
{
    struct log_line line;
    char status[16];
    session->intake->relay->metrics.refusals[refusal->reason]++;
    if (!intake_log_open(session->intake, &line, LOG_WARNING, "rejected"))
        return;
    log_string(&line, "reason", metrics_refusal_word(refusal->reason));
    log_string(&line, "client", session->client);
    log_string(&line, "user", session->user);
    log_text(&line, "hello", session->server != NULL ? smtp_server_hello(session->server) : SLICE_EMPTY);
    log_string(&line, "stage", refusal->stage != NULL ? refusal->stage : smtp_server_state(session->server));
    log_text(&line, "address", refusal->subject);
    log_number(&line, "code", refusal->reply.code);
    log_text(&line, "dsn", smtp_status_print(refusal->reply.status, status));
    log_text(&line, "reply", refusal->reply.text);
    log_close(&line);
}

/* What the machine refuses of itself. */
void admission_refused(void *owner, const struct smtp_refusal *given)
{
    static const enum metrics_refusal reasons[] = {
#define X(name, word) [SMTP_REFUSAL_##name] = METRICS_REFUSAL_##word,
        SMTP_REFUSAL_LIST(X)
#undef X
    };
    const struct session *session = owner;
    struct refusal refusal = {.reason = reasons[given->kind], .reply = given->reply, .subject = given->subject};
    bool is_of_mail = given->kind == SMTP_REFUSAL_ADDRESS || given->kind == SMTP_REFUSAL_SIZE || given->kind == SMTP_REFUSAL_CONTENT ||
                      given->kind == SMTP_REFUSAL_RECIPIENTS;
    session->intake->relay->metrics.rejected += is_of_mail;
    admission_tell(session, &refusal);
}

static bool refuse(const struct session *session, struct smtp_reply *reply, struct refusal refusal)
{
    *reply = refusal.reply;
    session->intake->relay->metrics.rejected++;
    admission_tell(session, &refusal);
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
        return refuse(session, reply, (struct refusal){.reason = METRICS_REFUSAL_connections, .reply = smtp_reply_make(421, 3, 2, too_many)});
    if (session->peer.ip.family == IP_NONE || sessions_of_client(session) <= per_client)
        return true;
    if (!arena_print(session->arena, &text, too_many_of_yours, session->client, per_client))
        text = SLICE("too many connections from your address; try again later");
    struct smtp_reply told = {.code = 421, .status = {4, 7, 0}, .text = text};
    return refuse(session, reply, (struct refusal){.reason = METRICS_REFUSAL_connections, .reply = told});
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
    struct smtp_reply told = {.code = 530, .status = {5, 7, 0}, .text = text};
    return refuse(session, reply, (struct refusal){.reason = METRICS_REFUSAL_login, .reply = told, .subject = address});
}

/* A reload may have changed who may relay; what was let in before is looked at again with each message. */
static bool is_revoked(struct session *session)
{
    const struct relay *relay = session->intake->relay;
    if (session->is_by_address)
        session->is_trusted = config_networks_have(&relay->config->access_networks, &session->peer.ip);
    if (!smtp_server_is_authenticated(session->server))
        return false;
    const struct tls_password *stored = relay->users == NULL ? NULL : users_find(relay->users, slice_of(session->login.name));
    return stored == NULL || !tls_password_equal(stored, &session->login.stored);
}

static bool refuse_mail(struct session *session, const struct smtp_mail *mail, enum metrics_refusal reason, struct smtp_reply *reply)
{
    struct refusal refusal = {.reason = reason, .reply = *reply, .subject = mail->reverse_path};
    return refuse(session, reply, refusal);
}

bool admission_mail(struct session *session, const struct smtp_mail *mail, struct smtp_reply *reply)
{
    struct relay *relay = session->intake->relay;
    if (is_revoked(session)) {
        *reply = smtp_reply_make(421, 7, 0, "your login is not valid any more; connect again and log in");
        return refuse_mail(session, mail, METRICS_REFUSAL_revoked, reply);
    }
    if (lacks_auth(session))
        return refuse_without_auth(session, mail->reverse_path, reply);
    *reply = smtp_reply_make(452, 3, 1, "the queue is full; try again later");
    if (journal_is_full(relay->journal))
        return refuse_mail(session, mail, METRICS_REFUSAL_queue, reply);
    draft_free(&session->draft);
    session->draft = session_draft(session, mail);
    *reply = smtp_reply_make(452, 3, 0, "out of memory; try again later");
    if (session->draft == NULL)
        return refuse_mail(session, mail, METRICS_REFUSAL_memory, reply);
    session->has_trace = false;
    session->recipient_count = 0;
    return true;
}

/* ---- RCPT ---- */

static bool refuse_relaying(struct session *session, struct slice address, struct smtp_reply *reply)
{
    static const char form[] = "relaying denied: your address %s may not relay here; %sto allow it, add it to [access] networks";
    struct slice text;
    static const char unnamed[] = "relaying denied: the proxy at %s did not say who connects (UNKNOWN or LOCAL), and nobody may relay for "
                                  "that; %shave it send the client's address";
    bool may_log_in = session->intake->relay->users != NULL && tls_context_serves(session->intake->relay->tls);
    if (!arena_print(session->arena, &text, session->is_unnamed ? unnamed : form, session->client, may_log_in ? "log in over TLS, or " : ""))
        text = SLICE("relaying denied");
    struct smtp_reply told = {.code = 550, .status = {5, 7, 1}, .text = text};
    return refuse(session, reply, (struct refusal){.reason = METRICS_REFUSAL_relaying, .reply = told, .subject = address});
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

static enum metrics_refusal reason_of(enum recipient_result result)
{
    switch (result) {
    case RECIPIENT_UNKNOWN:
        return METRICS_REFUSAL_user;
    case RECIPIENT_LOOP:
    case RECIPIENT_LIST:
        return METRICS_REFUSAL_alias;
    case RECIPIENT_INVALID:
        return METRICS_REFUSAL_address;
    case RECIPIENT_TOO_MANY:
        return METRICS_REFUSAL_recipients;
    case RECIPIENT_MEMORY:
    case RECIPIENT_ADDED:
        break;
    }
    return METRICS_REFUSAL_memory;
}

bool admission_rcpt(struct session *session, const struct smtp_rcpt *rcpt, struct smtp_reply *reply)
{
    struct draft_recipient given = {.address = rcpt->address, .orcpt = rcpt->orcpt, .notify = (uint8_t)rcpt->notify};
    if (!may_relay(session))
        return refuse_relaying(session, rcpt->address, reply);
    enum recipient_result result =
        recipient_add(session->intake->relay->locals, session->draft, &given, session->arena);
    if (result != RECIPIENT_ADDED)
        return refuse(session, reply,
                      (struct refusal){.reason = reason_of(result), .reply = recipient_reply(result), .subject = rcpt->address});
    note_recipient(session, rcpt->address);
    return true;
}

/* ---- DATA ---- */

static size_t receiving_count(const struct intake *intake)
{
    size_t count = 0;
    for (struct list_node *node = list_first(&intake->sessions); node != NULL; node = list_next(&intake->sessions, node)) {
        const struct session *session = LIST_OF(node, struct session, node);
        count += session->content_ms > 0 || (session->is_waiting && session->draft != NULL);
    }
    return count;
}

/* Not before: MAIL is anybody's to say, and who says no more would keep the room of others. */
bool admission_data(const struct session *session, struct smtp_reply *reply)
{
    const struct intake *intake = session->intake;
    if (intake->receiving_max == 0 || receiving_count(intake) < intake->receiving_max)
        return true;
    struct smtp_reply busy = smtp_reply_make(452, 3, 1, "as many messages are being received as the memory of this relay allows; try again later");
    return refuse(session, reply, (struct refusal){.reason = METRICS_REFUSAL_memory, .stage = "data", .reply = busy});
}

/* ---- the end of the content ---- */

bool admission_end(const struct session *session, struct smtp_reply *reply)
{
    enum draft_fault fault = draft_end(session->draft);
    enum metrics_refusal reason = fault == DRAFT_LOOP ? METRICS_REFUSAL_loop : METRICS_REFUSAL_content;
    return fault == DRAFT_FINE || refuse(session, reply, (struct refusal){.reason = reason, .reply = draft_fault_reply(fault)});
}
