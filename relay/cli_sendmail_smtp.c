/* `sendmail -bs`: an SMTP dialogue over standard input and output, as mailers of web frameworks hold it. The dialogue is ours, each
 * message is handed over at its end: so it goes on while the relay is down. Lines may end in LF, and a program that writes all
 * its commands at once is not turned away: nobody stands between it and us. */
#include "relay/cli_sendmail.h"

#include "base/text.h"
#include "smtp/letter.h"
#include "smtp/server.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define READ_MAX 65536
#define ARENA_MAX (64u << 20)
#define ERRORS_MAX 20
#define FAULT_MAX 4096

struct dialogue {
    struct sendmail *sendmail;
    struct smtp_server *server;
    struct arena *arena; /* of one transaction */
    struct submission submission;
    struct smtp_letter letter;
    bool has_letter, is_over, is_broken;
};

static bool answer_line(struct dialogue *dialogue, struct slice line);
static bool drive(struct dialogue *dialogue);
static void handle(struct dialogue *dialogue, const struct smtp_server_event *event);
static void begin(struct dialogue *dialogue, const struct smtp_mail *mail);
static void add_recipient(struct dialogue *dialogue, const struct smtp_rcpt *rcpt);
static void finish(struct dialogue *dialogue);
static void forget(struct dialogue *dialogue);
static bool write_output(struct dialogue *dialogue);
static int converse(struct dialogue *dialogue);

int sendmail_smtp(struct sendmail *sendmail)
{
    const struct config *config = sendmail->config;
    struct dialogue dialogue = {.sendmail = sendmail, .arena = arena_new(ARENA_MAX)};
    struct smtp_server_options options = {
        .hostname = config->hostname,
        .size_max = config->message_size_max,
        .recipients_max = config->recipients_max,
        .dsn = true,
        .utf8 = true,
        .errors_max = ERRORS_MAX,
    };
    dialogue.server = smtp_server_new(&options);
    int status = SENDMAIL_TEMPORARY;
    if (dialogue.arena != NULL && dialogue.server != NULL)
        status = converse(&dialogue);
    else
        cli_say("out of memory");
    forget(&dialogue);
    smtp_server_free(&dialogue.server);
    arena_free(&dialogue.arena);
    return status;
}

/* ---- lines ---- */

/* All complete lines of the input; what is left is the beginning of the next one. */
static bool answer_lines(struct dialogue *dialogue, struct buffer *input)
{
    for (;;) {
        struct slice all = buffer_slice(input);
        size_t end = slice_find(all, '\n');
        if (end == all.length)
            return true;
        if (!answer_line(dialogue, slice_to(all, end + 1)))
            return false;
        buffer_consume(input, end + 1);
    }
}

static int converse(struct dialogue *dialogue)
{
    static char bytes[READ_MAX];
    struct buffer input;
    int normaliser = 0;
    int status = SENDMAIL_DONE;
    buffer_init(&input, (size_t)dialogue->sendmail->config->message_size_max + 2 * READ_MAX);
    bool goes_on = drive(dialogue); /* the greeting */
    while (goes_on) {
        ssize_t length = read(STDIN_FILENO, bytes, sizeof bytes);
        if (length < 0 && errno == EINTR)
            continue;
        if (length <= 0)
            break;
        smtp_content_normalise(&normaliser, slice_make(bytes, (size_t)length), false, &input);
        goes_on = !buffer_failed(&input) && answer_lines(dialogue, &input);
    }
    if (dialogue->is_broken || smtp_server_is_receiving(dialogue->server)) {
        cli_say("the dialogue was broken off");
        status = SENDMAIL_IO;
    }
    buffer_free(&input);
    return status;
}

static bool answer_line(struct dialogue *dialogue, struct slice line)
{
    while (line.length > 0) {
        size_t taken = smtp_server_feed(dialogue->server, line);
        line = slice_from(line, taken);
        if (!drive(dialogue))
            return false;
        if (taken == 0)
            return false; /* the machine takes nothing more: it has ended */
    }
    return true;
}

/* False: the dialogue is over. */
static bool drive(struct dialogue *dialogue)
{
    for (;;) {
        struct smtp_server_event event = smtp_server_next(dialogue->server);
        if (!write_output(dialogue))
            return false;
        if (event.kind == SMTP_SERVER_WAIT)
            return true;
        handle(dialogue, &event);
        if (dialogue->is_over)
            return false;
    }
}

static bool write_output(struct dialogue *dialogue)
{
    struct slice output = smtp_server_output(dialogue->server);
    size_t length = output.length;
    while (output.length > 0) {
        ssize_t written = write(STDOUT_FILENO, output.data, output.length);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0) {
            dialogue->is_broken = true;
            return false;
        }
        output = slice_from(output, (size_t)written);
    }
    smtp_server_sent(dialogue->server, length);
    return true;
}

/* ---- a transaction ---- */

static void answer(struct dialogue *dialogue, unsigned code, unsigned subject, unsigned detail)
{
    struct smtp_reply reply = smtp_reply_make(code, subject, detail, "out of memory; try again later");
    smtp_server_answer(dialogue->server, code == 0 ? NULL : &reply);
}

static void handle(struct dialogue *dialogue, const struct smtp_server_event *event)
{
    switch (event->kind) {
    case SMTP_SERVER_MAIL:
        begin(dialogue, event->mail);
        break;
    case SMTP_SERVER_RCPT:
        add_recipient(dialogue, event->rcpt);
        break;
    case SMTP_SERVER_CONTENT:
        smtp_letter_feed(&dialogue->letter, event->bytes);
        answer(dialogue, 0, 0, 0);
        break;
    case SMTP_SERVER_END:
        finish(dialogue);
        break;
    case SMTP_SERVER_RESET:
        forget(dialogue);
        answer(dialogue, 0, 0, 0);
        break;
    case SMTP_SERVER_CLOSE:
        dialogue->is_over = true;
        break;
    case SMTP_SERVER_AUTH:     /* neither is offered */
    case SMTP_SERVER_STARTTLS:
        answer(dialogue, 454, 7, 0);
        break;
    case SMTP_SERVER_GREETING:
    case SMTP_SERVER_DATA:
        answer(dialogue, 0, 0, 0);
        break;
    case SMTP_SERVER_WAIT:
        break;
    }
}

static void forget(struct dialogue *dialogue)
{
    if (dialogue->has_letter)
        smtp_letter_free(&dialogue->letter);
    dialogue->has_letter = false;
    dialogue->submission = (struct submission){.sender = SLICE_EMPTY, .envid = SLICE_EMPTY};
    arena_reset(dialogue->arena);
}

static void begin(struct dialogue *dialogue, const struct smtp_mail *mail)
{
    const struct config *config = dialogue->sendmail->config;
    struct smtp_letter_options letter = {.size_max = (size_t)config->message_size_max};
    struct submission *submission = &dialogue->submission;
    forget(dialogue);
    submission->ret = (uint8_t)mail->ret;
    submission->utf8 = mail->utf8;
    submission->recipients = arena_array(dialogue->arena, config->recipients_max, sizeof *submission->recipients);
    if (submission->recipients == NULL || !arena_slice(dialogue->arena, mail->reverse_path, &submission->sender) ||
        !arena_slice(dialogue->arena, mail->envid, &submission->envid)) {
        answer(dialogue, 452, 3, 0);
        return;
    }
    smtp_letter_init(&dialogue->letter, &letter);
    dialogue->has_letter = true;
    answer(dialogue, 0, 0, 0);
}

static void add_recipient(struct dialogue *dialogue, const struct smtp_rcpt *rcpt)
{
    struct submission *submission = &dialogue->submission;
    struct submission_recipient recipient = {.notify = rcpt->notify};
    struct buffer fault;
    buffer_init(&fault, FAULT_MAX);
    if (sendmail_check_local(dialogue->sendmail, rcpt->address, &fault) != SENDMAIL_DONE) {
        struct smtp_reply reply = {.code = 550, .status = {5, 1, 1}, .text = buffer_slice(&fault)};
        smtp_server_answer(dialogue->server, &reply);
    } else if (submission->recipient_count == dialogue->sendmail->config->recipients_max ||
               !arena_slice(dialogue->arena, rcpt->address, &recipient.address) ||
               !arena_slice(dialogue->arena, rcpt->orcpt, &recipient.orcpt)) {
        answer(dialogue, 452, 3, 0);
    } else {
        submission->recipients[submission->recipient_count++] = recipient;
        answer(dialogue, 0, 0, 0);
    }
    buffer_free(&fault);
}

/* ---- its end ---- */

static struct smtp_reply reply_of(int status, const struct handover *handover, char text[64])
{
    struct smtp_reply reply = {.code = 451, .status = {4, 3, 0}, .text = buffer_slice(handover->fault)};
    if (status == SENDMAIL_DONE)
        reply = (struct smtp_reply){.code = 250,
                                    .status = {2, 0, 0},
                                    .text = text_print(text, 64, handover->id[0] != '\0' ? "queued as %s" : "kept until the relay runs%s",
                                                       handover->id)};
    else if (status == SENDMAIL_DATA)
        reply = (struct smtp_reply){.code = 554, .status = {5, 6, 0}, .text = reply.text};
    else if (status == SENDMAIL_NO_USER)
        reply = (struct smtp_reply){.code = 550, .status = {5, 1, 1}, .text = reply.text};
    if (reply.text.length == 0)
        reply.text = SLICE("the message could not be stored; try again later");
    return reply;
}

/* 250 leaves here when the message is on disk, with the relay or in the drop directory. */
static void finish(struct dialogue *dialogue)
{
    struct buffer fault;
    char text[64];
    struct handover handover = {.sendmail = dialogue->sendmail, .submission = dialogue->submission, .fault = &fault};
    buffer_init(&fault, FAULT_MAX);
    int status = SENDMAIL_DATA;
    if (smtp_letter_finish(&dialogue->letter) == SMTP_LETTER_OK) {
        struct slice content = smtp_letter_text(&dialogue->letter);
        handover.content = &content;
        handover.content_count = 1;
        status = sendmail_hand_over(&handover);
    } else {
        buffer_add(&fault, SLICE("the message is too large"));
    }
    struct smtp_reply reply = reply_of(status, &handover, text);
    smtp_server_answer(dialogue->server, &reply);
    forget(dialogue);
    buffer_free(&fault);
}
