#include "relay/cli_sendmail.h"

#include "base/text.h"
#include "relay/cli_ask.h"
#include "relay/cli_commands.h"
#include "relay/locals.h"
#include "smtp/mailbox.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define ARENA_MAX (64u << 20)
#define FAULT_MAX 4096
#define ADDRESS_MAX 1000
#define WARNINGS_MAX 65536

static int run_mode(struct sendmail *sendmail);
static void print_help(void);

int sendmail_run(const char *name, const char *const *words, size_t count, const char *const *environment)
{
    static struct sendmail sendmail;
    struct buffer fault;
    int status = SENDMAIL_USAGE;
    const char **recipients = calloc(count + 1, sizeof *recipients);
    sendmail.arena = arena_new(ARENA_MAX);
    cli_set_name(name);
    if (recipients == NULL || sendmail.arena == NULL) {
        cli_say("out of memory");
        free(recipients);
        return SENDMAIL_TEMPORARY;
    }
    sendmail.cli.environment = environment;
    buffer_init(&fault, FAULT_MAX);
    if (sendmail_options_parse(&sendmail.options, name, words, count, recipients, &fault))
        status = run_mode(&sendmail);
    else
        cli_say("%.*s", SLICE_ARGS(buffer_slice(&fault)));
    int flushed = cli_flush();
    buffer_free(&fault);
    config_free(&sendmail.config);
    arena_free(&sendmail.arena);
    free(recipients);
    return status != SENDMAIL_DONE ? status : flushed;
}

static int run_mode(struct sendmail *sendmail)
{
    enum sendmail_mode mode = sendmail->options.mode;
    if (mode == SENDMAIL_HELP || mode == SENDMAIL_VERSION || mode == SENDMAIL_NOTHING) {
        if (mode == SENDMAIL_HELP)
            print_help();
        return mode == SENDMAIL_VERSION ? cli_version(&sendmail->cli) : SENDMAIL_DONE;
    }
    int status = cli_load(&sendmail->cli, false, &sendmail->config);
    if (status != CLI_DONE)
        return status;
    switch (mode) {
    case SENDMAIL_SEND:
        return sendmail_send(sendmail);
    case SENDMAIL_SMTP:
        return sendmail_smtp(sendmail);
    case SENDMAIL_QUEUE:
        return sendmail_queue(sendmail);
    case SENDMAIL_COUNT:
        return sendmail_count(sendmail);
    case SENDMAIL_VERIFY:
        return sendmail_verify(sendmail);
    case SENDMAIL_ALIASES:
        return sendmail_aliases(sendmail);
    case SENDMAIL_FLUSH:
        return sendmail_flush(sendmail);
    case SENDMAIL_DAEMON:
    case SENDMAIL_SERVE:
        return sendmail_daemon(sendmail);
    case SENDMAIL_HELP:
    case SENDMAIL_VERSION:
    case SENDMAIL_NOTHING:
        break;
    }
    return SENDMAIL_SOFTWARE;
}

static void print_help(void)
{
    cli_put(SLICE("usage: sendmail [-t] [-i] [-f ADDRESS] [-F NAME] [-N never|success,failure,delay] [-R full|hdrs] [-V ID] [--] ADDRESS...\n"
                  "       sendmail -bs | -bp | -bv ADDRESS... | -bi | -q[ID]\n"
                  "       mailq\n"
                  "       newaliases\n"
                  "Takes a message from standard input for the relay. See sendmail(8).\n"));
}

/* ---- addresses and users ---- */

bool sendmail_address(const struct sendmail *sendmail, struct slice text, struct slice *address)
{
    struct smtp_mailbox_list list = smtp_mailbox_list_of(text);
    struct smtp_mailbox mailbox;
    struct buffer out;
    buffer_init(&out, ADDRESS_MAX);
    *address = SLICE_EMPTY;
    bool is_null = slice_trim(text).length == 0 || slice_equal(slice_trim(text), SLICE("<>"));
    bool is_address = !is_null && smtp_mailbox_next(&list, &mailbox, &out) == SMTP_MAILBOX_ADDRESS &&
                      arena_slice(sendmail->arena, buffer_slice(&out), address) &&
                      smtp_mailbox_next(&list, &mailbox, &out) == SMTP_MAILBOX_END;
    buffer_free(&out);
    return is_null || is_address;
}

/* Of a static program, which has no name service: the file is read directly. */
struct slice sendmail_user(const struct sendmail *sendmail, struct slice *full_name)
{
    struct slice name = SLICE_EMPTY;
    struct passwd *entry;
    FILE *file = fopen("/etc/passwd", "re");
    *full_name = SLICE_EMPTY;
    while (file != NULL && name.length == 0 && (entry = fgetpwent(file)) != NULL) {
        struct slice gecos = slice_of(entry->pw_gecos);
        if (entry->pw_uid != getuid() || !arena_slice(sendmail->arena, slice_of(entry->pw_name), &name) ||
            !arena_slice(sendmail->arena, slice_to(gecos, slice_find(gecos, ',')), full_name))
            continue;
    }
    if (file != NULL)
        fclose(file);
    if (name.length == 0 && !arena_print(sendmail->arena, &name, "%u", (unsigned)getuid()))
        name = SLICE("nobody");
    return name;
}

/* ---- -bv ---- */

int sendmail_verify(struct sendmail *sendmail)
{
    int status = SENDMAIL_DONE;
    const struct sendmail_options *options = &sendmail->options;
    if (options->recipient_count == 0) {
        cli_say("which address? sendmail -bv ADDRESS");
        return SENDMAIL_USAGE;
    }
    for (size_t i = 0; i < options->recipient_count; i++) {
        struct slice address;
        if (!sendmail_address(sendmail, slice_of(options->recipients[i]), &address) || address.length == 0) {
            cli_say("%s: no address", options->recipients[i]);
            return SENDMAIL_DATA;
        }
        sendmail->cli.argument_items[0] = address.data;
        sendmail->cli.arguments = sendmail->cli.argument_items;
        sendmail->cli.argument_count = 1;
        int outcome = cli_explain_to_all(&sendmail->cli);
        if (outcome == CLI_NO)
            outcome = sendmail_check_local(sendmail, address, NULL) == SENDMAIL_NO_USER ? SENDMAIL_NO_USER : SENDMAIL_UNAVAILABLE;
        status = outcome != CLI_DONE ? outcome : status;
    }
    return status;
}

/* ---- newaliases ---- */

int sendmail_aliases(struct sendmail *sendmail)
{
    struct locals *locals = NULL;
    struct buffer warnings;
    struct slice line;
    struct cli_asking asking;
    buffer_init(&warnings, WARNINGS_MAX);
    enum err err = locals_load(sendmail->config, &locals, &warnings);
    size_t faults = err == ERR_NONE ? locals_check(locals, sendmail->config->aliases_file, &warnings) : 0;
    struct slice rest = buffer_slice(&warnings);
    while (slice_cut(&rest, '\n', &line)) {
        if (line.length > 0)
            cli_say("%.*s", SLICE_ARGS(line));
    }
    if (err == ERR_NONE) {
        struct buffer text;
        buffer_init(&text, FAULT_MAX);
        size_t count = locals_alias_count(locals);
        buffer_print(&text, "%.*s: %zu %s\n", SLICE_ARGS(slice_to(sendmail->config->aliases_file, 1000)), count, count == 1 ? "alias" : "aliases");
        cli_put(buffer_slice(&text));
        buffer_free(&text);
        if (!locals_knows_root(locals))
            cli_say("%s", LOCALS_NO_ROOT);
    }
    locals_free(&locals);
    buffer_free(&warnings);
    if (err != ERR_NONE)
        return SENDMAIL_SOFTWARE;
    /* A relay that does not run reads them when it starts. */
    cli_ask_new(&asking, &sendmail->cli, "aliases");
    asking.config = sendmail->config;
    asking.is_submit = asking.is_optional = asking.may_go_on = true;
    int status = cli_ask(&asking);
    bool is_done = status == SENDMAIL_UNAVAILABLE || status == SENDMAIL_DONE;
    return !is_done ? status : faults > 0 ? SENDMAIL_DATA : SENDMAIL_DONE;
}
