/* The TXT record of RFC 8461 3.1. */
#include "sts/record.h"
#include "test/unit/sts_vectors.h"

#define BIT(name) (1u << STS_WARNING_##name)

static const char *warning_name(unsigned number);

struct record_case {
    const char *name;
    struct slice text;
    const char *id; /* NULL: invalid */
    unsigned warnings;
};

static const struct record_case record_cases[] = {
    {.name = "the RFC's example", .text = TEXT("v=STSv1; id=20160831085700Z;"), .id = "20160831085700Z"},
    {.name = "no white space at all", .text = TEXT("v=STSv1;id=1"), .id = "1"},
    {.name = "tabs around delimiters",
     .text = TEXT("v=STSv1\t;\tid=1\t;\ta=b"),
     .id = "1",
     .warnings = BIT(SPACE_BEFORE_DELIMITER)},
    {.name = "id of 32",
     .text = TEXT("v=STSv1; id=abcdefghijklmnopqrstuvwxyz012345"),
     .id = "abcdefghijklmnopqrstuvwxyz012345"},
    {.name = "id of 33", .text = TEXT("v=STSv1; id=abcdefghijklmnopqrstuvwxyz0123456")},
    {.name = "id after an extension", .text = TEXT("v=STSv1; foo=bar:/<>?; id=z"), .id = "z"},
    {.name = "id twice: the first counts", .text = TEXT("v=STSv1; id=a; id=b"), .id = "a", .warnings = BIT(DUPLICATE)},
    {.name = "id twice, the second no id",
     .text = TEXT("v=STSv1; id=a; id=b-c"),
     .id = "a",
     .warnings = BIT(DUPLICATE)},
    {.name = "id twice, the first no id", .text = TEXT("v=STSv1; id=b-c; id=a")},
    {.name = "version twice", .text = TEXT("v=STSv1; v=STSv2; id=a"), .id = "a", .warnings = BIT(DUPLICATE)},
    {.name = "ID is another field than id", .text = TEXT("v=STSv1; ID=a")},
    {.name = "empty field first", .text = TEXT("v=STSv1;; id=a"), .id = "a", .warnings = BIT(EMPTY_FIELD)},
    {.name = "empty fields with white space",
     .text = TEXT("v=STSv1; id=a; ; \t;"),
     .id = "a",
     .warnings = BIT(EMPTY_FIELD)},
    {.name = "white space after the last delimiter",
     .text = TEXT("v=STSv1; id=a; "),
     .id = "a",
     .warnings = BIT(TRAILING_SPACE)},
    {.name = "white space before the version", .text = TEXT(" v=STSv1; id=a")},
    {.name = "version in another case", .text = TEXT("v=stsv1; id=a")},
    {.name = "V in another case", .text = TEXT("V=STSv1; id=a")},
    {.name = "white space in the version", .text = TEXT("v = STSv1; id=a")},
    {.name = "space before the equals sign", .text = TEXT("v=STSv1; id =a")},
    {.name = "space after the equals sign", .text = TEXT("v=STSv1; id= a")},
    {.name = "no delimiter but white space", .text = TEXT("v=STSv1 id=a")},
    {.name = "quoted", .text = TEXT("\"v=STSv1; id=a\"")},
    {.name = "two equals signs", .text = TEXT("v=STSv1; id=a; x=b=c")},
    {.name = "field without a name", .text = TEXT("v=STSv1; id=a; =c")},
    {.name = "extension without a value", .text = TEXT("v=STSv1; id=a; x=")},
    {.name = "extension name of 32", .text = TEXT("v=STSv1; id=a; a.b-c_d8901234567890123456789012=c"), .id = "a"},
    {.name = "extension name of 33", .text = TEXT("v=STSv1; id=a; a.b-c_d89012345678901234567890123=c")},
    {.name = "extension name with a bad first byte", .text = TEXT("v=STSv1; id=a; _x=c")},
    {.name = "control byte in a value", .text = TEXT("v=STSv1; id=a; x=b\x01")},
    {.name = "NUL in the id", .text = TEXT("v=STSv1; id=a\0b")},
    {.name = "NUL at the end", .text = TEXT("v=STSv1; id=a\0")},
    {.name = "DEL in a value", .text = TEXT("v=STSv1; id=a; x=b\x7f")},
    {.name = "line end at the end", .text = TEXT("v=STSv1; id=a\r\n")},
    {.name = "only delimiters", .text = TEXT("v=STSv1;;;")},
};

static void test_records(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof record_cases / sizeof *record_cases; i++) {
        const struct record_case *item = &record_cases[i];
        struct sts_record record;
        const char *why = NULL;
        bool is_valid = sts_record_parse(item->text, &record, &why);
        print_message("%s%s%s\n", item->name, is_valid ? "" : ": ", is_valid ? "" : why);
        assert_int_equal(is_valid, item->id != NULL);
        if (!is_valid)
            continue;
        assert_string_equal(record.id, item->id);
        assert_int_equal(record.warnings, item->warnings);
    }
}

static void test_record_vectors(void **state)
{
    (void)state;
    struct vectors vectors = vectors_open("txt");
    for (struct vector vector; vectors_next(&vectors, &vector);) {
        struct buffer text = vector_text(vector.input);
        struct sts_record record;
        const char *why = NULL;
        bool is_valid = sts_record_parse(buffer_slice(&text), &record, &why);
        print_message("%s\n", vector.name);
        assert_int_equal(is_valid, vector_flag(&vector, "valid"));
        struct slice id = vector_expected(&vector, "id");
        if (id.length > 0)
            assert_true(slice_equal(slice_of(record.id), id));
        if (is_valid)
            assert_true(vector_has_warning(vector_expected(&vector, "warning"), record.warnings, warning_name));
        else
            assert_true(strlen(why) > 0);
        buffer_free(&text);
    }
    vectors_close(&vectors);
}

/* A CNAME changes nothing here: the resolver follows it and the strings of its end come in. */
static void test_rrset_vectors(void **state)
{
    (void)state;
    struct vectors vectors = vectors_open("txt-rrset");
    for (struct vector vector; vectors_next(&vectors, &vector);) {
        struct slice texts[4];
        size_t count = 0, index;
        const json_t *text, *final = json_object_get(vector.input, "final");
        if (final != NULL)
            texts[count++] = slice_of(json_string_value(final));
        json_array_foreach(vector.input, index, text) texts[count++] = slice_of(json_string_value(text));
        struct sts_record record;
        const char *why = "";
        bool is_chosen = sts_record_choose(texts, count, &record, &why);
        struct slice result = vector_expected(&vector, "result");
        print_message("%s\n", vector.name);
        assert_int_equal(is_chosen, slice_equal(result, SLICE("record")));
        if (is_chosen)
            assert_true(slice_equal(slice_of(record.id), vector_expected(&vector, "id")));
        else
            assert_string_equal(why, slice_starts(result, SLICE("multiple")) ? "there is more than one MTA-STS record"
                                                                             : "there is no MTA-STS record");
    }
    vectors_close(&vectors);
}

struct choose_case {
    const char *name;
    struct slice texts[3];
    size_t count;
    const char *id; /* NULL: none */
};

static const struct choose_case choose_cases[] = {
    {.name = "no records", .count = 0},
    {.name = "others are discarded",
     .texts = {TEXT("v=spf1 -all"), TEXT("v=STSv1; id=a"), TEXT("")},
     .count = 3,
     .id = "a"},
    {.name = "other versions are discarded",
     .texts = {TEXT("v=STSv10; id=b"), TEXT("v=STSv1; id=a")},
     .count = 2,
     .id = "a"},
    {.name = "the same twice is not one", .texts = {TEXT("v=STSv1; id=a"), TEXT("v=STSv1; id=a")}, .count = 2},
    {.name = "an invalid one counts too", .texts = {TEXT("v=STSv1;"), TEXT("v=STSv1; id=a")}, .count = 2},
    {.name = "one with a space counts too", .texts = {TEXT("v=STSv1 ; id=b"), TEXT("v=STSv1; id=a")}, .count = 2},
    {.name = "one without delimiter is none", .texts = {TEXT("v=STSv1"), TEXT("v=STSv1; id=a")}, .count = 2, .id = "a"},
    {.name = "the only one is invalid", .texts = {TEXT("v=STSv1; id=")}, .count = 1},
};

static void test_exactly_one(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof choose_cases / sizeof *choose_cases; i++) {
        const struct choose_case *item = &choose_cases[i];
        struct sts_record record;
        const char *why = NULL;
        print_message("%s\n", item->name);
        assert_int_equal(sts_record_choose(item->texts, item->count, &record, &why), item->id != NULL);
        if (item->id != NULL)
            assert_string_equal(record.id, item->id);
        else
            assert_non_null(why);
    }
}

static const char *warning_name(unsigned number)
{
    return sts_warning_text((enum sts_warning)number);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_records),
        cmocka_unit_test(test_record_vectors),
        cmocka_unit_test(test_rrset_vectors),
        cmocka_unit_test(test_exactly_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
