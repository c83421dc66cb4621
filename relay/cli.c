#include "relay/cli.h"

#include "base/text.h"

#include <string.h>

/* One pass over the words tells options from the rest; what the rest means decides which options are allowed. */
struct parsing {
    struct cli *cli;
    const char *const *argv;
    size_t argc, index;
    struct slice unknown; /* the first option that no command has */
    struct buffer *fault;
};

static bool parse_words(struct parsing *parsing);
static bool parse_option(struct parsing *parsing, struct slice word);
static bool find_command(struct cli *cli, struct buffer *fault);
static bool check_options(const struct cli *cli, const struct parsing *parsing);
static bool check_arguments(const struct cli *cli, struct buffer *fault);

struct option {
    const char *word, *value, *meaning;
};
static const struct option options[] = {
#define X(name, word, value, meaning) {word, value, meaning},
    CLI_OPTION_LIST(X)
#undef X
};

const char *cli_option_word(enum cli_option option)
{
    return options[option].word;
}

const char *cli_option_value(enum cli_option option)
{
    return options[option].value;
}

const char *cli_option_meaning(enum cli_option option)
{
    return options[option].meaning;
}

bool cli_has(const struct cli *cli, enum cli_option option)
{
    return (cli->given & 1u << option) != 0;
}

bool cli_parse(struct cli *cli, const char *const *argv, size_t argc, struct buffer *fault)
{
    struct parsing parsing = {.cli = cli, .argv = argv, .argc = argc, .fault = fault};
    memset(cli, 0, sizeof *cli);
    if (argc > CLI_WORDS_MAX) {
        buffer_print(fault, "more than %d words", CLI_WORDS_MAX);
        return false;
    }
    cli->arguments = cli->argument_items;
    cli->sets = cli->set_items;
    if (!parse_words(&parsing) || !find_command(cli, fault) || !check_options(cli, &parsing))
        return false;
    return cli->command == NULL || cli_has(cli, CLI_OPTION_HELP) || check_arguments(cli, fault);
}

/* ---- words ---- */

static bool parse_words(struct parsing *parsing)
{
    struct cli *cli = parsing->cli;
    bool options_end = false;
    while (parsing->index < parsing->argc) {
        const char *word = parsing->argv[parsing->index++];
        if (options_end || word[0] != '-' || word[1] == '\0')
            cli->arguments[cli->argument_count++] = word;
        else if (strcmp(word, "--") == 0)
            options_end = true;
        else if (!parse_option(parsing, slice_of(word)))
            return false;
    }
    return true;
}

/* "-c" and "-cFILE", "--set X" and "--set=X". */
static bool match_option(struct slice word, enum cli_option option, struct slice *joined, bool *is_joined)
{
    struct slice name = slice_of(options[option].word);
    bool is_short = name.length == 2;
    *is_joined = false;
    if (slice_equal(word, name))
        return true;
    if (!slice_starts(word, name) || (!is_short && word.data[name.length] != '='))
        return false;
    *joined = slice_from(word, name.length + (is_short ? 0 : 1));
    *is_joined = true;
    return options[option].value[0] != '\0' || !is_short;
}

static bool take_value(struct parsing *parsing, enum cli_option option, struct slice *value, bool is_joined)
{
    const struct option *row = &options[option];
    if (row->value[0] == '\0') {
        if (is_joined)
            buffer_print(parsing->fault, "%s takes no value", row->word);
        return !is_joined;
    }
    if (!is_joined && parsing->index == parsing->argc) {
        buffer_print(parsing->fault, "%s needs a value: %s %s", row->word, row->word, row->value);
        return false;
    }
    if (!is_joined)
        *value = slice_of(parsing->argv[parsing->index++]);
    return true;
}

static bool parse_option(struct parsing *parsing, struct slice word)
{
    struct cli *cli = parsing->cli;
    for (size_t i = 0; i < CLI_OPTION_COUNT; i++) {
        struct slice value = SLICE_EMPTY;
        bool is_joined;
        if (!match_option(slice_equal(word, SLICE("-h")) ? SLICE("--help") : word, (enum cli_option)i, &value, &is_joined))
            continue;
        if (!take_value(parsing, (enum cli_option)i, &value, is_joined))
            return false;
        cli->given |= 1u << i;
        cli->values[i] = value;
        if (i == CLI_OPTION_SET)
            cli->set_items[cli->set_count++] = value;
        return true;
    }
    if (parsing->unknown.length == 0)
        parsing->unknown = word;
    return true;
}

/* ---- which command ---- */

/* The first and the second of a command's words; the second may be empty. */
static void split_words(const char *words, struct slice *first, struct slice *second)
{
    struct slice rest = slice_of(words);
    *first = *second = SLICE_EMPTY;
    (void)slice_word(&rest, first);
    (void)slice_word(&rest, second);
}

static bool is_group(struct slice word)
{
    for (size_t i = 0; i < cli_command_count; i++) {
        struct slice first, second;
        split_words(cli_commands[i].words, &first, &second);
        if (second.length > 0 && slice_equal(first, word))
            return true;
    }
    return false;
}

static const struct cli_command *command_of(struct slice word, struct slice behind, bool grouped)
{
    for (size_t i = 0; i < cli_command_count; i++) {
        struct slice first, second;
        split_words(cli_commands[i].words, &first, &second);
        if (slice_equal(first, word) && (!grouped || slice_equal(second, behind)))
            return &cli_commands[i];
    }
    return NULL;
}

/* "unknown command `lst`: did you mean `list`?", from the first words, or the second ones of a group. */
static void blame_word(struct slice group, struct slice word, struct buffer *fault)
{
    char texts[64][32];
    const char *candidates[64];
    size_t count = 0;
    for (size_t i = 0; i < cli_command_count && count < 64; i++) {
        struct slice first, second;
        split_words(cli_commands[i].words, &first, &second);
        struct slice candidate = group.length > 0 ? second : first;
        if (group.length > 0 && !slice_equal(first, group))
            continue;
        text_print(texts[count], sizeof texts[count], "%.*s", SLICE_ARGS(candidate));
        candidates[count] = texts[count];
        count++;
    }
    const char *nearest = text_nearest(word, candidates, count);
    const char *gap = group.length > 0 ? " " : "";
    buffer_print(fault, "unknown command \"%.*s%s%.*s\"", SLICE_ARGS(group), gap, SLICE_ARGS(word));
    if (nearest != NULL)
        buffer_print(fault, ", did you mean \"%.*s%s%s\"?", SLICE_ARGS(group), gap, nearest);
    else
        buffer_print(fault, "; see sternpost %.*s%s--help", SLICE_ARGS(group), gap);
}

static void drop_arguments(struct cli *cli, size_t count)
{
    cli->arguments += count;
    cli->argument_count -= count;
}

static bool find_in_group(struct cli *cli, struct buffer *fault)
{
    struct slice group = slice_of(cli->arguments[0]);
    if (cli->argument_count == 1) {
        cli->group = group;
        drop_arguments(cli, 1);
        if (!cli_has(cli, CLI_OPTION_HELP))
            buffer_print(fault, "%.*s what? See sternpost %.*s --help", SLICE_ARGS(group), SLICE_ARGS(group));
        return cli_has(cli, CLI_OPTION_HELP);
    }
    struct slice word = slice_of(cli->arguments[1]);
    cli->command = command_of(group, word, true);
    if (cli->command == NULL)
        blame_word(group, word, fault);
    else
        drop_arguments(cli, 2);
    return cli->command != NULL;
}

static bool find_command(struct cli *cli, struct buffer *fault)
{
    if (cli->argument_count > 0 && strcmp(cli->arguments[0], "help") == 0) {
        cli->given |= 1u << CLI_OPTION_HELP;
        drop_arguments(cli, 1);
    }
    if (cli->argument_count == 0) {
        bool asks = cli_has(cli, CLI_OPTION_HELP) || cli_has(cli, CLI_OPTION_VERSION);
        if (!asks)
            buffer_add(fault, SLICE("no command given; see sternpost --help"));
        return asks;
    }
    struct slice word = slice_of(cli->arguments[0]);
    if (is_group(word))
        return find_in_group(cli, fault);
    cli->command = command_of(word, SLICE_EMPTY, false);
    if (cli->command == NULL)
        blame_word(SLICE_EMPTY, word, fault);
    else
        drop_arguments(cli, 1);
    return cli->command != NULL;
}

/* ---- what the command takes ---- */

static void blame_option(unsigned allowed, struct slice word, struct buffer *fault)
{
    const char *candidates[CLI_OPTION_COUNT];
    size_t count = 0;
    for (size_t i = 0; i < CLI_OPTION_COUNT; i++) {
        if (allowed & 1u << i)
            candidates[count++] = options[i].word;
    }
    struct slice name = slice_to(word, slice_find(word, '='));
    const char *nearest = text_nearest(name, candidates, count);
    buffer_print(fault, "unknown option %.*s", SLICE_ARGS(name));
    if (nearest != NULL)
        buffer_print(fault, ", did you mean %s?", nearest);
    else
        buffer_add(fault, SLICE("; see --help"));
}

static bool check_options(const struct cli *cli, const struct parsing *parsing)
{
    unsigned allowed = CLI_OPTIONS_COMMON | (cli->command == NULL ? 0 : cli->command->options);
    if (parsing->unknown.length > 0) {
        blame_option(allowed, parsing->unknown, parsing->fault);
        return false;
    }
    for (size_t i = 0; i < CLI_OPTION_COUNT; i++) {
        if (!(cli->given & ~allowed & 1u << i))
            continue;
        buffer_print(parsing->fault, "%s is no option of %s; see sternpost %s --help", options[i].word,
                     cli->command == NULL ? "this" : cli->command->words, cli->command == NULL ? "" : cli->command->words);
        return false;
    }
    return true;
}

static bool check_arguments(const struct cli *cli, struct buffer *fault)
{
    const struct cli_command *command = cli->command;
    if (cli->argument_count >= command->arguments_min && cli->argument_count <= command->arguments_max)
        return true;
    const char *what = cli->argument_count < command->arguments_min ? "too few arguments" : "too many arguments";
    buffer_print(fault, "%s for %s: sternpost %s%s%s", what, command->words, command->words,
                 command->synopsis[0] == '\0' ? "" : " ", command->synopsis);
    return false;
}
