/* Lookups that somebody forges answers to, and name servers that do not repeat a question letter by letter. */
#include "test/unit/ask.h"

#define MANY_LETTERS "a-name-whose-letters-are-hard-to-guess." /* all of them in lower case by chance: once in 2^31 */

enum { LOST = RESOLVER_CASE_LOST, KEPT = RESOLVER_CASE_KEPT, MISMATCH = RESOLVER_MISMATCHES };

/* Addresses: 192.0.2.7 came over UDP, 192.0.3.7 over TCP, 192.0.4.7 from a forger. */
static void test_who_is_believed(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        bool has_tcp;
        enum resolve_status status;
        const char *first;
        size_t tcp_count, lost, mismatches;
    } cases[] = {
        {MANY_LETTERS "kept.case.test", true, RESOLVE_FOUND, "192.0.2.7", 0, 0, 0},
        {MANY_LETTERS "lost.case.test", true, RESOLVE_FOUND, "192.0.3.7", 1, 1, 0},
        {MANY_LETTERS "lowered.forged.test", true, RESOLVE_FOUND, "192.0.3.7", 1, 0, 1},
        {"two.forged.test", true, RESOLVE_FOUND, "192.0.2.7", 0, 0, 0},
        {"id.forged.test", true, RESOLVE_FOUND, "192.0.3.7", 1, 0, 1},
        {"question.forged.test", true, RESOLVE_FOUND, "192.0.3.7", 1, 0, 1},
        {"type.forged.test", true, RESOLVE_FOUND, "192.0.3.7", 1, 0, 1},
        {MANY_LETTERS "kept.case.test", false, RESOLVE_FOUND, "192.0.2.7", 0, 0, 0},
        {MANY_LETTERS "lost.case.test", false, RESOLVE_MALFORMED, "", 0, 0, 0},
        {MANY_LETTERS "lowered.forged.test", false, RESOLVE_MALFORMED, "", 0, 0, 0},
        {"id.forged.test", false, RESOLVE_MALFORMED, "", 0, 0, 1},
        {"question.forged.test", false, RESOLVE_MALFORMED, "", 0, 0, 1},
        {"truncated.test", false, RESOLVE_TIMEOUT, "", 0, 0, 0},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        dns_server_open(&two, dns_script, "127.0.0.1", cases[i].has_tcp);
        use(&two.endpoint, 1);
        struct asked got = ask_and_wait(RECORD_A, cases[i].name);
        check_number(cases[i].name, got.status, cases[i].status);
        check_slice(cases[i].name, slice_of(got.first), slice_of(cases[i].first));
        check_number(cases[i].name, two.udp_count, 1);
        check_number(cases[i].name, two.tcp_count, cases[i].tcp_count);
        check_number(cases[i].name, news_count[LOST], cases[i].lost);
        check_number(cases[i].name, news_count[MISMATCH], cases[i].mismatches);
        dns_server_close(&two);
    }
}

/* The one that answers as it should is used where the first one cannot be believed. */
static void test_another_server(void **state)
{
    (void)state;
    static const char *const names[] = {MANY_LETTERS "lost.case.test", "id.forged.test"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        dns_server_open(&two, dns_script, "127.0.0.1", false);
        const struct endpoint servers[] = {two.endpoint, one.endpoint};
        use(servers, COUNT_OF(servers));
        struct asked got = ask_and_wait(RECORD_A, names[i]);
        check_number(names[i], got.status, RESOLVE_FOUND);
        check_slice(names[i], slice_of(got.first), SLICE("192.0.3.7"));
        dns_server_close(&two);
    }
}

static void test_reasons(void **state)
{
    (void)state;
    static const struct {
        const char *name, *what;
    } cases[] = {
        {MANY_LETTERS "lost.case.test", "an answer to the name in other letters, perhaps forged, and no TCP, from 127"},
        {"id.forged.test", "answers that do not match, perhaps forged, and no TCP to ask over, from 127"},
    };
    dns_server_open(&two, dns_script, "127.0.0.1", false);
    use(&two.endpoint, 1);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct asked got = ask_and_wait(RECORD_A, cases[i].name);
        check_slice(cases[i].name, slice_to(slice_of(got.detail), strlen(cases[i].what)), slice_of(cases[i].what));
    }
    dns_server_close(&two);
}

/* TCP is asked once, then the server is known; a forger's answer teaches nothing. */
static void test_what_is_remembered(void **state)
{
    (void)state;
    use(&one.endpoint, 1);
    check_slice("first", slice_of(ask_and_wait(RECORD_A, MANY_LETTERS "lost.case.test").first), SLICE("192.0.3.7"));
    for (size_t i = 0; i < 3; i++) {
        check_slice("known", slice_of(ask_and_wait(RECORD_A, MANY_LETTERS "lost.case.test").first), SLICE("192.0.2.7"));
    }
    check_number("over TCP", one.tcp_count, 1);
    check_number("told", news_count[LOST], 1);
    check_slice("asked in lower case", slice_of(ask_and_wait(RECORD_TXT, MANY_LETTERS "asked.test").first),
                SLICE(MANY_LETTERS "asked.test"));
    check_slice("mismatches count all the same", slice_of(ask_and_wait(RECORD_A, "id.forged.test").first),
                SLICE("192.0.3.7"));

    use(&one.endpoint, 1);
    for (size_t i = 0; i < 3; i++) {
        check_slice("forged", slice_of(ask_and_wait(RECORD_A, MANY_LETTERS "lowered.forged.test").first),
                    SLICE("192.0.3.7"));
    }
    check_number("not lost", news_count[LOST], 0);
    check_number("each is counted", news_count[MISMATCH], 3);
    check_number("one is news", change_count[MISMATCH], 1);
    check_true("still varied", strcmp(ask_and_wait(RECORD_TXT, MANY_LETTERS "asked.test").first, MANY_LETTERS "asked.test") != 0);
}

/* Each letter in both cases, each question in its own. */
static void test_letters_are_chosen_at_random(void **state)
{
    (void)state;
    enum { COUNT = 64 };
    static const char name[] = "_mta-sts.letters.asked.test";
    size_t upper[sizeof name] = {0}, same = 0;
    char before[sizeof name] = "";
    for (size_t i = 0; i < COUNT; i++) {
        struct asked got = ask_and_wait(RECORD_TXT, name);
        check_number("length", strlen(got.first), strlen(name));
        assert_true(slice_equal_nocase(slice_of(got.first), slice_of(name)));
        check_slice("in lower case to us", slice_of(got.canonical), slice_of(name));
        same += strcmp(got.first, before) == 0 ? 1 : 0;
        for (size_t at = 0; name[at] != '\0'; at++) {
            upper[at] += got.first[at] != name[at] ? 1 : 0;
        }
        memcpy(before, got.first, sizeof before);
    }
    check_number("twice the same", same, 0);
    for (size_t at = 0; name[at] != '\0'; at++) {
        bool is_letter = name[at] >= 'a' && name[at] <= 'z';
        check_true(name + at, is_letter ? upper[at] > 0 && upper[at] < COUNT : upper[at] == 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_who_is_believed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_another_server, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_reasons, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_is_remembered, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_letters_are_chosen_at_random, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
