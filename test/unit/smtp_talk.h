/* A client machine, an owner who does what the plan says, and a transcript: what the server is sent as it stands, what
 * the owner is told in brackets. In the input, "\1" is where the server waits for the client: the bytes on both sides
 * of it never come in one piece. */
#ifndef TEST_UNIT_SMTP_TALK_H
#define TEST_UNIT_SMTP_TALK_H

#include "smtp/client.h"
#include "test/unit/check.h"
#include "test/unit/split.h"

struct plan {
    struct smtp_client_options options;
    struct smtp_mail mail;
    const struct smtp_rcpt *recipients;
    size_t recipient_count;
    int mails; /* transactions to hand over, one after the other */
    const char *content;
    bool auth, lose, content_stays_open, eager;
};

static const struct smtp_rcpt one[] = {{.address = {"b@d.example", 11}, .orcpt = {"", 0}}};
static const struct smtp_rcpt two[] = {{.address = {"b@d.example", 11}, .orcpt = {"", 0}},
                                       {.address = {"c@d.example", 11}, .orcpt = {"", 0}}};
static const struct plan plan_of_one = {
    .options = {.hostname = {"c.example", 9}},
    .mail = {.reverse_path = {"a@c.example", 11}, .envid = {"", 0}},
    .recipients = one,
    .recipient_count = 1,
    .mails = 1,
    .content = "x\r\n.y\r\n",
};
static struct plan plan;

struct talk {
    struct smtp_client *client;
    int mails_left;
    bool authenticated, failed;
};

static void *talk_start(void)
{
    struct talk *talk = calloc(1, sizeof *talk);
    assert_non_null(talk);
    talk->client = smtp_client_new(&plan.options);
    assert_non_null(talk->client);
    talk->mails_left = plan.mails;
    return talk;
}

static void talk_send(struct talk *talk, struct buffer *log)
{
    struct slice output = smtp_client_output(talk->client);
    for (size_t i = 0; i < output.length; i++)
        if (output.data[i] != '\r')
            buffer_add_byte(log, output.data[i]);
    smtp_client_sent(talk->client, output.length);
}

static void print_event(const struct smtp_client_event *event, struct buffer *log)
{
    static const char *const names[] = {
#define X(name) #name,
        SMTP_CLIENT_EVENT_LIST(X)
#undef X
    };
    buffer_print(log, "[%s", names[event->kind]);
    if (event->kind == SMTP_CLIENT_RECIPIENT)
        buffer_print(log, " %zu", event->recipient);
    if (event->kind == SMTP_CLIENT_RECIPIENT || event->kind == SMTP_CLIENT_DONE)
        buffer_print(log, " %s", event->accepted ? "accepted" : "refused");
    if (event->kind == SMTP_CLIENT_FAILED)
        buffer_print(log, ": %s", smtp_client_fault_text(event->fault));
    if (event->kind == SMTP_CLIENT_FAILED || event->kind == SMTP_CLIENT_DONE)
        buffer_print(log, " at %s", smtp_client_stage_name(event->stage));
    if (event->reply.code != 0)
        buffer_print(log, " %u %.*s", event->reply.code, SLICE_ARGS(event->reply.text));
    buffer_print(log, "%s]\n", event->maybe ? " maybe" : "");
}

static void hand_content(struct talk *talk)
{
    for (const char *at = plan.content; *at != '\0'; at++)
        smtp_client_content(talk->client, slice_make(at, 1));
    if (!plan.content_stays_open)
        smtp_client_content_end(talk->client);
}

static void on_ready(struct talk *talk)
{
    if (plan.auth && !talk->authenticated) {
        talk->authenticated = true;
        smtp_client_auth(talk->client, SLICE("name"), SLICE("secret"));
    } else if (talk->mails_left-- > 0) {
        struct smtp_transaction transaction = {plan.mail, plan.recipients, plan.recipient_count, plan.eager};
        smtp_client_mail(talk->client, &transaction);
        if (smtp_client_wants_content(talk->client))
            hand_content(talk);
    } else {
        smtp_client_quit(talk->client);
    }
}

static void on_event(struct talk *talk, const struct smtp_client_event *event, struct buffer *log)
{
    print_event(event, log);
    if (event->kind == SMTP_CLIENT_READY || event->kind == SMTP_CLIENT_DONE) {
        on_ready(talk);
    } else if (event->kind == SMTP_CLIENT_STARTTLS) {
        talk_send(talk, log);
        buffer_add(log, SLICE("[TLS]\n"));
        smtp_client_secured(talk->client);
    } else if (event->kind == SMTP_CLIENT_CONTENT) {
        hand_content(talk);
    } else if (event->kind == SMTP_CLIENT_FAILED) {
        assert_false(talk->failed);
        talk->failed = true;
        smtp_client_quit(talk->client);
    }
}

static void talk_pump(struct talk *talk, struct buffer *log)
{
    for (;;) {
        struct smtp_client_event event = smtp_client_next(talk->client);
        talk_send(talk, log);
        if (event.kind == SMTP_CLIENT_WAIT)
            return;
        on_event(talk, &event, log);
        talk_send(talk, log);
    }
}

static void talk_feed(void *machine, struct slice input, struct buffer *log)
{
    struct talk *talk = machine;
    struct slice rest = input, part;
    while (slice_cut(&rest, '\1', &part)) {
        while (part.length > 0) {
            size_t taken = smtp_client_feed(talk->client, part);
            assert_true(taken > 0);
            part = slice_from(part, taken);
            talk_pump(talk, log);
        }
    }
}

static void talk_finish(void *machine, struct buffer *log)
{
    struct talk *talk = machine;
    if (plan.lose) {
        smtp_client_lost(talk->client);
        talk_pump(talk, log);
    }
    buffer_print(log, "(%s)\n", smtp_client_stage_name(smtp_client_stage(talk->client)));
    smtp_client_free(&talk->client);
    assert_null(talk->client);
    free(talk);
}

static const struct split_machine machine = {talk_start, talk_feed, talk_finish};

#define BYTES(literal)                                                                                                 \
    {                                                                                                                  \
        "" literal, sizeof(literal) - 1                                                                                \
    }
#define GREETING "220 mx.example ESMTP\r\n"
#define HELLO "EHLO c.example\n"
#define PLAIN_OFFER "250-mx.example\r\n250 PIPELINING\r\n"
#define LOCK_STEP "250 mx.example\r\n"
#define READY HELLO "[READY]\n"
#define PIPELINED "MAIL FROM:<a@c.example>\nRCPT TO:<b@d.example>\nDATA\n"
#define OK "250 ok\r\n"
#define GO "354 go\r\n"
#define ACCEPTED "[RECIPIENT 0 accepted 250 ok]\n"
#define SHUTDOWN(stage) "[FAILED: the server closes the session (421) at " stage " 421 bye]\n"
#define CONTENT "[CONTENT]\nx\n..y\n.\n"

struct talk_case {
    const char *name;
    struct slice input;
    const char *expected;
};

static inline void run(const struct talk_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++)
        split_test(cases[i].name, cases[i].input, &machine, cases[i].expected);
}

static inline int reset_plan(void **state)
{
    (void)state;
    plan = plan_of_one;
    return 0;
}

#endif
