#include "smtp/client.h"
#include "smtp/server.h"

#include "test/unit/check.h"

/* Our client against our server without a socket: bytes go over two pipes, in pieces of a size that a seed chooses.
 * Each side's owner keeps a record of what it was told; the two records must agree. */

struct wire {
    struct smtp_server *server;
    struct smtp_client *client;
    struct buffer to_server, to_client;
    uint64_t seed;
    bool server_tls, client_tls, server_closed;
};

/* What a message was when it left and when it arrived. */
struct record {
    struct buffer text;
};

struct setting {
    struct smtp_server_options server;
    struct smtp_client_options client;
    unsigned refuse_recipient; /* bit i: the i-th */
    bool refuse_mail, refuse_data, refuse_end, auth;
    size_t recipient_count;
    size_t mails;
};

struct run {
    struct wire wire;
    struct setting setting;
    struct record sent, received;
    struct buffer content;
    size_t mails_left, rcpt_seen;
    size_t accepted, refused, mails_done, mails_failed;
    bool authenticated, client_failed;
};

static uint64_t roll(struct wire *wire, uint64_t below)
{
    wire->seed = wire->seed * 6364136223846793005ULL + 1442695040888963407ULL;
    return (wire->seed >> 33) % below;
}

static struct slice piece(struct wire *wire, struct buffer *from)
{
    size_t length = buffer_length(from);
    return slice_to(buffer_slice(from), length == 0 ? 0 : 1 + (size_t)roll(wire, length));
}

/* ---- the receiving owner ---- */

static void note_envelope(struct run *run, const struct smtp_server_event *event)
{
    struct buffer *text = &run->received.text;
    if (event->kind == SMTP_SERVER_MAIL) {
        buffer_print(text, "from %.*s size %llu body %d utf8 %d ret %d envid %.*s\n",
                     SLICE_ARGS(event->mail->reverse_path), (unsigned long long)event->mail->size,
                     (int)event->mail->body, event->mail->utf8, (int)event->mail->ret, SLICE_ARGS(event->mail->envid));
    } else {
        buffer_print(text, "to %.*s notify %u orcpt %.*s\n", SLICE_ARGS(event->rcpt->address), event->rcpt->notify,
                     SLICE_ARGS(event->rcpt->orcpt));
    }
}

static bool is_refused(struct run *run, const struct smtp_server_event *event)
{
    switch (event->kind) {
        case SMTP_SERVER_MAIL:
            run->rcpt_seen = 0;
            return run->setting.refuse_mail;
        case SMTP_SERVER_RCPT:
            return (run->setting.refuse_recipient >> (run->rcpt_seen++ % 32) & 1) != 0;
        case SMTP_SERVER_DATA:
            return run->setting.refuse_data;
        case SMTP_SERVER_END:
            return run->setting.refuse_end;
        default:
            return false;
    }
}

static void serve_event(struct run *run, const struct smtp_server_event *event)
{
    struct smtp_reply no = smtp_reply_make(550, 7, 1, "no"), yes = smtp_reply_make(250, 0, 0, "queued");
    bool refused = is_refused(run, event);
    if ((event->kind == SMTP_SERVER_MAIL || event->kind == SMTP_SERVER_RCPT) && !refused)
        note_envelope(run, event);
    if (event->kind == SMTP_SERVER_CONTENT)
        buffer_add(&run->content, event->bytes);
    if (event->kind == SMTP_SERVER_AUTH) {
        check_slice("name", event->name, SLICE("name"));
        check_slice("password", event->password, SLICE("p\xc3\xa4ss"));
    }
    if (event->kind == SMTP_SERVER_END && !refused)
        buffer_add(&run->received.text, buffer_slice(&run->content));
    if (event->kind == SMTP_SERVER_END || event->kind == SMTP_SERVER_RESET)
        buffer_clear(&run->content);
    run->wire.server_closed |= event->kind == SMTP_SERVER_CLOSE;
    smtp_server_answer(run->wire.server, refused ? &no : event->kind == SMTP_SERVER_END ? &yes : NULL);
}

static bool server_turn(struct run *run)
{
    struct wire *wire = &run->wire;
    bool busy = false;
    struct slice input = piece(wire, &wire->to_server);
    size_t taken = wire->server_closed ? input.length : smtp_server_feed(wire->server, input);
    buffer_consume(&wire->to_server, taken);
    struct smtp_server_event event = smtp_server_next(wire->server);
    if (event.kind != SMTP_SERVER_WAIT) {
        serve_event(run, &event);
        busy = true;
    }
    struct slice output = smtp_server_output(wire->server);
    output = slice_to(output, output.length == 0 ? 0 : 1 + (size_t)roll(wire, output.length));
    buffer_add(&wire->to_client, output);
    smtp_server_sent(wire->server, output.length);
    if (smtp_server_is_securing(wire->server) && smtp_server_output(wire->server).length == 0) {
        assert_int_equal(buffer_length(&wire->to_server), 0);
        wire->server_tls = true;
        smtp_server_secured(wire->server);
        busy = true;
    }
    return busy || taken > 0 || output.length > 0;
}

/* ---- the sending owner ---- */

static void hand_over(struct run *run)
{
    static struct smtp_rcpt recipients[1000];
    static char addresses[1000][32];
    const struct setting *setting = &run->setting;
    for (size_t i = 0; i < setting->recipient_count; i++) {
        snprintf(addresses[i], sizeof addresses[i], "r%zu@d.example", i);
        recipients[i] = (struct smtp_rcpt){slice_of(addresses[i]), i % 2 == 0 ? 0U : SMTP_NOTIFY_NEVER,
                                           i % 3 == 0 ? SLICE("rfc822;x") : SLICE_EMPTY};
    }
    struct smtp_transaction transaction = {
        .mail = {.reverse_path = SLICE("a@c.example"),
                 .size = 99,
                 .body = SMTP_BODY_8BITMIME,
                 .utf8 = true,
                 .ret = SMTP_RET_FULL,
                 .envid = SLICE("e+2B")},
        .recipients = recipients,
        .recipient_count = setting->recipient_count,
    };
    struct buffer *text = &run->sent.text;
    if (!setting->refuse_mail)
        buffer_add(text, SLICE("from a@c.example size 99 body 1 utf8 1 ret 1 envid e+2B\n"));
    for (size_t i = 0; i < setting->recipient_count && !setting->refuse_mail; i++) {
        if ((setting->refuse_recipient >> (i % 32) & 1) == 0)
            buffer_print(text, "to %.*s notify %u orcpt %.*s\n", SLICE_ARGS(recipients[i].address),
                         recipients[i].notify, SLICE_ARGS(recipients[i].orcpt));
    }
    smtp_client_mail(run->wire.client, &transaction);
}

static void write_content(struct run *run)
{
    struct buffer content;
    buffer_init(&content, 1 << 20);
    for (unsigned lines = (unsigned)roll(&run->wire, 200); lines > 0; lines--)
        buffer_print(&content, "%.*s%0*d\r\n", (int)roll(&run->wire, 4), "...", 1 + (int)roll(&run->wire, 90), 7);
    if (!run->setting.refuse_end)
        buffer_add(&run->sent.text, buffer_slice(&content));
    for (struct slice rest = buffer_slice(&content); rest.length > 0;) {
        size_t length = 1 + (size_t)roll(&run->wire, rest.length);
        smtp_client_content(run->wire.client, slice_to(rest, length));
        rest = slice_from(rest, length);
    }
    smtp_client_content_end(run->wire.client);
    buffer_free(&content);
}

static void next_mail(struct run *run)
{
    if (run->setting.auth && !run->authenticated) {
        run->authenticated = true;
        smtp_client_auth(run->wire.client, SLICE("name"), SLICE("p\xc3\xa4ss"));
    } else if (run->mails_left > 0) {
        run->mails_left--;
        hand_over(run);
    } else {
        smtp_client_quit(run->wire.client);
    }
}

static void client_event(struct run *run, const struct smtp_client_event *event)
{
    switch (event->kind) {
        case SMTP_CLIENT_READY:
            next_mail(run);
            return;
        case SMTP_CLIENT_RECIPIENT:
            run->accepted += event->accepted;
            run->refused += !event->accepted;
            return;
        case SMTP_CLIENT_CONTENT:
            write_content(run);
            return;
        case SMTP_CLIENT_DONE:
            run->mails_done += event->accepted;
            run->mails_failed += !event->accepted;
            next_mail(run);
            return;
        case SMTP_CLIENT_FAILED:
            print_error("%s at %s: %u %.*s\n", smtp_client_fault_text(event->fault),
                        smtp_client_stage_name(event->stage), event->reply.code, SLICE_ARGS(event->reply.text));
            run->client_failed = true;
            return;
        case SMTP_CLIENT_STARTTLS:
        case SMTP_CLIENT_WAIT:
            return;
    }
}

static bool client_turn(struct run *run)
{
    struct wire *wire = &run->wire;
    struct slice input = piece(wire, &wire->to_client);
    size_t taken = smtp_client_feed(wire->client, input);
    buffer_consume(&wire->to_client, taken);
    struct smtp_client_event event = smtp_client_next(wire->client);
    client_event(run, &event);
    struct slice output = smtp_client_output(wire->client);
    output = slice_to(output, output.length == 0 ? 0 : 1 + (size_t)roll(wire, output.length));
    buffer_add(&wire->to_server, output);
    smtp_client_sent(wire->client, output.length);
    if (smtp_client_stage(wire->client) == SMTP_STAGE_SECURING && smtp_client_output(wire->client).length == 0) {
        assert_int_equal(buffer_length(&wire->to_client), 0);
        wire->client_tls = true;
        smtp_client_secured(wire->client);
    }
    return event.kind != SMTP_CLIENT_WAIT || taken > 0 || output.length > 0;
}

/* ---- runs ---- */

static void run_session(struct run *run)
{
    struct wire *wire = &run->wire;
    wire->server = smtp_server_new(&run->setting.server);
    wire->client = smtp_client_new(&run->setting.client);
    assert_non_null(wire->server);
    assert_non_null(wire->client);
    buffer_init(&wire->to_server, 1 << 24);
    buffer_init(&wire->to_client, 1 << 24);
    buffer_init(&run->sent.text, 1 << 24);
    buffer_init(&run->received.text, 1 << 24);
    buffer_init(&run->content, 1 << 24);
    run->mails_left = run->setting.mails;
    bool busy = true;
    while (busy) {
        bool server_busy = server_turn(run);
        busy = client_turn(run) || server_busy;
    }
}

static void end_session(struct run *run)
{
    struct wire *wire = &run->wire;
    assert_false(run->client_failed);
    assert_true(wire->server_closed);
    assert_int_equal(smtp_client_stage(wire->client), SMTP_STAGE_CLOSED);
    assert_int_equal(wire->server_tls, wire->client_tls);
    check_slice("what arrived is what was sent", buffer_slice(&run->received.text), buffer_slice(&run->sent.text));
    smtp_server_free(&wire->server);
    smtp_client_free(&wire->client);
    buffer_free(&wire->to_server);
    buffer_free(&wire->to_client);
    buffer_free(&run->sent.text);
    buffer_free(&run->received.text);
    buffer_free(&run->content);
}

static struct setting plain_setting(void)
{
    struct smtp_server_options server = {
        .hostname = SLICE("mx.example"),
        .size_max = 1 << 20,
        .recipients_max = 1000,
        .starttls = true,
        .dsn = true,
        .utf8 = true,
        .errors_max = 20,
    };
    struct smtp_client_options client = {.hostname = SLICE("c.example"), .starttls = SMTP_CLIENT_STARTTLS_MAY};
    return (struct setting){.server = server, .client = client, .recipient_count = 5, .mails = 3};
}

static void run_seeds(const struct setting *setting, struct run *last)
{
    for (uint64_t seed = 1; seed <= 40; seed++) {
        *last = (struct run){.setting = *setting, .wire = {.seed = seed}};
        run_session(last);
        end_session(last);
    }
}

static void test_mail_arrives(void **state)
{
    (void)state;
    struct setting setting = plain_setting();
    struct run run;
    run_seeds(&setting, &run);
    assert_int_equal(run.mails_done, 3);
    assert_int_equal(run.accepted, 15);
    assert_true(run.wire.client_tls);

    setting.client.starttls = SMTP_CLIENT_STARTTLS_NEVER;
    setting.recipient_count = 200;
    run_seeds(&setting, &run);
    assert_int_equal(run.mails_done, 3);
    assert_int_equal(run.accepted, 600);
    assert_false(run.wire.client_tls);
}

static void test_authenticated(void **state)
{
    (void)state;
    struct setting setting = plain_setting();
    struct run run;
    setting.auth = true;
    setting.server.auth = SMTP_SERVER_AUTH_REQUIRED;
    run_seeds(&setting, &run);
    assert_int_equal(run.mails_done, 3);
    setting.server.secured = setting.client.secured = true;
    run_seeds(&setting, &run);
    assert_int_equal(run.mails_done, 3);
}

static void test_refusals(void **state)
{
    (void)state;
    struct setting setting = plain_setting();
    struct run run;
    setting.refuse_recipient = 0x15;
    run_seeds(&setting, &run);
    assert_int_equal(run.mails_done, 3);
    assert_int_equal(run.accepted, 6);
    assert_int_equal(run.refused, 9);

    setting.refuse_recipient = 0xffffffff;
    run_seeds(&setting, &run);
    assert_int_equal(run.mails_failed, 3);
    assert_int_equal(run.refused, 15);

    setting = plain_setting();
    setting.mails = 2;
    setting.refuse_mail = true;
    run_seeds(&setting, &run);
    assert_int_equal(run.mails_failed, 2);
    assert_int_equal(run.accepted + run.refused, 0);

    setting = plain_setting();
    setting.refuse_data = true;
    run_seeds(&setting, &run);
    assert_int_equal(run.mails_failed, 3);
    assert_int_equal(run.accepted, 15);

    setting = plain_setting();
    setting.refuse_end = true;
    run_seeds(&setting, &run);
    assert_int_equal(run.mails_failed, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mail_arrives),
        cmocka_unit_test(test_authenticated),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
