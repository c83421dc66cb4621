/* The command line: what was asked for, as a value, and the table of commands. main.c parses with cli_parse() and runs the command
 * that was found; its function returns the exit status. Results go to standard output, everything else to standard error. */
#ifndef RELAY_CLI_H
#define RELAY_CLI_H

#include "base/buffer.h"
#include "base/err.h"
#include "base/slice.h"
#include "relay/config.h"

enum cli_exit {
    CLI_DONE = 0,          /* yes, done, delivered */
    CLI_NO = 1,            /* no, not found, not delivered */
    CLI_USAGE = 64,
    CLI_UNAVAILABLE = 69,  /* the relay does not run */
    CLI_SOFTWARE = 70,
    CLI_IO = 74,
    CLI_NOT_PERMITTED = 77,
    CLI_CONFIG = 78,
};

/* name, as written, its value ("" none), meaning. The first ones are every command's. */
#define CLI_OPTION_LIST(X)                                                                                             \
    X(CONFIG, "-c", "FILE", "read this configuration file instead of /etc/sternpost/sternpost.conf")                    \
    X(SET, "--set", "SECTION.KEY=VALUE", "set one value; may be given again")                                          \
    X(JSON, "--json", "", "print one JSON object a line")                                                              \
    X(HELP, "--help", "", "explain the command")                                                                       \
    X(VERSION, "--version", "", "print the version")                                                                   \
    X(TO, "--to", "DOMAIN", "only mail to this domain or address")                                                     \
    X(FROM, "--from", "ADDRESS", "only mail from this sender; <> is the null sender")                                  \
    X(OLDER, "--older", "TIME", "only mail that waits longer, such as 2h")                                             \
    X(STATUS, "--status", "STATUS", "only mail that is deferred, held, active or waiting (never tried)")               \
    X(LIMIT, "--limit", "NUMBER", "no more than so many")                                                              \
    X(SUMMARY, "--summary", "", "how much, by destination and reason, instead of each message")                        \
    X(OUT, "--out", "FILE", "write to this file, which must not exist; nobody else can read it (mode 0600)")           \
    X(DONE, "--done", "", "what has ended in the last days instead of what waits")                                     \
    X(ALL, "--all", "", "everything in the queue")                                                                     \
    X(CONNECT, "--connect", "", "connect to each host too, up to STARTTLS and its certificate")                        \
    X(UNTIL, "--until", "DATE", "when the exemption ends, such as 2026-12-01; now ends it")                            \
    X(REASON, "--reason", "TEXT", "why; it is logged at each use")                                                     \
    X(LEVEL, "--level", "LEVEL", "how far down: any-host, encrypt or plain (the default)")                              \
    X(SHOW, "--show", "", "print the configuration in force, each value with its place; secrets are hidden")              \
    X(READY, "--ready", "", "ask whether the relay can do its work, not only whether it runs")
enum cli_option {
#define X(name, word, value, meaning) CLI_OPTION_##name,
    CLI_OPTION_LIST(X)
#undef X
    CLI_OPTION_COUNT
};
#define CLI_OPTIONS_COMMON                                                                                             \
    (1u << CLI_OPTION_CONFIG | 1u << CLI_OPTION_SET | 1u << CLI_OPTION_JSON | 1u << CLI_OPTION_HELP | 1u << CLI_OPTION_VERSION)

struct cli;
struct cli_command {
    const char *words;    /* "queue list" */
    const char *synopsis; /* behind the words, options left out */
    const char *summary;  /* one line */
    const char *help;     /* paragraphs; "" none */
    unsigned options;     /* set of 1u << enum cli_option, besides the common ones */
    unsigned arguments_min, arguments_max;
    int (*run)(const struct cli *cli);
};
extern const struct cli_command cli_commands[];
extern const size_t cli_command_count;

#define CLI_WORDS_MAX 1024
struct cli {
    const struct cli_command *command; /* NULL: help or version for the whole, or for a group */
    struct slice group;                /* "queue": its help was asked for */
    unsigned given;                    /* set of 1u << enum cli_option */
    struct slice values[CLI_OPTION_COUNT];
    const struct slice *sets;
    size_t set_count;
    const char **arguments;            /* those behind the command's words; NUL-terminated */
    size_t argument_count;
    const char *const *environment;
    struct slice set_items[CLI_WORDS_MAX];
    const char *argument_items[CLI_WORDS_MAX];
};
/* argv without the program's name. False: fault is a sentence that names the nearest command or option. */
bool cli_parse(struct cli *cli, const char *const *argv, size_t argc, struct buffer *fault);
bool cli_has(const struct cli *cli, enum cli_option option);
const char *cli_option_word(enum cli_option option);
const char *cli_option_value(enum cli_option option); /* "" : takes none */
const char *cli_option_meaning(enum cli_option option);

/* Help, as text. */
void cli_print_help(struct buffer *out);                                  /* all commands */
bool cli_print_group(struct slice group, struct buffer *out);             /* of "queue"; false: no such group */
void cli_print_command(const struct cli_command *command, struct buffer *out);
void cli_print_manual(struct buffer *out); /* the commands and options for the manual page: man macros */

struct config_source cli_source(const struct cli *cli);
/* Reads the configuration that -c, --set and the environment name. Files that may not be read are skipped: the relay's socket refuses
 * the caller then, or the defaults are right. Faults are printed unless is_quiet. Not CLI_DONE: exit with that status. */
int cli_load(const struct cli *cli, bool is_quiet, struct config **config);
/* To standard output. A failure shows in cli_flush(): CLI_DONE, or CLI_IO with a sentence. */
void cli_put(struct slice text);
int cli_flush(void);
/* "sternpost: ..." on standard error; the last part of another name, once set. */
void cli_set_name(const char *name);
void cli_say(const char *format, ...) __attribute__((format(printf, 1, 2)));
void cli_say_lines(const char *prefix, const struct buffer *messages); /* each line of it */

#endif
