#include "relay/cli_commands.h"

#include "base/json.h"
#include "relay/intake.h"
#include "relay/locals.h"
#include "relay/serve.h"
#include "relay/signers.h"
#include "relay/users.h"
#include "tls/context.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define MESSAGES_MAX (1u << 20)

static void print_messages(const char *prefix, const struct buffer *messages);
static enum err check_tls(const struct config *config, struct buffer *faults, struct buffer *warnings);
static enum err check_users(const struct config *config, struct buffer *faults, struct buffer *warnings);
static enum err check_signers(const struct config *config, struct buffer *faults, struct buffer *warnings);
static void check_aliases(const struct config *config, struct buffer *warnings);

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
        print_messages("", &faults);
    buffer_free(&faults);
    buffer_free(&warnings);
    return err == ERR_NONE ? CLI_DONE : err == ERR_MEMORY ? CLI_SOFTWARE : CLI_CONFIG;
}

static void print_messages(const char *prefix, const struct buffer *messages)
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

static struct json *lines_of(const struct buffer *messages)
{
    struct json *array = json_array_new();
    struct slice rest = buffer_slice(messages);
    struct slice line;
    while (slice_cut(&rest, '\n', &line)) {
        if (line.length > 0)
            json_append_text(array, line);
    }
    return array;
}

static void print_judgement(bool is_valid, const struct buffer *faults, const struct buffer *warnings)
{
    struct buffer line;
    struct json *judgement = json_object_new();
    struct json *told = lines_of(faults);
    struct json *warned = lines_of(warnings);
    buffer_init(&line, 4 * MESSAGES_MAX);
    json_set_flag(judgement, "valid", is_valid);
    json_set(judgement, "faults", &told);
    json_set(judgement, "warnings", &warned);
    if (json_print(judgement, &line) == ERR_NONE)
        buffer_add_byte(&line, '\n');
    cli_put(buffer_slice(&line));
    buffer_free(&line);
    json_free(&judgement);
}

/* All that `serve` would refuse, without touching the queue or a socket. */
int cli_check_config(const struct cli *cli)
{
    struct config_source source = cli_source(cli);
    struct config *config = NULL;
    struct buffer faults;
    struct buffer warnings;
    buffer_init(&faults, MESSAGES_MAX);
    buffer_init(&warnings, MESSAGES_MAX);
    enum err err = config_load(&source, &config, &faults, &warnings);
    if (err == ERR_NONE) {
        enum err access = intake_check(config, &faults);
        err = check_tls(config, &faults, &warnings);
        err = access != ERR_NONE ? access : err;
        enum err users = check_users(config, &faults, &warnings);
        enum err signers = check_signers(config, &faults, &warnings);
        err = users != ERR_NONE ? users : signers != ERR_NONE ? signers : err;
        check_aliases(config, &warnings);
    }
    if (cli_has(cli, CLI_OPTION_JSON)) {
        print_judgement(err == ERR_NONE, &faults, &warnings);
    } else {
        print_messages("", &faults);
        print_messages("warning: ", &warnings);
        cli_put(err == ERR_NONE ? SLICE("The configuration is valid.\n") : SLICE_EMPTY);
    }
    buffer_free(&faults);
    buffer_free(&warnings);
    config_free(&config);
    return err == ERR_NONE ? CLI_DONE : err == ERR_MEMORY ? CLI_SOFTWARE : CLI_CONFIG;
}

static enum err check_tls(const struct config *config, struct buffer *faults, struct buffer *warnings)
{
    struct tls_context *context = NULL;
    struct tls_context_options options = {
        .ca_file = config->tls_ca_file,
        .certificate = config->tls_certificate,
        .key = config->tls_key,
        .minimum = config->tls_minimum_1_3 ? TLS_1_3 : TLS_1_2,
    };
    struct buffer fault;
    buffer_init(&fault, MESSAGES_MAX);
    enum err err = tls_start();
    if (err == ERR_NONE)
        err = tls_context_new(&options, &context, &fault, warnings);
    if (err != ERR_NONE)
        buffer_print(faults, "[tls]: %.*s\n", SLICE_ARGS(buffer_slice(&fault)));
    tls_context_free(&context);
    tls_stop();
    buffer_free(&fault);
    return err;
}

static enum err check_users(const struct config *config, struct buffer *faults, struct buffer *warnings)
{
    struct users *users = NULL;
    struct buffer fault;
    buffer_init(&fault, MESSAGES_MAX);
    enum err err = config->users_file.length == 0 ? ERR_NONE : users_load(config->users_file, &users, &fault);
    if (err != ERR_NONE)
        buffer_print(faults, "[access] users-file: %.*s\n", SLICE_ARGS(buffer_slice(&fault)));
    if (users != NULL && users_count(users) == 0)
        buffer_add(warnings, SLICE("[access] users-file: there is nobody in it; add what `sternpost passwd NAME` prints\n"));
    users_free(&users);
    buffer_free(&fault);
    return err;
}

static enum err check_signers(const struct config *config, struct buffer *faults, struct buffer *warnings)
{
    struct signers *signers = NULL;
    struct buffer fault;
    buffer_init(&fault, MESSAGES_MAX);
    enum err err = tls_start();
    if (err == ERR_NONE)
        err = signers_load(config, &signers, &fault, warnings);
    if (err != ERR_NONE)
        buffer_print(faults, "%.*s\n", SLICE_ARGS(buffer_slice(&fault)));
    signers_free(&signers);
    tls_stop();
    buffer_free(&fault);
    return err;
}

static void check_aliases(const struct config *config, struct buffer *warnings)
{
    struct locals *locals = NULL;
    if (locals_load(config, &locals, warnings) != ERR_NONE)
        buffer_add(warnings, SLICE("the aliases could not be read\n"));
    locals_free(&locals);
}
