/* The commands on the queue that ask the running relay. */
#include "relay/cli_ask.h"
#include "relay/cli_commands.h"
#include "relay/cli_text.h"

#include "base/clock.h"
#include "base/text.h"
#include "queue/queue.h"

#include <string.h>

#define TEXT_MAX (64u << 20)

/* What is counted while answers are printed. */
struct printing {
    void (*print)(struct buffer *out, const struct json *answer, int64_t now_ms);
    uint64_t messages, bytes;
};

static int ask_and_print(struct cli_asking *asking, struct printing *printing);
static void print_answer(void *owner, const struct json *answer);
static int change(const struct cli *cli, const char *command);

static void set_id(struct cli_asking *asking, const struct cli *cli)
{
    if (cli->argument_count > 0)
        json_set_string(asking->request, "id", cli->arguments[0]);
}

static int ask_and_print(struct cli_asking *asking, struct printing *printing)
{
    asking->answer = print_answer;
    asking->owner = printing;
    return cli_ask(asking);
}

static void print_answer(void *owner, const struct json *answer)
{
    struct printing *printing = owner;
    struct buffer text;
    buffer_init(&text, TEXT_MAX);
    printing->print(&text, answer, clock_wall_ms());
    cli_put(buffer_slice(&text));
    buffer_free(&text);
    if (json_flag(answer, "continued", false))
        return;
    printing->messages++;
    printing->bytes += (uint64_t)json_number(answer, "size", 0);
}

static void say_total(const struct printing *printing, bool is_done)
{
    struct buffer text;
    buffer_init(&text, 256);
    if (printing->messages == 0) {
        buffer_add(&text, is_done ? SLICE("nothing has ended lately") : SLICE("nothing is waiting"));
    } else {
        cli_text_size(&text, printing->bytes);
        buffer_add(&text, SLICE("B in "));
        cli_text_count(&text, printing->messages, is_done ? "delivery" : "message", is_done ? "deliveries" : "messages");
    }
    cli_say("%.*s", SLICE_ARGS(buffer_slice(&text)));
    buffer_free(&text);
}

int cli_queue_list(const struct cli *cli)
{
    bool sums_up = cli_has(cli, CLI_OPTION_SUMMARY);
    struct printing printing = {.print = sums_up ? cli_text_summed : cli_text_listed};
    struct cli_asking asking;
    cli_ask_new(&asking, cli, sums_up ? "queue summary" : "queue list");
    int status = ask_and_print(&asking, &printing);
    if (status == CLI_DONE && (!sums_up || printing.messages == 0) && !cli_has(cli, CLI_OPTION_JSON))
        say_total(&printing, cli_has(cli, CLI_OPTION_DONE));
    return status;
}

int cli_queue_show(const struct cli *cli)
{
    struct printing printing = {.print = cli_text_shown};
    struct cli_asking asking;
    cli_ask_new(&asking, cli, "queue show");
    set_id(&asking, cli);
    return ask_and_print(&asking, &printing);
}

int cli_queue_why(const struct cli *cli)
{
    struct printing printing = {.print = cli_text_why};
    struct cli_asking asking;
    cli_ask_new(&asking, cli, "queue why");
    set_id(&asking, cli);
    return ask_and_print(&asking, &printing);
}

/* ---- changes ---- */

static void print_changed(struct buffer *out, const struct json *answer, int64_t now_ms)
{
    (void)now_ms;
    cli_text_changed(out, answer);
}

static int change(const struct cli *cli, const char *command)
{
    struct printing printing = {.print = print_changed};
    struct cli_asking asking;
    cli_ask_new(&asking, cli, command);
    set_id(&asking, cli);
    return ask_and_print(&asking, &printing);
}

int cli_queue_flush(const struct cli *cli)
{
    return change(cli, "queue flush");
}

int cli_queue_hold(const struct cli *cli)
{
    return change(cli, "queue hold");
}

int cli_queue_release(const struct cli *cli)
{
    return change(cli, "queue release");
}

int cli_queue_delete(const struct cli *cli)
{
    return change(cli, "queue delete");
}

/* ---- export ---- */

static void put_content(void *owner, const struct json *answer)
{
    bool *is_damaged = owner;
    struct buffer content;
    buffer_init(&content, QUEUE_CHUNK_MAX);
    if (text_base64_decode(json_text(answer, "base64"), &content) != ERR_NONE)
        *is_damaged = true;
    cli_put(buffer_slice(&content));
    buffer_free(&content);
}

int cli_queue_export(const struct cli *cli)
{
    bool is_damaged = false;
    struct cli_asking asking;
    cli_ask_new(&asking, cli, "queue export");
    set_id(&asking, cli);
    asking.is_raw = !cli_has(cli, CLI_OPTION_JSON);
    asking.answer = put_content;
    asking.owner = &is_damaged;
    int status = cli_ask(&asking);
    if (is_damaged)
        cli_say("the relay's answer cannot be understood");
    return is_damaged ? CLI_SOFTWARE : status;
}
