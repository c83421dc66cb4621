#include "smtp/server_internal.h"

/* What follows DATA: chunks for the owner while nothing speaks against the content. Once something does, held has the
 * reply and the rest is read and thrown away, up to the true end: to stop earlier would be to read content as commands.
 */

static size_t chunk_room(const struct smtp_server *server);
static bool is_refused(const struct smtp_server *server);
static void judge(struct smtp_server *server);
static void refuse(struct smtp_server *server, const struct smtp_reply *reply);
static void raise_chunk(struct smtp_server *server);
static void finish(struct smtp_server *server);

void smtp_server_content_start(struct smtp_server *server)
{
    const struct smtp_server_options *options = &server->options;
    smtp_content_decoder_init(&server->transaction.content);
    server->transaction.content.lenient = options->is_lenient != NULL && options->is_lenient(options->owner);
    server->transaction.ended = false;
    server->state = SERVER_CONTENT;
}

size_t smtp_server_content_take(struct smtp_server *server, struct slice input)
{
    struct slice part = is_refused(server) ? input : slice_to(input, chunk_room(server));
    size_t taken;
    server->transaction.ended =
        smtp_content_decode(&server->transaction.content, part, is_refused(server) ? NULL : &server->chunk, &taken);
    judge(server);
    if (server->transaction.ended) {
        finish(server);
    } else if (chunk_room(server) == 0) {
        raise_chunk(server);
    }
    return taken;
}

/* For so many bytes as they come, beside the two that the decoder may still hold; lenient each may become two. */
static size_t chunk_room(const struct smtp_server *server)
{
    size_t length = buffer_length(&server->chunk);
    size_t room = length < SERVER_CHUNK_MAX - 2 ? SERVER_CHUNK_MAX - 2 - length : 0;
    return server->transaction.content.lenient ? room / 2 : room;
}

void smtp_server_content_answered(struct smtp_server *server, const struct smtp_reply *reply)
{
    buffer_clear(&server->chunk);
    if (reply != NULL && reply->code == 421) {
        smtp_server_say(server, *reply); /* the session ends here */
    } else if (reply != NULL) {
        refuse(server, reply);
    }
    if (server->transaction.ended) {
        finish(server);
    }
}

void smtp_server_content_end(struct smtp_server *server)
{
    buffer_free(&server->chunk); /* an idle session needs no 64 KiB */
    server->transaction = (struct server_transaction){.open = false};
    server->state = SERVER_COMMAND;
}

static bool is_refused(const struct smtp_server *server)
{
    return buffer_length(&server->held) > 0 || buffer_failed(&server->held);
}

static void judge(struct smtp_server *server)
{
    const struct smtp_content_decoder *content = &server->transaction.content;
    uint64_t size_max = server->options.size_max;
    struct smtp_refusal refusal = {.kind = SMTP_REFUSAL_CONTENT, .subject = SLICE_EMPTY};
    if (is_refused(server)) {
        return;
    }
    if (content->fault == SMTP_CONTENT_BARE_LF) {
        refusal.reply = smtp_reply_make(550, 6, 0, "bare LF in the content; lines end in CRLF");
    } else if (content->fault == SMTP_CONTENT_BARE_CR) {
        refusal.reply = smtp_reply_make(550, 6, 0, "bare CR in the content; lines end in CRLF");
    } else if (content->fault == SMTP_CONTENT_NUL) {
        refusal.reply = smtp_reply_make(550, 6, 0, "NUL in the content");
    } else if (size_max > 0 && content->length > size_max) {
        refusal = (struct smtp_refusal){.kind = SMTP_REFUSAL_SIZE, .reply = smtp_reply_make(552, 3, 4, "message too large")};
    } else if (buffer_failed(&server->chunk)) {
        refusal = (struct smtp_refusal){.kind = SMTP_REFUSAL_MEMORY, .reply = smtp_reply_make(451, 3, 0, "out of memory")};
    } else {
        return;
    }
    smtp_server_tell(server, &refusal);
    refuse(server, &refusal.reply);
}

static void refuse(struct smtp_server *server, const struct smtp_reply *reply)
{
    smtp_reply_print(&server->held, reply);
    server->errors += reply->code >= 500;
    buffer_clear(&server->chunk);
}

static void raise_chunk(struct smtp_server *server)
{
    smtp_server_raise(server, SMTP_SERVER_CONTENT);
    server->event.bytes = buffer_slice(&server->chunk);
}

/* The end mark was read: the last chunk, then the owner's promise, or the reply that waits. */
static void finish(struct smtp_server *server)
{
    if (is_refused(server)) {
        smtp_server_raise(server, SMTP_SERVER_RESET);
    } else if (buffer_length(&server->chunk) > 0) {
        raise_chunk(server);
    } else {
        smtp_server_raise(server, SMTP_SERVER_END);
    }
}
