#include "smtp/server_internal.h"

#include "base/text.h"

#include <string.h>

/* AUTH PLAIN and LOGIN (RFC 4954, 4616). The decoded texts stand in one buffer that is large enough from the start, so
 * that it never moves and leaves a copy behind, and that is wiped when the exchange ends. */

static void challenge(struct smtp_server *server, enum server_auth_step step);
static void respond(struct smtp_server *server, struct slice response);
static bool decode(struct smtp_server *server, struct slice response);
static void finish_plain(struct smtp_server *server);
static void finish_login(struct smtp_server *server);
static void ask_owner(struct smtp_server *server, struct slice name, struct slice password);
static void fail(struct smtp_server *server, struct smtp_reply reply);

void smtp_server_auth_start(struct smtp_server *server, struct slice argument)
{
    struct slice mechanism, response, more;
    slice_word(&argument, &mechanism);
    bool has_response = slice_word(&argument, &response);
    if (slice_word(&argument, &more)) {
        fail(server, smtp_reply_make(501, 5, 4, "syntax: AUTH mechanism [initial-response]"));
        return;
    }
    bool plain = slice_equal_nocase(mechanism, SLICE("PLAIN"));
    if (!plain && !slice_equal_nocase(mechanism, SLICE("LOGIN"))) {
        fail(server, smtp_reply_make(504, 5, 4, "mechanism not offered"));
        return;
    }
    if (buffer_space(&server->secret, server->secret.limit) == NULL) {
        fail(server, smtp_reply_make(454, 3, 0, "out of memory"));
        return;
    }
    server->auth_step = plain ? SERVER_AUTH_PLAIN : SERVER_AUTH_LOGIN_NAME;
    server->state = SERVER_AUTH;
    if (has_response) {
        respond(server, slice_equal(response, SLICE("=")) ? SLICE_EMPTY : response);
    } else {
        challenge(server, server->auth_step);
    }
}

void smtp_server_auth_line(struct smtp_server *server, struct slice line)
{
    if (smtp_server_is_hasty(server)) {
        smtp_server_auth_end(server);
        return;
    }
    if (slice_equal(line, SLICE("*"))) {
        fail(server, smtp_reply_make(501, 7, 0, "authentication cancelled"));
    } else {
        respond(server, line);
    }
}

void smtp_server_auth_end(struct smtp_server *server)
{
    if (server->secret.data != NULL) {
        explicit_bzero(server->secret.data, server->secret.capacity);
    }
    buffer_free(&server->secret);
    server->event.name = server->event.password = SLICE_EMPTY;
    server->auth_step = SERVER_AUTH_IDLE;
    if (server->state == SERVER_AUTH) {
        server->state = SERVER_COMMAND;
    }
}

static void challenge(struct smtp_server *server, enum server_auth_step step)
{
    static const char *const texts[] = {[SERVER_AUTH_PLAIN] = "",
                                        [SERVER_AUTH_LOGIN_NAME] = "VXNlcm5hbWU6",
                                        [SERVER_AUTH_LOGIN_PASSWORD] = "UGFzc3dvcmQ6"};
    server->auth_step = step;
    smtp_server_say(server, smtp_reply_make(334, 0, 0, texts[step]));
}

static void respond(struct smtp_server *server, struct slice response)
{
    if (!decode(server, response)) {
        fail(server, smtp_reply_make(501, 5, 2, "not base64"));
        return;
    }
    switch (server->auth_step) {
        case SERVER_AUTH_PLAIN:
            finish_plain(server);
            return;
        case SERVER_AUTH_LOGIN_NAME:
            server->auth_name_length = buffer_length(&server->secret);
            challenge(server, SERVER_AUTH_LOGIN_PASSWORD);
            return;
        case SERVER_AUTH_LOGIN_PASSWORD:
            finish_login(server);
            return;
        case SERVER_AUTH_IDLE:
            break;
    }
}

static bool decode(struct smtp_server *server, struct slice response)
{
    return text_base64_decode(response, &server->secret) == ERR_NONE;
}

/* message = [authzid] NUL authcid NUL passwd (RFC 4616 2). Nobody acts here for another. */
static void finish_plain(struct smtp_server *server)
{
    struct slice rest = buffer_slice(&server->secret), acting, name;
    if (!slice_cut(&rest, '\0', &acting) || !slice_cut(&rest, '\0', &name) || rest.data == NULL ||
        slice_has(rest, '\0')) {
        fail(server, smtp_reply_make(501, 5, 2, "not a PLAIN response"));
    } else if (acting.length > 0 && !slice_equal(acting, name)) {
        fail(server, smtp_reply_make(535, 7, 8, "one cannot act for another here"));
    } else {
        ask_owner(server, name, rest);
    }
}

static void finish_login(struct smtp_server *server)
{
    struct slice both = buffer_slice(&server->secret);
    ask_owner(server, slice_to(both, server->auth_name_length), slice_from(both, server->auth_name_length));
}

static void ask_owner(struct smtp_server *server, struct slice name, struct slice password)
{
    if (name.length == 0 || password.length == 0) {
        fail(server, smtp_reply_make(535, 7, 8, "authentication failed"));
        return;
    }
    smtp_server_raise(server, SMTP_SERVER_AUTH);
    server->event.name = name;
    server->event.password = password;
}

static void fail(struct smtp_server *server, struct smtp_reply reply)
{
    smtp_server_auth_end(server);
    smtp_server_refuse(server, reply.code == 454 ? SMTP_REFUSAL_MEMORY : SMTP_REFUSAL_LOGIN, reply);
}
