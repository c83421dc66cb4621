/* sternpost: where the program starts. Finds the command that was asked for and runs it. */
#include "relay/cli_commands.h"
#include "relay/cli_sendmail.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HELP_MAX 65536

extern char **environ;

static bool fill_standard(void);
static const char *const *keep_environment(void);
static int help(const struct cli *cli);

int main(int argc, char **argv)
{
    static struct cli cli;
    static const char *const *environment; /* static: kept until the end on purpose */
    struct buffer fault;
    size_t count = argc > 0 ? (size_t)argc - 1 : 0;
    if (!fill_standard())
        return CLI_SOFTWARE; /* with nowhere to say it */
    environment = keep_environment();
    if (environment == NULL) {
        cli_say("out of memory");
        return CLI_SOFTWARE;
    }
    if (argc > 0 && sendmail_is_name(argv[0]))
        return sendmail_run(argv[0], (const char *const *)argv + 1, count, environment);
    buffer_init(&fault, 4096);
    if (!cli_parse(&cli, (const char *const *)argv + 1, count, &fault)) {
        cli_say("%.*s", SLICE_ARGS(buffer_slice(&fault)));
        buffer_free(&fault);
        return CLI_USAGE;
    }
    buffer_free(&fault);
    cli.environment = environment;
    int status = cli_has(&cli, CLI_OPTION_HELP)      ? help(&cli)
                 : cli_has(&cli, CLI_OPTION_VERSION) ? cli_version(&cli)
                                                     : cli.command->run(&cli);
    int flushed = cli_flush();
    return status != CLI_DONE ? status : flushed;
}

/* Whoever starts us may have closed standard input, output or error. The next file that is opened would take their number: a connection
 * that libuv refuses there, or the database, into which a message for standard error is written then. What is said to a closed
 * one goes nowhere; reading from a closed one stays the fault that it is. */
static bool fill_standard(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        bool is_closed = fcntl(fd, F_GETFD) < 0 && errno == EBADF;
        if (is_closed && open("/dev/null", O_WRONLY) != fd)
            return false;
    }
    return true;
}

/* The C library moves its array when the program sets a variable; what it points to stays. */
static const char *const *keep_environment(void)
{
    size_t count = 0;
    while (environ != NULL && environ[count] != NULL)
        count++;
    const char **kept = calloc(count + 1, sizeof *kept);
    if (kept != NULL && count > 0)
        memcpy(kept, environ, count * sizeof *kept);
    return (const char *const *)kept;
}

static int help(const struct cli *cli)
{
    struct buffer text;
    buffer_init(&text, HELP_MAX);
    if (cli->command != NULL)
        cli_print_command(cli->command, &text);
    else if (cli->group.length == 0 || !cli_print_group(cli->group, &text))
        cli_print_help(&text);
    cli_put(buffer_slice(&text));
    buffer_free(&text);
    return CLI_DONE;
}
