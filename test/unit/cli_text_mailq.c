#include "relay/cli_text_mailq.h"

#include "test/unit/check.h"

static void check_listing(const char *name, const char *const *messages, size_t count, const char *expected)
{
    struct mailq mailq = {0};
    struct buffer out;
    buffer_init(&out, 1u << 20);
    for (size_t i = 0; i < count; i++) {
        struct json *message = NULL;
        assert_int_equal(json_parse(slice_of(messages[i]), &message), ERR_NONE);
        mailq_print(&mailq, message, 3600, &out);
        json_free(&message);
    }
    mailq_print_end(&mailq, &out);
    check_slice(name, buffer_slice(&out), slice_of(expected));
    buffer_free(&out);
}

#define HEAD "{\"id\":\"0123456789ABCDEF\",\"arrived\":\"2021-07-02T13:39:01Z\",\"size\":4638,\"sender\":\"nagios@a.example\",\"recipients\":["
#define TO(address, status, rest) "{\"address\":\"" address "\",\"status\":\"" status "\"" rest "}"
#define TITLE "-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------\n"

static void test_empty(void **state)
{
    (void)state;
    check_listing("empty", NULL, 0, "Mail queue is empty\n");
}

/* The columns as Postfix has them, the reason ending in column 78. */
static void test_listing(void **state)
{
    static const char *const messages[] = {
        HEAD TO("rcpt@example.com", "deferred", ",\"text\":\"host mx said: 450 4.2.0 try again\"") "]}",
        "{\"id\":\"6A00\",\"arrived\":\"2021-07-12T23:39:01Z\",\"size\":12345678,\"sender\":\"\",\"recipients\":["
        TO("a@b", "active", "") "," TO("c@d", "held", "") "]}",
        "{\"id\":\"6A01\",\"arrived\":\"2021-07-12T23:39:01Z\",\"size\":0,\"sender\":\"x\",\"recipients\":[" TO("a@b", "held", "") "]}",
    };
    (void)state;
    check_listing("three", messages, 3,
                  TITLE "0123456789ABCDEF    4638 Fri Jul  2 14:39:01  nagios@a.example\n"
                        "                                           (host mx said: 450 4.2.0 try again)\n"
                        "                                         rcpt@example.com\n"
                        "\n"
                        "6A00*       12345678 Tue Jul 13 00:39:01  MAILER-DAEMON\n"
                        "                                         a@b\n"
                        "                                         c@d\n"
                        "\n"
                        "6A01!             0 Tue Jul 13 00:39:01  x\n"
                        "                                         a@b\n"
                        "\n-- 12060 Kbytes in 3 Requests.\n");
    check_listing("one", messages + 2, 1,
                  TITLE "6A01!             0 Tue Jul 13 00:39:01  x\n                                         a@b\n\n-- 0 Kbytes in 1 Request.\n");
}

static void test_reasons(void **state)
{
    static const char *const messages[] = {
        HEAD TO("a@b", "deferred", ",\"reason\":\"dns\"") "," TO("c@d", "deferred", ",\"reason\":\"dns\"") ","
        TO("e@f", "waiting", "") "," TO("g@h", "deferred", ",\"reason\":\"dns\",\"text\":\"no \\u001b[2J answer\"") "]}",
        "{\"id\":\"0123456789ABCDEF\",\"continued\":true,\"size\":4638,\"recipients\":["
        TO("i@j", "deferred", ",\"text\":\"0123456789012345678901234567890123456789012345678901234567890123456789012345678901234\"") "]}",
    };
    (void)state;
    check_listing("reasons", messages, 2,
                  TITLE "0123456789ABCDEF    4638 Fri Jul  2 14:39:01  nagios@a.example\n"
                        "                                                                         (dns)\n"
                        "                                         a@b\n"
                        "                                         c@d\n"
                        "                                                          (reason unavailable)\n"
                        "                                         e@f\n"
                        "                                                              (no ?[2J answer)\n"
                        "                                         g@h\n"
                        "(0123456789012345678901234567890123456789012345678901234567890123456789012345678901234)\n"
                        "                                         i@j\n"
                        "\n-- 4 Kbytes in 1 Request.\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_listing),
        cmocka_unit_test(test_reasons),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
