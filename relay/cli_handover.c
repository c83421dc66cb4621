/* Hands a message over: to the relay, else to the drop directory. Nothing is lost between the two: a relay that breaks off before it has
 * answered has, for all that is known, nothing stored. If it had, and only the answer was lost, it knows the file by its name. */
#include "relay/cli_sendmail.h"

#include "base/dice.h"
#include "base/text.h"
#include "relay/cli_ask.h"
#include "relay/locals.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#define PATIENCE_MS 60000
#define TEXT_MAX 1000

static void complain(const struct handover *handover, const char *format, ...) __attribute__((format(printf, 2, 3)));
static int check_all_local(struct handover *handover);
static void take_answer(void *owner, const struct json *answer);

static void complain(const struct handover *handover, const char *format, ...)
{
    char text[TEXT_MAX];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (handover->fault != NULL)
        buffer_print(handover->fault, "%s", text);
    else
        cli_say("%s", text);
}

int sendmail_hand_over(struct handover *handover)
{
    struct buffer head;
    struct cli_asking asking;
    uint8_t bytes[DROP_NAME_LENGTH / 2];
    dice_fill(bytes, sizeof bytes);
    drop_name_print(bytes, &handover->name);
    handover->submission.name = slice_of(handover->name.text);
    handover->submission.size = 0;
    for (size_t i = 0; i < handover->content_count; i++)
        handover->submission.size += handover->content[i].length;
    buffer_init(&head, 2 * SUBMISSION_LINE_MAX);
    submission_print(&handover->submission, &head);
    if (buffer_failed(&head)) {
        complain(handover, "too many recipients");
        buffer_free(&head);
        return SENDMAIL_DATA;
    }
    asking = (struct cli_asking){
        .cli = &handover->sendmail->cli,
        .command = SUBMISSION_COMMAND,
        .request = submission_request(&handover->submission),
        .answer = take_answer,
        .owner = handover,
        .is_optional = true,
        .is_submit = true,
        .config = handover->sendmail->config,
        .content = handover->content,
        .content_count = handover->content_count,
        .patience_ms = PATIENCE_MS,
        .fault = handover->fault,
    };
    int status = cli_ask(&asking);
    if (status == SENDMAIL_UNAVAILABLE) {
        if (handover->fault != NULL)
            buffer_clear(handover->fault); /* that a relay stops is no fault of this message */
        status = check_all_local(handover);
        if (status == SENDMAIL_DONE)
            status = sendmail_drop(handover, buffer_slice(&head));
    }
    buffer_free(&head);
    return status;
}

static void take_answer(void *owner, const struct json *answer)
{
    struct handover *handover = owner;
    struct slice id = json_text(answer, "id");
    text_print(handover->id, sizeof handover->id, "%.*s", SLICE_ARGS(id));
    if (handover->sendmail->options.is_verbose && id.length > 0)
        cli_say("queued as %.*s", SLICE_ARGS(id));
}

/* ---- what is known without the relay ---- */

static enum locals_result find_local(const struct sendmail *sendmail, struct slice address)
{
    struct locals *locals = NULL;
    struct buffer warnings;
    struct config_list expanded;
    struct arena *scratch = arena_new(4u << 20);
    enum locals_result result = LOCALS_MEMORY;
    buffer_init(&warnings, 65536);
    if (scratch != NULL && locals_load(sendmail->config, &locals, &warnings) == ERR_NONE)
        result = locals_expand(locals, address, scratch, &expanded);
    /* An alias that may not be read may be there. */
    if (result == LOCALS_UNKNOWN && (sendmail->config->is_partial || buffer_length(&warnings) > 0))
        result = LOCALS_EXPANDED;
    locals_free(&locals);
    buffer_free(&warnings);
    arena_free(&scratch);
    return result;
}

int sendmail_check_local(const struct sendmail *sendmail, struct slice address, struct buffer *fault)
{
    const struct handover silent = {.fault = fault};
    enum locals_result result = find_local(sendmail, address);
    if (result == LOCALS_LOOP || result == LOCALS_TOO_MANY) {
        complain(&silent, "%.*s: %s", SLICE_ARGS(address),
                 result == LOCALS_LOOP ? "its aliases lead back to it; correct the aliases file"
                                       : "its aliases lead to more than 1000 addresses; shorten them in the aliases file");
        return SENDMAIL_DATA;
    }
    if (result != LOCALS_UNKNOWN)
        return SENDMAIL_DONE;
    complain(&silent, "%.*s: no such user here: nothing is delivered locally; name an address in [local] root or the aliases file",
             SLICE_ARGS(address));
    return SENDMAIL_NO_USER;
}

static int check_all_local(struct handover *handover)
{
    int status = SENDMAIL_DONE;
    for (size_t i = 0; i < handover->submission.recipient_count && status == SENDMAIL_DONE; i++)
        status = sendmail_check_local(handover->sendmail, handover->submission.recipients[i].address, handover->fault);
    return status;
}
