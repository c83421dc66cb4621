/* A message from standard input: its recipients, its sender, the fields that it must have and that only the caller's side knows, and
 * off with it. All of the input is read before anything is decided. */
#include "relay/cli_sendmail.h"

#include "base/clock.h"
#include "base/dice.h"
#include "base/text.h"
#include "smtp/envelope.h"
#include "smtp/letter.h"
#include "smtp/mailbox.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define READ_MAX 65536
#define FIELDS_MAX 4096
#define ADDRESS_MAX 1000
#define RECIPIENTS_MAX 100000
#define ENCODED_MAX 45 /* bytes of one encoded word (RFC 2047 2: 75 characters) */

struct sending {
    struct sendmail *sendmail;
    struct smtp_letter letter;
    struct slice user, full_name;
    struct buffer fields; /* to stand before the letter */
    struct submission submission;
    size_t capacity;
};

static int read_letter(struct sending *sending);
static int gather_recipients(struct sending *sending);
static int add_words(struct sending *sending);
static int choose_sender(struct sending *sending);
static int add_fields(struct sending *sending);
static int complain_of_letter(const struct sending *sending, enum smtp_letter_fault fault);
static int hand_over(struct sending *sending);

int sendmail_send(struct sendmail *sendmail)
{
    struct sending sending = {.sendmail = sendmail};
    const struct sendmail_options *options = &sendmail->options;
    struct smtp_letter_options letter = {
        .dot_ends = !options->dots_stay,
        .wants_recipients = options->reads_recipients,
        .size_max = (size_t)sendmail->config->message_size_max,
    };
    if (options->recipient_count == 0 && !options->reads_recipients) {
        cli_say("no recipient: name one, or take them from the header with -t");
        return SENDMAIL_USAGE;
    }
    smtp_letter_init(&sending.letter, &letter);
    buffer_init(&sending.fields, FIELDS_MAX);
    sending.user = sendmail_user(sendmail, &sending.full_name);
    int status = read_letter(&sending);
    if (status == SENDMAIL_DONE)
        status = gather_recipients(&sending);
    if (status == SENDMAIL_DONE)
        status = choose_sender(&sending);
    if (status == SENDMAIL_DONE)
        status = add_fields(&sending);
    if (status == SENDMAIL_DONE)
        status = hand_over(&sending);
    smtp_letter_free(&sending.letter);
    buffer_free(&sending.fields);
    free(sending.submission.recipients);
    return status;
}

/* ---- the input ---- */

/* To the end also when it is too big: who writes it would be ended by a closed pipe, and never see the exit status. */
static int read_letter(struct sending *sending)
{
    static char bytes[READ_MAX];
    for (;;) {
        ssize_t length = read(STDIN_FILENO, bytes, sizeof bytes);
        if (length < 0 && errno == EINTR)
            continue;
        if (length < 0) {
            cli_say("standard input: %s", strerrordesc_np(errno));
            return SENDMAIL_IO;
        }
        smtp_letter_feed(&sending->letter, slice_make(bytes, (size_t)length));
        if (length == 0 || smtp_letter_is_over(&sending->letter))
            break;
    }
    return complain_of_letter(sending, smtp_letter_finish(&sending->letter));
}

static int complain_of_letter(const struct sending *sending, enum smtp_letter_fault fault)
{
    switch (fault) {
    case SMTP_LETTER_TOO_BIG:
        cli_say("the message is larger than [queue] message-size-max, %llu bytes",
                (unsigned long long)sending->sendmail->config->message_size_max);
        return SENDMAIL_DATA;
    case SMTP_LETTER_ADDRESS:
        cli_say("%.*s: no address", SLICE_ARGS(smtp_letter_wrong(&sending->letter)));
        return SENDMAIL_DATA;
    case SMTP_LETTER_TOO_MANY:
        cli_say("too many recipients");
        return SENDMAIL_DATA;
    case SMTP_LETTER_OK:
        break;
    }
    return SENDMAIL_DONE;
}

/* ---- the envelope ---- */

static bool add_recipient(struct sending *sending, struct slice address)
{
    struct submission *submission = &sending->submission;
    if (submission->recipient_count == sending->capacity) {
        sending->capacity = sending->capacity * 2 + 8;
        struct submission_recipient *grown = realloc(submission->recipients, sending->capacity * sizeof *grown);
        if (grown == NULL)
            return false;
        submission->recipients = grown;
    }
    submission->recipients[submission->recipient_count++] = (struct submission_recipient){
        .address = address, .orcpt = SLICE_EMPTY, .notify = sending->sendmail->options.notify};
    submission->utf8 = submission->utf8 || !text_is_ascii(address);
    return submission->recipient_count <= RECIPIENTS_MAX;
}

/* The words of the command line, each of which may be a list. */
static int add_words(struct sending *sending)
{
    const struct sendmail_options *options = &sending->sendmail->options;
    int status = SENDMAIL_DONE;
    struct buffer address;
    buffer_init(&address, ADDRESS_MAX);
    for (size_t i = 0; i < options->recipient_count && status == SENDMAIL_DONE; i++) {
        struct smtp_mailbox_list list = smtp_mailbox_list_of(slice_of(options->recipients[i]));
        struct smtp_mailbox mailbox;
        enum smtp_mailbox_kind kind;
        while (status == SENDMAIL_DONE && (kind = smtp_mailbox_next(&list, &mailbox, &address)) != SMTP_MAILBOX_END) {
            struct slice kept = SLICE_EMPTY;
            bool is_address = kind == SMTP_MAILBOX_ADDRESS && arena_slice(sending->sendmail->arena, buffer_slice(&address), &kept);
            if (!is_address || !add_recipient(sending, kept))
                status = SENDMAIL_DATA;
        }
        if (status != SENDMAIL_DONE)
            cli_say("%s: no address, or one too many", options->recipients[i]);
    }
    buffer_free(&address);
    return status;
}

/* -t adds the header's recipients to those of the command line. */
static int gather_recipients(struct sending *sending)
{
    struct slice rest = sending->sendmail->options.reads_recipients ? smtp_letter_recipients(&sending->letter) : SLICE_EMPTY;
    struct slice address;
    int status = add_words(sending);
    while (status == SENDMAIL_DONE && slice_cut(&rest, '\n', &address)) {
        if (address.length > 0 && !add_recipient(sending, address)) {
            cli_say("too many recipients");
            status = SENDMAIL_DATA;
        }
    }
    if (status == SENDMAIL_DONE && sending->submission.recipient_count == 0) {
        cli_say("no recipient: there is none in the header either");
        status = SENDMAIL_USAGE;
    }
    return status;
}

static int choose_sender(struct sending *sending)
{
    const struct sendmail_options *options = &sending->sendmail->options;
    struct submission *submission = &sending->submission;
    struct buffer envid;
    submission->sender = sending->user;
    submission->ret = options->ret;
    submission->envid = SLICE_EMPTY;
    if (options->has_sender && !sendmail_address(sending->sendmail, options->sender, &submission->sender)) {
        cli_say("-f %.*s: no address", SLICE_ARGS(slice_to(options->sender, 300)));
        return SENDMAIL_DATA;
    }
    submission->utf8 = submission->utf8 || options->utf8 || !text_is_ascii(submission->sender);
    buffer_init(&envid, 1000);
    smtp_xtext_print(&envid, slice_to(options->envid, 100));
    bool is_kept = !buffer_failed(&envid) && buffer_length(&envid) <= 100 &&
                   arena_slice(sending->sendmail->arena, buffer_slice(&envid), &submission->envid);
    buffer_free(&envid);
    if (!is_kept)
        cli_say("-V: the id is too long");
    return is_kept ? SENDMAIL_DONE : SENDMAIL_DATA;
}

/* ---- fields ---- */

/* RFC 5322 phrase: as it is, quoted, or encoded (RFC 2047). One that is no text is left out. */
static void print_phrase(struct buffer *out, struct slice name)
{
    bool is_plain = true;
    if (!text_is_utf8(name))
        return;
    if (!text_is_ascii(name)) {
        size_t length = name.length < ENCODED_MAX ? name.length : ENCODED_MAX;
        while (length < name.length && ((unsigned char)name.data[length] & 0xc0) == 0x80)
            length--; /* no character is cut */
        buffer_add(out, SLICE("=?utf-8?B?"));
        if (text_base64_encode(slice_to(name, length), out) != ERR_NONE)
            out->failed = true;
        buffer_add(out, SLICE("?= "));
        return;
    }
    for (size_t i = 0; i < name.length; i++)
        is_plain = is_plain && (byte_is_alnum(name.data[i]) || slice_has(SLICE(" !#$%&'*+-/=?^_`{|}~"), name.data[i]));
    buffer_add(out, is_plain ? SLICE_EMPTY : SLICE("\""));
    for (size_t i = 0; i < name.length; i++) {
        if (slice_has(SLICE("\"\\"), name.data[i]))
            buffer_add_byte(out, '\\');
        buffer_add_byte(out, name.data[i] >= ' ' && name.data[i] < 0x7f ? name.data[i] : ' ');
    }
    buffer_add(out, is_plain ? SLICE(" ") : SLICE("\" "));
}

/* -F, then $NAME, then what /etc/passwd says; there "&" stands for the user's name with a capital. */
static void print_from(struct sending *sending, const char *field)
{
    const struct sendmail_options *options = &sending->sendmail->options;
    const char *variable = getenv("NAME");
    struct slice name = options->full_name.length > 0              ? options->full_name
                        : variable != NULL && variable[0] != '\0' ? slice_of(variable)
                                                                   : sending->full_name;
    struct slice sender = sending->submission.sender.length > 0 ? sending->submission.sender : SLICE("MAILER-DAEMON");
    struct buffer whole;
    buffer_init(&whole, FIELDS_MAX);
    for (size_t i = 0; i < name.length && i < 200; i++) {
        if (name.data[i] != '&')
            buffer_add_byte(&whole, name.data[i]);
        else
            buffer_add(&whole, sending->user);
    }
    buffer_print(&sending->fields, "%s: ", field);
    if (buffer_length(&whole) > 0)
        print_phrase(&sending->fields, buffer_slice(&whole));
    buffer_print(&sending->fields, "<%.*s>\r\n", SLICE_ARGS(sender));
    buffer_free(&whole);
}

/* The relay adds what else is missing, and completes addresses without a domain. */
static int add_fields(struct sending *sending)
{
    struct smtp_letter_resent resent = smtp_letter_resent(&sending->letter);
    char date[40];
    if (resent.lacks_date)
        buffer_print(&sending->fields, "Resent-Date: %.*s\r\n", SLICE_ARGS(text_date_rfc5322(clock_wall_ms(), date)));
    if (resent.lacks_from)
        print_from(sending, "Resent-From");
    if (resent.lacks_id)
        buffer_print(&sending->fields, "Resent-Message-ID: <%016llx%016llx@%.*s>\r\n", (unsigned long long)dice_u64(),
                     (unsigned long long)clock_wall_ms(), SLICE_ARGS(sending->sendmail->config->hostname));
    if (!smtp_letter_has_from(&sending->letter))
        print_from(sending, "From");
    if (!buffer_failed(&sending->fields))
        return SENDMAIL_DONE;
    cli_say("the names for the header are too long");
    return SENDMAIL_DATA;
}

static int hand_over(struct sending *sending)
{
    const struct slice content[] = {buffer_slice(&sending->fields), smtp_letter_text(&sending->letter)};
    struct handover handover = {
        .sendmail = sending->sendmail, .submission = sending->submission, .content = content, .content_count = 2};
    return sendmail_hand_over(&handover);
}
