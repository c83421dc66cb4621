/* A server machine with an owner who says yes, and a transcript: what the client is told as it stands, what the owner
 * is asked in brackets. "\1" in the input is where the client waits for replies: the bytes on both sides of it never
 * come in one piece. */
#ifndef TEST_UNIT_SMTP_DIALOG_H
#define TEST_UNIT_SMTP_DIALOG_H

#include "smtp/server.h"
#include "test/unit/check.h"
#include "test/unit/split.h"

#define BYTES(literal)                                                                                                 \
    {                                                                                                                  \
        "" literal, sizeof(literal) - 1                                                                                \
    }
#define EHLO "EHLO c.example\r\n\1"
#define MAIL_OK "[MAIL <a@c.example>]\n250 2.1.0 sender ok\n"
#define RCPT_OK "[RCPT <b@d.example>]\n250 2.1.5 recipient ok\n"
#define DATA_OK "[DATA]\n354 end data with <CR><LF>.<CR><LF>\n"
#define ENVELOPE "MAIL FROM:<a@c.example>\r\nRCPT TO:<b@d.example>\r\n"
#define DIALOG_OFFER                                                                                                   \
    "250-mx.example\n250-PIPELINING\n250-SIZE 1000\n250-8BITMIME\n250-ENHANCEDSTATUSCODES\n250-STARTTLS\n250-DSN\n"    \
    "250 SMTPUTF8\n"

struct dialog {
    struct smtp_server *server;
    struct buffer content;
    enum smtp_server_event_kind refused; /* this event gets that reply */
    struct smtp_reply refusal;
    bool is_closed;
};

static const struct smtp_server_options dialog_options = {
    .hostname = {"mx.example", 10},
    .size_max = 1000,
    .recipients_max = 3,
    .starttls = true,
    .dsn = true,
    .utf8 = true,
    .errors_max = 20,
};

static inline struct dialog *dialog_open(const struct smtp_server_options *options)
{
    struct dialog *dialog = calloc(1, sizeof *dialog);
    assert_non_null(dialog);
    dialog->server = smtp_server_new(options);
    assert_non_null(dialog->server);
    buffer_init(&dialog->content, 1 << 24);
    return dialog;
}

static inline void dialog_print_mail(struct buffer *log, const struct smtp_mail *mail)
{
    buffer_print(log, "[MAIL <%.*s>", SLICE_ARGS(mail->reverse_path));
    if (mail->size > 0)
        buffer_print(log, " size=%llu", (unsigned long long)mail->size);
    if (mail->body == SMTP_BODY_8BITMIME)
        buffer_add(log, SLICE(" 8bit"));
    if (mail->utf8)
        buffer_add(log, SLICE(" utf8"));
    if (mail->ret != SMTP_RET_NONE)
        buffer_print(log, " ret=%d", (int)mail->ret);
    if (mail->envid.length > 0)
        buffer_print(log, " envid=%.*s", SLICE_ARGS(mail->envid));
    buffer_add(log, SLICE("]\n"));
}

static inline void dialog_print_rcpt(struct buffer *log, const struct smtp_rcpt *rcpt)
{
    buffer_print(log, "[RCPT <%.*s>", SLICE_ARGS(rcpt->address));
    if (rcpt->notify != 0)
        buffer_print(log, " notify=%u", rcpt->notify);
    if (rcpt->orcpt.length > 0)
        buffer_print(log, " orcpt=%.*s", SLICE_ARGS(rcpt->orcpt));
    buffer_add(log, SLICE("]\n"));
}

static inline void dialog_print_event(struct dialog *dialog, const struct smtp_server_event *event, struct buffer *log)
{
    static const char *const names[] = {
#define X(name) #name,
        SMTP_SERVER_EVENT_LIST(X)
#undef X
    };
    if (event->kind == SMTP_SERVER_CONTENT) {
        check_true("chunk", event->bytes.length > 0 && event->bytes.length <= 65536);
        buffer_add(&dialog->content, event->bytes);
    } else if (event->kind == SMTP_SERVER_MAIL) {
        dialog_print_mail(log, event->mail);
    } else if (event->kind == SMTP_SERVER_RCPT) {
        dialog_print_rcpt(log, event->rcpt);
    } else if (event->kind == SMTP_SERVER_AUTH) {
        buffer_print(log, "[AUTH %.*s:%.*s]\n", SLICE_ARGS(event->name), SLICE_ARGS(event->password));
    } else if (event->kind == SMTP_SERVER_END) {
        struct slice content = buffer_slice(&dialog->content);
        assert_int_equal(smtp_server_content(dialog->server)->length, content.length);
        buffer_print(log, "[END %.*s]\n", SLICE_ARGS(content));
        buffer_clear(&dialog->content);
    } else {
        buffer_print(log, "[%s]\n", names[event->kind]);
    }
}

static inline void dialog_send(struct dialog *dialog, struct buffer *log)
{
    struct slice output = smtp_server_output(dialog->server);
    for (size_t i = 0; i < output.length; i++)
        if (output.data[i] != '\r')
            buffer_add_byte(log, output.data[i]);
    smtp_server_sent(dialog->server, output.length);
}

/* Plays the owner until the server waits. */
static inline void dialog_pump(struct dialog *dialog, struct buffer *log)
{
    for (;;) {
        dialog_send(dialog, log);
        struct smtp_server_event event = smtp_server_next(dialog->server);
        dialog_send(dialog, log);
        if (event.kind == SMTP_SERVER_WAIT)
            break;
        assert_int_equal(smtp_server_next(dialog->server).kind, SMTP_SERVER_WAIT);
        dialog_print_event(dialog, &event, log);
        struct smtp_reply queued = smtp_reply_make(250, 0, 0, "queued");
        bool refuses = dialog->refusal.code != 0 && event.kind == dialog->refused;
        smtp_server_answer(dialog->server, refuses ? &dialog->refusal : event.kind == SMTP_SERVER_END ? &queued : NULL);
        if (event.kind == SMTP_SERVER_RESET)
            buffer_clear(&dialog->content);
        dialog->is_closed |= event.kind == SMTP_SERVER_CLOSE;
        if (smtp_server_is_securing(dialog->server)) {
            dialog_send(dialog, log);
            buffer_add(log, SLICE("[TLS]\n"));
            smtp_server_secured(dialog->server);
        }
    }
}

static inline void dialog_say(struct dialog *dialog, struct slice input, struct buffer *log)
{
    struct slice rest = input, part;
    dialog_pump(dialog, log);
    while (slice_cut(&rest, '\1', &part)) {
        while (part.length > 0 && !dialog->is_closed) {
            size_t taken = smtp_server_feed(dialog->server, part);
            size_t before = buffer_length(log);
            dialog_pump(dialog, log);
            check_true("the server goes on", taken > 0 || buffer_length(log) > before || dialog->is_closed);
            part = slice_from(part, taken);
        }
    }
}

static inline void dialog_close(struct dialog *dialog, struct buffer *log)
{
    dialog_pump(dialog, log);
    smtp_server_free(&dialog->server);
    assert_null(dialog->server);
    buffer_free(&dialog->content);
    free(dialog);
}

/* For split_test(); each test program sets the options (and what the owner refuses) before it. */
static struct smtp_server_options split_options;
static enum smtp_server_event_kind split_refused;
static struct smtp_reply split_refusal;

static void *dialog_start(void)
{
    struct dialog *dialog = dialog_open(&split_options);
    dialog->refused = split_refused;
    dialog->refusal = split_refusal;
    return dialog;
}

static void dialog_feed(void *machine, struct slice part, struct buffer *log)
{
    dialog_say(machine, part, log);
}

static void dialog_finish(void *machine, struct buffer *log)
{
    dialog_close(machine, log);
}

static const struct split_machine dialog_machine = {dialog_start, dialog_feed, dialog_finish};

/* The whole session is expected behind "[GREETING]\n220 mx.example ESMTP Sternpost\n". */
static inline void dialog_test(const char *name, struct slice input, const char *expected)
{
    struct buffer whole;
    buffer_init(&whole, 1 << 20);
    buffer_add(&whole, SLICE("[GREETING]\n220 mx.example ESMTP Sternpost\n"));
    buffer_add(&whole, slice_of(expected));
    buffer_add_byte(&whole, '\0');
    split_test(name, input, &dialog_machine, buffer_slice(&whole).data);
    buffer_free(&whole);
}

struct dialog_case {
    const char *name;
    struct slice input;
    const char *expected;
};

static inline void dialog_run(const struct dialog_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++)
        dialog_test(cases[i].name, cases[i].input, cases[i].expected);
}

static inline int dialog_reset(void **state)
{
    (void)state;
    split_options = dialog_options;
    split_refusal = (struct smtp_reply){.code = 0};
    return 0;
}

#endif
