/* `passwd`: a line for the users file. The password is never an argument, which all users of the machine could see. */
#include "relay/cli_commands.h"

#include "base/json.h"
#include "relay/users.h"
#include "tls/context.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#define PASSWORD_MAX 1024

static bool read_line(struct buffer *line);
static bool ask(const char *question, struct buffer *line);
static int read_password(struct buffer *password);
static int print_user(const struct cli *cli, struct slice name, const struct tls_password *stored);

int cli_passwd(const struct cli *cli)
{
    struct slice name = slice_of(cli->arguments[0]);
    struct tls_password stored;
    struct buffer password;
    if (!users_is_name(name)) {
        cli_say("\"%s\" is no name for a user: up to %d bytes without colon, and not beginning with #", cli->arguments[0],
                USERS_NAME_MAX);
        return CLI_USAGE;
    }
    buffer_init(&password, PASSWORD_MAX);
    int status = read_password(&password);
    if (status == CLI_DONE) {
        enum err err = tls_start();
        if (err == ERR_NONE)
            err = tls_password_make(&stored, buffer_slice(&password));
        if (err != ERR_NONE)
            cli_say("%s", err_text(err));
        tls_stop();
        status = err == ERR_NONE ? print_user(cli, name, &stored) : CLI_SOFTWARE;
    }
    if (password.data != NULL)
        explicit_bzero(password.data, password.capacity);
    buffer_free(&password);
    return status;
}

/* ---- the password ---- */

static int read_password(struct buffer *password)
{
    struct buffer again;
    bool asks = isatty(STDIN_FILENO) != 0;
    buffer_init(&again, PASSWORD_MAX);
    bool read = ask(asks ? "Password: " : "", password) && (!asks || ask("Again: ", &again));
    bool differs = read && asks && !slice_equal(buffer_slice(password), buffer_slice(&again));
    if (again.data != NULL)
        explicit_bzero(again.data, again.capacity);
    buffer_free(&again);
    if (!read)
        cli_say("no password: give it as one line of at most %d bytes on standard input", PASSWORD_MAX);
    else if (differs)
        cli_say("the two passwords differ; nothing was made");
    else if (buffer_length(password) == 0 || slice_has(buffer_slice(password), '\0'))
        cli_say("a password has at least one byte, and no NUL");
    else
        return CLI_DONE;
    return CLI_USAGE;
}

/* Without an echo, where somebody types it. */
static bool ask(const char *question, struct buffer *line)
{
    struct termios shown, hidden;
    bool is_terminal = question[0] != '\0' && tcgetattr(STDIN_FILENO, &shown) == 0;
    if (is_terminal) {
        hidden = shown;
        hidden.c_lflag &= ~(tcflag_t)ECHO;
        fputs(question, stderr);
        (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden);
    }
    bool read = read_line(line);
    if (is_terminal) {
        (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &shown);
        fputc('\n', stderr);
    }
    return read;
}

/* Byte by byte, so that nothing of it stays in a buffer of the library. */
static bool read_line(struct buffer *line)
{
    if (buffer_space(line, PASSWORD_MAX) == NULL)
        return false;
    for (;;) {
        char byte;
        ssize_t length = read(STDIN_FILENO, &byte, 1);
        if (length < 0 && errno == EINTR)
            continue;
        if (length <= 0)
            return length == 0 && buffer_length(line) > 0;
        if (byte == '\n')
            break;
        buffer_add_byte(line, byte);
    }
    if (slice_ends(buffer_slice(line), SLICE("\r")))
        buffer_truncate(line, buffer_length(line) - 1);
    return !buffer_failed(line);
}

/* ---- the result ---- */

static int print_user(const struct cli *cli, struct slice name, const struct tls_password *stored)
{
    struct buffer line;
    buffer_init(&line, 4096);
    buffer_add(&line, name);
    buffer_add_byte(&line, ':');
    tls_password_print(stored, &line);
    if (cli_has(cli, CLI_OPTION_JSON)) {
        struct json *object = json_object_new();
        json_set_text(object, "name", name);
        json_set_text(object, "line", buffer_slice(&line));
        buffer_clear(&line);
        if (json_print(object, &line) != ERR_NONE)
            line.failed = true;
        json_free(&object);
    }
    buffer_add_byte(&line, '\n');
    bool failed = buffer_failed(&line);
    if (failed)
        cli_say("out of memory");
    else
        cli_put(buffer_slice(&line));
    buffer_free(&line);
    return failed ? CLI_SOFTWARE : CLI_DONE;
}
