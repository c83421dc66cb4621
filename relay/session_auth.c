#include "relay/intake_internal.h"

#include "base/text.h"

static void on_checked(struct authentication *authentication, enum authentication_result result);
static void note_user(struct session *session, struct slice name);
static void note_login(struct session *session, struct slice name);
static void log_result(const struct session *session, enum authentication_result result, const struct smtp_reply *reply);
static struct smtp_reply refusal(struct session *session, enum authentication_result result);

/* The answer comes later, by on_checked(): until then nothing more is taken from the client. */
bool session_authenticate(struct session *session, const struct smtp_server_event *event)
{
    struct relay *relay = session->intake->relay;
    struct authentication_request request = {
        .users = relay->users,
        .name = event->name,
        .password = event->password,
        .client = session->peer.ip,
    };
    note_user(session, event->name);
    note_login(session, event->name);
    session->authentication.done = on_checked;
    /* A reload may have taken the users away. */
    if (relay->users != NULL && authentication_start(session->intake->authenticator, &session->authentication, &request) == ERR_NONE) {
        session->is_waiting = true;
        return false;
    }
    struct smtp_reply reply = refusal(session, AUTHENTICATION_BUSY);
    log_result(session, AUTHENTICATION_BUSY, &reply);
    session->user[0] = '\0';
    smtp_server_answer(session->server, &reply);
    return true;
}

static void note_user(struct session *session, struct slice name)
{
    struct buffer cleaned;
    buffer_init(&cleaned, sizeof session->user);
    text_clean(&cleaned, name, sizeof session->user - 1);
    text_print(session->user, sizeof session->user, "%.*s", SLICE_ARGS(buffer_slice(&cleaned)));
    buffer_free(&cleaned);
}

/* The password that is checked now: another one that a reload brings meanwhile is not this one. */
static void note_login(struct session *session, struct slice name)
{
    const struct users *users = session->intake->relay->users;
    const struct tls_password *stored = users == NULL || name.length > USERS_NAME_MAX ? NULL : users_find(users, name);
    session->login = (struct session_login){.stored = {.iterations = 0}};
    if (stored == NULL)
        return;
    session->login.stored = *stored;
    text_print(session->login.name, sizeof session->login.name, "%.*s", SLICE_ARGS(name));
}

static void on_checked(struct authentication *authentication, enum authentication_result result)
{
    struct session *session = LIST_OF(authentication, struct session, authentication);
    struct metrics *metrics = &session->intake->relay->metrics;
    session->is_waiting = false;
    if (result == AUTHENTICATION_YES) {
        metrics->logins++;
        smtp_server_answer(session->server, NULL);
    } else {
        struct smtp_reply reply = refusal(session, result);
        *(result == AUTHENTICATION_NO ? &metrics->logins_failed : &metrics->logins_put_off) += 1;
        log_result(session, result, &reply);
        smtp_server_answer(session->server, &reply);
        session->user[0] = '\0';
    }
    arena_reset(session->arena);
    session_drive(session);
}

/* Which of name and password was wrong is not said. Who has to wait is sent away: to ask again here would be no use. */
static struct smtp_reply refusal(struct session *session, enum authentication_result result)
{
    struct slice text;
    if (result == AUTHENTICATION_NO)
        return smtp_reply_make(535, 7, 8, "authentication failed");
    if (result == AUTHENTICATION_BUSY)
        return smtp_reply_make(454, 7, 0, "the password cannot be checked now; try again later");
    long long wait_s = (long long)(session->authentication.wait_ms + 999) / 1000;
    if (!arena_print(session->arena, &text, "too many failed logins from %s; try again in %lld s",
                     session->client, wait_s))
        text = SLICE("too many failed logins; try again later");
    return (struct smtp_reply){.code = 421, .status = {4, 7, 0}, .text = text};
}

static void log_result(const struct session *session, enum authentication_result result, const struct smtp_reply *reply)
{
    struct log_line line;
    /* Ban lists read auth_failed: what was not wrong has another name. */
    if (!intake_log_open(session->intake, &line, LOG_WARNING,
                         result == AUTHENTICATION_BUSY ? "auth_put_off" : "auth_failed"))
        return;
    log_string(&line, "user", session->user);
    log_string(&line, "client", session->client);
    log_text(&line, "hello", smtp_server_hello(session->server));
    log_string(&line, "problem", result == AUTHENTICATION_NO     ? "wrong user or password"
                                 : result == AUTHENTICATION_WAIT ? "too many failures before this"
                                                                 : "too many passwords are being checked, or none can be");
    log_number(&line, "code", reply->code);
    log_close(&line);
}
