/* What a failure means: kind, scope, status and words of each trouble. */
#include "check.h"

#include "relay/verdict.h"

#include <cmocka.h>

static const struct {
    const char *name;
    struct trouble_facts facts;
    enum verdict_kind kind;
    enum verdict_scope scope;
    uint8_t dsn[3];
} cases[] = {
    {"5xx to RCPT", {.trouble = TROUBLE_REPLY, .stage = SMTP_STAGE_RCPT, .reply = {.code = 550, .status = {5, 1, 1}}},
     VERDICT_FAIL, VERDICT_RECIPIENT, {5, 1, 1}},
    {"4xx to RCPT", {.trouble = TROUBLE_REPLY, .stage = SMTP_STAGE_RCPT, .reply = {.code = 450, .status = {4, 2, 0}}},
     VERDICT_DEFER, VERDICT_RECIPIENT, {4, 2, 0}},
    {"552 to RCPT counts as 452", {.trouble = TROUBLE_REPLY, .stage = SMTP_STAGE_RCPT, .reply = {.code = 552}},
     VERDICT_DEFER, VERDICT_RECIPIENT, {4, 0, 0}},
    {"552 5.5.3 to RCPT too", {.trouble = TROUBLE_REPLY, .stage = SMTP_STAGE_RCPT, .reply = {.code = 552, .status = {5, 5, 3}}},
     VERDICT_DEFER, VERDICT_RECIPIENT, {4, 0, 0}},
    {"552 5.2.2 to RCPT is a full mailbox", {.trouble = TROUBLE_REPLY, .stage = SMTP_STAGE_RCPT, .reply = {.code = 552, .status = {5, 2, 2}}},
     VERDICT_FAIL, VERDICT_RECIPIENT, {5, 2, 2}},
    {"no mechanism bounces nothing", {.trouble = TROUBLE_NO_MECHANISM}, VERDICT_DEFER, VERDICT_DESTINATION, {4, 7, 4}},
    {"silence on port 465 bounces nothing", {.trouble = TROUBLE_EXPECTS_TLS}, VERDICT_DEFER, VERDICT_DESTINATION, {4, 4, 2}},
    {"552 to the content is what it says", {.trouble = TROUBLE_REPLY, .stage = SMTP_STAGE_FINAL, .reply = {.code = 552}},
     VERDICT_FAIL, VERDICT_MESSAGE, {5, 0, 0}},
    {"a status of the wrong class is not taken over",
     {.trouble = TROUBLE_REPLY, .stage = SMTP_STAGE_MAIL, .reply = {.code = 451, .status = {5, 7, 1}}},
     VERDICT_DEFER, VERDICT_MESSAGE, {4, 0, 0}},
    {"a greeting of 554 is no bounce", {.trouble = TROUBLE_GREETING, .reply = {.code = 554}}, VERDICT_DEFER,
     VERDICT_DESTINATION, {4, 4, 2}},
    {"STARTTLS refused for good is no bounce",
     {.trouble = TROUBLE_NO_STARTTLS, .reply = {.code = 554}, .required_tls = true, .by_policy = true}, VERDICT_DEFER,
     VERDICT_DESTINATION, {4, 7, 5}},
    {"a bad certificate is no bounce", {.trouble = TROUBLE_HANDSHAKE, .by_policy = true}, VERDICT_DEFER, VERDICT_DESTINATION,
     {4, 7, 5}},
    {"a host that is not admitted", {.trouble = TROUBLE_NOT_ADMITTED, .by_policy = true}, VERDICT_DEFER, VERDICT_DESTINATION,
     {4, 7, 0}},
    {"credentials refused bounce nothing", {.trouble = TROUBLE_CREDENTIALS, .reply = {.code = 535}}, VERDICT_DEFER,
     VERDICT_DESTINATION, {4, 7, 8}},
    {"no such domain", {.trouble = TROUBLE_NO_DOMAIN}, VERDICT_FAIL, VERDICT_DESTINATION, {5, 1, 2}},
    {"null MX", {.trouble = TROUBLE_NULL_MX}, VERDICT_FAIL, VERDICT_DESTINATION, {5, 1, 10}},
    {"no such domain, says DNS, while its policy is in force", {.trouble = TROUBLE_NO_DOMAIN, .by_policy = true}, VERDICT_DEFER,
     VERDICT_DESTINATION, {4, 1, 2}},
    {"null MX, while its policy is in force", {.trouble = TROUBLE_NULL_MX, .by_policy = true}, VERDICT_DEFER,
     VERDICT_DESTINATION, {4, 1, 10}},
    {"loop", {.trouble = TROUBLE_LOOP}, VERDICT_FAIL, VERDICT_DESTINATION, {5, 4, 6}},
    {"we are its mail host, says DNS, while its policy is in force", {.trouble = TROUBLE_LOOP, .by_policy = true}, VERDICT_DEFER,
     VERDICT_DESTINATION, {4, 4, 6}},
    {"MX lookup fails", {.trouble = TROUBLE_MX_LOOKUP}, VERDICT_DEFER, VERDICT_DESTINATION, {4, 4, 3}},
    {"lost while connecting", {.trouble = TROUBLE_LOST, .stage = SMTP_STAGE_EHLO}, VERDICT_DEFER, VERDICT_DESTINATION, {4, 4, 2}},
    {"lost within the message may be the message's fault", {.trouble = TROUBLE_LOST, .stage = SMTP_STAGE_CONTENT}, VERDICT_DEFER,
     VERDICT_MESSAGE, {4, 4, 2}},
    {"too big", {.trouble = TROUBLE_TOO_BIG}, VERDICT_FAIL, VERDICT_MESSAGE, {5, 3, 4}},
    {"no SMTPUTF8", {.trouble = TROUBLE_NO_UTF8}, VERDICT_FAIL, VERDICT_MESSAGE, {5, 6, 7}},
};

static void test_meanings(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct trouble_facts facts = cases[i].facts;
        facts.host = facts.address = facts.detail = SLICE_EMPTY;
        facts.reply.text = SLICE_EMPTY;
        struct verdict verdict = verdict_of(&facts);
        check_number(cases[i].name, verdict.kind, cases[i].kind);
        check_number(cases[i].name, verdict.scope, cases[i].scope);
        for (size_t j = 0; j < 3; j++)
            check_number(cases[i].name, verdict.dsn[j], cases[i].dsn[j]);
    }
}

static const struct {
    const char *name, *reason;
} troubles[] = {
#define X(name, reason, subject, detail) {#name, reason},
    TROUBLE_LIST(X)
#undef X
};

/* DNS is anybody's word: of a domain whose policy is in force it ends nothing, and a newer policy is looked for where it would. */
static void test_dns_ends_nothing_under_a_policy(void **state)
{
    (void)state;
    size_t permanent = 0;
    for (size_t i = 1; i < COUNT_OF(troubles); i++) {
        struct trouble_facts facts = {.trouble = (enum trouble)i};
        if (strcmp(troubles[i].reason, "dns") != 0)
            continue;
        bool is_permanent = verdict_of(&facts).kind == VERDICT_FAIL;
        permanent += is_permanent;
        facts.by_policy = true;
        check_number(troubles[i].name, verdict_of(&facts).kind, VERDICT_DEFER);
        check_true(troubles[i].name, !is_permanent || verdict_is_policy_matter(&facts));
    }
    check_number("no such domain, null MX, loop", permanent, 3);
}

/* Of two hosts one failed the policy and the other something else: the reason that is stored says that a policy may be in it. */
static void test_no_reason_hides_a_policy(void **state)
{
    (void)state;
    for (size_t i = 1; i < COUNT_OF(troubles); i++) {
        struct trouble_facts matter = {.trouble = (enum trouble)i, .by_policy = true};
        for (size_t j = 1; verdict_is_policy_matter(&matter) && j < COUNT_OF(troubles); j++) {
            struct trouble_facts other = {.trouble = (enum trouble)j, .by_policy = true};
            const struct trouble_facts *told = verdict_is_more_telling(&other, &matter) ? &other : &matter;
            check_true(troubles[j].name, verdict_may_hide_policy(slice_of(verdict_of(told).reason)));
            told = verdict_is_more_telling(&matter, &other) ? &matter : &other;
            check_true(troubles[j].name, verdict_may_hide_policy(slice_of(verdict_of(told).reason)));
        }
    }
    check_true("a host that is down", !verdict_may_hide_policy(SLICE("connect")));
}

/* Each trouble has a sentence and an advice; no text of a peer passes unclean. */
static void test_words(void **state)
{
    (void)state;
    for (size_t i = 1; i < COUNT_OF(troubles); i++) {
        struct trouble_facts facts = {
            .trouble = (enum trouble)i, .host = SLICE("mx\r\n.example"), .address = SLICE("11.0.0.1"), .stage = SMTP_STAGE_RCPT,
            .reply = {.code = 550, .text = SLICE("no\r\nevent=forged\x1b")}, .detail = SLICE("det\nail")};
        struct buffer text;
        buffer_init(&text, 65536);
        verdict_print(&facts, &text);
        check_true(troubles[i].name, buffer_length(&text) > 10);
        buffer_add_byte(&text, ' ');
        verdict_advice(&facts, &text);
        check_true(troubles[i].name, !slice_has(buffer_slice(&text), '\n') && !slice_has(buffer_slice(&text), '\r') &&
                                 !slice_has(buffer_slice(&text), '\x1b'));
        buffer_free(&text);
    }
}

/* What an operator reads who has never heard of MTA-STS. */
static const struct {
    const char *name;
    struct trouble_facts facts;
    const char *sentence;
    const char *advice[4]; /* parts of it */
} sentences[] = {
    {"STARTTLS stripped", {.trouble = TROUBLE_NO_STARTTLS, .required_tls = true, .by_policy = true},
     "mx1.example.com[11.0.0.1] offers no STARTTLS, which the MTA-STS policy of example.com requires",
     {"Nothing of the message was sent.", "somebody on the way", "the postmaster of example.com",
      "`sternpost policy exempt example.com --until DATE --reason TEXT`"}},
    {"STARTTLS missing where the configuration demands it", {.trouble = TROUBLE_NO_STARTTLS, .required_tls = true},
     "mx1.example.com[11.0.0.1] offers no STARTTLS, which this relay's configuration requires",
     {"Nothing of the message was sent.", "[tls-policy] default"}},
    {"STARTTLS refused",
     {.trouble = TROUBLE_NO_STARTTLS, .reply = {.code = 454, .status = {4, 7, 0}}, .required_tls = true, .by_policy = true},
     "mx1.example.com[11.0.0.1] refused STARTTLS with 454 4.7.0 go away, which the MTA-STS policy of example.com requires",
     {"somebody on the way"}},
    {"injection",
     {.trouble = TROUBLE_NO_STARTTLS, .detail = SLICE_INIT("bytes were injected"), .required_tls = true, .by_policy = true},
     "mx1.example.com[11.0.0.1] cannot be trusted with STARTTLS: bytes were injected, and encryption is what the MTA-STS policy "
     "of example.com requires",
     {"what an attacker on the way would do"}},
    {"certificate", {.trouble = TROUBLE_HANDSHAKE, .detail = SLICE_INIT("the certificate has expired"), .by_policy = true},
     "mx1.example.com[11.0.0.1] could not prove over TLS that it is that host: the certificate has expired",
     {"the TLS set-up of mx1.example.com must be fixed", "another machine answers in its place"}},
    {"not listed", {.trouble = TROUBLE_NOT_ADMITTED, .by_policy = true},
     "mx1.example.com[11.0.0.1] is not among the mail servers that the MTA-STS policy of example.com lists",
     {"https://mta-sts.example.com/.well-known/mta-sts.txt", "forges the DNS answer that leads to mx1.example.com"}},
    {"our own host", {.trouble = TROUBLE_LOOP}, "mail for mx1.example.com loops back to this relay: it is the best MX host itself",
     {"[local] domains"}},
    {"our own host, under a policy", {.trouble = TROUBLE_LOOP, .by_policy = true},
     "mail for mx1.example.com loops back to this relay: it is the best MX host itself",
     {"example.com has an MTA-STS policy in force", "may be forged", "list example.com in [local] domains"}},
    {"policy unknown", {.trouble = TROUBLE_POLICY_UNKNOWN, .detail = SLICE_INIT("SERVFAIL")},
     "cannot tell whether mx1.example.com has an MTA-STS policy: SERVFAIL", {"15 minutes", "[dns] servers"}},
    {"greeting", {.trouble = TROUBLE_GREETING, .reply = {.code = 554}},
     "mx1.example.com[11.0.0.1] refused the session with 554 go away", {"does not bounce"}},
    {"greylisted", {.trouble = TROUBLE_REPLY, .stage = SMTP_STAGE_RCPT, .reply = {.code = 451, .status = {4, 3, 0}}},
     "mx1.example.com[11.0.0.1] answered 451 4.3.0 go away to the recipient (RCPT)", {"try again later"}},
    {"an unknown login", {.trouble = TROUBLE_NO_MECHANISM, .detail = SLICE_INIT("it offers AUTH CRAM-MD5 XOAUTH2; this relay knows PLAIN and LOGIN")},
     "mx1.example.com[11.0.0.1] offers no way to log in that this relay knows: it offers AUTH CRAM-MD5 XOAUTH2; this relay knows PLAIN and LOGIN",
     {"PLAIN or LOGIN", "nothing bounces"}},
    {"silence on port 465", {.trouble = TROUBLE_EXPECTS_TLS},
     "mx1.example.com[11.0.0.1] says nothing on port 465, where TLS begins with the first byte", {"tls = implicit", "port 587"}},
    {"too big", {.trouble = TROUBLE_TOO_BIG, .detail = SLICE_INIT("it has 30 bytes, and 20 are the most that the host takes (SIZE)")},
     "mx1.example.com[11.0.0.1] takes no message of this size: it has 30 bytes, and 20 are the most that the host takes (SIZE)", {"smaller"}},
    {"not on the open Internet", {.trouble = TROUBLE_NOT_GLOBAL, .detail = SLICE_INIT("10.0.0.1")},
     "mx1.example.com has only addresses that are not on the open Internet: 10.0.0.1", {"[delivery] allow-networks"}},
};

static void test_sentences(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(sentences); i++) {
        struct trouble_facts facts = sentences[i].facts;
        struct buffer text;
        facts.host = SLICE("mx1.example.com");
        facts.address = SLICE("11.0.0.1");
        facts.domain = SLICE("example.com");
        facts.reply.text = facts.reply.code == 0 ? SLICE_EMPTY : SLICE("go away");
        buffer_init(&text, 65536);
        verdict_print(&facts, &text);
        check_slice(sentences[i].name, buffer_slice(&text), slice_of(sentences[i].sentence));
        buffer_clear(&text);
        verdict_advice(&facts, &text);
        for (size_t j = 0; j < COUNT_OF(sentences[i].advice) && sentences[i].advice[j] != NULL; j++)
            check_true(sentences[i].advice[j],
                       slice_find_slice(buffer_slice(&text), slice_of(sentences[i].advice[j])) < buffer_length(&text));
        buffer_free(&text);
    }
}

static void test_policy_matters(void **state)
{
    (void)state;
    struct trouble_facts handshake = {.trouble = TROUBLE_HANDSHAKE, .by_policy = true};
    struct trouble_facts configured = {.trouble = TROUBLE_HANDSHAKE};
    struct trouble_facts connect = {.trouble = TROUBLE_CONNECT, .by_policy = true};
    assert_true(verdict_is_policy_matter(&handshake));
    assert_false(verdict_is_policy_matter(&configured));
    assert_false(verdict_is_policy_matter(&connect));
    assert_true(verdict_is_more_telling(&handshake, &connect));
    assert_false(verdict_is_more_telling(&connect, &handshake));
}

/* What one host cannot take bounces only when there is no other that may take it later. */
static void test_what_one_host_cannot_take(void **state)
{
    static const enum trouble permanent[] = {TROUBLE_NO_UTF8, TROUBLE_TOO_BIG};
    static const enum trouble temporary[] = {TROUBLE_ADDRESS_LOOKUP, TROUBLE_CONNECT, TROUBLE_TIMEOUT, TROUBLE_LOST, TROUBLE_GREETING,
                                             TROUBLE_MALFORMED, TROUBLE_NO_STARTTLS, TROUBLE_HANDSHAKE};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(permanent); i++) {
        struct trouble_facts lacks = {.trouble = permanent[i]}, nothing = {.trouble = TROUBLE_NONE};
        struct trouble_facts no_host = {.trouble = TROUBLE_NO_ADDRESS};
        assert_true(verdict_is_more_telling(&lacks, &nothing));
        assert_true(verdict_is_more_telling(&lacks, &no_host));
        for (size_t j = 0; j < COUNT_OF(temporary); j++) {
            struct trouble_facts away = {.trouble = temporary[j]};
            assert_true(verdict_is_more_telling(&away, &lacks));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_one_host_cannot_take),
        cmocka_unit_test(test_meanings),
        cmocka_unit_test(test_dns_ends_nothing_under_a_policy),
        cmocka_unit_test(test_no_reason_hides_a_policy),
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_sentences),
        cmocka_unit_test(test_policy_matters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
