#include "relay/cli_ask.h"

#include "base/list.h"
#include "relay/host_uv.h"

#include <string.h>

#define LINE_MAX_BYTES (16u << 20)
#define PIECE_MAX (256u << 10) /* of the content, written at once */

struct conversation {
    struct cli_asking *asking;
    struct stream stream;
    struct slice path;
    struct buffer input;
    struct timer patience;
    size_t part, offset; /* how far the content is written */
    bool sends;          /* the content was asked for */
    int status;
    bool is_over;
    bool is_trial;      /* that nobody is there is not told; false afterwards */
    struct endpoint on; /* the relay has sent us there */
};

static void on_connected(struct stream *stream, enum err err);
static void on_received(struct stream *stream, struct slice bytes);
static void on_drained(struct stream *stream);
static void on_ended(struct stream *stream, enum err err);
static void send_more(struct conversation *conversation);
static void be_patient(struct conversation *conversation);
static void take_line(struct conversation *conversation, struct slice line);
static int converse(struct conversation *conversation);

/* The option's name is the key of the request. */
void cli_ask_new(struct cli_asking *asking, const struct cli *cli, const char *command)
{
    static const enum cli_option texts[] = {CLI_OPTION_TO, CLI_OPTION_FROM, CLI_OPTION_OLDER, CLI_OPTION_STATUS, CLI_OPTION_LIMIT,
                                            CLI_OPTION_UNTIL, CLI_OPTION_REASON, CLI_OPTION_LEVEL};
    static const enum cli_option flags[] = {CLI_OPTION_DONE, CLI_OPTION_ALL, CLI_OPTION_CONNECT, CLI_OPTION_READY};
    *asking = (struct cli_asking){.cli = cli, .command = command, .request = json_object_new()};
    json_set_string(asking->request, "command", command);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (cli_has(cli, texts[i]))
            json_set_text(asking->request, cli_option_word(texts[i]) + 2, cli->values[texts[i]]);
    }
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        if (cli_has(cli, flags[i]))
            json_set_flag(asking->request, cli_option_word(flags[i]) + 2, true);
    }
}

static int ask_once(struct conversation *conversation)
{
    if (host_open() != ERR_NONE)
        return CLI_SOFTWARE;
    int status = converse(conversation);
    (void)host_close();
    return status;
}

/* Over the submit socket everybody sees his own. Who may see all is told where the control socket is; where that cannot be reached, as
 * from within a container, his own it is. */
static int ask(struct cli_asking *asking, struct slice path)
{
    struct conversation first = {.asking = asking, .status = CLI_UNAVAILABLE, .path = path};
    bool may_go_on = asking->is_submit && asking->may_go_on;
    if (may_go_on)
        json_set_flag(asking->request, "may-go-on", true);
    int status = ask_once(&first);
    if (first.on.path[0] == '\0')
        return status;
    struct conversation second = {
        .asking = asking, .status = CLI_UNAVAILABLE, .path = slice_of(first.on.path), .is_trial = true};
    json_set_flag(asking->request, "may-go-on", false);
    status = ask_once(&second);
    if (second.is_trial)
        return status;
    struct conversation last = {.asking = asking, .status = CLI_UNAVAILABLE, .path = path};
    return ask_once(&last);
}

int cli_ask(struct cli_asking *asking)
{
    struct config *loaded = NULL;
    int status = asking->config != NULL ? CLI_DONE : cli_load(asking->cli, asking->is_quiet, &loaded);
    const struct config *config = asking->config != NULL ? asking->config : loaded;
    if (status == CLI_DONE)
        status = ask(asking, asking->is_submit ? config->submit_socket : config->control_socket);
    json_free(&asking->request);
    config_free(&loaded);
    return status;
}

static int converse(struct conversation *conversation)
{
    struct endpoint relay = {0};
    buffer_init(&conversation->input, LINE_MAX_BYTES);
    const char *section = conversation->asking->is_submit ? "submit" : "control";
    bool is_no_path = conversation->path.length >= sizeof relay.path || conversation->path.length == 0;
    conversation->asking->was_absent = is_no_path;
    if (is_no_path && conversation->asking->is_optional)
        return CLI_UNAVAILABLE;
    if (is_no_path) {
        cli_say("[%s] socket: the path is too long for a socket, or empty", section);
        return CLI_CONFIG;
    }
    memcpy(relay.path, conversation->path.data, conversation->path.length);
    conversation->stream = (struct stream){
        .connected = on_connected, .received = on_received, .drained = on_drained, .ended = on_ended};
    stream_connect(&conversation->stream, &relay, NULL);
    be_patient(conversation);
    host_run();
    buffer_free(&conversation->input);
    return conversation->status;
}

static void end(struct conversation *conversation, int status)
{
    conversation->status = status;
    conversation->is_over = true;
    timer_cancel(&conversation->patience);
    stream_abort(&conversation->stream);
    host_stop();
}

static void on_connected(struct stream *stream, enum err err)
{
    struct conversation *conversation = LIST_OF(stream, struct conversation, stream);
    bool is_quiet = conversation->asking->is_quiet;
    struct buffer request;
    if (err != ERR_NONE && conversation->is_trial) {
        conversation->is_trial = false;
        end(conversation, CLI_UNAVAILABLE);
        return;
    }
    bool is_passed_over = conversation->asking->is_submit && conversation->asking->is_optional;
    if (err == ERR_PERMISSION && !is_passed_over) {
        if (!is_quiet)
            cli_say("no permission for %.*s: be root, the relay's user, or of its group", SLICE_ARGS(conversation->path));
        end(conversation, CLI_NOT_PERMITTED);
        return;
    }
    if (err != ERR_NONE) {
        conversation->asking->was_absent = true;
        if (!is_quiet && !conversation->asking->is_optional)
            cli_say("the relay does not run, or listens elsewhere: nobody answers at %.*s", SLICE_ARGS(conversation->path));
        end(conversation, CLI_UNAVAILABLE);
        return;
    }
    buffer_init(&request, LINE_MAX_BYTES);
    if (json_print(conversation->asking->request, &request) != ERR_NONE) {
        end(conversation, CLI_SOFTWARE);
    } else {
        buffer_add_byte(&request, '\n');
        stream_write(&conversation->stream, buffer_slice(&request));
        stream_read(&conversation->stream, true);
    }
    buffer_free(&request);
}

static void on_received(struct stream *stream, struct slice bytes)
{
    struct conversation *conversation = LIST_OF(stream, struct conversation, stream);
    be_patient(conversation);
    buffer_add(&conversation->input, bytes);
    if (buffer_failed(&conversation->input)) {
        cli_say("the relay's answer is too long");
        end(conversation, CLI_SOFTWARE);
        return;
    }
    while (!conversation->is_over) {
        struct slice all = buffer_slice(&conversation->input);
        size_t length = slice_find(all, '\n');
        if (length == all.length)
            break;
        take_line(conversation, slice_to(all, length));
        buffer_consume(&conversation->input, length + 1);
    }
    if (cli_flush() != CLI_DONE && !conversation->is_over)
        end(conversation, CLI_IO);
}

static void on_drained(struct stream *stream)
{
    send_more(LIST_OF(stream, struct conversation, stream));
}

/* A piece at a time, when the one before has left. */
static void send_more(struct conversation *conversation)
{
    const struct cli_asking *asking = conversation->asking;
    be_patient(conversation);
    while (conversation->sends && conversation->part < asking->content_count) {
        struct slice piece = slice_to(slice_from(asking->content[conversation->part], conversation->offset), PIECE_MAX);
        conversation->offset += piece.length;
        if (piece.length > 0) {
            stream_write(&conversation->stream, piece);
            return;
        }
        conversation->part++;
        conversation->offset = 0;
    }
}

static void on_patience(struct timer *timer)
{
    struct conversation *conversation = LIST_OF(timer, struct conversation, patience);
    conversation->asking->was_broken = true;
    if (!conversation->asking->is_optional)
        cli_say("the relay does not answer");
    end(conversation, CLI_UNAVAILABLE);
}

static void be_patient(struct conversation *conversation)
{
    if (conversation->asking->patience_ms > 0 && !conversation->is_over)
        timer_start(&conversation->patience, conversation->asking->patience_ms, on_patience);
}

static void on_ended(struct stream *stream, enum err err)
{
    (void)err;
    struct conversation *conversation = LIST_OF(stream, struct conversation, stream);
    conversation->asking->was_broken = true;
    if (!conversation->asking->is_quiet && !conversation->asking->is_optional)
        cli_say("the relay has ended the connection");
    end(conversation, CLI_UNAVAILABLE);
}

static void take_last(struct conversation *conversation, const struct json *answer)
{
    const struct cli_asking *asking = conversation->asking;
    struct slice error = json_text(answer, "error");
    int status = (int)json_number(answer, "exit", CLI_SOFTWARE);
    struct slice on = json_text(answer, "control");
    if (asking->may_go_on && on.length > 0 && on.length < sizeof conversation->on.path) {
        memcpy(conversation->on.path, on.data, on.length);
        end(conversation, status);
        return;
    }
    bool is_to_be_told = !asking->is_quiet && (status != CLI_UNAVAILABLE || !asking->is_optional);
    if (asking->fault != NULL)
        buffer_add(asking->fault, error);
    else if (error.length > 0 && is_to_be_told)
        cli_say("%.*s", SLICE_ARGS(error));
    end(conversation, status);
}

static void take_line(struct conversation *conversation, struct slice line)
{
    struct cli_asking *asking = conversation->asking;
    struct json *answer = NULL;
    if (json_parse(line, &answer) != ERR_NONE) {
        cli_say("the relay's answer cannot be understood");
        end(conversation, CLI_SOFTWARE);
    } else if (json_flag(answer, "done", false)) {
        take_last(conversation, answer);
    } else if (json_flag(answer, "ready", false) && asking->content_count > 0) {
        conversation->sends = true;
        send_more(conversation);
    } else if (json_text(answer, "note").length > 0) {
        cli_say("%.*s", SLICE_ARGS(json_text(answer, "note")));
    } else if (cli_has(asking->cli, CLI_OPTION_JSON) && !asking->is_raw) {
        cli_put(line);
        cli_put(SLICE("\n"));
    } else if (asking->answer != NULL) {
        asking->answer(asking->owner, answer);
    }
    json_free(&answer);
}
