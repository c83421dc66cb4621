/* The sample configuration and the manual pages say what the tables say. After a change of a table:
 *
 *   unit-cli_documents --write        writes the generated parts anew */
#include "relay/cli.h"
#include "relay/config.h"
#include "test/unit/check.h"

#define DOCUMENT_MAX (1u << 20)
#define BEGIN ".\\\" generated from here\n"
#define END ".\\\" generated to here\n"

struct document {
    const char *name;
    void (*print)(struct buffer *out);
    bool is_whole; /* else the part between BEGIN and END */
};
static const struct document documents[] = {
    {"etc/sternpost.conf", config_print_sample, true},
    {"etc/man/sternpost.conf.5", config_print_manual, false},
    {"etc/man/sternpost.8", cli_print_manual, false},
};

static const char *path_of(const struct document *document)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/%s", STERNPOST_SOURCE, document->name);
    return path;
}

static void read_document(const struct document *document, struct buffer *out)
{
    FILE *file = fopen(path_of(document), "r");
    int c;
    buffer_init(out, DOCUMENT_MAX);
    while (file != NULL && (c = getc(file)) != EOF)
        buffer_add_byte(out, (char)c);
    if (file != NULL)
        fclose(file);
}

/* What stands before the generated part, the part, and what stands behind it. */
static bool split_document(const struct document *document, struct slice text, struct slice parts[3])
{
    parts[0] = parts[2] = SLICE_EMPTY;
    parts[1] = text;
    if (document->is_whole)
        return true;
    size_t begin = slice_find_slice(text, SLICE(BEGIN)) + sizeof BEGIN - 1;
    size_t end = slice_find_slice(text, SLICE(END));
    if (begin > text.length || end == text.length || end < begin)
        return false;
    parts[0] = slice_to(text, begin);
    parts[1] = slice_make(text.data + begin, end - begin);
    parts[2] = slice_from(text, end);
    return true;
}

static void test_documents_are_as_generated(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(documents); i++) {
        struct buffer found, generated;
        struct slice parts[3];
        read_document(&documents[i], &found);
        buffer_init(&generated, DOCUMENT_MAX);
        documents[i].print(&generated);
        check_true(documents[i].name, split_document(&documents[i], buffer_slice(&found), parts));
        if (!slice_equal(parts[1], buffer_slice(&generated)))
            print_error("%s: not as the table says; unit-cli_documents --write fixes it\n", documents[i].name);
        check_true(documents[i].name, slice_equal(parts[1], buffer_slice(&generated)));
        buffer_free(&found);
        buffer_free(&generated);
    }
}

/* The sample is a configuration, and an empty one: every key in it is commented out. */
static void test_the_sample_is_valid(void **state)
{
    (void)state;
    struct config *config = NULL;
    struct buffer faults, warnings;
    struct config_source source = {.file = slice_of(path_of(&documents[0]))};
    buffer_init(&faults, DOCUMENT_MAX);
    buffer_init(&warnings, DOCUMENT_MAX);
    assert_int_equal(config_load(&source, &config, &faults, &warnings), ERR_NONE);
    check_slice("faults", buffer_slice(&faults), SLICE_EMPTY);
    check_slice("smtp", config->queue_path, SLICE("/var/spool/sternpost"));
    config_free(&config);
    buffer_free(&faults);
    buffer_free(&warnings);
}

static int write_documents(void)
{
    for (size_t i = 0; i < COUNT_OF(documents); i++) {
        struct buffer found, generated;
        struct slice parts[3];
        read_document(&documents[i], &found);
        buffer_init(&generated, DOCUMENT_MAX);
        documents[i].print(&generated);
        bool is_split = split_document(&documents[i], buffer_slice(&found), parts);
        FILE *file = is_split ? fopen(path_of(&documents[i]), "w") : NULL;
        if (file == NULL) {
            fprintf(stderr, "%s cannot be written, or lacks its marks\n", documents[i].name);
            return EXIT_FAILURE;
        }
        parts[1] = buffer_slice(&generated);
        for (size_t part = 0; part < COUNT_OF(parts); part++)
            fwrite(parts[part].data, 1, parts[part].length, file);
        if (fclose(file) != 0)
            return EXIT_FAILURE;
        buffer_free(&found);
        buffer_free(&generated);
    }
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--write") == 0)
        return write_documents();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_documents_are_as_generated),
        cmocka_unit_test(test_the_sample_is_valid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
