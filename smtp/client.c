#include "smtp/client_internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define IN_MAX 65536
#define OUT_MAX ((size_t)64 << 20) /* a guard against an owner that does not wait for it to drain */
#define SCRIPT_MAX ((size_t)4 << 20)

static bool out_of_memory(const struct smtp_client *client);
static enum smtp_reply_parse take_reply(struct smtp_client *client, struct smtp_reply *reply);
static void on_reply(struct smtp_client *client, const struct smtp_reply *reply);
static void on_lost(struct smtp_client *client);
static void on_malformed(struct smtp_client *client);
static bool may_quit_after(enum smtp_client_stage stage, enum smtp_client_fault fault);
static void wipe(struct buffer *buffer);

const char *smtp_client_stage_name(enum smtp_client_stage stage)
{
    static const char *const words[] = {
#define X(name, word) [SMTP_STAGE_##name] = word,
        SMTP_CLIENT_STAGE_LIST(X)
#undef X
    };
    return words[stage];
}

const char *smtp_client_fault_text(enum smtp_client_fault fault)
{
    static const char *const texts[] = {
#define X(name, text) [SMTP_CLIENT_FAULT_##name] = text,
        SMTP_CLIENT_FAULT_LIST(X)
#undef X
    };
    return texts[fault];
}

struct smtp_client *smtp_client_new(const struct smtp_client_options *options)
{
    struct smtp_client *client = calloc(1, sizeof *client);
    if (client == NULL) {
        return NULL;
    }
    client->options = *options;
    client->secured = options->secured;
    client->stage = SMTP_STAGE_GREETING;
    smtp_reply_parser_init(&client->parser);
    buffer_init(&client->in, IN_MAX);
    buffer_init(&client->out, OUT_MAX);
    buffer_init(&client->script, SCRIPT_MAX);
    buffer_init(&client->chunk, OUT_MAX);
    buffer_init(&client->verdict_text, SMTP_REPLY_TEXT_MAX);
    return client;
}

void smtp_client_free(struct smtp_client **client)
{
    if (*client == NULL) {
        return;
    }
    struct smtp_client *old = *client;
    smtp_reply_parser_free(&old->parser);
    wipe(&old->script);
    wipe(&old->out);
    buffer_free(&old->in);
    buffer_free(&old->chunk);
    buffer_free(&old->verdict_text);
    free(old);
    *client = NULL;
}

size_t smtp_client_feed(struct smtp_client *client, struct slice input)
{
    if (client->stage == SMTP_STAGE_CLOSED) {
        return input.length;
    }
    if (client->stage == SMTP_STAGE_SECURING) {
        if (input.length > 0) {
            smtp_client_fail(client, SMTP_CLIENT_FAULT_INJECTION, NULL);
        }
        return input.length;
    }
    struct slice part = slice_to(input, buffer_room(&client->in));
    buffer_add(&client->in, part);
    return part.length;
}

struct smtp_client_event smtp_client_next(struct smtp_client *client)
{
    for (;;) {
        if (client->raised) {
            client->raised = false;
            return client->event;
        }
        struct smtp_reply reply;
        enum smtp_reply_parse parsed = SMTP_REPLY_MORE;
        if (client->stage != SMTP_STAGE_CLOSED && out_of_memory(client)) {
            smtp_client_fail(client, SMTP_CLIENT_FAULT_MEMORY, NULL);
        } else if (smtp_client_transaction_advance(client)) {
            continue;
        } else if ((parsed = take_reply(client, &reply)) == SMTP_REPLY_DONE) {
            on_reply(client, &reply);
        } else if (parsed == SMTP_REPLY_MALFORMED) {
            on_malformed(client);
        } else if (client->lost && client->stage != SMTP_STAGE_CLOSED) {
            on_lost(client);
        } else {
            return (struct smtp_client_event){.kind = SMTP_CLIENT_WAIT, .stage = client->stage};
        }
    }
}

struct slice smtp_client_output(const struct smtp_client *client)
{
    return buffer_slice(&client->out);
}

void smtp_client_sent(struct smtp_client *client, size_t length)
{
    assert(length <= buffer_length(&client->out));
    if (client->stage == SMTP_STAGE_AUTH) {
        explicit_bzero(client->out.data + client->out.start, length);
    }
    buffer_consume(&client->out, length);
}

void smtp_client_secured(struct smtp_client *client)
{
    if (client->stage == SMTP_STAGE_CLOSED) {
        return; /* it failed meanwhile: FAILED is still to be read */
    }
    assert(client->stage == SMTP_STAGE_SECURING);
    assert(buffer_length(&client->out) == 0);
    client->secured = true;
    client->extensions = (struct smtp_extensions){.set = 0};
    smtp_client_say_hello(client);
}

void smtp_client_lost(struct smtp_client *client)
{
    client->lost = true;
}

void smtp_client_abort(struct smtp_client *client)
{
    buffer_clear(&client->out);
    buffer_clear(&client->script);
    buffer_clear(&client->chunk);
    client->stage = SMTP_STAGE_CLOSED;
    client->may_quit = client->raised = false;
}

void smtp_client_quit(struct smtp_client *client)
{
    if (client->stage == SMTP_STAGE_READY || (client->stage == SMTP_STAGE_CLOSED && client->may_quit)) {
        client->stage = SMTP_STAGE_QUIT;
        client->may_quit = false;
        buffer_add(&client->out, SLICE("QUIT\r\n"));
    }
}

enum smtp_client_stage smtp_client_stage(const struct smtp_client *client)
{
    return client->stage;
}

const struct smtp_extensions *smtp_client_extensions(const struct smtp_client *client)
{
    return &client->extensions;
}

bool smtp_client_is_secured(const struct smtp_client *client)
{
    return client->secured;
}

void smtp_client_raise(struct smtp_client *client, enum smtp_client_event_kind kind, const struct smtp_reply *reply)
{
    client->event = (struct smtp_client_event){.kind = kind, .stage = client->stage, .reply = {.text = SLICE_EMPTY}};
    if (reply != NULL) {
        client->event.reply = *reply;
    }
    client->raised = true;
}

void smtp_client_fail(struct smtp_client *client, enum smtp_client_fault fault, const struct smtp_reply *reply)
{
    bool answered = fault == SMTP_CLIENT_FAULT_SHUTDOWN;
    smtp_client_raise(client, SMTP_CLIENT_FAILED, reply);
    client->event.fault = fault;
    client->event.maybe = !answered && smtp_client_is_in_doubt(client);
    client->may_quit = may_quit_after(client->stage, fault);
    client->stage = SMTP_STAGE_CLOSED;
    if (buffer_length(&client->script) > 0) {
        explicit_bzero(client->script.data, client->script.capacity);
    }
    buffer_clear(&client->script);
}

bool smtp_client_send_line(struct smtp_client *client)
{
    struct slice rest = buffer_slice(&client->script);
    if (rest.length == 0) {
        return false;
    }
    size_t length = slice_find(rest, '\n') + 1;
    buffer_add(&client->out, slice_to(rest, length));
    buffer_consume(&client->script, length);
    return true;
}

bool smtp_client_offers(const struct smtp_client *client, enum smtp_extension extension)
{
    return (client->extensions.set & (unsigned)extension) != 0;
}

static bool out_of_memory(const struct smtp_client *client)
{
    return buffer_failed(&client->in) || buffer_failed(&client->out) || buffer_failed(&client->script) ||
           buffer_failed(&client->chunk);
}

static enum smtp_reply_parse take_reply(struct smtp_client *client, struct smtp_reply *reply)
{
    if (client->stage == SMTP_STAGE_CLOSED || client->stage == SMTP_STAGE_SECURING) {
        return SMTP_REPLY_MORE;
    }
    size_t taken;
    enum smtp_reply_parse parsed = smtp_reply_feed(&client->parser, buffer_slice(&client->in), &taken, reply);
    buffer_consume(&client->in, taken);
    return parsed;
}

static void on_reply(struct smtp_client *client, const struct smtp_reply *reply)
{
    enum smtp_client_stage stage = client->stage;
    if (stage == SMTP_STAGE_QUIT) {
        client->stage = SMTP_STAGE_CLOSED;
    } else if (reply->code == 421 && stage != SMTP_STAGE_GREETING) {
        smtp_client_fail(client, SMTP_CLIENT_FAULT_SHUTDOWN, reply);
    } else if (stage == SMTP_STAGE_READY) {
        smtp_client_fail(client, SMTP_CLIENT_FAULT_MALFORMED, reply); /* to nothing that was asked */
    } else if (stage < SMTP_STAGE_READY) {
        smtp_client_session_reply(client, reply);
    } else {
        smtp_client_transaction_reply(client, reply);
    }
}

static void on_malformed(struct smtp_client *client)
{
    if (client->stage == SMTP_STAGE_QUIT) {
        client->stage = SMTP_STAGE_CLOSED;
    } else {
        smtp_client_fail(client, SMTP_CLIENT_FAULT_MALFORMED, NULL);
    }
}

static void on_lost(struct smtp_client *client)
{
    if (client->stage == SMTP_STAGE_QUIT) {
        client->stage = SMTP_STAGE_CLOSED;
    } else {
        smtp_client_fail(client, SMTP_CLIENT_FAULT_LOST, NULL);
    }
}

/* In the middle of content, of an AUTH exchange or of a handshake, QUIT would be no command. */
static bool may_quit_after(enum smtp_client_stage stage, enum smtp_client_fault fault)
{
    bool heard = fault != SMTP_CLIENT_FAULT_LOST && fault != SMTP_CLIENT_FAULT_INJECTION &&
                 fault != SMTP_CLIENT_FAULT_MEMORY && fault != SMTP_CLIENT_FAULT_MALFORMED;
    return heard && stage != SMTP_STAGE_CONTENT && stage != SMTP_STAGE_SECURING;
}

static void wipe(struct buffer *buffer)
{
    if (buffer->data != NULL) {
        explicit_bzero(buffer->data, buffer->capacity);
    }
    buffer_free(buffer);
}
