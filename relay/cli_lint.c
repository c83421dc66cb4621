/* What can be said of a policy without a relay: `policy lint`, `policy lint-record`, `policy match`. */
#include "relay/cli_commands.h"
#include "relay/cli_text.h"

#include "sts/policy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Enough to say that it is too long. */
#define BODY_MAX (STS_POLICY_SIZE_MAX + 1)
#define ARENA_MAX (4u << 20)
#define TEXT_MAX (1u << 20)

static struct json *warnings_of(unsigned warnings);
static void print_verdict(const struct cli *cli, struct json **verdict);
static void say_verdict(const struct json *verdict);

/* ---- a policy ---- */

static bool read_all(int file, struct buffer *body)
{
    for (;;) {
        char bytes[16384];
        ssize_t length = read(file, bytes, sizeof bytes);
        if (length < 0 && errno == EINTR)
            continue;
        if (length <= 0)
            return length == 0;
        size_t room = buffer_room(body);
        buffer_add(body, slice_make(bytes, (size_t)length < room ? (size_t)length : room));
        if (buffer_room(body) == 0)
            return true;
    }
}

static int read_body(const char *path, struct buffer *body)
{
    bool is_input = strcmp(path, "-") == 0;
    int file = is_input ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    int failure = file >= 0 && read_all(file, body) ? 0 : errno;
    if (failure != 0)
        cli_say("%s: %s", is_input ? "standard input" : path, strerrordesc_np(failure));
    if (!is_input && file >= 0)
        close(file);
    return failure == 0 ? CLI_DONE : failure == EACCES ? CLI_NOT_PERMITTED : CLI_USAGE;
}

static void add_policy(struct json *verdict, const struct sts_policy *policy)
{
    json_set_string(verdict, "mode", sts_mode_name(policy->mode));
    struct json *patterns = json_array_new();
    for (size_t i = 0; i < policy->mx_count; i++)
        json_append_text(patterns, policy->mx[i]);
    json_set(verdict, "mx", &patterns);
    json_set_number(verdict, "max_age", policy->max_age_s);
}

static void add_fault(struct json *verdict, const struct sts_fault *fault)
{
    char text[256];
    if (fault->line > 0)
        snprintf(text, sizeof text, "line %zu: %s", fault->line, fault->why);
    else
        snprintf(text, sizeof text, "%s", fault->why);
    json_set_string(verdict, "error", text);
}

static int judge_policy(const struct cli *cli, struct slice body, struct arena *arena)
{
    struct sts_policy policy = {0};
    struct sts_fault fault = {0};
    bool is_valid = sts_policy_parse(body, arena, &policy, &fault);
    if (!is_valid && fault.out_of_memory) {
        cli_say("out of memory");
        return CLI_SOFTWARE;
    }
    struct json *verdict = json_object_new();
    json_set_flag(verdict, "valid", is_valid);
    if (is_valid)
        add_policy(verdict, &policy);
    struct json *warnings = warnings_of(is_valid ? policy.warnings : 0);
    json_set(verdict, "warnings", &warnings);
    if (!is_valid)
        add_fault(verdict, &fault);
    print_verdict(cli, &verdict);
    return is_valid ? CLI_DONE : CLI_NO;
}

int cli_policy_lint(const struct cli *cli)
{
    struct arena *arena = arena_new(ARENA_MAX);
    struct buffer body;
    buffer_init(&body, BODY_MAX);
    int status = arena == NULL ? CLI_SOFTWARE : read_body(cli->argument_count > 0 ? cli->arguments[0] : "-", &body);
    if (status == CLI_DONE)
        status = judge_policy(cli, buffer_slice(&body), arena);
    buffer_free(&body);
    arena_free(&arena);
    return status;
}

/* ---- a record ---- */

int cli_policy_lint_record(const struct cli *cli)
{
    static struct slice texts[CLI_WORDS_MAX];
    struct sts_record record = {.id = ""};
    const char *why = "";
    for (size_t i = 0; i < cli->argument_count; i++)
        texts[i] = slice_of(cli->arguments[i]);
    bool is_valid = sts_record_choose(texts, cli->argument_count, &record, &why);
    struct json *verdict = json_object_new();
    json_set_flag(verdict, "valid", is_valid);
    if (is_valid)
        json_set_string(verdict, "id", record.id);
    struct json *warnings = warnings_of(is_valid ? record.warnings : 0);
    json_set(verdict, "warnings", &warnings);
    if (!is_valid)
        json_set_string(verdict, "error", why);
    print_verdict(cli, &verdict);
    return is_valid ? CLI_DONE : CLI_NO;
}

/* ---- a host ---- */

int cli_policy_match(const struct cli *cli)
{
    struct slice host = slice_of(cli->arguments[0]);
    const char *admitting = NULL;
    for (size_t i = 1; admitting == NULL && i < cli->argument_count; i++) {
        if (sts_pattern_admits(slice_of(cli->arguments[i]), host))
            admitting = cli->arguments[i];
    }
    struct buffer text;
    buffer_init(&text, TEXT_MAX);
    cli_text_match(&text, cli->arguments[0], admitting, cli_has(cli, CLI_OPTION_JSON));
    cli_put(buffer_slice(&text));
    buffer_free(&text);
    return admitting != NULL ? CLI_DONE : CLI_NO;
}

/* ---- words ---- */

static struct json *warnings_of(unsigned warnings)
{
    static const enum sts_warning all[] = {
#define X(name, text) STS_WARNING_##name,
        STS_WARNING_LIST(X)
#undef X
    };
    struct json *array = json_array_new();
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        if (warnings & 1u << all[i])
            json_append_text(array, slice_of(sts_warning_text(all[i])));
    }
    return array;
}

/* One JSON line in any case; for people the same in words beside it. */
static void print_verdict(const struct cli *cli, struct json **verdict)
{
    struct buffer text;
    buffer_init(&text, TEXT_MAX);
    if (json_print(*verdict, &text) == ERR_NONE)
        buffer_add_byte(&text, '\n');
    cli_put(buffer_slice(&text));
    buffer_free(&text);
    if (!cli_has(cli, CLI_OPTION_JSON))
        say_verdict(*verdict);
    json_free(verdict);
}

static void say_verdict(const struct json *verdict)
{
    const struct json *warnings = json_get(verdict, "warnings");
    if (json_flag(verdict, "valid", false))
        cli_say("valid");
    else
        cli_say("not valid: %.*s", SLICE_ARGS(json_text(verdict, "error")));
    for (size_t i = 0; i < json_count(warnings); i++)
        cli_say("warning: %.*s", SLICE_ARGS(json_string_text(json_at(warnings, i))));
}
