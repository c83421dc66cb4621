/* Command lines: which command, with what, and what is said of those that are none. */
#include "relay/cli.h"
#include "test/unit/check.h"

#define WORDS_MAX 12

struct accepted {
    const char *name;
    const char *argv[WORDS_MAX];
    const char *words;      /* of the command; NULL: none, help or version for all or a group */
    const char *group;
    const char *arguments[4];
    unsigned given;         /* besides -c and --set */
    const char *file;
    const char *sets[3];
};
#define GIVEN(name) (1u << CLI_OPTION_##name)

static const struct accepted accepted[] = {
    {.name = "plain", .argv = {"serve"}, .words = "serve"},
    {.name = "two words", .argv = {"queue", "list"}, .words = "queue list"},
    {.name = "an argument", .argv = {"queue", "show", "ABC"}, .words = "queue show", .arguments = {"ABC"}},
    {.name = "options first", .argv = {"--json", "queue", "list"}, .words = "queue list", .given = GIVEN(JSON)},
    {.name = "options between", .argv = {"queue", "--json", "list"}, .words = "queue list", .given = GIVEN(JSON)},
    {.name = "options behind", .argv = {"queue", "show", "A", "--json"}, .words = "queue show", .arguments = {"A"}, .given = GIVEN(JSON)},
    {.name = "-c apart", .argv = {"serve", "-c", "x.conf"}, .words = "serve", .file = "x.conf"},
    {.name = "-c joined", .argv = {"-cx.conf", "serve"}, .words = "serve", .file = "x.conf"},
    {.name = "--set", .argv = {"serve", "--set", "a.b=c", "--set=d=e=f", "--set", "--x=y"}, .words = "serve", .sets = {"a.b=c", "d=e=f", "--x=y"}},
    {.name = "--", .argv = {"policy", "lint-record", "--", "--json", "-c"}, .words = "policy lint-record", .arguments = {"--json", "-c"}},
    {.name = "-- first", .argv = {"--", "queue", "list"}, .words = "queue list"},
    {.name = "a lone dash", .argv = {"policy", "lint", "-"}, .words = "policy lint", .arguments = {"-"}},
    {.name = "an empty argument", .argv = {"policy", "lint-record", ""}, .words = "policy lint-record", .arguments = {""}},
    {.name = "help", .argv = {"--help"}, .given = GIVEN(HELP)},
    {.name = "-h", .argv = {"-h"}, .given = GIVEN(HELP)},
    {.name = "help as a word", .argv = {"help"}, .given = GIVEN(HELP)},
    {.name = "help of a command", .argv = {"help", "queue", "show"}, .words = "queue show", .given = GIVEN(HELP)},
    {.name = "of a command without its argument", .argv = {"queue", "show", "--help"}, .words = "queue show", .given = GIVEN(HELP)},
    {.name = "of a group", .argv = {"queue", "--help"}, .group = "queue", .given = GIVEN(HELP)},
    {.name = "version", .argv = {"--version"}, .given = GIVEN(VERSION)},
    {.name = "flags", .argv = {"queue", "list", "--done", "--to=example.org"}, .words = "queue list", .given = GIVEN(DONE) | GIVEN(TO)},
};

static size_t count_of(const char *const *words, size_t room)
{
    size_t count = 0;
    while (count < room && words[count] != NULL) {
        count++;
    }
    return count;
}

static void check_accepted(const struct accepted *expected)
{
    static struct cli cli;
    struct buffer fault;
    buffer_init(&fault, 4096);
    bool is_parsed = cli_parse(&cli, expected->argv, count_of(expected->argv, WORDS_MAX), &fault);
    check_slice(expected->name, buffer_slice(&fault), SLICE_EMPTY);
    check_true(expected->name, is_parsed);
    check_slice(expected->name, slice_of(cli.command == NULL ? NULL : cli.command->words), slice_of(expected->words));
    check_slice(expected->name, cli.group, slice_of(expected->group));
    check_number(expected->name, cli.argument_count, count_of(expected->arguments, COUNT_OF(expected->arguments)));
    for (size_t i = 0; i < cli.argument_count; i++) {
        check_slice(expected->name, slice_of(cli.arguments[i]), slice_of(expected->arguments[i]));
    }
    check_number(expected->name, cli.given & ~(GIVEN(CONFIG) | GIVEN(SET)), expected->given);
    check_slice(expected->name, cli.values[CLI_OPTION_CONFIG], slice_of(expected->file));
    check_number(expected->name, cli.set_count, count_of(expected->sets, COUNT_OF(expected->sets)));
    for (size_t i = 0; i < cli.set_count; i++) {
        check_slice(expected->name, cli.sets[i], slice_of(expected->sets[i]));
    }
    buffer_free(&fault);
}

static void test_accepted(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(accepted); i++) {
        check_accepted(&accepted[i]);
    }
}

static void test_refused(void **state)
{
    static const struct {
        const char *name;
        const char *argv[WORDS_MAX];
        const char *says; /* somewhere in the fault */
    } cases[] = {
        {"nothing", {NULL}, "--help"},
        {"unknown command", {"srve"}, "did you mean \"serve\""},
        {"unknown in a group", {"queue", "lst"}, "did you mean \"queue list\""},
        {"unknown policy command", {"policy", "lint-recrd"}, "did you mean \"policy lint-record\""},
        {"nothing near", {"wibble"}, "see sternpost --help"},
        {"nothing near in a group", {"queue", "wibble"}, "see sternpost queue --help"},
        {"half a command", {"queue"}, "queue --help"},
        {"unknown option", {"serve", "--st", "a.b=c"}, "did you mean --set"},
        {"unknown option with a value", {"serve", "--sett=a.b=c"}, "did you mean --set"},
        {"nothing near an option", {"serve", "--wibble"}, "unknown option --wibble"},
        {"an option of another command", {"serve", "--connect"}, "--connect is no option of serve"},
        {"an option without a command", {"--connect", "--help"}, "--connect is no option"},
        {"no value", {"serve", "-c"}, "-c needs a value"},
        {"a value too many", {"queue", "list", "--done=yes"}, "--done takes no value"},
        {"too little", {"queue", "show"}, "queue show ID"},
        {"too much", {"queue", "show", "A", "B"}, "too many arguments"},
        {"an argument where none is taken", {"serve", "now"}, "too many arguments"},
        {"an abbreviation", {"queue", "list", "--js"}, "unknown option --js"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        static struct cli cli;
        struct buffer fault;
        buffer_init(&fault, 4096);
        check_true(cases[i].name, !cli_parse(&cli, cases[i].argv, count_of(cases[i].argv, WORDS_MAX), &fault));
        struct slice text = buffer_slice(&fault);
        if (slice_find_slice(text, slice_of(cases[i].says)) == text.length) {
            print_error("%s: says \"%.*s\"\n", cases[i].name, SLICE_ARGS(text));
        }
        check_true(cases[i].name, slice_find_slice(text, slice_of(cases[i].says)) < text.length);
        buffer_free(&fault);
    }
}

static void test_too_many_words(void **state)
{
    (void)state;
    static struct cli cli;
    static const char *argv[CLI_WORDS_MAX + 1];
    struct buffer fault;
    buffer_init(&fault, 4096);
    for (size_t i = 0; i < COUNT_OF(argv); i++) {
        argv[i] = "--json";
    }
    argv[0] = "serve";
    assert_true(cli_parse(&cli, argv, CLI_WORDS_MAX, &fault));
    assert_false(cli_parse(&cli, argv, CLI_WORDS_MAX + 1, &fault));
    buffer_free(&fault);
}

/* What the table has is what help tells, and nothing else. */
static void test_help_tells_every_command(void **state)
{
    (void)state;
    struct buffer all;
    buffer_init(&all, 65536);
    cli_print_help(&all);
    assert_false(buffer_failed(&all));
    for (size_t i = 0; i < cli_command_count; i++) {
        const struct cli_command *command = &cli_commands[i];
        struct buffer own;
        buffer_init(&own, 65536);
        cli_print_command(command, &own);
        check_true(command->words, !buffer_failed(&own));
        check_true(command->words, command->run != NULL && command->summary[0] != '\0');
        check_true(command->words, slice_find_slice(buffer_slice(&all), slice_of(command->summary)) < buffer_length(&all));
        for (size_t option = 0; option < CLI_OPTION_COUNT; option++) {
            struct slice word = slice_of(cli_option_word((enum cli_option)option));
            bool is_told = slice_find_slice(buffer_slice(&own), word) < buffer_length(&own);
            bool is_taken = ((command->options | CLI_OPTIONS_COMMON) & 1u << option) != 0;
            check_true(command->words, !is_taken || is_told);
        }
        buffer_free(&own);
    }
    buffer_free(&all);
}

static void test_help_of_a_group(void **state)
{
    (void)state;
    struct buffer text;
    buffer_init(&text, 65536);
    assert_true(cli_print_group(SLICE("policy"), &text));
    assert_true(slice_find_slice(buffer_slice(&text), SLICE("policy lint-record")) < buffer_length(&text));
    assert_true(slice_find_slice(buffer_slice(&text), SLICE("queue list")) == buffer_length(&text));
    assert_false(cli_print_group(SLICE("serve"), &text));
    assert_false(cli_print_group(SLICE("pol"), &text));
    buffer_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accepted),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_too_many_words),
        cmocka_unit_test(test_help_tells_every_command),
        cmocka_unit_test(test_help_of_a_group),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
