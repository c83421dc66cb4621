/* Memory that runs out: each allocation of a session fails once, and from each on all fail. The machine must end
 * cleanly and never say that a message was accepted of which a part did not leave. */
#include "test/unit/check.h"

static size_t allocation_count, failing_from, failing_to;

static void *scarce_malloc(size_t size)
{
    allocation_count++;
    return allocation_count >= failing_from && allocation_count < failing_to ? NULL : malloc(size);
}

static void *scarce_calloc(size_t count, size_t size)
{
    allocation_count++;
    return allocation_count >= failing_from && allocation_count < failing_to ? NULL : calloc(count, size);
}

/* In place of the library's: the linker takes those of this file. */
#define malloc scarce_malloc
#define calloc scarce_calloc
#include "base/buffer.c"
#include "smtp/client.c"
#undef malloc
#undef calloc

#define OFFER "250-mx\r\n250-PIPELINING\r\n250-STARTTLS\r\n250-AUTH LOGIN\r\n250-DSN\r\n"

static const char *const scripts[] = {
    "220 mx\r\n" OFFER "250 SIZE\r\n\1"
    "220 go\r\n\1" OFFER "250 SIZE\r\n334 \r\n334 \r\n235 ok\r\n"
    "250 ok\r\n550-no\r\n550 never\r\n250 ok\r\n354 go\r\n250 queued\r\n221 bye\r\n",
    "220 mx\r\n" OFFER "250 CHUNKING\r\n\1"
    "220 go\r\n\1" OFFER "250 CHUNKING\r\n334 \r\n334 \r\n235 ok\r\n"
    "250 ok\r\n550 no\r\n250 ok\r\n250 a\r\n250 b\r\n250 c\r\n250 queued\r\n221 bye\r\n",
    "220 mx\r\n" OFFER "250 SIZE\r\n\1"
    "220 go\r\n\1" OFFER "250 SIZE\r\n334 \r\n334 \r\n235 ok\r\n"
    "550-no\r\n550 never\r\n503 a\r\n503 b\r\n503 c\r\n221 bye\r\n",
};

#define LINE_LENGTH 1000
#define LINE_COUNT 3

struct outcome {
    char sent[8192];
    size_t length;
    bool created, accepted, refused, failed;
    enum smtp_client_fault fault;
};

static void write_content(struct smtp_client *client)
{
    char line[LINE_LENGTH];
    memset(line, 'x', sizeof line);
    for (int i = 0; i < LINE_COUNT; i++)
        smtp_client_content(client, slice_make(line, sizeof line));
    smtp_client_content_end(client);
}

static void hand_over(struct smtp_client *client, const struct outcome *outcome)
{
    static const struct smtp_rcpt recipients[] = {{.address = {"b@d.example", 11}, .orcpt = {"", 0}},
                                                  {.address = {"c@d.example", 11}, .orcpt = {"rfc822;c", 8}}};
    struct smtp_transaction transaction = {{.reverse_path = SLICE("a@c.example"), .envid = SLICE("x")}, recipients, 2, true};
    if (outcome->accepted || outcome->refused) {
        smtp_client_quit(client);
        return;
    }
    smtp_client_mail(client, &transaction);
    if (smtp_client_wants_content(client))
        write_content(client);
}

static void send_output(struct smtp_client *client, struct outcome *outcome)
{
    struct slice output = smtp_client_output(client);
    assert_true(outcome->length + output.length <= sizeof outcome->sent);
    memcpy(outcome->sent + outcome->length, output.data, output.length);
    outcome->length += output.length;
    smtp_client_sent(client, output.length);
}

/* Whether the server has a whole message: the end mark, or the last chunk with all the bytes that it announced. */
static bool has_ended(const struct outcome *outcome)
{
    struct slice sent = slice_make(outcome->sent, outcome->length);
    size_t last = slice_find_slice(sent, SLICE(" LAST\r\n"));
    if (last == sent.length)
        return slice_find_slice(sent, SLICE("\r\n.\r\n")) < sent.length;
    size_t number = slice_find_last(slice_to(sent, last), ' ') + 1;
    uint64_t announced;
    assert_true(slice_number(slice_from(slice_to(sent, last), number), UINT32_MAX, &announced));
    return slice_from(sent, last + 7).length >= announced;
}

static bool is_whole(const struct outcome *outcome)
{
    size_t count = 0;
    for (size_t i = 0; i < outcome->length; i++)
        count += outcome->sent[i] == 'x';
    return count >= LINE_COUNT * LINE_LENGTH;
}

static void play_owner(struct smtp_client *client, struct outcome *outcome)
{
    struct smtp_client_event event;
    static bool authenticated;
    do {
        event = smtp_client_next(client);
        send_output(client, outcome);
        authenticated &= event.kind != SMTP_CLIENT_STARTTLS;
        outcome->accepted |= event.kind == SMTP_CLIENT_DONE && event.accepted;
        outcome->refused |= event.kind == SMTP_CLIENT_DONE && !event.accepted;
        if (event.kind == SMTP_CLIENT_STARTTLS)
            smtp_client_secured(client);
        else if (event.kind == SMTP_CLIENT_READY && !authenticated)
            smtp_client_auth(client, SLICE("name"), SLICE("secret"));
        else if (event.kind == SMTP_CLIENT_READY || event.kind == SMTP_CLIENT_DONE)
            hand_over(client, outcome);
        else if (event.kind == SMTP_CLIENT_CONTENT)
            write_content(client);
        else if (event.kind == SMTP_CLIENT_FAILED) {
            outcome->failed = true;
            outcome->fault = event.fault;
            smtp_client_quit(client);
        }
        authenticated |= event.kind == SMTP_CLIENT_READY;
    } while (event.kind != SMTP_CLIENT_WAIT);
}

static struct outcome run_session(const char *script, size_t from, size_t to)
{
    struct outcome outcome = {.created = false};
    struct smtp_client_options options = {
        .hostname = SLICE("c.example"), .starttls = SMTP_CLIENT_STARTTLS_MUST, .chunking = true};
    allocation_count = 0;
    failing_from = from;
    failing_to = to;
    struct smtp_client *client = smtp_client_new(&options);
    if (client == NULL)
        return outcome;
    outcome.created = true;
    struct slice rest = slice_of(script), part;
    while (slice_cut(&rest, '\1', &part)) {
        while (part.length > 0) {
            part = slice_from(part, smtp_client_feed(client, part));
            play_owner(client, &outcome);
        }
    }
    smtp_client_lost(client);
    play_owner(client, &outcome);
    assert_int_equal(smtp_client_stage(client), SMTP_STAGE_CLOSED);
    smtp_client_free(&client);
    return outcome;
}

static void test_every_allocation(void **state)
{
    (void)state;
    for (size_t script = 0; script < COUNT_OF(scripts); script++) {
        struct outcome good = run_session(scripts[script], 0, 0);
        size_t total = allocation_count;
        check_true("good", total > 5 && !good.failed && good.accepted == (script < 2));
        for (size_t i = 1; i <= total; i++) {
            for (int all = 0; all <= 1; all++) {
                struct outcome poor = run_session(scripts[script], i, all ? SIZE_MAX : i + 1);
                check_number("the first allocation is the machine", poor.created, i > 1);
                check_true("accepted when all of it left", !poor.accepted || poor.length >= good.length - 6 /* QUIT */);
                check_true("no part of it passes for the whole", !has_ended(&poor) || is_whole(&poor));
                check_true("it ends in one way", poor.failed || poor.accepted || poor.refused || i == 1);
                check_true("refused when it was", !poor.refused || script == 2);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_allocation)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
