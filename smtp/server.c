#include "smtp/server_internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define OUT_MAX 131072
#define REPLY_MAX 65536
#define IDLE_COMMANDS_MAX 120U /* of those that bring no message nearer, between two messages */
#define TRUSTED_FACTOR 50U     /* so much more is borne of who may relay: pools keep their connections with NOOP and RSET */
#define LINE_CAPACITY_MIN ((size_t)512)

static bool takes_input(const struct smtp_server *server);
static size_t take_line(struct smtp_server *server, struct slice input);
static void refuse_bare_line(struct smtp_server *server);
static void dispatch(struct smtp_server *server, struct slice line);
static bool line_fits(const struct smtp_server *server, struct slice part);
static bool line_reserve(struct server_line *line, size_t capacity);
static void line_free(struct server_line *line);
static void start_skipping(struct smtp_server *server);
static size_t skip_line(struct smtp_server *server, struct slice input);
static void note_early(struct smtp_server *server);
static void end_if_told(struct smtp_server *server);
static void settle(struct smtp_server *server);
static void accept_answer(struct smtp_server *server, const struct smtp_reply *reply);
static void answer_greeting(struct smtp_server *server, const struct smtp_reply *reply);
static void answer_starttls(struct smtp_server *server, const struct smtp_reply *reply);
static void answer_auth(struct smtp_server *server, const struct smtp_reply *reply);
static void answer_mail(struct smtp_server *server, const struct smtp_reply *reply);
static void answer_rcpt(struct smtp_server *server, const struct smtp_reply *reply);
static void answer_data(struct smtp_server *server, const struct smtp_reply *reply);
static void answer_end(struct smtp_server *server, const struct smtp_reply *reply);
static void answer_reset(struct smtp_server *server);
static bool is_positive(const struct smtp_reply *reply);

struct smtp_server *smtp_server_new(const struct smtp_server_options *options)
{
    struct smtp_server *server = calloc(1, sizeof *server);
    if (server == NULL) {
        return NULL;
    }
    server->options = *options;
    server->secured = options->secured;
    buffer_init(&server->secret, 2 * (size_t)SERVER_AUTH_LINE_MAX);
    buffer_init(&server->hello, SERVER_HELLO_MAX);
    buffer_init(&server->chunk, SERVER_CHUNK_MAX);
    buffer_init(&server->out, OUT_MAX);
    buffer_init(&server->held, REPLY_MAX);
    buffer_init(&server->stop, REPLY_MAX);
    smtp_server_raise(server, SMTP_SERVER_GREETING);
    return server;
}

void smtp_server_free(struct smtp_server **server)
{
    if (*server == NULL) {
        return;
    }
    struct smtp_server *old = *server;
    smtp_server_auth_end(old);
    line_free(&old->line);
    buffer_free(&old->hello);
    buffer_free(&old->chunk);
    buffer_free(&old->out);
    buffer_free(&old->held);
    buffer_free(&old->stop);
    free(old);
    *server = NULL;
}

size_t smtp_server_feed(struct smtp_server *server, struct slice input)
{
    size_t taken = 0;
    while (taken < input.length && takes_input(server)) {
        struct slice rest = slice_from(input, taken);
        taken += server->state == SERVER_CONTENT     ? smtp_server_content_take(server, rest)
                 : server->state == SERVER_LONG_LINE ? skip_line(server, rest)
                                                     : take_line(server, rest);
    }
    if (taken < input.length) {
        note_early(server);
    }
    return taken;
}

struct smtp_server_event smtp_server_next(struct smtp_server *server)
{
    if (server->turn == SERVER_OWNERS || server->state == SERVER_CLOSED) {
        return (struct smtp_server_event){.kind = SMTP_SERVER_WAIT};
    }
    end_if_told(server);
    if (server->state == SERVER_CLOSING) {
        server->state = SERVER_CLOSED;
        return (struct smtp_server_event){.kind = SMTP_SERVER_CLOSE};
    }
    if (server->turn == SERVER_EVENT) {
        server->turn = SERVER_OWNERS;
        return server->event;
    }
    return (struct smtp_server_event){.kind = SMTP_SERVER_WAIT};
}

void smtp_server_answer(struct smtp_server *server, const struct smtp_reply *reply)
{
    if (server->state == SERVER_CLOSED) {
        return; /* CLOSE may be answered like the others */
    }
    assert(server->turn == SERVER_OWNERS);
    server->turn = SERVER_CLIENTS;
    accept_answer(server, reply);
    if (reply != NULL && reply->code == 421) {
        smtp_server_close(server);
    }
    settle(server);
}

void smtp_server_secured(struct smtp_server *server)
{
    assert(server->state == SERVER_SECURING);
    assert(buffer_length(&server->out) == 0);
    server->secured = true;
    server->extended = server->authenticated = false;
    server->transaction = (struct server_transaction){.open = false};
    server->idle_commands = 0;
    buffer_clear(&server->hello);
    server->state = SERVER_COMMAND;
}

struct slice smtp_server_output(const struct smtp_server *server)
{
    return buffer_slice(&server->out);
}

void smtp_server_sent(struct smtp_server *server, size_t length)
{
    buffer_consume(&server->out, length);
}

void smtp_server_stop(struct smtp_server *server, const struct smtp_reply *reply)
{
    assert(reply != NULL);
    if (buffer_length(&server->stop) == 0) {
        smtp_reply_print(&server->stop, reply);
    }
}

struct slice smtp_server_hello(const struct smtp_server *server)
{
    return buffer_slice(&server->hello);
}

bool smtp_server_is_receiving(const struct smtp_server *server)
{
    return server->state == SERVER_CONTENT;
}

bool smtp_server_is_extended(const struct smtp_server *server)
{
    return server->extended;
}

bool smtp_server_is_securing(const struct smtp_server *server)
{
    return server->state == SERVER_SECURING;
}

bool smtp_server_is_authenticated(const struct smtp_server *server)
{
    return server->authenticated;
}

const char *smtp_server_state(const struct smtp_server *server)
{
    static const char *const words[] = {
#define X(name, word) [SERVER_##name] = word,
        SERVER_STATE_LIST(X)
#undef X
    };
    return words[server->state];
}

const struct smtp_content_decoder *smtp_server_content(const struct smtp_server *server)
{
    return &server->transaction.content;
}

void smtp_server_say(struct smtp_server *server, struct smtp_reply reply)
{
    smtp_reply_print(&server->out, &reply);
    server->errors += reply.code >= 500; /* 4xx is no error of the client */
}

void smtp_server_refuse(struct smtp_server *server, enum smtp_refusal_kind kind, struct smtp_reply reply)
{
    struct smtp_refusal refusal = {.kind = kind, .reply = reply, .subject = SLICE_EMPTY};
    smtp_server_tell(server, &refusal);
    smtp_server_say(server, reply);
}

void smtp_server_tell(struct smtp_server *server, const struct smtp_refusal *refusal)
{
    if (server->options.refused != NULL) {
        server->options.refused(server->options.owner, refusal);
    }
}

void smtp_server_raise(struct smtp_server *server, enum smtp_server_event_kind kind)
{
    server->event =
        (struct smtp_server_event){.kind = kind, .bytes = SLICE_EMPTY, .name = SLICE_EMPTY, .password = SLICE_EMPTY};
    server->turn = SERVER_EVENT;
}

void smtp_server_close(struct smtp_server *server)
{
    server->state = SERVER_CLOSING;
    server->turn = SERVER_CLIENTS;
}

bool smtp_server_is_hasty(struct smtp_server *server)
{
    if (!server->early) {
        return false;
    }
    smtp_server_refuse(server, SMTP_REFUSAL_EARLY,
                       smtp_reply_make(554, 5, 0, "commands were sent before the reply that they must wait for"));
    smtp_server_close(server);
    return true;
}

/* ---- input ---- */

static bool takes_input(const struct smtp_server *server)
{
    bool reading = server->state == SERVER_COMMAND || server->state == SERVER_LONG_LINE ||
                   server->state == SERVER_AUTH || server->state == SERVER_CONTENT;
    return reading && server->turn == SERVER_CLIENTS && buffer_length(&server->stop) == 0 &&
           buffer_length(&server->out) < SERVER_OUTPUT_HIGH;
}

/* Only CRLF ends a line: a bare LF is a byte of it, for which it will be refused. */
static size_t take_line(struct smtp_server *server, struct slice input)
{
    struct server_line *line = &server->line;
    struct slice part = slice_to(input, slice_find(input, '\n') + 1);
    if (!line_fits(server, part)) {
        start_skipping(server);
        return 0;
    }
    if (!line_reserve(line, line->length + part.length)) {
        smtp_server_refuse(server, SMTP_REFUSAL_MEMORY, smtp_reply_make(421, 3, 0, "out of memory"));
        smtp_server_close(server);
        return part.length;
    }
    memcpy(line->bytes + line->length, part.data, part.length);
    line->length += part.length;
    struct slice whole = slice_make(line->bytes, line->length);
    if (slice_ends(whole, SLICE("\r\n"))) {
        server->early = part.length < input.length;
        dispatch(server, slice_to(whole, whole.length - 2));
    } else if (slice_ends(whole, SLICE("\n")) && buffer_length(&server->hello) == 0) {
        refuse_bare_line(server);
    }
    return part.length;
}

/* Somebody at a keyboard, with a tool that sends bare LF, would wait for a reply without end. Nothing is done of what the line says, and
 * nothing behind it is read: a LF that divides commands is a way to smuggle some. Behind EHLO it is the fault of one command of a program
 * that can do it right, and may be a recipient's: its CRLF is waited for, and it is refused alone. */
static void refuse_bare_line(struct smtp_server *server)
{
    smtp_server_refuse(server, SMTP_REFUSAL_SYNTAX,
                       smtp_reply_make(500, 5, 2, "lines must end in CRLF, and this one ends in a bare LF; to try by hand use nc -C, or telnet"));
    smtp_server_close(server);
}

static void dispatch(struct smtp_server *server, struct slice line)
{
    bool secret = server->state == SERVER_AUTH || slice_starts_nocase(line, SLICE("AUTH"));
    if (server->state == SERVER_AUTH) {
        smtp_server_auth_line(server, line);
    } else {
        smtp_server_command(server, line);
    }
    if (secret) {
        explicit_bzero(server->line.bytes, server->line.length);
    }
    server->line.length = 0; /* the bytes stay: an event may point to them */
    settle(server);
}

static bool line_fits(const struct smtp_server *server, struct slice part)
{
    const struct server_line *line = &server->line;
    size_t length = line->length + part.length;
    if (length <= SERVER_LINE_MAX + 2) {
        return true;
    }
    char word[5];
    for (size_t i = 0; i < sizeof word; i++) {
        word[i] = i < line->length ? line->bytes[i] : part.data[i - line->length];
    }
    bool auth = server->state == SERVER_AUTH || slice_equal_nocase(slice_make(word, sizeof word), SLICE("AUTH "));
    return auth && length <= SERVER_AUTH_LINE_MAX + 2;
}

/* Growing copies by hand: realloc would leave a password in freed memory. */
static bool line_reserve(struct server_line *line, size_t capacity)
{
    if (capacity <= line->capacity) {
        return true;
    }
    size_t larger = capacity < LINE_CAPACITY_MIN ? LINE_CAPACITY_MIN : 2 * capacity;
    char *bytes = malloc(larger);
    if (bytes == NULL) {
        return false;
    }
    if (line->length > 0) {
        memcpy(bytes, line->bytes, line->length);
    }
    line_free(line);
    line->bytes = bytes;
    line->capacity = larger;
    return true;
}

static void line_free(struct server_line *line)
{
    if (line->bytes != NULL) {
        explicit_bzero(line->bytes, line->capacity);
    }
    free(line->bytes);
    line->bytes = NULL;
    line->capacity = 0;
}

static void start_skipping(struct smtp_server *server)
{
    struct server_line *line = &server->line;
    line->last = line->length > 0 ? line->bytes[line->length - 1] : '\0';
    line->length = 0;
    line_free(line);
    server->state = SERVER_LONG_LINE;
}

/* Throws a line away up to its CRLF: its tail is never taken for a command. */
static size_t skip_line(struct smtp_server *server, struct slice input)
{
    struct slice part = slice_to(input, slice_find(input, '\n') + 1);
    char before = part.length > 1 ? part.data[part.length - 2] : server->line.last;
    server->line.last = part.data[part.length - 1];
    if (server->line.last != '\n' || before != '\r') {
        return part.length;
    }
    server->state = SERVER_COMMAND;
    if (server->auth_step != SERVER_AUTH_IDLE) {
        smtp_server_auth_end(server);
        smtp_server_refuse(server, SMTP_REFUSAL_LOGIN, smtp_reply_make(500, 5, 6, "authentication exchange line is too long"));
    } else {
        smtp_server_refuse(server, SMTP_REFUSAL_SYNTAX, smtp_reply_make(500, 5, 2, "line too long"));
    }
    settle(server);
    return part.length;
}

/* What was not taken: is it proof that the client did not wait? */
static void note_early(struct smtp_server *server)
{
    if (server->state == SERVER_SECURING) {
        buffer_clear(&server->out); /* no TLS: the bytes were injected, or the client is not one of SMTP */
        smtp_server_close(server);
    } else if (server->turn != SERVER_CLIENTS) {
        server->early = true;
    }
}

/* ---- turns ---- */

static void end_if_told(struct smtp_server *server)
{
    if (buffer_length(&server->stop) == 0 || server->state == SERVER_CLOSING) {
        return;
    }
    if (server->state != SERVER_SECURING) {
        buffer_add(&server->out, buffer_slice(&server->stop));
    }
    smtp_server_close(server);
}

/* Why the client is sent away; NULL: it is not. */
static const char *enough(const struct smtp_server *server)
{
    unsigned factor = server->options.trusted || server->authenticated ? TRUSTED_FACTOR : 1;
    unsigned errors_max = server->options.errors_max * factor;
    if (errors_max > 0 && server->errors >= errors_max) {
        return "too many errors";
    }
    return errors_max > 0 && server->idle_commands > IDLE_COMMANDS_MAX * factor ? "too many commands without a message; connect again"
                                                                               : NULL;
}

/* After each command and answer: enough of it? */
static void settle(struct smtp_server *server)
{
    const char *why = enough(server);
    if (buffer_failed(&server->out) || buffer_failed(&server->held)) {
        smtp_server_close(server);
    } else if (server->state == SERVER_COMMAND && server->turn == SERVER_CLIENTS && why != NULL) {
        smtp_server_refuse(server, SMTP_REFUSAL_ERRORS, smtp_reply_make(421, 7, 0, why));
        smtp_server_close(server);
    }
}

static void accept_answer(struct smtp_server *server, const struct smtp_reply *reply)
{
    switch (server->event.kind) {
        case SMTP_SERVER_GREETING:
            answer_greeting(server, reply);
            return;
        case SMTP_SERVER_STARTTLS:
            answer_starttls(server, reply);
            return;
        case SMTP_SERVER_AUTH:
            answer_auth(server, reply);
            return;
        case SMTP_SERVER_MAIL:
            answer_mail(server, reply);
            return;
        case SMTP_SERVER_RCPT:
            answer_rcpt(server, reply);
            return;
        case SMTP_SERVER_DATA:
            answer_data(server, reply);
            return;
        case SMTP_SERVER_CONTENT:
            smtp_server_content_answered(server, reply);
            return;
        case SMTP_SERVER_END:
            answer_end(server, reply);
            return;
        case SMTP_SERVER_RESET:
            answer_reset(server);
            return;
        case SMTP_SERVER_WAIT:
        case SMTP_SERVER_CLOSE:
            break; /* are never raised */
    }
}

static void answer_greeting(struct smtp_server *server, const struct smtp_reply *reply)
{
    server->state = SERVER_COMMAND;
    if (reply == NULL) {
        buffer_print(&server->out, "220 %.*s ESMTP Sternpost\r\n", SLICE_ARGS(server->options.hostname));
        return;
    }
    smtp_server_say(server, *reply);
    if (!is_positive(reply)) {
        smtp_server_close(server);
    }
}

static void answer_starttls(struct smtp_server *server, const struct smtp_reply *reply)
{
    if (smtp_server_is_hasty(server)) {
        return;
    }
    if (is_positive(reply)) {
        server->state = SERVER_SECURING;
    }
    smtp_server_say(server, reply == NULL ? smtp_reply_make(220, 0, 0, "ready to start TLS") : *reply);
}

static void answer_auth(struct smtp_server *server, const struct smtp_reply *reply)
{
    smtp_server_auth_end(server);
    if (smtp_server_is_hasty(server)) {
        return;
    }
    server->authenticated = is_positive(reply);
    smtp_server_say(server, reply == NULL ? smtp_reply_make(235, 7, 0, "authenticated") : *reply);
}

static void answer_mail(struct smtp_server *server, const struct smtp_reply *reply)
{
    if (is_positive(reply)) {
        server->transaction = (struct server_transaction){.open = true, .utf8 = server->mail.utf8};
    }
    smtp_server_say(server, reply == NULL ? smtp_reply_make(250, 1, 0, "sender ok") : *reply);
}

static void answer_rcpt(struct smtp_server *server, const struct smtp_reply *reply)
{
    server->transaction.recipient_count += is_positive(reply);
    smtp_server_say(server, reply == NULL ? smtp_reply_make(250, 1, 5, "recipient ok") : *reply);
}

static void answer_data(struct smtp_server *server, const struct smtp_reply *reply)
{
    if (smtp_server_is_hasty(server)) {
        return;
    }
    if (reply == NULL || reply->code == 354) {
        smtp_server_content_start(server);
    }
    smtp_server_say(server, reply == NULL ? smtp_reply_make(354, 0, 0, "end data with <CR><LF>.<CR><LF>") : *reply);
}

static void answer_end(struct smtp_server *server, const struct smtp_reply *reply)
{
    assert(reply != NULL);
    smtp_server_content_end(server);
    if (is_positive(reply)) {
        server->errors = server->idle_commands = 0;
    }
    smtp_server_say(server, *reply);
}

/* The reply that waited for it: to RSET, to EHLO, or what speaks against the content. */
static void answer_reset(struct smtp_server *server)
{
    bool smuggled = server->transaction.content.fault != SMTP_CONTENT_OK;
    smtp_server_content_end(server);
    buffer_add(&server->out, buffer_slice(&server->held));
    server->out.failed |= server->held.failed;
    buffer_clear(&server->held);
    if (smuggled) {
        smtp_server_close(server); /* whoever sends this may mean what follows it as much as what went before */
    }
}

static bool is_positive(const struct smtp_reply *reply)
{
    return reply == NULL || smtp_reply_is_positive(reply);
}
