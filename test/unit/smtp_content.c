#include "smtp/content.h"

#include "test/unit/check.h"
#include "test/unit/split.h"

/* ---- decoding ---- */

struct decoding {
    struct smtp_content_decoder decoder;
    struct buffer out;
    bool ended;
    size_t behind; /* bytes that came after the end mark */
};

static void *decode_start(void)
{
    struct decoding *decoding = calloc(1, sizeof *decoding);
    assert_non_null(decoding);
    smtp_content_decoder_init(&decoding->decoder);
    buffer_init(&decoding->out, 1 << 24);
    return decoding;
}

static void decode_feed(void *machine, struct slice part, struct buffer *events)
{
    struct decoding *decoding = machine;
    size_t taken = 0;
    (void)events;
    if (!decoding->ended) {
        decoding->ended = smtp_content_decode(&decoding->decoder, part, &decoding->out, &taken);
        assert_true(decoding->ended || taken == part.length);
    }
    decoding->behind += part.length - taken;
}

/* "CONTENT end OK length=7 line=5 behind=0\n" */
static void decode_finish(void *machine, struct buffer *events)
{
    struct decoding *decoding = machine;
    const struct smtp_content_decoder *decoder = &decoding->decoder;
    assert_int_equal(decoder->length, buffer_length(&decoding->out));
    buffer_add(events, buffer_slice(&decoding->out));
    buffer_print(events, "<%s %s line=%zu behind=%zu%s>", decoding->ended ? "end" : "more",
                 smtp_content_fault_text(decoder->fault), decoder->line_length_max, decoding->behind,
                 decoder->eight_bit ? " 8bit" : "");
    buffer_free(&decoding->out);
    free(decoding);
}

static const struct split_machine decoder = {decode_start, decode_feed, decode_finish};

#define BYTES(literal)                                                                                                 \
    {                                                                                                                  \
        "" literal, sizeof(literal) - 1                                                                                \
    }

static void test_decoding(void **state)
{
    static const struct {
        const char *name;
        struct slice input;
        const char *events;
    } cases[] = {
        {"a line", BYTES("hello\r\n.\r\n"), "hello\r\n<end  line=5 behind=0>"},
        {"nothing", BYTES(".\r\n"), "<end  line=0 behind=0>"},
        {"an empty line", BYTES("\r\n.\r\n"), "\r\n<end  line=0 behind=0>"},
        {"what follows stays", BYTES("a\r\n.\r\nQUIT\r\n"), "a\r\n<end  line=1 behind=6>"},
        {"stuffed dot", BYTES("..\r\n.\r\n"), ".\r\n<end  line=1 behind=0>"},
        {"two stuffed dots", BYTES("...\r\n.\r\n"), "..\r\n<end  line=2 behind=0>"},
        {"a dot that nobody stuffed", BYTES(".a\r\n.\r\n"), "a\r\n<end  line=1 behind=0>"},
        {"a dot in the middle", BYTES("a.\r\nb.b\r\n.\r\n"), "a.\r\nb.b\r\n<end  line=3 behind=0>"},
        {"8-bit", BYTES("\xc3\xa4\r\n.\r\n"), "\xc3\xa4\r\n<end  line=2 behind=0 8bit>"},
        {"8-bit behind a dot", BYTES(".\xff\r\n.\r\n"), "\xff\r\n<end  line=1 behind=0 8bit>"},
        {"no end", BYTES("a\r\nb"), "a\r\nb<more  line=1 behind=0>"},
        {"no end: dot", BYTES("a\r\n."), "a\r\n<more  line=1 behind=0>"},
        {"no end: dot CR", BYTES("a\r\n.\r"), "a\r\n<more  line=1 behind=0>"},
        {"bare LF", BYTES("a\nb\r\n.\r\n"), "a\nb\r\n<end bare LF line=3 behind=0>"},
        {"bare LF first", BYTES("\n\r\n.\r\n"), "\n\r\n<end bare LF line=1 behind=0>"},
        {"bare CR", BYTES("a\rb\r\n.\r\n"), "a\rb\r\n<end bare CR line=3 behind=0>"},
        {"CR CR LF", BYTES("a\r\r\n.\r\n"), "a\r\r\n<end bare CR line=2 behind=0>"},
        {"the first fault stays", BYTES("a\rb\nc\r\n.\r\n"), "a\rb\nc\r\n<end bare CR line=5 behind=0>"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        split_test(cases[i].name, cases[i].input, &decoder, cases[i].events);
    split_test("NUL", SLICE("a\0b\r\n.\r\n"), &decoder, NULL);
}

static void *decode_leniently(void)
{
    struct decoding *decoding = decode_start();
    decoding->decoder.lenient = true;
    return decoding;
}

static const struct split_machine lenient_decoder = {decode_leniently, decode_feed, decode_finish};

/* What ends a line bare never makes an end of the content, nor takes a dot away. */
static void test_decoding_leniently(void **state)
{
    static const struct {
        const char *name;
        struct slice input;
        const char *events;
    } cases[] = {
        {"bare LF", BYTES("a\nbc\r\n.\r\n"), "a\r\nbc\r\n<end  line=2 behind=0>"},
        {"bare CR", BYTES("a\rbc\r\n.\r\n"), "a\r\nbc\r\n<end  line=2 behind=0>"},
        {"LF CR", BYTES("a\n\rb\r\n.\r\n"), "a\r\n\r\nb\r\n<end  line=1 behind=0>"},
        {"CR CR LF", BYTES("a\r\r\n.\r\n"), "a\r\n\r\n<end  line=1 behind=0>"},
        {"LF . LF", BYTES("a\n.\nb\r\n.\r\n"), "a\r\n.\r\nb\r\n<end  line=1 behind=0>"},
        {"LF . CRLF", BYTES("a\n.\r\nb\r\n.\r\n"), "a\r\n.\r\nb\r\n<end  line=1 behind=0>"},
        {"CRLF . LF", BYTES("a\r\n.\nb\r\n.\r\n"), "a\r\n.\r\nb\r\n<end  line=1 behind=0>"},
        {"CRLF . CR", BYTES("a\r\n.\rb\r\n.\r\n"), "a\r\n.\r\nb\r\n<end  line=1 behind=0>"},
        {"CRLF . CR CRLF", BYTES("a\r\n.\r\r\nb\r\n.\r\n"), "a\r\n.\r\n\r\nb\r\n<end  line=1 behind=0>"},
        {"CR . CRLF", BYTES("a\r.\r\nb\r\n.\r\n"), "a\r\n.\r\nb\r\n<end  line=1 behind=0>"},
        {"first of all", BYTES("\n.\n.\r\n.\r\n"), "\r\n.\r\n.\r\n<end  line=1 behind=0>"},
        {"stuffed behind CRLF", BYTES("..a\n..b\r\n...\n.\r\n.\r\n"), ".a\r\n..b\r\n..\r\n.\r\n<end  line=3 behind=0>"},
        {"what follows stays", BYTES("a\n\r\n.\r\nQUIT\r\n"), "a\r\n\r\n<end  line=1 behind=6>"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        split_test(cases[i].name, cases[i].input, &lenient_decoder, cases[i].events);
}

/* The sequences with which two systems were made to disagree about where a message ends (SMTP smuggling, 2023). None
 * ends it; each is a fault, and what follows is read up to the true end. */
static void test_smuggling(void **state)
{
    static const struct slice sequences[] = {
        BYTES("\n.\n"),   BYTES("\n.\r"),       BYTES("\r.\n"),       BYTES("\r.\r"),         BYTES("\n.\r\n"),
        BYTES("\r.\r\n"), BYTES("\r\n\0.\r\n"), BYTES("\r\n.\r\r\n"), BYTES("\r\r\n.\r\r\n"), BYTES("\r\n.\n"),
        BYTES("\r\n.\r"), BYTES("\n\n.\r\n"),   BYTES("\r\n.\0\r\n"), BYTES("\r\n.\n\r\n"),   BYTES("\n\r.\r\n"),
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(sequences); i++) {
        char name[32], input[128];
        snprintf(name, sizeof name, "sequence %zu", i);
        struct buffer bytes, events;
        buffer_init(&bytes, sizeof input);
        buffer_init(&events, 4096);
        buffer_add(&bytes, SLICE("Subject: a\r\n\r\nbody"));
        buffer_add(&bytes, sequences[i]);
        buffer_add(&bytes, SLICE("MAIL FROM:<b@c.example>\r\n.\r\nNOOP\r\n"));
        split_test(name, buffer_slice(&bytes), &decoder, NULL);
        split_run(&decoder, buffer_slice(&bytes), SIZE_MAX, &events);
        struct slice got = buffer_slice(&events);
        check_true(name, slice_find_slice(got, SLICE("MAIL FROM:<b@c.example>")) < got.length);
        check_true(name, slice_find_slice(got, SLICE("<end bare ")) < got.length ||
                             slice_find_slice(got, SLICE("<end NUL")) < got.length);
        check_true(name, slice_ends(got, SLICE("behind=6>")));
        buffer_free(&bytes);
        buffer_free(&events);
    }
}

static void test_decoding_into_nothing(void **state)
{
    (void)state;
    struct smtp_content_decoder kept, thrown;
    struct buffer out;
    size_t taken;
    struct slice input = SLICE("..a\r\nb\r\n.\r\nrest");
    buffer_init(&out, 4096);
    smtp_content_decoder_init(&kept);
    smtp_content_decoder_init(&thrown);
    assert_true(smtp_content_decode(&kept, input, &out, &taken));
    assert_true(smtp_content_decode(&thrown, input, NULL, &taken));
    assert_int_equal(taken, 11);
    assert_int_equal(thrown.length, kept.length);
    assert_int_equal(thrown.length, 7);
    buffer_free(&out);

    buffer_init(&out, 8); /* too small: nothing is taken, nothing is lost */
    smtp_content_decoder_init(&kept);
    assert_false(smtp_content_decode(&kept, input, &out, &taken));
    assert_int_equal(taken, 0);
    assert_true(buffer_failed(&out));
    buffer_free(&out);
}

/* ---- encoding ---- */

struct encoding {
    struct smtp_content_encoder encoder;
};

static void *encode_start(void)
{
    struct encoding *encoding = calloc(1, sizeof *encoding);
    assert_non_null(encoding);
    smtp_content_encoder_init(&encoding->encoder);
    return encoding;
}

static void *encode_start_counted(void)
{
    struct encoding *encoding = encode_start();
    encoding->encoder.counted = true;
    return encoding;
}

static void encode_feed(void *machine, struct slice part, struct buffer *events)
{
    smtp_content_encode(&((struct encoding *)machine)->encoder, part, events);
}

static void encode_finish(void *machine, struct buffer *events)
{
    smtp_content_encode_end(&((struct encoding *)machine)->encoder, events);
    free(machine);
}

static const struct split_machine encoder = {encode_start, encode_feed, encode_finish};
static const struct split_machine encoder_counted = {encode_start_counted, encode_feed, encode_finish};

static void test_encoding(void **state)
{
    static const struct {
        const char *name;
        struct slice input;
        const char *stuffed, *counted;
    } cases[] = {
        {"lines", BYTES("a\r\nb\r\n"), "a\r\nb\r\n.\r\n", "a\r\nb\r\n"},
        {"nothing", BYTES(""), ".\r\n", ""},
        {"dot", BYTES(".\r\n"), "..\r\n.\r\n", ".\r\n"},
        {"dots", BYTES(".a\r\n..\r\na.\r\n"), "..a\r\n...\r\na.\r\n.\r\n", ".a\r\n..\r\na.\r\n"},
        {"no line end", BYTES("a"), "a\r\n.\r\n", "a\r\n"},
        {"dot without line end", BYTES("a\r\n."), "a\r\n..\r\n.\r\n", "a\r\n.\r\n"},
        {"bare LF", BYTES("a\n.\nb"), "a . b\r\n.\r\n", "a . b\r\n"},
        {"bare CR", BYTES("a\r.\rb\r\n"), "a . b\r\n.\r\n", "a . b\r\n"},
        {"CR CR LF", BYTES("a\r\r\n.b"), "a \r\n..b\r\n.\r\n", "a \r\n.b\r\n"},
        {"CR last", BYTES("a\r"), "a \r\n.\r\n", "a \r\n"},
        {"NUL", BYTES("\r\n\0.\r\n"), "\r\n .\r\n.\r\n", "\r\n .\r\n"},
        {"LF CR", BYTES("a\n\rb"), "a  b\r\n.\r\n", "a  b\r\n"},
        {"dot LF", BYTES("\r\n.\n\r\n"), "\r\n.. \r\n.\r\n", "\r\n. \r\n"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        split_test(cases[i].name, cases[i].input, &encoder, cases[i].stuffed);
        split_test(cases[i].name, cases[i].input, &encoder_counted, cases[i].counted);
    }
}

/* Whatever bytes go in, the decoder finds no fault, the same lines and the end where it is. */
static void test_round_trip(void **state)
{
    (void)state;
    static const char alphabet[] = {'\r', '\n', '.', 'a', '\0'};
    struct buffer wire, back, again;
    buffer_init(&wire, 4096);
    buffer_init(&back, 4096);
    buffer_init(&again, 4096);
    for (unsigned seed = 0; seed < 15625; seed++) { /* all words of six letters */
        char text[6];
        for (unsigned i = 0, rest = seed; i < sizeof text; i++, rest /= 5)
            text[i] = alphabet[rest % 5];
        split_run(&encoder, slice_make(text, sizeof text), SIZE_MAX, &wire);
        struct smtp_content_decoder content;
        size_t taken;
        smtp_content_decoder_init(&content);
        buffer_clear(&back);
        assert_true(smtp_content_decode(&content, buffer_slice(&wire), &back, &taken));
        assert_int_equal(taken, buffer_length(&wire));
        assert_int_equal(content.fault, SMTP_CONTENT_OK);
        split_run(&encoder_counted, slice_make(text, sizeof text), SIZE_MAX, &again);
        check_slice("both encoders", buffer_slice(&back), buffer_slice(&again));
    }
    buffer_free(&wire);
    buffer_free(&back);
    buffer_free(&again);
}

/* ---- normalising ---- */

static void *normalise_start(void)
{
    return calloc(1, sizeof(int));
}

static void normalise_feed(void *machine, struct slice part, struct buffer *events)
{
    smtp_content_normalise(machine, part, false, events);
}

static void normalise_finish(void *machine, struct buffer *events)
{
    smtp_content_normalise(machine, SLICE_EMPTY, true, events);
    free(machine);
}

static const struct split_machine normaliser = {normalise_start, normalise_feed, normalise_finish};

static void test_normalising(void **state)
{
    static const struct {
        const char *name;
        struct slice input;
        const char *output;
    } cases[] = {
        {"nothing", BYTES(""), ""},
        {"LF", BYTES("a\nb\n"), "a\r\nb\r\n"},
        {"CRLF", BYTES("a\r\nb\r\n"), "a\r\nb\r\n"},
        {"mixed", BYTES("a\r\nb\nc"), "a\r\nb\r\nc\r\n"},
        {"lone CR", BYTES("a\rb\n"), "a b\r\n"},
        {"CR CR LF", BYTES("a\r\r\n"), "a \r\n"},
        {"CR last", BYTES("a\r"), "a \r\n"},
        {"CR alone", BYTES("\r"), " \r\n"},
        {"NUL", BYTES("a\0b\n"), "ab\r\n"},
        {"NUL between", BYTES("a\r\0\nb"), "a\r\nb\r\n"},
        {"NUL alone", BYTES("\0"), ""},
        {"empty lines", BYTES("\n\n"), "\r\n\r\n"},
        {"dots stay", BYTES(".\n..\n"), ".\r\n..\r\n"},
        {"8-bit", BYTES("\xff\n"), "\xff\r\n"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        split_test(cases[i].name, cases[i].input, &normaliser, cases[i].output);
}

/* Runs are found eight bytes at a time: each byte that ends one, or could be mistaken for one that does, at each place,
 * against the machine that is fed byte by byte. */
static void test_runs(void **state)
{
    (void)state;
    static const char odd[] = "\r\n\0.\x80\x8d\x8a\x01\x0b\x0c\x0e\x09\xff";
    static const struct split_machine *const machines[] = {&decoder, &encoder, &encoder_counted, &normaliser};
    struct buffer whole, bytes;
    buffer_init(&whole, 4096);
    buffer_init(&bytes, 4096);
    for (size_t length = 1; length <= 40; length++) {
        for (size_t i = 0; i < length * (sizeof odd - 1); i++) {
            char content[48];
            memset(content, 'x', sizeof content);
            memcpy(content + length, "\r\n.\r\n", 5);
            content[i % length] = odd[i / length];
            for (size_t m = 0; m < COUNT_OF(machines); m++) {
                split_run(machines[m], slice_make(content, length + 5), length + 5, &whole);
                split_run(machines[m], slice_make(content, length + 5), SIZE_MAX, &bytes);
                check_slice("at once as byte by byte", buffer_slice(&whole), buffer_slice(&bytes));
            }
        }
    }
    buffer_free(&whole);
    buffer_free(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decoding),
        cmocka_unit_test(test_decoding_leniently),
        cmocka_unit_test(test_smuggling),
        cmocka_unit_test(test_decoding_into_nothing),
        cmocka_unit_test(test_encoding),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_normalising),
        cmocka_unit_test(test_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
