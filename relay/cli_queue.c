/* The commands on the queue: all but `check` ask the running relay. */
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
    struct printing printing = {.print = cli_text_listed};
    struct cli_asking asking;
    cli_ask_new(&asking, cli, "queue list");
    int status = ask_and_print(&asking, &printing);
    if (status == CLI_DONE && !cli_has(cli, CLI_OPTION_JSON))
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

/* ---- check ---- */

static void report_fault(void *owner, struct slice fault)
{
    const struct cli *cli = owner;
    struct buffer line;
    buffer_init(&line, 65536);
    if (cli_has(cli, CLI_OPTION_JSON)) {
        struct json *object = json_object_new();
        json_set_text(object, "fault", fault);
        if (json_print(object, &line) != ERR_NONE)
            buffer_clear(&line);
        json_free(&object);
    } else {
        cli_text_clean(&line, fault);
    }
    buffer_add_byte(&line, '\n');
    cli_put(buffer_slice(&line));
    buffer_free(&line);
}

static enum err count_messages(struct slice path, uint64_t *count)
{
    struct queue_options options = {.path = path, .read_only = true};
    struct queue_totals totals = {.messages = 0};
    struct queue *queue = NULL;
    struct buffer fault;
    buffer_init(&fault, TEXT_MAX);
    enum err err = queue_open(&options, &queue, &fault);
    if (err == ERR_NONE)
        err = queue_totals(queue, &totals);
    *count = totals.messages;
    queue_close(&queue);
    buffer_free(&fault);
    return err;
}

int cli_queue_check(const struct cli *cli)
{
    struct config *config = NULL;
    uint64_t faults = 0;
    uint64_t messages = 0;
    int status = cli_load(cli, false, &config);
    if (status != CLI_DONE)
        return status;
    enum err err = queue_check(config->queue_path, report_fault, (void *)(uintptr_t)cli, &faults);
    if (err == ERR_NONE && faults == 0)
        err = count_messages(config->queue_path, &messages);
    if (err == ERR_NONE && faults == 0)
        cli_say("%.*s: %llu messages, every record is sound", SLICE_ARGS(config->queue_path), (unsigned long long)messages);
    else if (err == ERR_NONE)
        cli_say("%.*s: %llu faults", SLICE_ARGS(config->queue_path), (unsigned long long)faults);
    else
        cli_say("%.*s could not be read to its end: %s", SLICE_ARGS(config->queue_path), err_text(err));
    config_free(&config);
    return err == ERR_PERMISSION ? CLI_NOT_PERMITTED : err != ERR_NONE || faults > 0 ? CLI_NO : CLI_DONE;
}
