#include "relay/cli_commands.h"

#include "relay/serve.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define MESSAGES_MAX (1u << 20)

static const char *program = "sternpost";

void cli_set_name(const char *name)
{
    const char *slash = strrchr(name, '/');
    program = slash == NULL ? name : slash + 1;
}

void cli_say(const char *format, ...)
{
    va_list arguments;
    fprintf(stderr, "%s: ", program);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
}

void cli_put(struct slice text)
{
    if (text.length > 0)
        (void)fwrite(text.data, 1, text.length, stdout); /* cli_flush() sees its failure */
}

/* The reader may have gone (`| head`): that is no news to anybody. */
int cli_flush(void)
{
    errno = 0;
    if (!ferror(stdout) && fflush(stdout) == 0)
        return CLI_DONE;
    if (errno != EPIPE && errno != 0)
        cli_say("standard output: %s", strerrordesc_np(errno));
    return CLI_IO;
}

struct config_source cli_source(const struct cli *cli)
{
    return (struct config_source){
        .file = cli->values[CLI_OPTION_CONFIG],
        .environment = cli->environment,
        .sets = cli->sets,
        .set_count = cli->set_count,
    };
}

int cli_load(const struct cli *cli, bool is_quiet, struct config **config)
{
    struct config_source source = cli_source(cli);
    struct buffer faults;
    struct buffer warnings;
    source.lenient = true;
    buffer_init(&faults, MESSAGES_MAX);
    buffer_init(&warnings, MESSAGES_MAX);
    enum err err = config_load(&source, config, &faults, &warnings);
    if (!is_quiet)
        cli_say_lines("", &faults);
    buffer_free(&faults);
    buffer_free(&warnings);
    return err == ERR_NONE ? CLI_DONE : err == ERR_MEMORY ? CLI_SOFTWARE : CLI_CONFIG;
}

void cli_say_lines(const char *prefix, const struct buffer *messages)
{
    struct slice rest = buffer_slice(messages);
    struct slice line;
    while (slice_cut(&rest, '\n', &line)) {
        if (line.length > 0)
            cli_say("%s%.*s", prefix, SLICE_ARGS(line));
    }
}

/* ---- commands ---- */

int cli_serve(const struct cli *cli)
{
    struct config_source source = cli_source(cli);
    return serve_run(&source);
}

int cli_version(const struct cli *cli)
{
    cli_put(cli_has(cli, CLI_OPTION_JSON) ? SLICE("{\"version\":\"" STERNPOST_VERSION "\"}\n")
                                          : SLICE("sternpost " STERNPOST_VERSION "\n"));
    return CLI_DONE;
}
