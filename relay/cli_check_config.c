/* `check-config`: all that `serve` would refuse, and all that a reload would, without touching the queue or a socket. */
#include "relay/cli_commands.h"

#include "base/json.h"
#include "base/text.h"
#include "relay/intake.h"
#include "relay/locals.h"
#include "relay/serve_system.h"
#include "relay/signers.h"
#include "relay/users.h"
#include "tls/context.h"

#define MESSAGES_MAX (1u << 20)

struct judgement {
    struct config *config;
    struct buffer faults, warnings;
    struct buffer notes; /* what is no fault, and good to know */
    struct buffer files; /* of the configuration, as they were found */
    struct slice user;   /* that it was read as; empty: the caller */
    enum err err;
};

static void judgement_open(struct judgement *judgement);
static void judgement_close(struct judgement *judgement);
static void read_config(struct judgement *judgement, const struct cli *cli);
static void read_as_user(struct judgement *judgement, const struct cli *cli);
static void judge(struct judgement *judgement);
static void print_json(const struct judgement *judgement, bool shows);
static void print_text(const struct judgement *judgement);
static void print_effective(const struct judgement *judgement);

int cli_check_config(const struct cli *cli)
{
    struct judgement judgement;
    judgement_open(&judgement);
    read_config(&judgement, cli);
    read_as_user(&judgement, cli);
    if (judgement.err == ERR_NONE)
        judge(&judgement);
    if (cli_has(cli, CLI_OPTION_JSON))
        print_json(&judgement, cli_has(cli, CLI_OPTION_SHOW));
    else if (cli_has(cli, CLI_OPTION_SHOW) && judgement.err == ERR_NONE)
        print_effective(&judgement);
    else
        print_text(&judgement);
    enum err err = judgement.err;
    judgement_close(&judgement);
    return err == ERR_NONE ? CLI_DONE : err == ERR_MEMORY ? CLI_SOFTWARE : CLI_CONFIG;
}

static void judgement_open(struct judgement *judgement)
{
    *judgement = (struct judgement){.user = SLICE_EMPTY};
    buffer_init(&judgement->faults, MESSAGES_MAX);
    buffer_init(&judgement->warnings, MESSAGES_MAX);
    buffer_init(&judgement->notes, MESSAGES_MAX);
    buffer_init(&judgement->files, MESSAGES_MAX);
}

static void judgement_close(struct judgement *judgement)
{
    config_free(&judgement->config);
    buffer_free(&judgement->faults);
    buffer_free(&judgement->warnings);
    buffer_free(&judgement->notes);
    buffer_free(&judgement->files);
}

static void read_config(struct judgement *judgement, const struct cli *cli)
{
    struct config_source source = cli_source(cli);
    buffer_clear(&judgement->faults);
    buffer_clear(&judgement->warnings);
    buffer_clear(&judgement->files);
    source.files = &judgement->files;
    config_free(&judgement->config);
    judgement->err = config_load(&source, &judgement->config, &judgement->faults, &judgement->warnings);
}

/* root may read everything; the relay, which becomes another user behind its doors, reads it all again at each reload, and as a service is
 * that user from the start. So the files are judged with that user's eyes. */
static void read_as_user(struct judgement *judgement, const struct cli *cli)
{
    struct system_identity identity;
    const struct config *config = judgement->config;
    if (judgement->err != ERR_NONE)
        return;
    system_identity_find(config->user, &identity);
    if (identity.is_root && !identity.changes && config->user_given && !slice_equal(config->user, SLICE("root"))) {
        config_place_print(config, SLICE_EMPTY, SLICE("user"), &judgement->warnings);
        buffer_print(&judgement->warnings, ": there is no user %.*s: the relay would stay root\n", SLICE_ARGS(config->user));
    }
    if (!identity.changes)
        return;
    char name[256];
    struct slice user = text_print(name, sizeof name, "%.*s", SLICE_ARGS(config->user));
    if (system_identity_drop(&identity) != ERR_NONE) {
        buffer_print(&judgement->faults, "user: %.*s cannot be assumed\n", SLICE_ARGS(user));
        judgement->err = ERR_PERMISSION;
        return;
    }
    read_config(judgement, cli);
    if (judgement->err == ERR_NONE)
        judgement->user = judgement->config->user;
    else
        cli_say("read as user %.*s, whom the relay becomes:", SLICE_ARGS(user));
}

/* ---- what the files hold ---- */

static void keep_worst(struct judgement *judgement, enum err err)
{
    if (judgement->err == ERR_NONE)
        judgement->err = err;
}

static void add_fault(struct judgement *judgement, struct slice section, struct slice key, const struct buffer *fault)
{
    config_place_print(judgement->config, section, key, &judgement->faults);
    buffer_print(&judgement->faults, ": %.*s\n", SLICE_ARGS(slice_trim(buffer_slice(fault))));
}

static void judge_tls(struct judgement *judgement)
{
    const struct config *config = judgement->config;
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
        err = tls_context_new(&options, &context, &fault, &judgement->warnings);
    if (err != ERR_NONE)
        add_fault(judgement, SLICE("tls"), SLICE_EMPTY, &fault);
    keep_worst(judgement, err);
    tls_context_free(&context);
    tls_stop();
    buffer_free(&fault);
}

static void judge_users(struct judgement *judgement)
{
    const struct config *config = judgement->config;
    struct users *users = NULL;
    struct buffer fault;
    if (config->users_file.length == 0)
        return;
    buffer_init(&fault, MESSAGES_MAX);
    enum err err = users_load(config->users_file, &users, &fault);
    if (err != ERR_NONE)
        add_fault(judgement, SLICE("access"), SLICE("users-file"), &fault);
    if (users != NULL && users_count(users) == 0)
        buffer_add(&judgement->warnings, SLICE("[access] users-file: there is nobody in it; add what `sternpost passwd NAME` prints\n"));
    keep_worst(judgement, err);
    users_free(&users);
    buffer_free(&fault);
}

static void judge_signers(struct judgement *judgement)
{
    struct signers *signers = NULL;
    struct buffer fault;
    buffer_init(&fault, MESSAGES_MAX);
    enum err err = tls_start();
    if (err == ERR_NONE)
        err = signers_load(judgement->config, &signers, &fault, &judgement->warnings);
    if (err != ERR_NONE)
        buffer_print(&judgement->faults, "%.*s\n", SLICE_ARGS(buffer_slice(&fault)));
    keep_worst(judgement, err);
    signers_free(&signers);
    tls_stop();
    buffer_free(&fault);
}

static void judge_locals(struct judgement *judgement)
{
    struct locals *locals = NULL;
    if (locals_load(judgement->config, &locals, &judgement->warnings) != ERR_NONE)
        buffer_add(&judgement->warnings, SLICE("the aliases could not be read\n"));
    else if (!locals_knows_root(locals))
        buffer_add(&judgement->notes, SLICE(LOCALS_NO_ROOT "\n"));
    locals_free(&locals);
}

static void judge(struct judgement *judgement)
{
    keep_worst(judgement, intake_check(judgement->config, &judgement->faults));
    judge_tls(judgement);
    judge_users(judgement);
    judge_signers(judgement);
    judge_locals(judgement);
}

/* ---- told ---- */

static void set_lines(struct json *object, const char *name, const struct buffer *lines)
{
    struct json *array = json_array_new();
    struct slice rest = buffer_slice(lines);
    struct slice line;
    while (slice_cut(&rest, '\n', &line)) {
        if (line.length > 0)
            json_append_text(array, line);
    }
    json_set(object, name, &array);
}

static void print_json(const struct judgement *judgement, bool shows)
{
    struct buffer line;
    struct json *object = json_object_new();
    buffer_init(&line, 8 * MESSAGES_MAX);
    json_set_flag(object, "valid", judgement->err == ERR_NONE);
    set_lines(object, "faults", &judgement->faults);
    set_lines(object, "warnings", &judgement->warnings);
    set_lines(object, "notes", &judgement->notes);
    set_lines(object, "files", &judgement->files);
    json_set_text(object, "user", judgement->user);
    if (shows && judgement->config != NULL) {
        config_print_effective(judgement->config, &line);
        json_set_text(object, "configuration", buffer_slice(&line));
        buffer_clear(&line);
    }
    if (json_print(object, &line) == ERR_NONE)
        buffer_add_byte(&line, '\n');
    cli_put(buffer_slice(&line));
    buffer_free(&line);
    json_free(&object);
}

/* Nothing else on standard output: it is a file. */
static void print_effective(const struct judgement *judgement)
{
    struct buffer text;
    buffer_init(&text, 8 * MESSAGES_MAX);
    config_print_effective(judgement->config, &text);
    cli_say_lines("warning: ", &judgement->warnings);
    cli_put(buffer_slice(&text));
    buffer_free(&text);
}

static void print_text(const struct judgement *judgement)
{
    struct buffer text;
    struct slice rest = buffer_slice(&judgement->files);
    struct slice file;
    buffer_init(&text, 4 * MESSAGES_MAX);
    while (slice_cut(&rest, '\n', &file)) {
        if (file.length > 0)
            buffer_print(&text, "Configuration file: %.*s\n", SLICE_ARGS(file));
    }
    if (judgement->user.length > 0)
        buffer_print(&text, "Read as user %.*s, whom the relay becomes.\n", SLICE_ARGS(judgement->user));
    buffer_add(&text, judgement->err == ERR_NONE ? SLICE("The configuration is valid.\n") : SLICE_EMPTY);
    buffer_add(&text, buffer_slice(&judgement->notes));
    cli_say_lines("", &judgement->faults);
    cli_say_lines("warning: ", &judgement->warnings);
    cli_put(buffer_slice(&text));
    buffer_free(&text);
}
