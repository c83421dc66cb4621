/* The submit socket: how programs of the machine hand in mail, and what else they may ask. */
#include "test/unit/running.h"

#include "relay/posting.h"

static struct answers answers;

#define TEXT "From: a@a.example\nSubject: x\n\nbody\r\n.\nend"
#define HEAD(size, more) "{\"command\":\"submit\",\"version\":1,\"sender\":\"a@a.example\",\"size\":" #size "," more "}\n"
#define TO(address) "\"recipients\":[{\"address\":\"" address "\"}]"

static bool has_no_sessions(void *owner)
{
    (void)owner;
    return control_is_idle(running.relay->control);
}

/* The header section without the fields that were added since none of the messages here has them. */
static void print_header(struct buffer *out, struct slice *section)
{
    struct smtp_header_field field;
    size_t added = 0;
    while (smtp_header_next(section, &field)) {
        bool is_added = slice_equal(field.name, SLICE("Date")) || slice_equal(field.name, SLICE("Message-ID"));
        added += is_added;
        if (!is_added)
            buffer_add(out, field.whole);
    }
    check_number("added fields", added, 2);
}

/* All that is in the queue, a line a message: origin, sender, recipients, and its text from the first field behind Received on. */
static bool print_mail(void *owner, const struct queue_message *message, const struct queue_entry *entry)
{
    struct buffer *out = owner;
    buffer_print(out, "%.*s|%.*s|", SLICE_ARGS(message->origin), SLICE_ARGS(message->sender));
    for (size_t i = 0; i < entry->recipient_count; i++)
        buffer_print(out, "%s%.*s", i == 0 ? "" : " ", SLICE_ARGS(entry->recipients[i].address));
    buffer_add_byte(out, '|');
    struct buffer text;
    buffer_init(&text, 16u << 20);
    for (uint32_t i = 0; i < message->chunk_count; i++)
        assert_int_equal(queue_chunk_get(running.relay->queue, message->id, i, &text), ERR_NONE);
    check_number("size", buffer_length(&text), message->size);
    struct slice section = buffer_slice(&text);
    struct smtp_header_field field;
    check_true("trace", smtp_header_next(&section, &field) && slice_equal(field.name, SLICE("Received")));
    print_header(out, &section);
    buffer_add(out, section);
    buffer_free(&text);
    return true;
}

static void print_all(struct buffer *out)
{
    struct queue_listing listing = {.destination = SLICE_EMPTY, .limit = 100000, .visit = print_mail, .owner = out};
    buffer_clear(out);
    listing.arena = arena_new(64u << 20);
    assert_int_equal(queue_list(running.relay->queue, &listing), ERR_END);
    arena_free(&listing.arena);
}

static void check_queue(const char *name, const char *expected)
{
    struct buffer out;
    buffer_init(&out, 16u << 20);
    print_all(&out);
    check_slice(name, buffer_slice(&out), slice_of(expected));
    buffer_free(&out);
}

static void submit_at(const char *path, const char *name, struct slice request)
{
    struct asker asker = {0};
    asker_start_at(&asker, path, request);
    loop_until(name, &asker.ended, 1);
    answers_read(name, &answers, buffer_slice(&asker.answers));
    asker_close(&asker);
}

static void submit(const char *name, const char *request)
{
    submit_at(running.submit, name, slice_of(request));
}

static void test_a_message(void **state)
{
    (void)state;
    submit("submit", HEAD(41, TO("b@b.example")) TEXT);
    check_number("exit", answers.status, 0);
    check_number("answers", answers.count, 2);
    check_true("ready", json_flag(answers.lines[0], "ready", false));
    check_number("id", json_text(answers.lines[1], "id").length, QUEUE_ID_TEXT - 1);
    answers_free(&answers);
    check_queue("queue", "sendmail uid 0|a@a.example|b@b.example|From: a@a.example\r\nSubject: x\r\n\r\nbody\r\n.\r\nend\r\n");
    check_number("accepted", running.relay->metrics.accepted, 1);
}

/* What stands behind the text is nobody's; one that is too short is no message. */
static void test_sizes(void **state)
{
    (void)state;
    submit("more than said", HEAD(30, TO("b@b.example")) TEXT);
    check_number("exit", answers.status, 0);
    answers_free(&answers);
    check_queue("queue", "sendmail uid 0|a@a.example|b@b.example|From: a@a.example\r\nSubject: x\r\n\r\n");
    struct asker asker = {0};
    asker_start_at(&asker, running.submit, SLICE(HEAD(42, TO("c@c.example")) TEXT));
    loop_until("connected", &asker.connected, 1);
    loop_for(50);
    asker_close(&asker);
    running_until("it is gone", has_no_sessions, NULL);
    check_number("accepted", running.relay->metrics.accepted, 1);
}

static void test_in_pieces(void **state)
{
    static const char request[] = HEAD(41, TO("b@b.example")) TEXT;
    (void)state;
    for (size_t cut = 1; cut < sizeof request - 1; cut++) {
        struct asker asker = {0};
        asker_start_at(&asker, running.submit, slice_make(request, cut));
        loop_until("connected", &asker.connected, 1);
        loop_for(1);
        stream_write(&asker.stream, slice_make(request + cut, sizeof request - 1 - cut));
        loop_until("ended", &asker.ended, 1);
        answers_read("pieces", &answers, buffer_slice(&asker.answers));
        check_number("exit", answers.status, 0);
        answers_free(&answers);
        asker_close(&asker);
    }
    check_number("accepted", running.relay->metrics.accepted, sizeof request - 2);
}

static void test_addresses(void **state)
{
    (void)state;
    submit("bare", "{\"command\":\"submit\",\"version\":1,\"sender\":\"ann\",\"size\":2,"
                   "\"recipients\":[{\"address\":\"x@b.example\"},{\"address\":\"y@B.example\"},{\"address\":\"x@b.example\"}]}\nX\n");
    check_number("exit", answers.status, 0);
    answers_free(&answers);
    check_queue("queue", "sendmail uid 0|ann@relay.example|x@b.example y@B.example|From: ann@relay.example\r\n\r\nX\r\n");
}

static void test_refusals(void **state)
{
    static const struct {
        const char *request;
        int status;
        const char *says;
    } cases[] = {
        {HEAD(1, TO("a b")), 65, "a b"},
        {HEAD(1, TO("root")), 67, "root@relay.example: no such user here"},
        {HEAD(1, TO("root@relay.example")), 67, "[local] root"},
        {HEAD(1, "\"recipients\":[{\"address\":\"b@b.example\"},{\"address\":\"root\"}]"), 67, "root"},
        {HEAD(1, TO("a@-b-.example")), 65, "a@-b-.example"},
        {HEAD(52428801, TO("b@b.example")), 65, "message-size-max"},
        {HEAD(1, "\"recipients\":[]"), 65, "no recipient"},
        {"{\"command\":\"submit\",\"version\":7}\n", 65, "version"},
        {"{\"command\":\"queue delete\",\"all\":true}\n", 77, "control socket"},
        {"{\"command\":\"queue show\",\"id\":\"0123456789ABCDEF\"}\n", 77, "control socket"},
        {"{\"command\":\"queue export\",\"id\":\"0123456789ABCDEF\"}\n", 77, "control socket"},
        {"{\"command\":\"policy forget\",\"domain\":\"a.example\"}\n", 77, "control socket"},
        {"{\"command\":\"test-send\",\"address\":\"a@b.example\"}\n", 77, "control socket"},
        {"what\n", 64, "JSON"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        submit(cases[i].request, cases[i].request);
        check_number(cases[i].request, answers.status, cases[i].status);
        struct slice error = json_text(answers.last, "error");
        if (slice_find_slice(error, slice_of(cases[i].says)) == error.length)
            fail_msg("%s: says \"%.*s\"", cases[i].request, SLICE_ARGS(error));
        answers_free(&answers);
    }
    check_queue("nothing of them is stored", "");
    check_number("accepted", running.relay->metrics.accepted, 0);
}

static void test_commands_of_everybody(void **state)
{
    /* Also of root, who may be another container's. The one message that he has handed in himself is his. */
    static const struct {
        const char *request;
        int status;
        size_t count;
    } cases[] = {
        {"{\"command\":\"queue list\"}\n", 0, 1},
        {"{\"command\":\"queue flush\",\"to\":\"a.example\"}\n", 1, 0},
        {"{\"command\":\"queue flush\",\"to\":\"b.example\"}\n", 0, 0},
        {"{\"command\":\"aliases\"}\n", 77, 0},
        {"{\"command\":\"queue delete\",\"all\":true}\n", 77, 0},
    };
    (void)state;
    running_mail(77, NULL, "a.example", NULL);
    submit("his own", HEAD(41, TO("b@b.example")) TEXT);
    answers_free(&answers);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        submit(cases[i].request, cases[i].request);
        check_number(cases[i].request, answers.status, cases[i].status);
        if (i == 0)
            check_number(cases[i].request, answers.count, cases[i].count);
        answers_free(&answers);
    }
    submit("those who may are sent on", "{\"command\":\"queue list\",\"may-go-on\":true}\n");
    check_number("exit", answers.status, 77);
    check_number("answers", answers.count, 0);
    check_slice("where", json_text(answers.last, "control"), slice_of(running.socket));
    answers_free(&answers);
}

/* Little text that would cost much: refused before anything is made of it. Nested, many, or both. */
static void test_requests_that_cost(void **state)
{
    static const struct {
        const char *name, *start, *item, *end;
        size_t count;
        int status;
    } cases[] = {
        {"empty objects", "{\"command\":\"submit\",\"recipients\":[{}", ",{}", "]}\n", 170000, 65},
        {"empty objects of another name", "{\"command\":\"queue list\",\"x\":[{}", ",{}", "]}\n", 170000, 65},
        {"empty texts", "{\"command\":\"submit\",\"recipients\":[0", ",\"\"", "]}\n", 170000, 65},
        {"numbers", "[0", ",1", "]\n", 250000, 65},
        {"deep", "{\"command\":", "[", "]}\n", 100, 65},
        {"a little over what is free", "{\"command\":\"queue list\",\"x\":[{}", ",{}", "]}\n", 2000, 0},
        {"a thousand recipients", "{\"command\":\"submit\",\"version\":1,\"sender\":\"\",\"size\":2,\"recipients\":[{\"address\":\"a@b.example\"}",
         ",{\"address\":\"a@b.example\",\"notify\":1,\"orcpt\":\"rfc822;a@b.example\"}", "]}\nx\n", 999, 0},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct buffer request;
        buffer_init(&request, 4u << 20);
        buffer_print(&request, "%s", cases[i].start);
        for (size_t k = 0; k < cases[i].count; k++)
            buffer_print(&request, "%s", cases[i].item);
        buffer_print(&request, "%s", cases[i].end);
        submit_at(running.submit, cases[i].name, buffer_slice(&request));
        bool is_refused = answers.status == 65 || answers.status == 69;
        check_true(cases[i].name, cases[i].status == 0 ? answers.status == 0 : is_refused);
        answers_free(&answers);
        buffer_free(&request);
    }
}

/* Requests that are never complete: of one user only so much is kept, and a small one still gets in. */
enum { COUNT = 15 };

static bool are_refused(void *owner)
{
    const struct asker *askers = owner;
    size_t ended = 0;
    for (size_t i = 0; i < COUNT; i++)
        ended += askers[i].ended;
    return ended >= COUNT - 9 && ended < COUNT;
}

static void test_a_share_of_memory(void **state)
{
    static struct asker askers[COUNT];
    struct buffer request;
    (void)state;
    memset(askers, 0, sizeof askers);
    buffer_init(&request, 1u << 20);
    while (buffer_length(&request) < 500000)
        buffer_add(&request, SLICE("x"));
    for (size_t i = 0; i < COUNT; i++) {
        asker_start_at(&askers[i], running.submit, buffer_slice(&request));
        loop_until("connected", &askers[i].connected, 1);
    }
    running_until("those beyond it are refused", are_refused, askers);
    submit("a small one", HEAD(41, TO("b@b.example")) TEXT);
    check_number("exit", answers.status, 0);
    answers_free(&answers);
    for (size_t i = 0; i < COUNT; i++)
        asker_close(&askers[i]);
    running_until("they are gone", has_no_sessions, NULL);
    buffer_free(&request);
}

/* A loop of mail is found here too. */
static void test_hops(void **state)
{
    (void)state;
    struct buffer request;
    buffer_init(&request, 1u << 20);
    buffer_add(&request, SLICE(HEAD(612, TO("b@b.example"))));
    for (size_t i = 0; i < 51; i++)
        buffer_add(&request, SLICE("Received: x\n"));
    submit_at(running.submit, "hops", buffer_slice(&request));
    check_number("exit", answers.status, 65);
    answers_free(&answers);
    buffer_free(&request);
}

/* More than memory should hold at once, and bytes that must come back as they were. */
static void test_a_large_message(void **state)
{
    static const size_t size = 3000000;
    (void)state;
    struct buffer request;
    struct buffer got;
    buffer_init(&request, 8u << 20);
    buffer_init(&got, 16u << 20);
    buffer_add(&request, SLICE(HEAD(3000000, TO("b@b.example"))));
    size_t head = buffer_length(&request);
    buffer_add(&request, SLICE("From: a@a.example\r\nX: y\r\n\r\n"));
    for (size_t i = 0; buffer_length(&request) < head + size; i++)
        buffer_add_byte(&request, i % 64 == 62 ? '\r' : i % 64 == 63 ? '\n' : (char)('A' + i / 64 % 50));
    submit_at(running.submit, "large", buffer_slice(&request));
    check_number("exit", answers.status, 0);
    answers_free(&answers);
    print_all(&got);
    struct slice text = slice_from(buffer_slice(&request), head);
    struct slice stored = slice_from(buffer_slice(&got), slice_find_slice(buffer_slice(&got), SLICE("From: ")));
    check_number("all of it", stored.length, size + 2); /* the CRLF that the last line lacked */
    check_true("as it was", slice_starts(stored, text));
    buffer_free(&request);
    buffer_free(&got);
}

/* Clients that go away at any point leave nothing; one that has given all may be taken. */
static void test_clients_that_go_away(void **state)
{
    static const char request[] = HEAD(41, TO("b@b.example")) TEXT;
    (void)state;
    for (size_t cut = 0; cut < sizeof request - 2; cut += 3) {
        for (int wait_ms = 0; wait_ms < 3; wait_ms++) {
            struct asker asker = {.is_slow = true};
            asker_start_at(&asker, running.submit, slice_make(request, cut));
            loop_until("connected", &asker.connected, 1);
            loop_for(wait_ms);
            asker_close(&asker);
        }
    }
    running_until("they are gone", has_no_sessions, NULL);
    check_queue("queue", "");
}

static void test_connections_of_one_user(void **state)
{
    static struct asker askers[20];
    (void)state;
    memset(askers, 0, sizeof askers);
    for (size_t i = 0; i < COUNT_OF(askers); i++) {
        asker_start_at(&askers[i], running.submit, SLICE("{"));
        loop_until("connected", &askers[i].connected, 1);
    }
    loop_until("the last one is refused", &askers[COUNT_OF(askers) - 1].ended, 1);
    answers_read("refused", &answers, buffer_slice(&askers[COUNT_OF(askers) - 1].answers));
    check_number("exit", answers.status, 69);
    answers_free(&answers);
    check_number("the administrator comes in", ask_status("{\"command\":\"health\"}"), 0);
    for (size_t i = 0; i < COUNT_OF(askers); i++)
        asker_close(&askers[i]);
    running_until("they are gone", has_no_sessions, NULL);
}

/* At a stop an unfinished message is told that the relay stops; one that is complete gets its answer first. */
static void test_stop(void **state)
{
    (void)state;
    struct asker half = {0};
    struct asker whole = {0};
    asker_start_at(&half, running.submit, SLICE(HEAD(42, TO("c@c.example")) TEXT));
    loop_until("connected", &half.connected, 1);
    asker_start_at(&whole, running.submit, SLICE(HEAD(41, TO("b@b.example")) TEXT));
    loop_until("connected", &whole.connected, 1);
    while (running.relay->metrics.accepted == 0 && buffer_length(&whole.answers) == 0)
        loop_for(1);
    relay_stop(running.relay, 0);
    loop_until("half", &half.ended, 1);
    loop_until("whole", &whole.ended, 1);
    answers_read("half", &answers, buffer_slice(&half.answers));
    check_number("half", answers.status, 69);
    answers_free(&answers);
    answers_read("whole", &answers, buffer_slice(&whole.answers));
    check_number("whole", answers.status, 0);
    answers_free(&answers);
    asker_close(&half);
    asker_close(&whole);
}

int main(void)
{
    folder_use_memory();
    const struct CMUnitTest tests[] = {
        RUNNING_TEST(test_a_message),
        RUNNING_TEST(test_sizes),
        RUNNING_TEST(test_in_pieces),
        RUNNING_TEST(test_addresses),
        RUNNING_TEST(test_refusals),
        RUNNING_TEST(test_commands_of_everybody),
        RUNNING_TEST(test_requests_that_cost),
        RUNNING_TEST(test_a_share_of_memory),
        RUNNING_TEST(test_hops),
        RUNNING_TEST(test_a_large_message),
        RUNNING_TEST(test_clients_that_go_away),
        RUNNING_TEST(test_connections_of_one_user),
        RUNNING_TEST(test_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
