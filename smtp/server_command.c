#include "smtp/server_internal.h"

#include "base/text.h"

#define EHLO_TEXT_MAX 1024
#define WORD(literal)                                                                                                  \
    {                                                                                                                  \
        "" literal, sizeof(literal) - 1                                                                                \
    }

static void on_hello(struct smtp_server *server, const struct smtp_command *command);
static void on_mail(struct smtp_server *server, const struct smtp_command *command);
static void on_rcpt(struct smtp_server *server, const struct smtp_command *command);
static void on_data(struct smtp_server *server, const struct smtp_command *command);
static void on_bdat(struct smtp_server *server, const struct smtp_command *command);
static void on_rset(struct smtp_server *server, const struct smtp_command *command);
static void on_noop(struct smtp_server *server, const struct smtp_command *command);
static void on_quit(struct smtp_server *server, const struct smtp_command *command);
static void on_vrfy(struct smtp_server *server, const struct smtp_command *command);
static void on_help(struct smtp_server *server, const struct smtp_command *command);
static void on_starttls(struct smtp_server *server, const struct smtp_command *command);
static void on_auth(struct smtp_server *server, const struct smtp_command *command);
static void on_unsupported(struct smtp_server *server, const struct smtp_command *command);

struct command_row {
    void (*run)(struct smtp_server *server, const struct smtp_command *command);
    bool idle;
};
static const struct command_row rows[] = {
    [SMTP_UNKNOWN] = {on_unsupported, false},
    [SMTP_EHLO] = {on_hello, true},
    [SMTP_HELO] = {on_hello, true},
    [SMTP_MAIL] = {on_mail, false},
    [SMTP_RCPT] = {on_rcpt, false},
    [SMTP_DATA] = {on_data, false},
    [SMTP_BDAT] = {on_bdat, false},
    [SMTP_RSET] = {on_rset, true},
    [SMTP_NOOP] = {on_noop, true},
    [SMTP_QUIT] = {on_quit, false},
    [SMTP_VRFY] = {on_vrfy, true},
    [SMTP_EXPN] = {on_unsupported, false},
    [SMTP_HELP] = {on_help, true},
    [SMTP_ETRN] = {on_unsupported, false},
    [SMTP_TURN] = {on_unsupported, false},
    [SMTP_STARTTLS] = {on_starttls, false},
    [SMTP_AUTH] = {on_auth, false},
};

static bool is_http(struct slice line);
static void say_fault(struct smtp_server *server, enum smtp_command_fault fault, const struct smtp_command *command);
static void print_hello(const struct smtp_server *server, bool extended, struct buffer *out);
static bool take_address(struct smtp_server *server, const struct smtp_command *command, struct slice *address);
static bool take_name(struct smtp_server *server, enum smtp_verb verb, struct slice *address);
static bool refuses_mail(struct smtp_server *server);
static bool refuses_starttls(struct smtp_server *server);
static bool refuses_auth(struct smtp_server *server);
static void reset_then(struct smtp_server *server);

void smtp_server_command(struct smtp_server *server, struct slice line)
{
    if (is_http(line)) {
        smtp_server_refuse(server, SMTP_REFUSAL_HTTP, smtp_reply_make(554, 5, 1, "this is an SMTP server"));
        smtp_server_close(server);
        return;
    }
    struct smtp_command command;
    enum smtp_command_fault fault = smtp_command_parse(line, server->transaction.utf8, &command);
    if (fault != SMTP_COMMAND_OK) {
        say_fault(server, fault, &command);
        return;
    }
    server->idle_commands += rows[command.verb].idle;
    rows[command.verb].run(server, &command);
}

unsigned smtp_server_allowed(const struct smtp_server *server)
{
    if (!server->extended) {
        return 0; /* RFC 5321 4.1.1.1: after HELO there are no extensions */
    }
    unsigned set = SMTP_EXTENSION_SIZE | SMTP_EXTENSION_8BITMIME;
    set |= server->options.dsn ? SMTP_EXTENSION_DSN : 0U;
    set |= server->options.utf8 ? SMTP_EXTENSION_SMTPUTF8 : 0U;
    set |= server->secured && server->options.auth != SMTP_SERVER_AUTH_NONE ? SMTP_EXTENSION_AUTH : 0U;
    return set;
}

/* A browser that was made to speak to this port (RFC 9110 9.3 and what its cousins send): nothing it says is meant. */
static bool is_http(struct slice line)
{
    static const struct slice methods[] = {WORD("GET "),    WORD("HEAD "),    WORD("POST "),  WORD("PUT "),
                                           WORD("DELETE "), WORD("CONNECT "), WORD("TRACE "), WORD("PATCH "),
                                           WORD("PRI "),    WORD("OPTIONS ")};
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        if (slice_starts_nocase(line, methods[i])) {
            return true;
        }
    }
    return false;
}

static struct smtp_reply fault_reply(enum smtp_command_fault fault, enum smtp_verb verb)
{
    if (fault == SMTP_COMMAND_SYNTAX && verb == SMTP_MAIL) {
        return smtp_reply_make(501, 1, 7, "bad sender address or syntax: MAIL FROM:<address>");
    }
    if (fault == SMTP_COMMAND_SYNTAX && verb == SMTP_RCPT) {
        return smtp_reply_make(501, 1, 3, "bad recipient address or syntax: RCPT TO:<address>");
    }
    switch (fault) {
        case SMTP_COMMAND_SYNTAX:
            return smtp_reply_make(501, 5, 4, "syntax error in the argument");
        case SMTP_COMMAND_BYTES:
            return smtp_reply_make(501, 5, 2, "bytes that no command may have; lines end in CRLF");
        case SMTP_COMMAND_PARAMETER:
            return smtp_reply_make(555, 5, 4, "parameter not supported");
        case SMTP_COMMAND_PARAMETER_BAD:
            return smtp_reply_make(501, 5, 4, "bad or repeated parameter");
        case SMTP_COMMAND_UNKNOWN:
        case SMTP_COMMAND_OK:
            break;
    }
    return smtp_reply_make(500, 5, 2, "command not recognised");
}

/* Of MAIL and RCPT the operator sees what was written: those are no secrets. */
static void say_fault(struct smtp_server *server, enum smtp_command_fault fault, const struct smtp_command *command)
{
    bool has_address = command->verb == SMTP_MAIL || command->verb == SMTP_RCPT;
    struct smtp_refusal refusal = {
        .kind = has_address && fault == SMTP_COMMAND_SYNTAX ? SMTP_REFUSAL_ADDRESS : SMTP_REFUSAL_SYNTAX,
        .reply = fault_reply(fault, command->verb),
        .subject = has_address ? command->argument : SLICE_EMPTY,
    };
    smtp_server_tell(server, &refusal);
    smtp_server_say(server, refusal.reply);
}

static void on_hello(struct smtp_server *server, const struct smtp_command *command)
{
    if (smtp_server_is_hasty(server)) {
        return;
    }
    if (command->argument.length > SERVER_HELLO_MAX) {
        say_fault(server, SMTP_COMMAND_SYNTAX, command);
        return;
    }
    buffer_clear(&server->hello);
    text_clean(&server->hello, command->argument, SERVER_HELLO_MAX);
    server->extended = command->verb == SMTP_EHLO;
    bool open = server->transaction.open;
    print_hello(server, server->extended, open ? &server->held : &server->out);
    if (open) {
        smtp_server_raise(server, SMTP_SERVER_RESET);
    }
}

static void print_hello(const struct smtp_server *server, bool extended, struct buffer *out)
{
    const struct smtp_server_options *options = &server->options;
    struct buffer text;
    buffer_init(&text, EHLO_TEXT_MAX);
    buffer_add(&text, options->hostname);
    if (extended) {
        bool auth = server->secured && options->auth != SMTP_SERVER_AUTH_NONE;
        buffer_print(&text, "\nPIPELINING\nSIZE %llu\n8BITMIME\nENHANCEDSTATUSCODES%s%s%s%s",
                     (unsigned long long)options->size_max, options->starttls && !server->secured ? "\nSTARTTLS" : "",
                     auth ? "\nAUTH PLAIN LOGIN" : "", options->dsn ? "\nDSN" : "", options->utf8 ? "\nSMTPUTF8" : "");
    }
    if (buffer_failed(&text)) {
        out->failed = true;
    } else {
        smtp_reply_print(out, &(struct smtp_reply){.code = 250, .text = buffer_slice(&text)});
    }
    buffer_free(&text);
}

static void on_mail(struct smtp_server *server, const struct smtp_command *command)
{
    if (refuses_mail(server)) {
        return;
    }
    enum smtp_command_fault fault = smtp_mail_parse(command, smtp_server_allowed(server), &server->mail);
    uint64_t size_max = server->options.size_max;
    if (fault == SMTP_COMMAND_OK && !take_address(server, command, &server->mail.reverse_path)) {
        fault = SMTP_COMMAND_SYNTAX;
    }
    if (fault != SMTP_COMMAND_OK) {
        say_fault(server, fault, command);
    } else if (size_max > 0 && server->mail.size > size_max) {
        smtp_server_refuse(server, SMTP_REFUSAL_SIZE, smtp_reply_make(552, 3, 4, "message too large"));
    } else {
        smtp_server_raise(server, SMTP_SERVER_MAIL);
        server->event.mail = &server->mail;
    }
}

/* The address in its valid form; <> and <postmaster> are as they are. */
static bool take_address(struct smtp_server *server, const struct smtp_command *command, struct slice *address)
{
    if (command->is_name) {
        return take_name(server, command->verb, address);
    }
    return smtp_address_domain(*address).length == 0 || smtp_address_repair(address, true, server->address);
}

/* As a recipient it is one of this host's, as <postmaster> is; a sender's is given our domain, since reports go there. */
static bool take_name(struct smtp_server *server, enum smtp_verb verb, struct slice *address)
{
    const struct smtp_server_options *options = &server->options;
    char whole[SERVER_ADDRESS_MAX];
    if (options->is_lenient == NULL || !options->is_lenient(options->owner)) {
        return false;
    }
    if (verb == SMTP_RCPT) {
        return true;
    }
    *address = text_print(whole, sizeof whole, "%.*s@%.*s", SLICE_ARGS(*address), SLICE_ARGS(options->hostname));
    if (!smtp_address_repair(address, true, server->address)) {
        return false;
    }
    if (address->data == whole) {
        *address = text_print(server->address, sizeof server->address, "%.*s", SLICE_ARGS(*address));
    }
    return true;
}

static bool refuses_mail(struct smtp_server *server)
{
    if (buffer_length(&server->hello) == 0) {
        smtp_server_refuse(server, SMTP_REFUSAL_ORDER, smtp_reply_make(503, 5, 1, "EHLO or HELO first"));
    } else if (server->transaction.open) {
        smtp_server_refuse(server, SMTP_REFUSAL_ORDER, smtp_reply_make(503, 5, 1, "nested MAIL"));
    } else if (server->options.auth == SMTP_SERVER_AUTH_REQUIRED && !server->authenticated) {
        smtp_server_refuse(server, SMTP_REFUSAL_LOGIN,
                           smtp_reply_make(530, 7, 0, server->secured ? "authentication required" : "STARTTLS and authentication required"));
    } else {
        return false;
    }
    return true;
}

static void on_rcpt(struct smtp_server *server, const struct smtp_command *command)
{
    if (!server->transaction.open) {
        smtp_server_refuse(server, SMTP_REFUSAL_ORDER, smtp_reply_make(503, 5, 1, "MAIL first"));
        return;
    }
    enum smtp_command_fault fault = smtp_rcpt_parse(command, smtp_server_allowed(server), &server->rcpt);
    if (fault == SMTP_COMMAND_OK && !take_address(server, command, &server->rcpt.address)) {
        fault = SMTP_COMMAND_SYNTAX;
    }
    if (fault != SMTP_COMMAND_OK) {
        say_fault(server, fault, command);
    } else if (server->transaction.recipient_count >= server->options.recipients_max) {
        smtp_server_refuse(server, SMTP_REFUSAL_RECIPIENTS, smtp_reply_make(452, 5, 3, "too many recipients"));
    } else {
        smtp_server_raise(server, SMTP_SERVER_RCPT);
        server->event.rcpt = &server->rcpt;
    }
}

static void on_data(struct smtp_server *server, const struct smtp_command *command)
{
    (void)command;
    if (smtp_server_is_hasty(server)) {
        return;
    }
    if (!server->transaction.open) {
        smtp_server_refuse(server, SMTP_REFUSAL_ORDER, smtp_reply_make(503, 5, 1, "MAIL first"));
    } else if (server->transaction.recipient_count == 0) {
        smtp_server_refuse(server, SMTP_REFUSAL_ORDER, smtp_reply_make(554, 5, 1, "no valid recipients"));
    } else {
        smtp_server_raise(server, SMTP_SERVER_DATA);
    }
}

/* CHUNKING is not offered. Whoever sends BDAT all the same sends content behind it, which must not be read as commands.
 */
static void on_bdat(struct smtp_server *server, const struct smtp_command *command)
{
    (void)command;
    smtp_server_refuse(server, SMTP_REFUSAL_SYNTAX, smtp_reply_make(502, 5, 1, "CHUNKING is not offered"));
    smtp_server_close(server);
}

static void on_rset(struct smtp_server *server, const struct smtp_command *command)
{
    (void)command;
    if (server->transaction.open) {
        reset_then(server);
    } else {
        smtp_server_say(server, smtp_reply_make(250, 0, 0, "ok"));
    }
}

static void reset_then(struct smtp_server *server)
{
    struct smtp_reply reply = smtp_reply_make(250, 0, 0, "ok");
    smtp_reply_print(&server->held, &reply);
    smtp_server_raise(server, SMTP_SERVER_RESET);
}

static void on_noop(struct smtp_server *server, const struct smtp_command *command)
{
    (void)command;
    smtp_server_say(server, smtp_reply_make(250, 0, 0, "ok"));
}

static void on_quit(struct smtp_server *server, const struct smtp_command *command)
{
    (void)command;
    smtp_server_close(server);
    smtp_server_say(server, smtp_reply_make(221, 0, 0, "bye"));
}

static void on_vrfy(struct smtp_server *server, const struct smtp_command *command)
{
    (void)command;
    smtp_server_say(server, smtp_reply_make(252, 0, 0, "send mail to it and see"));
}

static void on_help(struct smtp_server *server, const struct smtp_command *command)
{
    (void)command;
    smtp_server_say(server, smtp_reply_make(214, 0, 0,
                                            "EHLO MAIL RCPT DATA RSET NOOP QUIT VRFY STARTTLS AUTH\n"
                                            "see RFC 5321"));
}

static void on_unsupported(struct smtp_server *server, const struct smtp_command *command)
{
    (void)command;
    smtp_server_refuse(server, SMTP_REFUSAL_SYNTAX, smtp_reply_make(502, 5, 1, "command not supported"));
}

static void on_starttls(struct smtp_server *server, const struct smtp_command *command)
{
    (void)command;
    if (!smtp_server_is_hasty(server) && !refuses_starttls(server)) {
        smtp_server_raise(server, SMTP_SERVER_STARTTLS);
    }
}

static bool refuses_starttls(struct smtp_server *server)
{
    if (server->secured) {
        smtp_server_refuse(server, SMTP_REFUSAL_ORDER, smtp_reply_make(503, 5, 1, "TLS is up already"));
    } else if (!server->options.starttls) {
        smtp_server_refuse(server, SMTP_REFUSAL_SYNTAX, smtp_reply_make(502, 5, 1, "STARTTLS is not offered"));
    } else if (!server->extended) {
        smtp_server_refuse(server, SMTP_REFUSAL_ORDER, smtp_reply_make(503, 5, 1, "EHLO first"));
    } else if (server->transaction.open) {
        smtp_server_refuse(server, SMTP_REFUSAL_ORDER, smtp_reply_make(503, 5, 1, "not during a mail transaction"));
    } else {
        return false;
    }
    return true;
}

static void on_auth(struct smtp_server *server, const struct smtp_command *command)
{
    if (!smtp_server_is_hasty(server) && !refuses_auth(server)) {
        smtp_server_auth_start(server, command->argument);
    }
}

static bool refuses_auth(struct smtp_server *server)
{
    if (server->options.auth == SMTP_SERVER_AUTH_NONE) {
        smtp_server_refuse(server, SMTP_REFUSAL_LOGIN, smtp_reply_make(503, 5, 1, "authentication is not offered"));
    } else if (!server->secured) {
        smtp_server_refuse(server, SMTP_REFUSAL_LOGIN, smtp_reply_make(538, 7, 11, "encryption required for authentication"));
    } else if (!server->extended) {
        smtp_server_refuse(server, SMTP_REFUSAL_ORDER, smtp_reply_make(503, 5, 1, "EHLO first"));
    } else if (server->authenticated) {
        smtp_server_refuse(server, SMTP_REFUSAL_ORDER, smtp_reply_make(503, 5, 1, "authenticated already"));
    } else if (server->transaction.open) {
        smtp_server_refuse(server, SMTP_REFUSAL_ORDER, smtp_reply_make(503, 5, 1, "not during a mail transaction"));
    } else {
        return false;
    }
    return true;
}
