/* `queue check`: reads the queue itself, whether a relay runs or not. */
#include "relay/cli_commands.h"
#include "relay/cli_text.h"

#include "queue/queue.h"

#include <errno.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#define LINE_LIMIT 65536

static int check_apart(const struct cli *cli, struct slice path);
static int check(const struct cli *cli, struct slice path);
static void report_fault(void *owner, struct slice fault);
static enum err count_messages(struct slice path, uint64_t *count);

int cli_queue_check(const struct cli *cli)
{
    struct config *config = NULL;
    int status = cli_load(cli, false, &config);
    if (status != CLI_DONE)
        return status;
    status = check_apart(cli, config->queue_path);
    config_free(&config);
    return status;
}

/* In a process of its own: the library follows the links between pages without a check, and where these are damaged it ends the
 * process that follows them. That too is an answer. */
static int check_apart(const struct cli *cli, struct slice path)
{
    int ending;
    pid_t child = fork();
    if (child == 0) {
        int status = check(cli, path);
        int flushed = cli_flush();
        _exit(status != CLI_DONE ? status : flushed);
    }
    if (child < 0) {
        cli_say("%.*s cannot be checked: no further process can be started", SLICE_ARGS(path));
        return CLI_SOFTWARE;
    }
    while (waitpid(child, &ending, 0) < 0) {
        if (errno != EINTR)
            return CLI_SOFTWARE;
    }
    if (WIFEXITED(ending))
        return WEXITSTATUS(ending);
    cli_say("%.*s could not be read to its end: the links between its pages are damaged. A relay cannot work with it: set the "
            "directory aside, and start the relay with an empty one",
            SLICE_ARGS(path));
    return CLI_NO;
}

static int check(const struct cli *cli, struct slice path)
{
    uint64_t faults = 0;
    uint64_t messages = 0;
    enum err err = queue_check(path, report_fault, (void *)(uintptr_t)cli, &faults);
    if (err == ERR_NONE && faults == 0)
        err = count_messages(path, &messages);
    if (err == ERR_NONE && faults == 0)
        cli_say("%.*s: %llu messages, every record is sound", SLICE_ARGS(path), (unsigned long long)messages);
    else if (err == ERR_NONE)
        cli_say("%.*s: %llu faults", SLICE_ARGS(path), (unsigned long long)faults);
    else
        cli_say("%.*s could not be read to its end: %s", SLICE_ARGS(path), err_text(err));
    return err == ERR_PERMISSION ? CLI_NOT_PERMITTED : err != ERR_NONE || faults > 0 ? CLI_NO : CLI_DONE;
}

/* Out at once: it may be the last that can be told. A failure shows when all is flushed. */
static void report_fault(void *owner, struct slice fault)
{
    const struct cli *cli = owner;
    struct buffer line;
    buffer_init(&line, LINE_LIMIT);
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
    fflush(stdout);
    buffer_free(&line);
}

static enum err count_messages(struct slice path, uint64_t *count)
{
    struct queue_options options = {.path = path, .read_only = true};
    struct queue_totals totals = {.messages = 0};
    struct queue *queue = NULL;
    struct buffer fault;
    buffer_init(&fault, LINE_LIMIT);
    enum err err = queue_open(&options, &queue, &fault);
    if (err == ERR_NONE)
        err = queue_totals(queue, &totals);
    *count = totals.messages;
    queue_close(&queue);
    buffer_free(&fault);
    return err;
}
