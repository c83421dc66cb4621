/* What the log says of name servers: a line for each change of one, none for each question. */
#include "relay/serve_resolver.h"

#include "test/unit/ask.h"

static char written[4096];
static size_t written_length;

static void write_line(struct log *log, struct slice line)
{
    (void)log;
    assert_true(written_length + line.length < sizeof written);
    memcpy(written + written_length, line.data, line.length);
    written_length += line.length;
    written[written_length] = '\0';
}

static size_t count_of(const char *event)
{
    size_t count = 0;
    for (const char *at = strstr(written, event); at != NULL; at = strstr(at + 1, event)) {
        count++;
    }
    return count;
}

static void test_a_line_a_change(void **state)
{
    (void)state;
    static const char letters[] = "a-name-whose-letters-are-hard-to-guess.lost.case.test";
    static struct metrics metrics;
    static struct log log = {.level = LOG_DEBUG, .write = write_line};
    struct serve_resolver resolver = {.log = &log};
    struct config config = {.dns_servers = {.items = &one.endpoint, .count = 1}};
    char server[128];
    assert_int_equal(serve_resolver_open(&resolver, &config), ERR_NONE);
    check_number("forged before anything is counted", ask_and_wait(RECORD_A, "id.forged.test").status, RESOLVE_FOUND);
    resolver.metrics = &metrics;
    for (size_t i = 0; i < 3; i++) {
        check_number("forged", ask_and_wait(RECORD_A, "id.forged.test").status, RESOLVE_FOUND);
        check_number("lost", ask_and_wait(RECORD_A, letters).status, RESOLVE_FOUND);
    }
    check_number("counted", metrics.dns_mismatched, 3);
    check_number("lines of mismatches", count_of("event=resolver_mismatches"), 1);
    check_number("lines of lost case", count_of("event=resolver_case_lost"), 1);
    check_number("lines", count_of("event="), 2);
    check_number("with the server", count_of(endpoint_print(&one.endpoint, server).data), 2);
    check_number("and what to do", count_of("advice="), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_line_a_change, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
