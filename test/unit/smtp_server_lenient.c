/* What the server takes of addresses that are written otherwise, and of old devices where the owner is lenient. */
#include "smtp/server.h"

#include "test/unit/smtp_dialog.h"

#define OFFER DIALOG_OFFER

static void test_addresses(void **state)
{
    static const struct dialog_case cases[] = {
        {"as others take them", BYTES(EHLO "MAIL FROM:<x.@c.example.>\r\nRCPT TO:<x..y@d.example>\r\nRCPT TO: b@d.example.\r\n"),
         OFFER "[MAIL <\"x.\"@c.example>]\n250 2.1.0 sender ok\n[RCPT <\"x..y\"@d.example>]\n250 2.1.5 recipient ok\n" RCPT_OK},
        {"UTF-8 that was not announced", BYTES(EHLO "MAIL FROM:<\xc3\xa4.@c.example>\r\n"),
         OFFER "501 5.5.2 bytes that no command may have; lines end in CRLF\n"},
        {"no names", BYTES(EHLO "MAIL FROM:<scanner>\r\nMAIL FROM:<a@c.example>\r\nRCPT TO:<root>\r\nRCPT TO:<postmaster>\r\n"),
         OFFER "501 5.1.7 bad sender address or syntax: MAIL FROM:<address>\n" MAIL_OK
               "501 5.1.3 bad recipient address or syntax: RCPT TO:<address>\n[RCPT <postmaster>]\n250 2.1.5 recipient ok\n"},
    };
    (void)state;
    dialog_run(cases, COUNT_OF(cases));
}

static bool yes(void *owner)
{
    (void)owner;
    return true;
}

static void test_lenient(void **state)
{
    static const struct dialog_case cases[] = {
        {"names", BYTES(EHLO "MAIL FROM:<scanner>\r\nRCPT TO:<root>\r\n"),
         OFFER "[MAIL <scanner@mx.example>]\n250 2.1.0 sender ok\n[RCPT <root>]\n250 2.1.5 recipient ok\n"},
        {"names with odd dots", BYTES(EHLO "MAIL FROM:<x..y> SIZE=1\r\nRCPT TO:<x.>\r\n"),
         OFFER "[MAIL <\"x..y\"@mx.example> size=1]\n250 2.1.0 sender ok\n[RCPT <x.>]\n250 2.1.5 recipient ok\n"},
        {"no name without brackets", BYTES(EHLO "MAIL FROM: SIZE=1\r\n"),
         OFFER "501 5.1.7 bad sender address or syntax: MAIL FROM:<address>\n"},
        {"commands end in CRLF", BYTES(EHLO "MAIL FROM:<a@c.example>\nRCPT TO:<b@d.example>\r\n"),
         OFFER "501 5.5.2 bytes that no command may have; lines end in CRLF\n"},
        {"bare LF and CR", BYTES(EHLO ENVELOPE "DATA\r\n\1a: b\n\nc\rd\r\r\n..e\r\n.\r\nNOOP\r\n"),
         OFFER MAIL_OK RCPT_OK DATA_OK "[END a: b\r\n\r\nc\r\nd\r\n\r\n.e\r\n]\n250 2.0.0 queued\n250 2.0.0 ok\n"},
        {"none of them ends it", BYTES(EHLO ENVELOPE "DATA\r\n\1a\n.\nRSET\n.\r\nQUIT\r\n.\nNOOP\r.\r.\r\n..\r\r\n.\r\n"),
         OFFER MAIL_OK RCPT_OK DATA_OK
         "[END a\r\n.\r\nRSET\r\n.\r\nQUIT\r\n.\r\nNOOP\r\n.\r\n.\r\n.\r\n\r\n]\n250 2.0.0 queued\n"},
        {"NUL", BYTES(EHLO ENVELOPE "DATA\r\n\1a\0b\n.\r\n.\r\n"), OFFER MAIL_OK RCPT_OK DATA_OK "[RESET]\n550 5.6.0 NUL in the content\n[CLOSE]\n"},
    };
    (void)state;
    split_options.is_lenient = yes;
    dialog_run(cases, COUNT_OF(cases));
}

/* Whatever the chunks that it comes in, and however many lines grow by a byte. */
static void test_lenient_chunks(void **state)
{
    struct smtp_server_options options = dialog_options;
    struct buffer log;
    (void)state;
    options.size_max = 1 << 20;
    options.is_lenient = yes;
    buffer_init(&log, 1 << 20);
    struct dialog *dialog = dialog_open(&options);
    dialog_say(dialog, SLICE(EHLO ENVELOPE "DATA\r\n"), &log);
    for (size_t i = 0; i < 200000; i++)
        dialog_say(dialog, SLICE("\n"), &log);
    dialog_say(dialog, SLICE("\r\n.\r\n"), &log);
    struct slice got = buffer_slice(&log);
    check_number("all of it", got.length - slice_find_slice(got, SLICE("[END ")), sizeof "[END ]\n250 2.0.0 queued\n" - 1 + 400002);
    dialog_close(dialog, &log);
    buffer_free(&log);
}

/* What the decoder holds at the end of a chunk (a CR, a dot) may come beside it: each of them stands at that end once. */
static void test_each_end_of_a_chunk(void **state)
{
    bool (*const modes[])(void *owner) = {NULL, yes};
    struct smtp_server_options options = dialog_options;
    struct buffer log, content;
    (void)state;
    options.size_max = 1 << 20;
    buffer_init(&log, 1 << 20);
    buffer_init(&content, 1 << 20);
    for (size_t shift = 0; shift < 2 * 6; shift++) {
        options.is_lenient = modes[shift % 2];
        buffer_clear(&content);
        buffer_print(&content, "%.*s", (int)(shift / 2), "xxxxxx");
        for (size_t i = 0; i < 25000; i++)
            buffer_add(&content, SLICE("..a\r\n"));
        buffer_clear(&log);
        struct dialog *dialog = dialog_open(&options);
        dialog_say(dialog, SLICE(EHLO ENVELOPE "DATA\r\n"), &log);
        buffer_clear(&log);
        dialog_say(dialog, buffer_slice(&content), &log);
        dialog_say(dialog, SLICE(".\r\n"), &log);
        size_t stuffed = shift / 2 == 0 ? 25000 : 24999;
        check_number("all of it", buffer_length(&log), buffer_length(&content) - stuffed + sizeof "[END ]\n250 2.0.0 queued\n" - 1);
        dialog_close(dialog, &log);
    }
    buffer_free(&log);
    buffer_free(&content);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_addresses, dialog_reset),
        cmocka_unit_test_setup(test_lenient, dialog_reset),
        cmocka_unit_test_setup(test_lenient_chunks, dialog_reset),
        cmocka_unit_test_setup(test_each_end_of_a_chunk, dialog_reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
