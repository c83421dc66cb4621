/* The header of a proxy: read alike however it comes, and nothing else taken for one. */
#include "relay/proxy.h"

#include "test/unit/check.h"
#include "test/unit/split.h"

#define BYTES(literal)                                                                                                 \
    {                                                                                                                  \
        "" literal, sizeof(literal) - 1                                                                                \
    }
#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"

/* What the session does: it keeps what has come, and asks again with more. */
struct front {
    struct buffer input;
    enum proxy_parse parse;
};

static void *front_start(void)
{
    struct front *front = calloc(1, sizeof *front);
    assert_non_null(front);
    buffer_init(&front->input, 1 << 20);
    return front;
}

static void front_feed(void *machine, struct slice part, struct buffer *events)
{
    struct front *front = machine;
    struct proxy_header header;
    size_t taken;
    char text[128];
    buffer_add(&front->input, part);
    if (front->parse != PROXY_MORE)
        return;
    front->parse = proxy_header_parse(buffer_slice(&front->input), &header, &taken);
    if (front->parse == PROXY_DONE) {
        buffer_consume(&front->input, taken);
        buffer_print(events, "%.*s, then ",
                     SLICE_ARGS(header.has_source ? endpoint_print(&header.source, text) : SLICE("nobody")));
    }
}

static void front_finish(void *machine, struct buffer *events)
{
    struct front *front = machine;
    if (front->parse == PROXY_DONE)
        buffer_add(events, buffer_slice(&front->input));
    else
        buffer_add(events, front->parse == PROXY_MORE ? SLICE("more") : SLICE("malformed"));
    buffer_free(&front->input);
    free(front);
}

static const struct {
    const char *name;
    struct slice input;
    const char *expected;
} cases[] = {
    {"nothing", BYTES(""), "more"},
    {"TCP4", BYTES("PROXY TCP4 192.0.2.1 198.51.100.1 56324 25\r\nEHLO c\r\n"), "192.0.2.1:56324, then EHLO c\r\n"},
    {"TCP6", BYTES("PROXY TCP6 2001:db8::1 2001:db8::2 1 65535\r\n"), "[2001:db8::1]:1, then "},
    {"mapped", BYTES("PROXY TCP6 ::ffff:192.0.2.1 2001:db8::2 1 25\r\n"), "192.0.2.1:1, then "},
    {"UNKNOWN", BYTES("PROXY UNKNOWN\r\nx"), "nobody, then x"},
    {"UNKNOWN with words", BYTES("PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n"), "nobody, then "},
    {"the longest", BYTES("PROXY UNKNOWN 1234567890123456789012345678901234567890123456789012345678901234567890"
                          "123456789012345678901\r\n"), "nobody, then "},
    {"one byte more", BYTES("PROXY UNKNOWN 1234567890123456789012345678901234567890123456789012345678901234567890"
                            "1234567890123456789012\r\n"), "malformed"},
    {"unfinished", BYTES("PROXY TCP4 192.0.2.1 198.51.100.1 56324 25\r"), "more"},
    {"bare LF", BYTES("PROXY TCP4 192.0.2.1 198.51.100.1 56324 25\n"), "malformed"},
    {"two blanks", BYTES("PROXY TCP4  192.0.2.1 198.51.100.1 56324 25\r\n"), "malformed"},
    {"a blank at the end", BYTES("PROXY TCP4 192.0.2.1 198.51.100.1 56324 25 \r\n"), "malformed"},
    {"a port too few", BYTES("PROXY TCP4 192.0.2.1 198.51.100.1 56324\r\n"), "malformed"},
    {"port too large", BYTES("PROXY TCP4 192.0.2.1 198.51.100.1 65536 25\r\n"), "malformed"},
    {"port with a zero", BYTES("PROXY TCP4 192.0.2.1 198.51.100.1 025 25\r\n"), "malformed"},
    {"the other family", BYTES("PROXY TCP4 2001:db8::1 2001:db8::2 1 25\r\n"), "malformed"},
    {"the other family again", BYTES("PROXY TCP6 192.0.2.1 198.51.100.1 1 25\r\n"), "malformed"},
    {"small letters", BYTES("proxy TCP4 192.0.2.1 198.51.100.1 1 25\r\n"), "malformed"},
    {"UDP4", BYTES("PROXY UDP4 192.0.2.1 198.51.100.1 1 25\r\n"), "malformed"},
    {"a name", BYTES("PROXY TCP4 localhost 198.51.100.1 1 25\r\n"), "malformed"},
    {"UNKNOWN with letters behind", BYTES("PROXY UNKNOWNS\r\n"), "malformed"},
    {"SMTP", BYTES("EHLO client\r\n"), "malformed"},
    {"TLS", BYTES("\x16\x03\x01\x02"), "malformed"},
    {"an empty line", BYTES("\r\nEHLO c\r\n"), "malformed"},
    {"version 2, TCP4", BYTES(SIGNATURE "\x21\x11\0\x0c\xc0\0\2\1\xc6\x33\x64\1\x12\x34\0\x19" "EHLO"), "192.0.2.1:4660, then EHLO"},
    {"version 2, TCP4 with a TLV", BYTES(SIGNATURE "\x21\x11\0\x0f\xc0\0\2\1\xc6\x33\x64\1\x12\x34\0\x19\4\0\0" "E"),
     "192.0.2.1:4660, then E"},
    {"version 2, TCP6", BYTES(SIGNATURE "\x21\x21\0\x24 \1\r\xb8\0\0\0\0\0\0\0\0\0\0\0\1 \1\r\xb8\0\0\0\0\0\0\0\0\0\0\0\2\0\1\0\x19"),
     "[2001:db8::1]:1, then "},
    {"version 2, mapped", BYTES(SIGNATURE "\x21\x21\0\x24\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\2\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\2\0\1\0\x19"),
     "192.0.2.1:1, then "},
    {"version 2, LOCAL", BYTES(SIGNATURE "\x20\0\0\0x"), "nobody, then x"},
    {"version 2, LOCAL with bytes", BYTES(SIGNATURE "\x20\x11\0\2abx"), "nobody, then x"},
    {"version 2, unspecified", BYTES(SIGNATURE "\x21\0\0\0x"), "nobody, then x"},
    {"version 2, too short", BYTES(SIGNATURE "\x21\x11\0\x0b\xc0\0\2\1\xc6\x33\x64\1\x12\x34\0"), "malformed"},
    {"version 2, UDP4", BYTES(SIGNATURE "\x21\x12\0\x0c\xc0\0\2\1\xc6\x33\x64\1\x12\x34\0\x19"), "malformed"},
    {"version 1 in binary", BYTES(SIGNATURE "\x11\x11\0\x0c\xc0\0\2\1\xc6\x33\x64\1\x12\x34\0\x19"), "malformed"},
    {"an unknown command", BYTES(SIGNATURE "\x22\x11\0\x0c\xc0\0\2\1\xc6\x33\x64\1\x12\x34\0\x19"), "malformed"},
    {"more than is taken", BYTES(SIGNATURE "\x21\x11\x07\xf1"), "malformed"},
    {"unfinished version 2", BYTES(SIGNATURE "\x21\x11\x07\xf0"), "more"},
    {"a wrong signature", BYTES("\r\n\r\n\0\r\nQUIT\r\x21\x11\0\0"), "malformed"},
};

static void test_headers(void **state)
{
    static const struct split_machine machine = {front_start, front_feed, front_finish};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        split_test(cases[i].name, cases[i].input, &machine, cases[i].expected);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {cmocka_unit_test(test_headers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
