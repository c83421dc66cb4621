/* Drafts that get a DKIM signature: over the content in the form in which it will leave, whatever its size and the cuts; never without
 * one where it is wanted. The same signature is made here once more, of all of the content at once. */
#include "test/unit/drafting.h"

#include "base/text.h"
#include "relay/signers.h"
#include "smtp/convert.h"
#include "smtp/dkim.h"
#include "tls/context.h"

static struct {
    struct tls_sign_key *key;
    struct config_dkim dkim;
    char path[256];
    struct log log;
    char line[LOG_LINE_MAX]; /* the last that was logged */
} keys;

static void keep_line(struct log *log, struct slice line)
{
    (void)log;
    snprintf(keys.line, sizeof keys.line, "%.*s", SLICE_ARGS(line));
}

static int make_keys(void **state)
{
    (void)state;
    return tls_start() == ERR_NONE && tls_sign_key_make(&keys.key) == ERR_NONE ? 0 : -1;
}

static int free_keys(void **state)
{
    (void)state;
    tls_sign_key_free(&keys.key);
    tls_stop();
    return 0;
}

static int set_up_signers(void **state)
{
    struct buffer pem, fault;
    assert_int_equal(set_up(state), 0);
    buffer_init(&pem, 1u << 16);
    buffer_init(&fault, 4096);
    assert_int_equal(tls_sign_key_print(keys.key, &pem), ERR_NONE);
    snprintf(keys.path, sizeof keys.path, "%s", folder_path(&test.folder, "key"));
    FILE *file = fopen(keys.path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(buffer_slice(&pem).data, 1, buffer_length(&pem), file), buffer_length(&pem));
    fclose(file);
    keys.dkim = (struct config_dkim){.domain = SLICE("example.com"), .selector = SLICE("s1"), .key_file = slice_of(keys.path)};
    test.config.dkims = &keys.dkim;
    test.config.dkim_count = 1;
    keys.log = (struct log){.level = LOG_INFO, .write = keep_line};
    keys.line[0] = '\0';
    test.relay.log = &keys.log;
    assert_int_equal(signers_load(&test.config, &test.relay.signers, &fault, &fault), ERR_NONE);
    buffer_free(&pem);
    buffer_free(&fault);
    return 0;
}

static int tear_down_signers(void **state)
{
    signers_free(&test.relay.signers);
    return tear_down(state);
}

#define SIGN_TEST(test) cmocka_unit_test_setup_teardown(test, set_up_signers, tear_down_signers)

/* What a signature of this content looks like. */
static void sign_whole(const char *name, struct slice content, int64_t time_ms, struct buffer *field)
{
    static struct smtp_survey survey;
    static struct smtp_convert convert;
    struct smtp_dkim_body body = {.in_line = false};
    struct tls_digest *digest = tls_digest_new();
    struct buffer leaves, text, value;
    uint8_t body_hash[TLS_DIGEST_LENGTH], header_hash[TLS_DIGEST_LENGTH];
    buffer_init(&leaves, 4 * CONTENT_MAX);
    buffer_init(&text, 4 * CONTENT_MAX);
    buffer_init(&value, 4096);
    smtp_survey_init(&survey);
    smtp_survey_feed(&survey, content);
    smtp_survey_finish(&survey);
    smtp_convert_init(&convert, SMTP_CONVERT_SEVEN_BIT, smtp_survey_form(&survey));
    smtp_convert_feed(&convert, content, &leaves);
    smtp_convert_finish(&convert, &leaves);
    struct slice section = slice_to(buffer_slice(&leaves), smtp_header_section_length(buffer_slice(&leaves)));
    smtp_dkim_body_feed(&body, slice_from(buffer_slice(&leaves), section.length), &text);
    smtp_dkim_body_finish(&body, &text);
    tls_digest_add(digest, buffer_slice(&text));
    tls_digest_finish(digest, body_hash);
    struct smtp_dkim_signature signature = {.domain = SLICE("example.com"),
                                            .selector = SLICE("s1"),
                                            .body_hash = slice_make(body_hash, sizeof body_hash),
                                            .time_ms = time_ms};
    buffer_clear(&text);
    smtp_dkim_header(&signature, section, &text);
    tls_digest_add(digest, buffer_slice(&text));
    tls_digest_finish(digest, header_hash);
    check_number(name, tls_sign(keys.key, header_hash, &value), ERR_NONE);
    smtp_dkim_field(&signature, section, buffer_slice(&value), field);
    check_true(name, !buffer_failed(&leaves) && !buffer_failed(&text) && !buffer_failed(field));
    tls_digest_free(&digest);
    buffer_free(&leaves);
    buffer_free(&text);
    buffer_free(&value);
}

/* To its end, and what is then in the queue. */
static void store(const char *name, struct slice content, size_t piece, struct buffer *stored, struct queue_message *message)
{
    struct arena *arena = arena_new(1u << 20);
    test.finished = 0;
    begin();
    uint64_t id = draft_id(test.draft);
    assert_int_equal(add_to("b@example.org", "example.org"), ERR_NONE);
    draft_add_trace(test.draft, SLICE(TRACE));
    for (; content.length > 0; content = slice_from(content, piece)) {
        draft_add_content(test.draft, slice_to(content, piece));
        answer_all(ERR_NONE);
    }
    finish();
    turn_settle();
    answer_all(ERR_NONE);
    check_number(name, test.finished, 1);
    check_number(name, test.err, ERR_NONE);
    draft_free(&test.draft);
    check_number(name, queue_message_get(test.relay.queue, id, arena, message), ERR_NONE);
    buffer_clear(stored);
    for (uint32_t i = 0; i < message->chunk_count; i++)
        check_number(name, queue_chunk_get(test.relay.queue, id, i, stored), ERR_NONE);
    check_number(name, buffer_length(stored), message->size);
    check_number(name, smtp_header_section_length(buffer_slice(stored)), message->header_length);
    arena_free(&arena);
}

static void check_signed(const char *name, struct slice content, size_t piece)
{
    struct queue_message message;
    struct buffer stored, expected;
    buffer_init(&stored, CONTENT_MAX + (1u << 20));
    buffer_init(&expected, CONTENT_MAX + (1u << 20));
    store(name, content, piece, &stored, &message);
    struct slice got = buffer_slice(&stored);
    check_true(name, message.is_sealed && !message.is_signed);
    struct slice below = slice_from(got, slice_find_slice(got, SLICE("Received: ")));
    check_true(name, slice_ends(below, content));
    sign_whole(name, below, clock_wall_ms(), &expected);
    buffer_add(&expected, below);
    check_true(name, slice_equal(got, buffer_slice(&expected)));
    buffer_free(&stored);
    buffer_free(&expected);
}

static const size_t lengths[] = {0, 1, 80, 65535, 65536, 200000};
static const size_t pieces[] = {SIZE_MAX, 65536, 4099};

/* Plain content, and such as must be encoded: then it is read again. */
static void test_signatures(void **state)
{
    static const char *const starts[] = {"", "\xc3\xa4\r\n", "0123456789 \t \r\n\r\n"};
    static char content[CONTENT_MAX];
    (void)state;
    for (size_t i = 0; i < COUNT_OF(lengths) * COUNT_OF(starts); i++) {
        const char *start = starts[i % COUNT_OF(starts)];
        size_t length = (size_t)snprintf(content, sizeof content, "%s%s", HEADER, start);
        for (size_t k = 0; k < lengths[i / COUNT_OF(starts)]; k++)
            content[length++] = k % 80 == 78 ? '\r' : k % 80 == 79 ? '\n' : (char)('a' + k / 80 % 26);
        for (size_t k = 0; k < COUNT_OF(pieces); k++) {
            char name[80];
            snprintf(name, sizeof name, "%zu bytes by %zu behind \"%s\"", lengths[i / COUNT_OF(starts)], pieces[k], start);
            check_signed(name, slice_make(content, length), pieces[k]);
        }
    }
}

static void test_long_lines(void **state)
{
    static char content[CONTENT_MAX];
    (void)state;
    size_t length = (size_t)snprintf(content, sizeof content, "%s", HEADER);
    memset(content + length, 'x', 300000);
    memcpy(content + length + 300000, "\r\n", 2);
    check_signed("a long line", slice_make(content, length + 300002), SIZE_MAX);
    check_signed("a long line in pieces", slice_make(content, length + 300002), 1000);
}

static void test_whose_mail_is_signed(void **state)
{
    static const struct {
        const char *from;
        bool is_signed;
    } cases[] = {
        {"a@example.com", true},      {"Ann <a@EXAMPLE.com>", true},  {"a@example.org", false},
        {"a@sub.example.com", false}, {"\"x@example.com\" <a>", false}, {"a@example.com.evil.example", false},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char content[400];
        struct queue_message message;
        struct buffer stored;
        buffer_init(&stored, CONTENT_MAX);
        int length = snprintf(content, sizeof content, "From: %s\r\n\r\nbody\r\n", cases[i].from);
        store(cases[i].from, slice_make(content, (size_t)length), SIZE_MAX, &stored, &message);
        check_true(cases[i].from, message.is_sealed == cases[i].is_signed);
        check_true(cases[i].from, slice_starts(buffer_slice(&stored), SLICE("DKIM-Signature: v=1;")) == cases[i].is_signed);
        buffer_free(&stored);
    }
}

/* A field name that no fold can follow ends the header section when content is converted, though it does not end it here: what is signed
 * is what leaves, or there is no signature. */
static void test_long_field_names(void **state)
{
    static const struct {
        const char *name, *body;
        size_t length;
        bool is_signed;
    } cases[] = {
        {"the longest", "body\r\n", SMTP_FIELD_NAME_MAX, true},
        {"the longest, eight bits", "gr\xc3\xbc\xc3\x9f" "e\r\n", SMTP_FIELD_NAME_MAX, true},
        {"one byte more", "body\r\n", SMTP_FIELD_NAME_MAX + 1, false},
        {"one byte more, eight bits", "gr\xc3\xbc\xc3\x9f" "e\r\n", SMTP_FIELD_NAME_MAX + 1, false},
        {"as long as a line, eight bits", "gr\xc3\xbc\xc3\x9f" "e\r\n", SMTP_LINE_MAX - 3, false},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char field_name[SMTP_LINE_MAX + 1] = "", content[4096];
        struct queue_message message;
        struct buffer stored;
        memset(field_name, 'x', cases[i].length);
        struct slice whole = text_print(content, sizeof content, "%s: y\r\n" HEADER "%s", field_name, cases[i].body);
        keys.line[0] = '\0';
        buffer_init(&stored, CONTENT_MAX);
        store(cases[i].name, whole, SIZE_MAX, &stored, &message);
        check_true(cases[i].name, slice_starts(buffer_slice(&stored), SLICE("DKIM-Signature:")) == cases[i].is_signed);
        check_true(cases[i].name, (strstr(keys.line, "event=unsigned") != NULL) != cases[i].is_signed);
        if (cases[i].is_signed)
            check_signed(cases[i].name, whole, SIZE_MAX);
        buffer_free(&stored);
    }
}

/* Where a signature would protect nothing there is none, and the log says why. */
static void test_two_authors(void **state)
{
    (void)state;
    struct queue_message message;
    struct buffer stored;
    buffer_init(&stored, CONTENT_MAX);
    store("two", SLICE("From: a@example.com\r\nFrom: b@example.com\r\n\r\nbody\r\n"), SIZE_MAX, &stored, &message);
    assert_false(message.is_sealed);
    assert_false(slice_starts(buffer_slice(&stored), SLICE("DKIM-Signature:")));
    assert_non_null(strstr(keys.line, "event=unsigned"));
    assert_non_null(strstr(keys.line, "domain=example.com why=\"it has several From fields"));
    buffer_free(&stored);
}

static void test_what_is_signed_already(void **state)
{
    (void)state;
    struct queue_message message;
    struct buffer stored;
    buffer_init(&stored, CONTENT_MAX);
    store("signed", SLICE(SIGNED HEADER "body\r\n"), SIZE_MAX, &stored, &message);
    assert_true(message.is_signed && !message.is_sealed);
    check_slice("signed", buffer_slice(&stored), SLICE(TRACE SIGNED HEADER "body\r\n"));
    buffer_free(&stored);
}

/* Somebody else's signature stays as it is, and so does all it covers; ours is put on top, over the form in which it leaves: as it came. */
static void test_what_others_have_signed(void **state)
{
#define FOREIGN "DKIM-Signature: v=1; a=rsa-sha256;\r\n\td=example.net; s=x; h=from; bh=AA==; b=AA==\r\n"
    static const struct {
        const char *name, *content;
        bool is_ours_on_top;
    } cases[] = {
        {"plain", FOREIGN HEADER "body\r\n", true},
        {"eight bits", FOREIGN HEADER "gr\xc3\xbc\xc3\x9f" "e\r\n", true},
        {"two authors", FOREIGN HEADER "From: b@example.com\r\n\r\nbody\r\n", true}, /* the second stands in the body */
        {"two authors in the header section", FOREIGN "From: b@example.com\r\n" HEADER "body\r\n", false},
        {"a blank before a colon", FOREIGN "Subject : x\r\n" HEADER "body\r\n", false},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct queue_message message;
        struct buffer stored;
        buffer_init(&stored, CONTENT_MAX);
        store(cases[i].name, slice_of(cases[i].content), SIZE_MAX, &stored, &message);
        struct slice got = buffer_slice(&stored);
        check_true(cases[i].name, message.is_signed && !message.is_sealed);
        check_true(cases[i].name, slice_starts(got, SLICE("DKIM-Signature: v=1;")) == cases[i].is_ours_on_top);
        check_slice(cases[i].name, slice_from(got, slice_find_slice(got, SLICE(TRACE)) + sizeof TRACE - 1), slice_of(cases[i].content));
        buffer_free(&stored);
    }
}

/* A reload puts other keys in force while a signature is being made. */
static void test_keys_that_go(void **state)
{
    (void)state;
    begin_usual();
    draft_add_content(test.draft, SLICE("body\r\n"));
    finish();
    signers_free(&test.relay.signers);
    turn_settle();
    answer_all(ERR_NONE);
    assert_int_equal(test.finished, 1);
    assert_int_equal(test.err, ERR_NONE);
}

/* Where a chunk cannot be read again nothing is taken; the client hears of it. */
static void test_chunks_that_are_gone(void **state)
{
    (void)state;
    begin_usual();
    draft_add_content(test.draft, SLICE("\xc3\xa4\r\n"));
    add_body(200000);
    answer_all(ERR_NONE);
    struct queue_change discard = {.kind = QUEUE_CHANGE_DISCARD, .id = draft_id(test.draft)};
    const struct queue_change *changes[] = {&discard};
    assert_int_equal(queue_apply(test.relay.queue, changes, 1), ERR_NONE);
    finish();
    turn_settle();
    assert_int_equal(test.finished, 1);
    assert_int_equal(test.err, ERR_NOT_FOUND);
}

/* Given up before its end. */
static void test_given_up(void **state)
{
    (void)state;
    begin_usual();
    add_body(200000);
    draft_free(&test.draft);
    answer_all(ERR_NONE);
    assert_int_equal(test.discarded, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SIGN_TEST(test_signatures),
        SIGN_TEST(test_long_lines),
        SIGN_TEST(test_whose_mail_is_signed),
        SIGN_TEST(test_long_field_names),
        SIGN_TEST(test_two_authors),
        SIGN_TEST(test_what_is_signed_already),
        SIGN_TEST(test_what_others_have_signed),
        SIGN_TEST(test_keys_that_go),
        SIGN_TEST(test_chunks_that_are_gone),
        SIGN_TEST(test_given_up),
    };
    return cmocka_run_group_tests(tests, make_keys, free_keys);
}
