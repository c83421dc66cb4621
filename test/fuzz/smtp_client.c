/* A client session. Byte 0 is the options, byte 1 the size of the pieces in which the rest, the server's bytes, comes.
 * No byte of an envelope may leave in the clear where TLS is a must, no content before it was asked for, and every
 * recipient has one verdict at most. */
#include <assert.h>

#include "smtp/client.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct mind {
    bool must, eager, asked, failed;
    unsigned mails, next;
};

static void check_output(struct smtp_client *client, struct mind *mind)
{
    struct slice output = smtp_client_output(client);
    bool envelope = slice_find_slice(output, SLICE("a@c.example")) < output.length;
    bool content = slice_find_slice(output, SLICE("secret")) < output.length;
    assert(!envelope || !mind->must || smtp_client_is_secured(client));
    assert(!content || mind->asked);
    smtp_client_sent(client, output.length);
}

static void write_content(struct smtp_client *client, struct mind *mind)
{
    assert(!mind->asked);
    mind->asked = true;
    smtp_client_content(client, SLICE("secret\r\n."));
    smtp_client_content(client, SLICE("\r\nmore"));
    smtp_client_content_end(client);
}

static void hand_over(struct smtp_client *client, struct mind *mind)
{
    static const struct smtp_rcpt recipients[3] = {{.address = {"b@d.example", 11}, .orcpt = {"", 0}},
                                                   {.address = {"c@d.example", 11}, .orcpt = {"", 0}},
                                                   {.address = {"e@d.example", 11}, .orcpt = {"", 0}}};
    struct smtp_transaction transaction = {.mail = {.reverse_path = SLICE("a@c.example"),
                                                    .envid = SLICE_EMPTY,
                                                    .tls = mind->must ? SMTP_TLS_REQUIRED : SMTP_TLS_OPTIONAL},
                                           .recipients = recipients,
                                           .recipient_count = 3,
                                           .eager = mind->eager};
    mind->next = 0;
    mind->asked = false;
    if (mind->mails++ < 3)
        smtp_client_mail(client, &transaction);
    else
        smtp_client_quit(client);
    if (smtp_client_wants_content(client))
        write_content(client, mind);
}

static void on_event(struct smtp_client *client, const struct smtp_client_event *event, struct mind *mind)
{
    assert(!mind->failed);
    if (event->kind == SMTP_CLIENT_STARTTLS) {
        smtp_client_secured(client);
    } else if (event->kind == SMTP_CLIENT_READY && smtp_client_is_secured(client) && mind->mails == 0) {
        mind->mails = 1;
        smtp_client_auth(client, SLICE("n"), SLICE("p"));
    } else if (event->kind == SMTP_CLIENT_READY || event->kind == SMTP_CLIENT_DONE) {
        hand_over(client, mind);
    } else if (event->kind == SMTP_CLIENT_RECIPIENT) {
        assert(event->recipient == mind->next++ && mind->next <= 3);
    } else if (event->kind == SMTP_CLIENT_CONTENT) {
        write_content(client, mind);
    } else {
        assert(event->kind == SMTP_CLIENT_FAILED && event->fault != SMTP_CLIENT_FAULT_NONE);
        assert(!event->maybe || mind->asked);
        mind->failed = true;
        smtp_client_quit(client);
    }
}

static void pump(struct smtp_client *client, struct mind *mind)
{
    for (;;) {
        struct smtp_client_event event = smtp_client_next(client);
        check_output(client, mind);
        if (event.kind == SMTP_CLIENT_WAIT)
            return;
        on_event(client, &event, mind);
        check_output(client, mind);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    struct smtp_client_options options = {.hostname = SLICE("c.example"),
                                          .starttls = data[0] % 3U,
                                          .secured = data[0] >> 2 & 1,
                                          .chunking = data[0] >> 3 & 1};
    struct mind mind = {.must = options.starttls == SMTP_CLIENT_STARTTLS_MUST, .eager = data[0] >> 4 & 1};
    struct smtp_client *client = smtp_client_new(&options);
    for (size_t at = 2; at < size;) {
        at += smtp_client_feed(client, slice_to(slice_from(slice_make(data, size), at), data[1] + 1U));
        pump(client, &mind);
    }
    smtp_client_lost(client);
    pump(client, &mind);
    assert(smtp_client_stage(client) == SMTP_STAGE_CLOSED);
    smtp_client_free(&client);
    return 0;
}
