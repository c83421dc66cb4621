/* How long a host may take, by stage, and within a transaction that lasts. */
#include "relay/patience.h"

#include "test/unit/check.h"

#define SECOND_MS INT64_C(1000)
#define MINUTE_MS (60 * SECOND_MS)

static const struct {
    const char *name;
    enum smtp_client_stage stage;
    int64_t elapsed_ms;
    uint64_t size;
    int64_t expected_ms;
} cases[] = {
    /* RFC 5321 4.5.3.2.1 to .6 */
    {"the greeting", SMTP_STAGE_GREETING, 0, 0, 5 * MINUTE_MS},
    {"EHLO", SMTP_STAGE_EHLO, 0, 0, 5 * MINUTE_MS},
    {"STARTTLS", SMTP_STAGE_STARTTLS, 0, 0, 5 * MINUTE_MS},
    {"MAIL", SMTP_STAGE_MAIL, 0, 1000, 5 * MINUTE_MS},
    {"RCPT", SMTP_STAGE_RCPT, 0, 1000, 5 * MINUTE_MS},
    {"DATA", SMTP_STAGE_DATA, 0, 1000, 2 * MINUTE_MS},
    {"a block", SMTP_STAGE_CONTENT, 0, 1000, 3 * MINUTE_MS},
    {"the final dot", SMTP_STAGE_FINAL, 0, 1000, 10 * MINUTE_MS},
    {"QUIT", SMTP_STAGE_QUIT, 0, 0, 2 * SECOND_MS},
    /* each recipient anew, */
    {"a recipient after 20 minutes", SMTP_STAGE_RCPT, 20 * MINUTE_MS, 0, 5 * MINUTE_MS},
    /* but the transaction has an end, */
    {"a recipient after 27 minutes", SMTP_STAGE_RCPT, 27 * MINUTE_MS, 0, 3 * MINUTE_MS},
    {"a recipient at the end", SMTP_STAGE_RCPT, 30 * MINUTE_MS, 0, 0},
    {"a recipient behind the end", SMTP_STAGE_RCPT, 31 * MINUTE_MS, 0, 0},
    {"DATA near the end", SMTP_STAGE_DATA, 29 * MINUTE_MS, 0, MINUTE_MS},
    {"a block near the end", SMTP_STAGE_CONTENT, 28 * MINUTE_MS, 0, 2 * MINUTE_MS},
    /* later for much, at 1000 bytes a second, */
    {"a block of 6 MB near the end", SMTP_STAGE_CONTENT, 28 * MINUTE_MS, 6000000, 3 * MINUTE_MS},
    {"a block of 6 MB at the end", SMTP_STAGE_CONTENT, 130 * MINUTE_MS, 6000000, 0},
    /* and the last answer is waited for. */
    {"the final dot behind the end", SMTP_STAGE_FINAL, 31 * MINUTE_MS, 0, 10 * MINUTE_MS},
    {"the greeting after another transaction", SMTP_STAGE_GREETING, 60 * MINUTE_MS, 0, 5 * MINUTE_MS},
};

static void test_patience(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct patience patience = {.stage = cases[i].stage, .elapsed_ms = cases[i].elapsed_ms, .size = cases[i].size};
        check_number(cases[i].name, patience_ms(&patience), cases[i].expected_ms);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_patience)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
