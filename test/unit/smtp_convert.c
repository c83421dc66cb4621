#include "smtp/convert.h"

#include "test/unit/check.h"
#include "test/unit/split.h"

/* ---- the survey ---- */

static void *survey_start(void)
{
    struct smtp_survey *survey = malloc(sizeof *survey);
    assert_non_null(survey);
    smtp_survey_init(survey);
    return survey;
}

static void survey_feed(void *machine, struct slice part, struct buffer *events)
{
    (void)events;
    smtp_survey_feed(machine, part);
}

/* "long 8bit header stays fixed=1200 utf-8 1:L 3:8" */
static void survey_finish(void *machine, struct buffer *events)
{
    struct smtp_survey *survey = machine;
    smtp_survey_finish(survey);
    struct slice form = smtp_survey_form(survey);
    if (survey->has_long_lines)
        buffer_add(events, SLICE("long "));
    if (survey->is_eight_bit)
        buffer_add(events, SLICE("8bit "));
    if (survey->has_eight_bit_header)
        buffer_add(events, SLICE("header "));
    if (survey->stays_eight_bit)
        buffer_add(events, SLICE("stays "));
    assert_true(form.length == 0 || survey->stays_eight_bit == smtp_form_stays_eight_bit(form));
    if (survey->fixed_line_max > 0)
        buffer_print(events, "fixed=%llu ", (unsigned long long)survey->fixed_line_max);
    buffer_print(events, "%s", smtp_form_charset(form));
    for (unsigned i = 0; i < 2000; i++) {
        unsigned notes = smtp_form_notes(form, i);
        if (notes != 0)
            buffer_print(events, " %u:%s%s", i, notes & SMTP_FORM_LONG ? "L" : "", notes & SMTP_FORM_EIGHT_BIT ? "8" : "");
    }
    free(survey);
}

static const struct split_machine surveyor = {survey_start, survey_feed, survey_finish};

#define X10 "xxxxxxxxxx"
#define X100 X10 X10 X10 X10 X10 X10 X10 X10 X10 X10
#define X999 X100 X100 X100 X100 X100 X100 X100 X100 X100 X10 X10 X10 X10 X10 X10 X10 X10 X10 "yyyyyyyyy"
#define MIXED "Content-Type: multipart/mixed; boundary=o\r\n\r\n"

static void test_survey(void **state)
{
    static const struct {
        const char *name, *input, *found;
    } cases[] = {
        {"nothing", "", "us-ascii"},
        {"plain", "A: b\r\n\r\nbody\r\n", "us-ascii"},
        {"what is 8bit by name only", "Content-Transfer-Encoding: 8bit\r\n\r\nbody\r\n", "us-ascii"},
        {"undeclared UTF-8", "\r\n\xc3\xa4\r\n", "8bit utf-8 0:8"},
        {"the widest characters", "\r\n\xe0\xa0\x80\xed\x9f\xbf\xf0\x90\x80\x80\xf4\x8f\xbf\xbf\r\n", "8bit utf-8 0:8"},
        {"undeclared Latin-1", "\r\ngr\xfc\xdf\r\n", "8bit unknown-8bit 0:8"},
        {"a character cut by the line's end", "\r\n\xc3\r\n\xa4\r\n", "8bit unknown-8bit 0:8"},
        {"a character cut by the end", "\r\n\xe2\x82", "8bit unknown-8bit 0:8"},
        {"overlong", "\r\n\xc0\x80\r\n", "8bit unknown-8bit 0:8"},
        {"overlong, three bytes", "\r\n\xe0\x9f\xbf\r\n", "8bit unknown-8bit 0:8"},
        {"a surrogate", "\r\n\xed\xa0\x80\r\n", "8bit unknown-8bit 0:8"},
        {"too high", "\r\n\xf4\x90\x80\x80\r\n", "8bit unknown-8bit 0:8"},
        {"declared", "Content-Type: text/plain\r\n\r\n\xc3\xa4\r\n", "8bit us-ascii 0:8"},
        {"a long line", "\r\n" X999 "\r\n", "long us-ascii 0:L"},
        {"both", "\r\n" X999 "\xc3\xa4\r\n", "long 8bit utf-8 0:L8"},
        {"a long header field", "A: " X999 "\r\n\r\nbody\r\n", "long us-ascii"},
        {"an 8-bit header field", "A: \xc3\xa4\r\n\r\nbody\r\n", "8bit header stays us-ascii"},
        {"quoted-printable", "Content-Transfer-Encoding: quoted-printable\r\n\r\n" X999 "\xc3\xa4\r\n", "long 8bit us-ascii"},
        {"base64", "Content-Transfer-Encoding: BASE64\r\n\r\n" X999 "\r\n", "long us-ascii"},
        {"an unknown encoding", "Content-Transfer-Encoding: x\r\n\r\n" X999 "\xff\r\nshort\r\n", "long 8bit stays fixed=1002 us-ascii"},
        {"parts", MIXED "--o\r\n\r\nbody\r\n--o\r\n\r\n" X999 "\r\n--o\r\n\r\n\xff\r\n--o--\r\n", "long 8bit us-ascii 2:L 3:8"},
        {"labels count where there is something", "Content-Transfer-Encoding: 8bit\r\n" MIXED "--o\r\nContent-Transfer-Encoding: binary\r\n\r\n"
         "a\r\n--o\r\n\r\n\xff\r\n", "8bit us-ascii 0:8 1:8 2:8"},
        {"beside the parts", MIXED "\xff\r\n" X999 "\r\n--o--\r\n\xff\r\n", "long 8bit us-ascii"},
        {"in a message", MIXED "--o\r\nContent-Type: message/rfc822\r\n\r\nA: \xff\r\n\r\n\xff\r\n", "8bit header stays us-ascii 2:8"},
        {"signed", MIXED "--o\r\nContent-Type: multipart/signed; boundary=i\r\n\r\n--i\r\n\r\n\xff\r\n" X999 "\r\n" X999 "1\r\n--o--\r\n",
         "long 8bit stays fixed=1002 us-ascii"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        split_test(cases[i].name, slice_of(cases[i].input), &surveyor, cases[i].found);
}

static void survey_parts(unsigned count, struct slice last, struct buffer *events)
{
    struct buffer input;
    buffer_init(&input, 1 << 20);
    buffer_add(&input, SLICE(MIXED));
    for (unsigned i = 0; i < count; i++)
        buffer_add(&input, SLICE("--o\r\n\r\na\r\n"));
    buffer_add(&input, last);
    split_run(&surveyor, buffer_slice(&input), buffer_length(&input), events);
    buffer_free(&input);
}

/* Beyond the room for notes parts share one: what must be done for one of them is done for all. */
static void test_survey_of_many_parts(void **state)
{
    struct buffer events;
    (void)state;
    buffer_init(&events, 1 << 16);
    survey_parts(SMTP_FORM_PARTS - 3, SLICE("--o\r\n\r\n\xff\r\n"), &events);
    assert_true(slice_equal(buffer_slice(&events), SLICE("8bit us-ascii 1022:8")));
    survey_parts(SMTP_FORM_PARTS + 100, SLICE("--o\r\n\r\n\xff\r\n"), &events);
    assert_true(slice_starts(buffer_slice(&events), SLICE("8bit us-ascii 1023:8 1024:8 1025:8")));
    assert_true(slice_ends(buffer_slice(&events), SLICE(" 1999:8")));
    buffer_free(&events);
}

/* ---- the conversion ---- */

/* What the next machine is made for: cmocka's tests have no argument for it. */
static enum smtp_convert_goal goal;
static struct slice form;

struct conversion {
    struct smtp_convert convert;
    struct buffer out;
};

static void *convert_start(void)
{
    struct conversion *conversion = malloc(sizeof *conversion);
    assert_non_null(conversion);
    smtp_convert_init(&conversion->convert, goal, form);
    buffer_init(&conversion->out, 1 << 24);
    return conversion;
}

static void convert_feed(void *machine, struct slice part, struct buffer *events)
{
    struct conversion *conversion = machine;
    (void)events;
    smtp_convert_feed(&conversion->convert, part, &conversion->out);
}

static void convert_finish(void *machine, struct buffer *events)
{
    struct conversion *conversion = machine;
    smtp_convert_finish(&conversion->convert, &conversion->out);
    buffer_add(events, buffer_slice(&conversion->out));
    buffer_free(&conversion->out);
    free(conversion);
}

static const struct split_machine converter = {convert_start, convert_feed, convert_finish};

static void check_conversion(const char *name, const char *input, const char *expected)
{
    static struct smtp_survey survey; /* the form is a view into it */
    smtp_survey_init(&survey);
    smtp_survey_feed(&survey, slice_of(input));
    smtp_survey_finish(&survey);
    form = smtp_survey_form(&survey);
    split_test(name, slice_of(input), &converter, expected);
}

struct conversion_case {
    const char *name, *input, *expected; /* NULL: as it was */
};
static void run_conversions(const struct conversion_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++)
        check_conversion(cases[i].name, cases[i].input, cases[i].expected == NULL ? cases[i].input : cases[i].expected);
}

#define QP "Content-Transfer-Encoding: quoted-printable\r\n"
#define VERSION "MIME-Version: 1.0\r\n"
#define X75 X10 X10 X10 X10 X10 X10 X10 "xxxxx"
/* X999 broken into lines of 75. */
#define X999_LINES X75 "=\r\n" X75 "=\r\n" X75 "=\r\n" X75 "=\r\n" X75 "=\r\n" X75 "=\r\n" X75 "=\r\n" X75 "=\r\n" X75 "=\r\n" \
    X75 "=\r\n" X75 "=\r\n" X75 "=\r\n" X75 "=\r\n" X10 "xxxxx" "yyyyyyyyy"

static void test_seven_bit(void **state)
{
    static const struct conversion_case cases[] = {
        {"nothing to do", "A: b\r\n\r\nbody\r\n", NULL},
        {"undeclared", "A: b\r\n\r\n\xc3\xa4 =\r\n", "A: b\r\n" VERSION "Content-Type: text/plain; charset=utf-8\r\n" QP "\r\n=C3=A4 =3D\r\n"},
        {"undeclared Latin-1", "\r\n\xe4\r\n", VERSION "Content-Type: text/plain; charset=unknown-8bit\r\n" QP "\r\n=E4\r\n"},
        {"declared", VERSION "Content-Type: text/html; charset=x\r\nContent-Transfer-Encoding:\r\n 8bit\r\nA: b\r\n\r\n\xe4\r\n",
         VERSION "Content-Type: text/html; charset=x\r\nA: b\r\n" QP "\r\n=E4\r\n"},
        {"without version", "Content-Type: text/plain\r\n\r\n\xe4\r\n", "Content-Type: text/plain\r\n" VERSION QP "\r\n=E4\r\n"},
        {"8bit by name only", "Content-Transfer-Encoding: 8bit\r\n\r\na\r\n", NULL},
        {"two encodings", VERSION "Content-Type: a/b\r\nContent-Transfer-Encoding: 8bit\r\nContent-Transfer-Encoding: 7bit\r\n\r\n\xe4\r\n",
         VERSION "Content-Type: a/b\r\n" QP "\r\n=E4\r\n"},
        {"an 8-bit header only", "A: \xe4\r\n\r\nbody\r\n", NULL},
        {"blanks at the end", "\r\n\xe4 \r\na\t\r\n  \r\n \tb\r\n",
         VERSION "Content-Type: text/plain; charset=unknown-8bit\r\n" QP "\r\n=E4=20\r\na=09\r\n =20\r\n \tb\r\n"},
        {"unfinished", "\r\n\xe4 ", VERSION "Content-Type: text/plain; charset=unknown-8bit\r\n" QP "\r\n=E4=20\r\n"},
        {"dots and dashes stay", "\r\n\xe4\r\n.\r\n--\r\n-- \r\n",
         VERSION "Content-Type: text/plain; charset=unknown-8bit\r\n" QP "\r\n=E4\r\n.\r\n--\r\n--=20\r\n"},
        {"one part of two", VERSION MIXED "pre\r\n--o\r\nA: b\r\n\r\na=\r\n--o\r\nContent-Type: text/x\r\n\r\n\xe4\r\n--o--\r\nepi\r\n",
         VERSION MIXED "pre\r\n--o\r\nA: b\r\n\r\na=\r\n--o\r\nContent-Type: text/x\r\n" QP "\r\n=E4\r\n--o--\r\nepi\r\n"},
        {"labels", VERSION "Content-Transfer-Encoding: 8bit\r\n" MIXED "--o\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\xe4\r\n--o--\r\n",
         VERSION "Content-Type: multipart/mixed; boundary=o\r\nContent-Transfer-Encoding: 7bit\r\n\r\n--o\r\n" QP "\r\n=E4\r\n--o--\r\n"},
        {"a label that stays true", VERSION "Content-Transfer-Encoding: 8bit\r\n" MIXED "--o\r\nContent-Type: multipart/signed\r\n\r\n\xe4\r\n--o--\r\n",
         VERSION "Content-Type: multipart/mixed; boundary=o\r\nContent-Transfer-Encoding: 8bit\r\n\r\n--o\r\nContent-Type: multipart/signed\r\n"
         "\r\n\xe4\r\n--o--\r\n"},
        {"a message inside", "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\nA: b\r\n\r\n\xe4\r\n",
         "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: 7bit\r\n\r\nA: b\r\n" QP "\r\n=E4\r\n"},
        {"a part without empty line", MIXED "--o\r\nA: b\r\n\xe4 x\r\n--o--\r\n", MIXED "--o\r\nA: b\r\n" QP "\r\n=E4 x\r\n--o--\r\n"},
        {"a part that ends within its header", MIXED "--o\r\nContent-Transfer-Encoding: 8bit\r\n--o\r\n\r\n\xe4\r\n--o--\r\n",
         MIXED "--o\r\nContent-Transfer-Encoding: 8bit\r\n--o\r\n" QP "\r\n=E4\r\n--o--\r\n"},
        {"beside the parts", MIXED "a\xe4\r\n--o\r\n\r\nb\r\n--o--\r\n\xff", MIXED "a*\r\n--o\r\n\r\nb\r\n--o--\r\n*\r\n"},
        {"quoted-printable", QP "\r\n\xe4=C4=\r\n=20\r\n", QP "\r\n=E4=C4=\r\n=20\r\n"},
        {"base64", "Content-Transfer-Encoding: base64\r\n\r\nAA\xe4-A=\r\n", "Content-Transfer-Encoding: base64\r\n\r\nAA*-A=\r\n"},
        {"opaque", "Content-Transfer-Encoding: x\r\n\r\n\xe4\r\n", NULL},
        {"opaque beside others", MIXED "--o\r\nContent-Transfer-Encoding: x\r\n\r\n\xe4\r\n--o\r\n\r\n\xe4\r\n",
         MIXED "--o\r\nContent-Transfer-Encoding: x\r\n\r\n\xe4\r\n--o\r\n" QP "\r\n=E4\r\n"},
    };
    (void)state;
    goal = SMTP_CONVERT_SEVEN_BIT;
    run_conversions(cases, COUNT_OF(cases));
}

static void test_lines(void **state)
{
    static const struct conversion_case cases[] = {
        {"8 bits may stay", "A: b\r\n\r\n\xe4\r\n", NULL},
        {"8 bits may stay beside", MIXED "--o\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\xe4\r\n--o\r\n\r\n" X999 "\r\n--o--\r\n",
         MIXED "--o\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\xe4\r\n--o\r\n" QP "\r\n" X999_LINES "\r\n--o--\r\n"},
        {"a long line", VERSION "Content-Type: text/plain\r\n\r\na\r\n" X999 "\r\nb \r\n",
         VERSION "Content-Type: text/plain\r\n" QP "\r\na\r\n" X999_LINES "\r\nb=20\r\n"},
        {"undeclared", "\r\n" X999, VERSION "Content-Type: text/plain; charset=us-ascii\r\n" QP "\r\n" X999_LINES "\r\n"},
        {"quoted-printable", QP "\r\nshort =\r\n" X999 "\r\n", QP "\r\nshort =\r\n" X999_LINES "\r\n"},
        {"quoted-printable is not broken within an escape", QP "\r\n" X10 X10 X10 X10 X10 X10 X10 "xx=3D=3D" X999 "\r\n",
         QP "\r\n" X10 X10 X10 X10 X10 X10 X10 "xx=3D=\r\n=3D" X10 X10 X10 X10 X10 X10 X10 "xx=\r\n" X75 "=\r\n" X75 "=\r\n" X75 "=\r\n" X75
         "=\r\n" X75 "=\r\n" X75 "=\r\n" X75 "=\r\n" X75 "=\r\n" X75 "=\r\n" X75 "=\r\n" X75 "=\r\n" X75 "=\r\n" X10 "xxxxxxxxyyyyyyyyy\r\n"},
        {"opaque", "Content-Transfer-Encoding: x\r\n\r\n" X999 "\r\n", NULL},
        {"a field with blanks", "A: " X10 X10 X10 X10 X10 X10 X10 "aaaaa bb  cc " X999 " d \r\nB: c\r\n\r\n",
         "A: " X10 X10 X10 X10 X10 X10 X10 "aaaaa\r\n bb  cc " X100 X100 X100 X100 X100 X100 X100 X100 X100
         X10 X10 X10 X10 X10 X10 X10 X10 "xx\r\n xxxxxxxx" "yyyyyyyyy d\r\nB: c\r\n\r\n"},
        {"a field with commas", "A: " X100 X100 X100 X100 X100 X100 X100 X100 "," X100 "," X100 "\r\n\r\n",
         "A: " X100 X100 X100 X100 X100 X100 X100 X100 "," X100 ",\r\n " X100 "\r\n\r\n"},
    };
    (void)state;
    goal = SMTP_CONVERT_LINES;
    run_conversions(cases, COUNT_OF(cases));
}

static void test_nothing(void **state)
{
    (void)state;
    goal = SMTP_CONVERT_NOTHING;
    check_conversion("as it is", "A: \xff\r\n\r\n" X999 "\xff\n\r", "A: \xff\r\n\r\n" X999 "\xff\n\r");
}

/* A long line in whose middle a delimiter stands: where the line is broken none must arise. */
static void test_delimiters_do_not_arise(void **state)
{
    static const char *const encodings[] = {"7bit", "quoted-printable", "base64"};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(encodings); i++) {
        for (size_t column = 70; column < 80; column++) {
            struct buffer input, events;
            buffer_init(&input, 1 << 16);
            buffer_init(&events, 1 << 16);
            buffer_print(&input, MIXED "--o\r\nContent-Transfer-Encoding: %s\r\n\r\n%0*d--o--o%01200d\r\n--o--\r\n", encodings[i], (int)column, 0, 0);
            buffer_add_byte(&input, '\0');
            goal = SMTP_CONVERT_LINES;
            check_conversion(encodings[i], buffer_slice(&input).data, NULL);
            split_run(&converter, slice_to(buffer_slice(&input), buffer_length(&input) - 1), SIZE_MAX, &events);
            struct slice rest = buffer_slice(&events), line;
            size_t delimiters = 0;
            while (slice_cut(&rest, '\n', &line)) {
                delimiters += slice_starts(line, SLICE("--"));
                check_true(encodings[i], line.length <= 100);
            }
            check_number(encodings[i], delimiters, 2);
            buffer_free(&input);
            buffer_free(&events);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_survey),
        cmocka_unit_test(test_survey_of_many_parts),
        cmocka_unit_test(test_seven_bit),
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_nothing),
        cmocka_unit_test(test_delimiters_do_not_arise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
