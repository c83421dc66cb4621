/* Memory that runs out: each allocation of a session fails once, and from each on all fail. The machine must end
 * cleanly, and what it hands to its owner before that must be whole. */
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
#include "smtp/server.c"
#undef malloc
#undef calloc

#define LINE_70 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n"

static const char *const parts[] = {
    "EHLO c.example\r\n",
    "STARTTLS\r\n",
    "EHLO c.example\r\n",
    "AUTH PLAIN\r\n",
    "AG5hbWUAc2VjcmV0\r\n",
    "MAIL FROM:<a@c.example>\r\nRCPT TO:<b@d.example>\r\nRSET\r\n",
    "MAIL FROM:<a@c.example>\r\nRCPT TO:<b@d.example>\r\nDATA\r\n",
    "Subject: x\r\n\r\n" LINE_70 LINE_70 LINE_70,
    LINE_70 LINE_70 LINE_70 LINE_70 LINE_70 LINE_70 LINE_70 LINE_70 LINE_70 ".\r\n",
    "MAIL FROM:<a@c.example>\r\nRCPT TO:<b@d.example>\r\nDATA\r\n",
    "bare\nLF\r\n.\r\n",
};
#define WITHOUT_RSET 6 /* there the buffer of replies that wait is first needed for the last message */

struct outcome {
    size_t content_length;
    bool promised, closed, authenticated;
};

static void play_owner(struct smtp_server *server, struct outcome *outcome)
{
    struct smtp_reply queued = smtp_reply_make(250, 0, 0, "queued");
    struct smtp_server_event event;
    while ((event = smtp_server_next(server)).kind != SMTP_SERVER_WAIT) {
        outcome->content_length += event.bytes.length;
        outcome->closed |= event.kind == SMTP_SERVER_CLOSE;
        outcome->promised |= event.kind == SMTP_SERVER_END;
        if (event.kind == SMTP_SERVER_END)
            assert_int_equal(outcome->content_length, 14 + 12 * 70);
        if (event.kind == SMTP_SERVER_AUTH) {
            check_slice("name", event.name, SLICE("name"));
            check_slice("password", event.password, SLICE("secret"));
            outcome->authenticated = true;
        }
        smtp_server_answer(server, event.kind == SMTP_SERVER_END ? &queued : NULL);
        smtp_server_sent(server, smtp_server_output(server).length);
        if (smtp_server_is_securing(server))
            smtp_server_secured(server);
    }
    smtp_server_sent(server, smtp_server_output(server).length);
}

static struct outcome run_session(size_t skipped, size_t from, size_t to)
{
    struct outcome outcome = {.closed = false};
    struct smtp_server_options options = {.hostname = SLICE("mx.example"),
                                          .size_max = 100000,
                                          .recipients_max = 10,
                                          .starttls = true,
                                          .auth = SMTP_SERVER_AUTH_OFFERED};
    allocation_count = 0;
    failing_from = from;
    failing_to = to;
    struct smtp_server *server = smtp_server_new(&options);
    if (server == NULL)
        return outcome;
    play_owner(server, &outcome);
    for (size_t i = 0; i < COUNT_OF(parts) && !outcome.closed; i++) {
        for (struct slice rest = slice_of(i + 1 == skipped ? "" : parts[i]); rest.length > 0 && !outcome.closed;) {
            size_t taken = smtp_server_feed(server, rest);
            rest = slice_from(rest, taken);
            play_owner(server, &outcome);
        }
    }
    smtp_server_free(&server);
    return outcome;
}

static void test_every_allocation(void **state)
{
    (void)state;
    for (size_t skipped = 0; skipped <= WITHOUT_RSET; skipped += WITHOUT_RSET) {
        struct outcome good = run_session(skipped, 0, 0);
        size_t total = allocation_count;
        assert_true(total > 10);
        assert_true(good.promised && good.authenticated && good.closed);
        for (size_t i = 1; i <= total; i++) {
            struct outcome once = run_session(skipped, i, i + 1), all = run_session(skipped, i, SIZE_MAX);
            /* The first allocation is the machine itself. */
            check_number("one failed: the session ends", once.closed, i > 1);
            check_number("all failed: the session ends", all.closed, i > 1);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_allocation)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
