#include "relay/cli.h"

#include <string.h>

#define COLUMN 34

static void print_option(enum cli_option option, struct buffer *out);
static void print_escaped(struct buffer *out, const char *text);
static void print_manual_option(enum cli_option option, struct buffer *out);
static void print_row(const char *words, const char *synopsis, const char *summary, struct buffer *out);

void cli_print_help(struct buffer *out)
{
    buffer_add(out, SLICE("Usage: sternpost COMMAND [OPTIONS]\n\n"
                          "Takes mail in, keeps it safe, and hands it to hosts that have proved who they are.\n\nCommands:\n"));
    for (size_t i = 0; i < cli_command_count; i++)
        print_row(cli_commands[i].words, cli_commands[i].synopsis, cli_commands[i].summary, out);
    buffer_add(out, SLICE("\nOptions of every command, in any place:\n"));
    for (size_t i = 0; i < CLI_OPTION_COUNT; i++) {
        if (CLI_OPTIONS_COMMON & 1u << i)
            print_option((enum cli_option)i, out);
    }
    buffer_add(out, SLICE("  --                              what follows is no option\n\n"
                          "sternpost COMMAND --help tells more. Exit status: 0 yes or done; 1 no, not found, not delivered;\n"
                          "64 usage; 69 the relay does not run; 77 no permission; 78 configuration.\n"));
}

bool cli_print_group(struct slice group, struct buffer *out)
{
    bool found = false;
    buffer_print(out, "Usage: sternpost %.*s COMMAND [OPTIONS]\n\nCommands:\n", SLICE_ARGS(group));
    for (size_t i = 0; i < cli_command_count; i++) {
        struct slice words = slice_of(cli_commands[i].words);
        if (!slice_starts(words, group) || words.length <= group.length || words.data[group.length] != ' ')
            continue;
        found = true;
        print_row(cli_commands[i].words, cli_commands[i].synopsis, cli_commands[i].summary, out);
    }
    return found;
}

void cli_print_command(const struct cli_command *command, struct buffer *out)
{
    buffer_print(out, "Usage: sternpost %s%s%s [OPTIONS]\n\n%s.\n", command->words, command->synopsis[0] == '\0' ? "" : " ",
                 command->synopsis, command->summary);
    if (command->help[0] != '\0')
        buffer_print(out, "\n%s\n", command->help);
    buffer_add(out, SLICE("\nOptions:\n"));
    for (size_t i = 0; i < CLI_OPTION_COUNT; i++) {
        if ((command->options | CLI_OPTIONS_COMMON) & 1u << i)
            print_option((enum cli_option)i, out);
    }
}

/* What is too wide for its column has a line of its own. */
static void print_columns(const char *left, const char *right, struct buffer *out)
{
    size_t width = strlen(left) + 2;
    if (width + 2 > COLUMN)
        buffer_print(out, "  %s\n%*s%s\n", left, COLUMN, "", right);
    else
        buffer_print(out, "  %s%*s%s\n", left, (int)(COLUMN - width), "", right);
}

static void print_option(enum cli_option option, struct buffer *out)
{
    char left[64];
    struct buffer text;
    buffer_init(&text, sizeof left - 1);
    buffer_print(&text, "%s%s%s", cli_option_word(option), cli_option_value(option)[0] == '\0' ? "" : " ",
                 cli_option_value(option));
    buffer_add_byte(&text, '\0');
    print_columns(buffer_slice(&text).data, cli_option_meaning(option), out);
    buffer_free(&text);
}

static void print_row(const char *words, const char *synopsis, const char *summary, struct buffer *out)
{
    struct buffer text;
    buffer_init(&text, 256);
    buffer_print(&text, "%s%s%s", words, synopsis[0] == '\0' ? "" : " ", synopsis);
    buffer_add_byte(&text, '\0');
    print_columns(buffer_slice(&text).data, summary, out);
    buffer_free(&text);
}

/* ---- the manual page ---- */

void cli_print_manual(struct buffer *out)
{
    for (size_t i = 0; i < cli_command_count; i++) {
        const struct cli_command *command = &cli_commands[i];
        buffer_add(out, SLICE(".TP\n.B "));
        print_escaped(out, command->words);
        buffer_add(out, command->synopsis[0] == '\0' ? SLICE_EMPTY : SLICE(" "));
        print_escaped(out, command->synopsis);
        buffer_add_byte(out, '\n');
        print_escaped(out, command->summary);
        buffer_add(out, SLICE(".\n"));
        print_escaped(out, command->help);
        buffer_add(out, command->help[0] == '\0' ? SLICE_EMPTY : SLICE("\n"));
    }
    buffer_add(out, SLICE(".SH OPTIONS\n"));
    for (size_t i = 0; i < CLI_OPTION_COUNT; i++)
        print_manual_option((enum cli_option)i, out);
}

static void print_manual_option(enum cli_option option, struct buffer *out)
{
    buffer_add(out, SLICE(".TP\n.B "));
    print_escaped(out, cli_option_word(option));
    buffer_add(out, cli_option_value(option)[0] == '\0' ? SLICE_EMPTY : SLICE(" "));
    print_escaped(out, cli_option_value(option));
    buffer_add_byte(out, '\n');
    print_escaped(out, cli_option_meaning(option));
    buffer_add(out, CLI_OPTIONS_COMMON & 1u << option ? SLICE(". Every command takes it.\n") : SLICE(".\n"));
}

/* A hyphen of its own would be taken for one that may break a line; a dot at a line's start for a request. */
static void print_escaped(struct buffer *out, const char *text)
{
    for (const char *c = text; *c != '\0'; c++) {
        bool is_first = c == text || c[-1] == '\n';
        if (is_first && (*c == '.' || *c == '\''))
            buffer_add(out, SLICE("\\&"));
        if (*c == '-')
            buffer_add(out, SLICE("\\-"));
        else if (*c == '\\')
            buffer_add(out, SLICE("\\e"));
        else
            buffer_add_byte(out, *c);
    }
}
