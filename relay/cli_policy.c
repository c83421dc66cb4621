/* The commands on the policy cache of the running relay. */
#include "relay/cli_ask.h"
#include "relay/cli_commands.h"
#include "relay/cli_text.h"

#include "base/clock.h"

#define TEXT_MAX (1u << 20)

struct printing {
    void (*print)(struct buffer *out, const struct json *answer, int64_t now_ms);
    size_t count;
};

static void print_answer(void *owner, const struct json *answer)
{
    struct printing *printing = owner;
    struct buffer text;
    buffer_init(&text, TEXT_MAX);
    printing->print(&text, answer, clock_wall_ms());
    cli_put(buffer_slice(&text));
    buffer_free(&text);
    printing->count++;
}

static int ask(const struct cli *cli, const char *command, struct printing *printing)
{
    struct cli_asking asking;
    cli_ask_new(&asking, cli, command);
    if (cli->argument_count > 0)
        json_set_string(asking.request, "domain", cli->arguments[0]);
    asking.answer = print_answer;
    asking.owner = printing;
    return cli_ask(&asking);
}

int cli_policy_list(const struct cli *cli)
{
    struct printing printing = {.print = cli_text_policy_line};
    int status = ask(cli, "policy list", &printing);
    if (status == CLI_DONE && printing.count == 0 && !cli_has(cli, CLI_OPTION_JSON))
        cli_say("no policy is in the cache");
    return status;
}

int cli_policy_show(const struct cli *cli)
{
    struct printing printing = {.print = cli_text_policy};
    return ask(cli, "policy show", &printing);
}

int cli_policy_refresh(const struct cli *cli)
{
    struct printing printing = {.print = cli_text_policy};
    return ask(cli, "policy refresh", &printing);
}

static void print_forgotten(struct buffer *out, const struct json *answer, int64_t now_ms)
{
    (void)now_ms;
    buffer_add(out, SLICE("What was known of "));
    cli_text_clean(out, json_text(answer, "domain"));
    buffer_add(out, SLICE(" is forgotten; the next message for it looks it up afresh.\n"));
}

int cli_policy_forget(const struct cli *cli)
{
    struct printing printing = {.print = print_forgotten};
    return ask(cli, "policy forget", &printing);
}

static struct slice level_text(struct slice level)
{
    if (slice_equal(level, SLICE("any-host")))
        return SLICE(": mail for it goes over verified TLS to whatever mail server DNS names. Where that does not do, --level encrypt "
                     "takes any certificate, and --level plain also plaintext.");
    if (slice_equal(level, SLICE("encrypt")))
        return SLICE(": mail for it goes over TLS with any certificate; whoever is on the way may read and change it.");
    return SLICE(": mail for it may leave in plaintext, and be read and changed on the way. --level any-host or encrypt gives up less.");
}

static void print_exempt(struct buffer *out, const struct json *answer, int64_t now_ms)
{
    cli_text_clean(out, json_text(answer, "domain"));
    if (!json_flag(answer, "exempt", true)) {
        buffer_add(out, SLICE(" is not exempt from its policy any more.\n"));
        return;
    }
    buffer_add(out, SLICE(" is exempt from its policy until "));
    cli_text_time(out, answer, "exempt_until", now_ms);
    buffer_add(out, level_text(json_text(answer, "exempt_level")));
    buffer_add(out, SLICE(" Each use is logged.\n"));
}

int cli_policy_exempt(const struct cli *cli)
{
    struct printing printing = {.print = print_exempt};
    return ask(cli, "policy exempt", &printing);
}
