/* The control socket: what is a request, how answers come, and who may go away when. */
#include "test/unit/running.h"

#include <sys/stat.h>

static struct answers answers;

static bool has_no_sessions(void *owner)
{
    (void)owner;
    return control_is_idle(running.relay->control);
}

static void test_requests(void **state)
{
    static const struct {
        const char *name, *request;
        int status;
        const char *says;
    } cases[] = {
        {"health", "{\"command\":\"health\"}", 0, ""},
        {"not ready before a name server has answered", "{\"command\":\"health\",\"ready\":true}", 1, "not ready"},
        {"status of one that is not ready", "{\"command\":\"status\"}", 1, ""},
        {"reload where nobody can", "{\"command\":\"reload\"}", 69, "cannot reload"},
        {"unknown", "{\"command\":\"wibble\"}", 64, "wibble"},
        {"no command", "{}", 64, "no command"},
        {"an array", "[1]", 64, ""},
        {"no JSON", "list", 64, "JSON"},
        {"empty", "", 64, "JSON"},
        {"a command that is no text", "{\"command\":1}", 64, ""},
        {"no id", "{\"command\":\"queue show\"}", 64, "id"},
        {"a bad id", "{\"command\":\"queue show\",\"id\":\"wibble\"}", 64, "wibble"},
        {"an unknown id", "{\"command\":\"queue show\",\"id\":\"0123456789ABCDEF\"}", 1, "not in the queue"},
        {"why without id", "{\"command\":\"queue why\"}", 64, "id"},
        {"why of an unknown id", "{\"command\":\"queue why\",\"id\":\"0123456789ABCDEF\"}", 1, "not in the queue"},
        {"export of an unknown id", "{\"command\":\"queue export\",\"id\":\"0123456789ABCDEF\"}", 1, "not in the queue"},
        {"delete of an unknown id", "{\"command\":\"queue delete\",\"id\":\"0123456789ABCDEF\"}", 1, "not in the queue"},
        {"a bad age", "{\"command\":\"queue list\",\"older\":\"soon\"}", 64, "soon"},
        {"a bad status", "{\"command\":\"queue list\",\"status\":\"lost\"}", 64, "lost"},
        {"a bad domain", "{\"command\":\"queue list\",\"to\":\"a..b\"}", 64, "a..b"},
        {"done and status", "{\"command\":\"queue list\",\"done\":true,\"status\":\"held\"}", 64, "no outcome"},
        {"an outcome of what waits", "{\"command\":\"queue list\",\"status\":\"delivered\"}", 64, "no status"},
        {"no limit", "{\"command\":\"queue list\",\"limit\":\"0\"}", 64, "no number"},
        {"a limit of words", "{\"command\":\"queue summary\",\"limit\":\"few\"}", 64, "few"},
        {"nothing to sum up", "{\"command\":\"queue summary\"}", 0, ""},
        {"hold of nothing", "{\"command\":\"queue hold\"}", 64, "--all"},
        {"hold of none", "{\"command\":\"queue hold\",\"to\":\"a.example\"}", 1, "nothing"},
        {"hold of all of none", "{\"command\":\"queue hold\",\"all\":true}", 0, ""},
        {"flush of none", "{\"command\":\"queue flush\"}", 0, ""},
        {"no policy", "{\"command\":\"policy show\",\"domain\":\"a.example\"}", 1, "nothing is known"},
        {"no policy to forget", "{\"command\":\"policy forget\",\"domain\":\"a.example\"}", 1, "nothing is known"},
        {"no domain", "{\"command\":\"policy show\"}", 64, "no domain"},
        {"an address for a domain", "{\"command\":\"policy show\",\"domain\":\"[192.0.2.1]\"}", 64, "no domain"},
        {"exempt without reason", "{\"command\":\"policy exempt\",\"domain\":\"a.example\",\"until\":\"2090-01-01\"}", 64, "--reason"},
        {"exempt for ever", "{\"command\":\"policy exempt\",\"domain\":\"a.example\",\"reason\":\"x\"}", 64, "--until"},
        {"exempt until when", "{\"command\":\"policy exempt\",\"domain\":\"a.example\",\"until\":\"soon\",\"reason\":\"x\"}", 64, "soon"},
        {"exempt until the past", "{\"command\":\"policy exempt\",\"domain\":\"a.example\",\"until\":\"2001-01-01\",\"reason\":\"x\"}", 64, "past"},
        {"explain of no address", "{\"command\":\"explain\",\"address\":\"a@b@\"}", 64, "no address"},
        {"test-send to no address", "{\"command\":\"test-send\",\"address\":\"a b\"}", 64, "no address"},
        {"test-send to nobody here", "{\"command\":\"test-send\",\"address\":\"a@relay.example\"}", 1, "root"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        ask(cases[i].request, &answers);
        check_number(cases[i].name, answers.status, cases[i].status);
        struct slice error = json_text(answers.last, "error");
        if (slice_find_slice(error, slice_of(cases[i].says)) == error.length && cases[i].says[0] != '\0')
            print_error("%s: says \"%.*s\"\n", cases[i].name, SLICE_ARGS(error));
        check_true(cases[i].name, cases[i].says[0] == '\0' || slice_find_slice(error, slice_of(cases[i].says)) < error.length);
        answers_free(&answers);
    }
}

/* One request a connection, in however many pieces; what comes behind it is nobody's. */
static void test_a_request_in_pieces(void **state)
{
    static const char request[] = "{\"command\":\"queue list\"}\n{\"command\":\"wibble\"}\n";
    (void)state;
    running_mail(77, NULL, "a.example", NULL);
    for (size_t cut = 1; cut < sizeof request - 1; cut++) {
        struct asker asker = {0};
        asker_start(&asker, slice_make(request, cut));
        loop_until("connected", &asker.connected, 1);
        loop_for(1);
        if (asker.ended == 0)
            stream_write(&asker.stream, slice_make(request + cut, sizeof request - 1 - cut));
        loop_until("ended", &asker.ended, 1);
        answers_read("pieces", &answers, buffer_slice(&asker.answers));
        check_number("cut", answers.status, 0);
        check_number("messages", answers.count, 1);
        answers_free(&answers);
        asker_close(&asker);
    }
}

static void test_a_request_without_end(void **state)
{
    (void)state;
    struct asker asker = {0};
    struct buffer request;
    buffer_init(&request, 1u << 20);
    while (buffer_length(&request) < 70000)
        buffer_add(&request, SLICE("{\"command\":\"queue list\","));
    asker_start(&asker, buffer_slice(&request));
    loop_until("ended", &asker.ended, 1);
    answers_read("too long", &answers, buffer_slice(&asker.answers));
    check_number("too long", answers.status, 64);
    answers_free(&answers);
    asker_close(&asker);
    buffer_free(&request);
}

static void fill(size_t count)
{
    for (size_t i = 1; i <= count; i++)
        running_mail(i, NULL, "a.example", NULL);
}

/* A reader that does not read holds neither the loop nor memory; when it reads, it gets all, in order. */
static void test_a_slow_reader(void **state)
{
    (void)state;
    struct asker asker = {.is_slow = true};
    fill(3000);
    asker_start(&asker, SLICE("{\"command\":\"queue list\"}\n"));
    loop_until("connected", &asker.connected, 1);
    loop_for(300);
    check_number("others are served meanwhile", ask_status("{\"command\":\"health\"}"), 0);
    check_number("it waits", buffer_length(&asker.answers), 0);
    /* What is far behind was not read yet: it is gone when its turn comes. */
    check_number("delete", ask_status("{\"command\":\"queue delete\",\"id\":\"0000000000000BB8\"}"), 0);
    stream_read(&asker.stream, true);
    loop_until("ended", &asker.ended, 1);
    answers_read("slow", &answers, buffer_slice(&asker.answers));
    check_number("messages", answers.count, 2999);
    check_number("status", answers.status, 0);
    for (size_t i = 0; i < answers.count; i++) {
        char id[QUEUE_ID_TEXT];
        check_slice("order", json_text(answers.lines[i], "id"), queue_id_print(i + 1, id));
    }
    answers_free(&answers);
    asker_close(&asker);
}

static void test_clients_that_go_away(void **state)
{
    static const char *const requests[] = {
        "", "{\"command\":", "{\"command\":\"queue list\"}\n", "{\"command\":\"queue hold\",\"all\":true}\n",
        "{\"command\":\"policy refresh\",\"domain\":\"a.example\"}\n", "{\"command\":\"explain\",\"address\":\"a@b.example\"}\n",
        "{\"command\":\"test-send\",\"address\":\"a@b.example\"}\n",
    };
    (void)state;
    fill(500);
    for (size_t i = 0; i < COUNT_OF(requests); i++) {
        for (int wait_ms = 0; wait_ms < 8; wait_ms++) {
            struct asker asker = {.is_slow = true};
            asker_start(&asker, slice_of(requests[i]));
            loop_until("connected", &asker.connected, 1);
            loop_for(wait_ms);
            asker_close(&asker);
        }
        running_until(requests[i], has_no_sessions, NULL);
    }
    check_number("all are held", ask_status("{\"command\":\"queue hold\",\"all\":true}"), 0);
    ask("{\"command\":\"queue list\",\"status\":\"held\"}", &answers);
    check_number("none is left in flight", answers.count, 500);
    answers_free(&answers);
}

/* Those that are being served when the relay stops are told so. */
static void test_the_relay_stops(void **state)
{
    (void)state;
    struct asker asker = {.is_slow = true};
    struct asker waiting = {0};
    fill(3000);
    asker_start(&asker, SLICE("{\"command\":\"queue list\"}\n"));
    asker_start(&waiting, SLICE("{\"command\":"));
    loop_until("connected", &asker.connected, 1);
    loop_until("connected", &waiting.connected, 1);
    loop_for(50);
    relay_stop(running.relay, 0);
    stream_read(&asker.stream, true);
    loop_until("ended", &asker.ended, 1);
    loop_until("ended", &waiting.ended, 1);
    answers_read("stopped", &answers, buffer_slice(&asker.answers));
    check_number("stopped", answers.status, 69);
    answers_free(&answers);
    asker_close(&asker);
    asker_close(&waiting);
}

/* More than are served at once wait for their turn. */
static void test_many_at_once(void **state)
{
    (void)state;
    static struct asker askers[100];
    for (size_t i = 0; i < COUNT_OF(askers); i++) {
        askers[i] = (struct asker){0};
        asker_start(&askers[i], SLICE("{\"command\":\"health\"}"));
    }
    for (size_t i = 0; i < COUNT_OF(askers); i++)
        loop_until("connected", &askers[i].connected, 1);
    loop_for(50);
    for (size_t i = 0; i < COUNT_OF(askers); i++)
        stream_write(&askers[i].stream, SLICE("\n"));
    for (size_t i = 0; i < COUNT_OF(askers); i++) {
        loop_until("answered", &askers[i].ended, 1);
        answers_read("answered", &answers, buffer_slice(&askers[i].answers));
        check_number("status", answers.status, 0);
        answers_free(&answers);
        asker_close(&askers[i]);
    }
}

static void test_owner_and_group_only(void **state)
{
    (void)state;
    struct stat status;
    assert_int_equal(lstat(running.socket, &status), 0);
    assert_true(S_ISSOCK(status.st_mode));
    check_number("mode", status.st_mode & 0777, 0660);
    control_close(running.relay->control);
    assert_int_not_equal(lstat(running.socket, &status), 0);
}

static void test_a_socket_that_cannot_be(void **state)
{
    static const struct {
        const char *name, *path;
    } cases[] = {
        {"no folder", "/nonexistent/control"},
        {"too long", "/tmp/0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345"},
    };
    (void)state;
    control_close(running.relay->control);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct buffer fault;
        buffer_init(&fault, 4096);
        running.relay->config->control_socket = slice_of(cases[i].path);
        check_true(cases[i].name, control_open(running.relay->control, &fault) != ERR_NONE);
        check_true(cases[i].name, slice_starts(buffer_slice(&fault), slice_of(cases[i].path)));
        buffer_free(&fault);
    }
}

int main(void)
{
    folder_use_memory();
    const struct CMUnitTest tests[] = {
        RUNNING_TEST(test_requests),
        RUNNING_TEST(test_a_request_in_pieces),
        RUNNING_TEST(test_a_request_without_end),
        RUNNING_TEST(test_a_slow_reader),
        RUNNING_TEST(test_clients_that_go_away),
        RUNNING_TEST(test_the_relay_stops),
        RUNNING_TEST(test_many_at_once),
        RUNNING_TEST(test_owner_and_group_only),
        RUNNING_TEST(test_a_socket_that_cannot_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
