#include "smtp/client_internal.h"

#include "base/text.h"

#include <assert.h>
#include <string.h>

#define AUTH_LINE_MAX 512 /* RFC 4954 4: beyond it the response waits for the challenge */
#define AUTH_TEXT_MAX 4096

static void on_greeting(struct smtp_client *client, const struct smtp_reply *reply);
static void on_hello(struct smtp_client *client, const struct smtp_reply *reply);
static void read_extensions(struct smtp_client *client, struct slice text);
static void after_hello(struct smtp_client *client);
static void hello_refused(struct smtp_client *client, const struct smtp_reply *reply);
static void on_starttls(struct smtp_client *client, const struct smtp_reply *reply);
static void on_auth(struct smtp_client *client, const struct smtp_reply *reply);
static void become_ready(struct smtp_client *client);
static void write_auth(struct smtp_client *client, struct slice name, struct slice password);
static void write_plain(struct smtp_client *client, struct slice name, struct slice password);
static void write_base64_line(struct smtp_client *client, struct slice text);
static void forget_script(struct smtp_client *client);

void smtp_client_session_reply(struct smtp_client *client, const struct smtp_reply *reply)
{
    if (client->stage == SMTP_STAGE_GREETING) {
        on_greeting(client, reply);
    } else if (client->stage == SMTP_STAGE_STARTTLS) {
        on_starttls(client, reply);
    } else if (client->stage == SMTP_STAGE_AUTH) {
        on_auth(client, reply);
    } else {
        on_hello(client, reply);
    }
}

void smtp_client_say_hello(struct smtp_client *client)
{
    client->stage = client->secured ? SMTP_STAGE_EHLO_SECURED : SMTP_STAGE_EHLO;
    buffer_print(&client->out, "EHLO %.*s\r\n", SLICE_ARGS(client->options.hostname));
}

void smtp_client_auth(struct smtp_client *client, struct slice name, struct slice password)
{
    assert(client->stage == SMTP_STAGE_READY);
    assert(client->secured);
    assert(!client->tried_auth);
    assert(name.length <= AUTH_TEXT_MAX);
    assert(password.length <= AUTH_TEXT_MAX);
    client->tried_auth = true;
    client->stage = SMTP_STAGE_AUTH;
    if ((client->extensions.auth & (SMTP_AUTH_PLAIN | SMTP_AUTH_LOGIN)) == 0) {
        smtp_client_fail(client, SMTP_CLIENT_FAULT_NO_AUTH, NULL);
        return;
    }
    write_auth(client, name, password);
    smtp_client_send_line(client);
}

static void on_greeting(struct smtp_client *client, const struct smtp_reply *reply)
{
    if (reply->code == 220) {
        smtp_client_say_hello(client);
    } else {
        smtp_client_fail(client, SMTP_CLIENT_FAULT_REFUSED, reply);
    }
}

static void on_hello(struct smtp_client *client, const struct smtp_reply *reply)
{
    if (smtp_reply_is_positive(reply)) {
        if (!client->tried_hello) {
            read_extensions(client, reply->text);
        }
        after_hello(client);
    } else if (smtp_reply_is_negative(reply)) {
        hello_refused(client, reply);
    } else {
        smtp_client_fail(client, SMTP_CLIENT_FAULT_MALFORMED, reply);
    }
}

static void read_extensions(struct smtp_client *client, struct slice text)
{
    struct slice line;
    slice_cut(&text, '\n', &line); /* the server's name */
    while (slice_cut(&text, '\n', &line)) {
        smtp_extension_add(&client->extensions, line);
    }
}

static void after_hello(struct smtp_client *client)
{
    bool wanted = !client->secured && client->options.starttls != SMTP_CLIENT_STARTTLS_NEVER;
    if (wanted && smtp_client_offers(client, SMTP_EXTENSION_STARTTLS)) {
        client->stage = SMTP_STAGE_STARTTLS;
        buffer_add(&client->out, SLICE("STARTTLS\r\n"));
    } else if (wanted && client->options.starttls == SMTP_CLIENT_STARTTLS_MUST) {
        smtp_client_fail(client, SMTP_CLIENT_FAULT_NO_STARTTLS, NULL);
    } else {
        become_ready(client);
    }
}

/* RFC 5321 3.2: a server from before extensions is greeted with HELO. But where TLS is a must it could not be had then,
 * and a server that spoke EHLO in the clear speaks it under TLS. */
static void hello_refused(struct smtp_client *client, const struct smtp_reply *reply)
{
    bool must = client->options.starttls == SMTP_CLIENT_STARTTLS_MUST;
    if (reply->code < 500 || must || client->tried_tls || client->tried_hello) {
        smtp_client_fail(client, SMTP_CLIENT_FAULT_REFUSED, reply);
        return;
    }
    client->tried_hello = true;
    buffer_print(&client->out, "HELO %.*s\r\n", SLICE_ARGS(client->options.hostname));
}

static void on_starttls(struct smtp_client *client, const struct smtp_reply *reply)
{
    client->tried_tls = true;
    if (reply->code == 220 && buffer_length(&client->in) > 0) {
        smtp_client_fail(client, SMTP_CLIENT_FAULT_INJECTION, NULL);
    } else if (reply->code == 220) {
        client->stage = SMTP_STAGE_SECURING;
        smtp_client_raise(client, SMTP_CLIENT_STARTTLS, reply);
    } else if (client->options.starttls == SMTP_CLIENT_STARTTLS_MAY && smtp_reply_is_negative(reply)) {
        become_ready(client);
    } else {
        smtp_client_fail(client, SMTP_CLIENT_FAULT_STARTTLS_REFUSED, reply);
    }
}

static void become_ready(struct smtp_client *client)
{
    client->stage = SMTP_STAGE_READY;
    smtp_client_raise(client, SMTP_CLIENT_READY, NULL);
}

/* ---- AUTH: the lines stand ready in the script, one for each 334 ---- */

static void on_auth(struct smtp_client *client, const struct smtp_reply *reply)
{
    if (reply->code == 334 && smtp_client_send_line(client)) {
        return;
    }
    if (smtp_reply_is_positive(reply)) {
        forget_script(client);
        become_ready(client);
    } else if (smtp_reply_is_negative(reply)) {
        smtp_client_fail(client, SMTP_CLIENT_FAULT_AUTH_REFUSED, reply);
    } else {
        smtp_client_fail(client, SMTP_CLIENT_FAULT_MALFORMED, reply);
    }
}

/* The room is made first, so that no buffer moves later and leaves a copy behind. */
static void write_auth(struct smtp_client *client, struct slice name, struct slice password)
{
    size_t room = 128 + 2 * (2 * name.length + 2 * password.length);
    if (buffer_space(&client->script, room) == NULL || buffer_space(&client->out, room) == NULL) {
        return; /* has failed, as next() will see */
    }
    if ((client->extensions.auth & SMTP_AUTH_PLAIN) != 0) {
        write_plain(client, name, password);
    } else {
        buffer_add(&client->script, SLICE("AUTH LOGIN\r\n"));
        write_base64_line(client, name);
        write_base64_line(client, password);
    }
}

/* RFC 4616: NUL name NUL password. */
static void write_plain(struct smtp_client *client, struct slice name, struct slice password)
{
    char message[2 * AUTH_TEXT_MAX + 2];
    size_t length = 2 + name.length + password.length;
    message[0] = '\0';
    memcpy(message + 1, name.data, name.length);
    message[1 + name.length] = '\0';
    memcpy(message + 2 + name.length, password.data, password.length);

    bool one_line = (length + 2) / 3 * 4 + sizeof "AUTH PLAIN \r\n" <= AUTH_LINE_MAX;
    buffer_add(&client->script, one_line ? SLICE("AUTH PLAIN ") : SLICE("AUTH PLAIN\r\n"));
    write_base64_line(client, slice_make(message, length));
    explicit_bzero(message, sizeof message);
}

static void write_base64_line(struct smtp_client *client, struct slice text)
{
    if (text_base64_encode(text, &client->script) != ERR_NONE) {
        client->script.failed = true;
    }
    buffer_add(&client->script, SLICE("\r\n"));
}

static void forget_script(struct smtp_client *client)
{
    if (client->script.data != NULL) {
        explicit_bzero(client->script.data, client->script.capacity);
    }
    buffer_clear(&client->script);
}
