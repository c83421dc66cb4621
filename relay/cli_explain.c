/* `explain` and `test-send`. */
#include "relay/cli_ask.h"
#include "relay/cli_commands.h"
#include "relay/cli_text.h"

#include "base/clock.h"
#include "base/list.h"
#include "relay/explain.h"
#include "relay/host_uv.h"
#include "relay/locals.h"
#include "relay/relay.h"

#define TEXT_MAX (1u << 20)
#define MESSAGES_MAX 65536

static void print_step(void *owner, const struct json *step);
static int explain_afresh(const struct cli *cli);

/* ---- with the relay ---- */

static void print_step(void *owner, const struct json *step)
{
    (void)owner;
    struct buffer text;
    buffer_init(&text, TEXT_MAX);
    cli_text_step(&text, step, clock_wall_ms());
    cli_put(buffer_slice(&text));
    buffer_free(&text);
}

static int explain(const struct cli *cli, bool is_submit)
{
    struct cli_asking asking;
    cli_ask_new(&asking, cli, "explain");
    json_set_string(asking.request, "address", cli->arguments[0]);
    asking.answer = print_step;
    asking.is_optional = true;
    asking.is_submit = is_submit;
    int status = cli_ask(&asking);
    return asking.was_absent ? explain_afresh(cli) : status;
}

int cli_explain(const struct cli *cli)
{
    return explain(cli, false);
}

int cli_explain_to_all(const struct cli *cli)
{
    return explain(cli, true);
}

static void print_outcome(void *owner, const struct json *answer)
{
    (void)owner;
    struct buffer text;
    buffer_init(&text, TEXT_MAX);
    cli_text_outcome(&text, answer);
    cli_put(buffer_slice(&text));
    buffer_free(&text);
}

int cli_test_send(const struct cli *cli)
{
    struct cli_asking asking;
    cli_ask_new(&asking, cli, "test-send");
    json_set_string(asking.request, "address", cli->arguments[0]);
    asking.answer = print_outcome;
    return cli_ask(&asking);
}

/* ---- without one ---- */

/* As much of a relay as an explanation asks: configuration, trust anchors, aliases, and the cache where it may be read. */
struct afresh {
    const struct cli *cli;
    struct log log;
    struct relay relay;
    struct explain explain;
    bool would_go;
};

static void write_log(struct log *log, struct slice line)
{
    (void)log;
    (void)line; /* the steps tell it all */
}

static void tell(struct explain *explain, struct json **step)
{
    struct afresh *afresh = LIST_OF(explain, struct afresh, explain);
    struct buffer line;
    buffer_init(&line, TEXT_MAX);
    if (!cli_has(afresh->cli, CLI_OPTION_JSON))
        cli_text_step(&line, *step, clock_wall_ms());
    else if (json_print(*step, &line) == ERR_NONE)
        buffer_add_byte(&line, '\n');
    cli_put(buffer_slice(&line));
    buffer_free(&line);
    json_free(step);
    if (cli_flush() != CLI_DONE) {
        explain_cancel(explain);
        host_stop();
    }
}

static void done(struct explain *explain, bool would_go)
{
    struct afresh *afresh = LIST_OF(explain, struct afresh, explain);
    afresh->would_go = would_go;
    explain_cancel(explain);
    host_stop();
}

static int open_parts(struct afresh *afresh)
{
    struct relay *relay = &afresh->relay;
    const struct config *config = relay->config;
    struct buffer fault;
    struct buffer warnings;
    struct tls_context_options options = {.ca_file = config->tls_ca_file,
                                          .minimum = config->tls_minimum_1_3 ? TLS_1_3 : TLS_1_2};
    struct queue_options queue = {.path = config->queue_path, .read_only = true};
    buffer_init(&fault, MESSAGES_MAX);
    buffer_init(&warnings, MESSAGES_MAX);
    enum err err = locals_load(config, &relay->locals, &warnings);
    if (err == ERR_NONE)
        err = tls_start();
    if (err == ERR_NONE)
        err = tls_context_new(&options, &relay->tls, &fault, &warnings);
    if (err != ERR_NONE)
        cli_say("%.*s%s%s", SLICE_ARGS(buffer_slice(&fault)), buffer_length(&fault) > 0 ? ": " : "", err_text(err));
    buffer_clear(&fault);
    if (err == ERR_NONE && queue_open(&queue, &relay->queue, &fault) != ERR_NONE)
        cli_say("no cached policy can be read: %.*s", SLICE_ARGS(buffer_slice(&fault)));
    if (relay->queue != NULL)
        (void)clock_watch_read(relay->queue, &relay->steady); /* what cannot be read: as of now */
    buffer_free(&fault);
    buffer_free(&warnings);
    return err == ERR_NONE ? CLI_DONE : err == ERR_MEMORY ? CLI_SOFTWARE : CLI_CONFIG;
}

static void close_parts(struct afresh *afresh)
{
    queue_close(&afresh->relay.queue);
    tls_context_free(&afresh->relay.tls);
    tls_stop();
    locals_free(&afresh->relay.locals);
    config_free(&afresh->relay.config);
}

static int run(struct afresh *afresh)
{
    const struct config *config = afresh->relay.config;
    struct resolver_options options = {.servers = config->dns_servers.items, .server_count = config->dns_servers.count};
    struct explain *explain = &afresh->explain;
    explain->tell = tell;
    explain->done = done;
    explain->relay = &afresh->relay;
    explain->address = slice_of(afresh->cli->arguments[0]);
    explain->sender = afresh->cli->values[CLI_OPTION_FROM];
    explain->connects = cli_has(afresh->cli, CLI_OPTION_CONNECT);
    if (!explain_is_address(explain->address)) {
        cli_say("\"%s\" is no address", afresh->cli->arguments[0]);
        return CLI_USAGE;
    }
    if (resolver_open(&options) != ERR_NONE || !explain_start(explain))
        return CLI_SOFTWARE;
    host_run();
    resolver_close();
    return afresh->would_go ? CLI_DONE : CLI_NO;
}

static int explain_afresh(const struct cli *cli)
{
    static struct afresh afresh;
    afresh = (struct afresh){.cli = cli, .log = {.level = LOG_ERROR, .write = write_log}};
    afresh.relay.log = &afresh.log;
    cli_say("the relay does not run: looking up afresh, with the configuration and the cached policies that you may read");
    int status = cli_load(cli, false, &afresh.relay.config);
    if (status != CLI_DONE)
        return status;
    status = open_parts(&afresh);
    if (status == CLI_DONE && host_open() != ERR_NONE)
        status = CLI_SOFTWARE;
    if (status == CLI_DONE) {
        status = run(&afresh);
        (void)host_close();
    }
    close_parts(&afresh);
    return status;
}
