#include "relay/submission.h"

#include "smtp/envelope.h"
#include "test/unit/check.h"

static enum err parse(const char *line, struct arena *arena, struct json **request, struct submission *submission, char *fault)
{
    assert_int_equal(json_parse(slice_of(line), request), ERR_NONE);
    return submission_parse(*request, arena, submission, fault);
}

static void test_round(void **state)
{
    (void)state;
    struct submission_recipient recipients[] = {
        {.address = SLICE("ann@a.example"), .orcpt = SLICE_EMPTY},
        {.address = SLICE("root"), .orcpt = SLICE("rfc822;root+2Bx@a.example"), .notify = SMTP_NOTIFY_NEVER},
        {.address = SLICE("j\xc3\xb6@b\xc3\xbc.example"), .orcpt = SLICE_EMPTY, .notify = SMTP_NOTIFY_FAILURE | SMTP_NOTIFY_DELAY},
    };
    struct submission first = {.sender = SLICE("\"a b\"@c.example"), .envid = SLICE("e+2Bf"), .ret = SMTP_RET_HDRS, .utf8 = true,
                               .size = 123456789012, .recipients = recipients, .recipient_count = COUNT_OF(recipients)};
    struct submission second;
    struct buffer line;
    struct json *request = NULL;
    char fault[SUBMISSION_FAULT_MAX];
    struct arena *arena = arena_new(65536);
    buffer_init(&line, SUBMISSION_LINE_MAX);
    submission_print(&first, &line);
    assert_false(buffer_failed(&line));
    check_number("one line", slice_find(buffer_slice(&line), '\n'), buffer_length(&line) - 1);
    buffer_add_byte(&line, '\0');
    check_number("parse", parse(buffer_slice(&line).data, arena, &request, &second, fault), ERR_NONE);
    check_slice("sender", second.sender, first.sender);
    check_slice("envid", second.envid, first.envid);
    check_number("ret", second.ret, first.ret);
    check_true("utf8", second.utf8);
    check_number("size", second.size, first.size);
    check_number("recipients", second.recipient_count, first.recipient_count);
    for (size_t i = 0; i < COUNT_OF(recipients); i++) {
        check_slice("address", second.recipients[i].address, recipients[i].address);
        check_slice("orcpt", second.recipients[i].orcpt, recipients[i].orcpt);
        check_number("notify", second.recipients[i].notify, recipients[i].notify);
    }
    json_free(&request);
    arena_free(&arena);
    buffer_free(&line);
}

#define HEAD "{\"command\":\"submit\",\"version\":1,"

static void test_faults(void **state)
{
    static const struct {
        const char *line;
        enum err err;
        const char *says;
    } cases[] = {
        {HEAD "\"size\":1,\"recipients\":[{\"address\":\"a@b\"}]}", ERR_NONE, ""},
        {HEAD "\"sender\":\"\",\"size\":0,\"recipients\":[{\"address\":\"a\",\"notify\":1}],\"new\":[]}", ERR_NONE, ""},
        {"{}", ERR_SYNTAX, "no submission"},
        {"{\"command\":\"submit\"}", ERR_UNSUPPORTED, "version"},
        {"{\"command\":\"submit\",\"version\":2}", ERR_UNSUPPORTED, "version"},
        {"{\"command\":\"submit\",\"version\":\"1\"}", ERR_UNSUPPORTED, "version"},
        {HEAD "\"recipients\":[{\"address\":\"a@b\"}]}", ERR_SYNTAX, "size"},
        {HEAD "\"size\":-1,\"recipients\":[{\"address\":\"a@b\"}]}", ERR_SYNTAX, "size"},
        {HEAD "\"size\":1e3,\"recipients\":[{\"address\":\"a@b\"}]}", ERR_SYNTAX, "size"},
        {HEAD "\"size\":1}", ERR_SYNTAX, "no recipient"},
        {HEAD "\"size\":1,\"recipients\":[]}", ERR_SYNTAX, "no recipient"},
        {HEAD "\"size\":1,\"recipients\":{\"address\":\"a@b\"}}", ERR_SYNTAX, "no recipient"},
        {HEAD "\"size\":1,\"recipients\":[1]}", ERR_SYNTAX, "recipient is no address"},
        {HEAD "\"size\":1,\"recipients\":[[]]}", ERR_SYNTAX, "recipient is no address"},
        {HEAD "\"size\":1,\"recipients\":[{\"address\":\"a b@c\"}]}", ERR_SYNTAX, "a b@c"},
        {HEAD "\"size\":1,\"recipients\":[{\"address\":\"a@b\\nRCPT TO:<c@d>\"}]}", ERR_SYNTAX, "a@b?RCPT"},
        {HEAD "\"size\":1,\"recipients\":[{\"address\":\"a@b\",\"notify\":16}]}", ERR_SYNTAX, "notifications"},
        {HEAD "\"size\":1,\"recipients\":[{\"address\":\"a@b\",\"notify\":3}]}", ERR_SYNTAX, "notifications"},
        {HEAD "\"size\":1,\"recipients\":[{\"address\":\"a@b\",\"notify\":-1}]}", ERR_SYNTAX, "notifications"},
        {HEAD "\"size\":1,\"recipients\":[{\"address\":\"a@b\",\"orcpt\":\"x y\"}]}", ERR_SYNTAX, "x y"},
        {HEAD "\"sender\":\"a@\",\"size\":1,\"recipients\":[{\"address\":\"a@b\"}]}", ERR_SYNTAX, "sender"},
        {HEAD "\"ret\":\"some\",\"size\":1,\"recipients\":[{\"address\":\"a@b\"}]}", ERR_SYNTAX, "some"},
        {HEAD "\"envid\":\"a=b\",\"size\":1,\"recipients\":[{\"address\":\"a@b\"}]}", ERR_SYNTAX, "a=b"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct submission submission;
        struct json *request = NULL;
        char fault[SUBMISSION_FAULT_MAX];
        struct arena *arena = arena_new(65536);
        check_number(cases[i].line, parse(cases[i].line, arena, &request, &submission, fault), cases[i].err);
        struct slice said = slice_of(fault), wanted = slice_of(cases[i].says);
        if (slice_find_slice(said, wanted) == said.length && wanted.length > 0)
            fail_msg("%s: says \"%s\"", cases[i].line, fault);
        json_free(&request);
        arena_free(&arena);
    }
}

static void test_limits(void **state)
{
    static struct submission_recipient recipients[20000];
    (void)state;
    for (size_t i = 0; i < COUNT_OF(recipients); i++)
        recipients[i] = (struct submission_recipient){.address = SLICE("somebody@domain.example"), .orcpt = SLICE_EMPTY};
    struct submission submission = {.sender = SLICE_EMPTY, .envid = SLICE_EMPTY, .recipients = recipients, .recipient_count = 10};
    struct buffer line;
    buffer_init(&line, SUBMISSION_LINE_MAX);
    submission_print(&submission, &line);
    assert_false(buffer_failed(&line));
    /* Memory for 10 recipients is not there. */
    struct json *request = NULL;
    char fault[SUBMISSION_FAULT_MAX];
    struct arena *arena = arena_new(64);
    buffer_add_byte(&line, '\0');
    check_number("memory", parse(buffer_slice(&line).data, arena, &request, &submission, fault), ERR_MEMORY);
    json_free(&request);
    arena_free(&arena);
    buffer_clear(&line);
    submission.recipients = recipients;
    submission.recipient_count = COUNT_OF(recipients);
    submission_print(&submission, &line);
    assert_true(buffer_failed(&line));
    buffer_free(&line);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round),
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
