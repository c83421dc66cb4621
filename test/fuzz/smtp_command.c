/* A command line and its parameters. The first byte says whether the transaction has SMTPUTF8, the second which
 * extensions are offered. What is accepted has no control byte, and is accepted again as the client would write it. */
#include <assert.h>

#include "base/buffer.h"
#include "smtp/envelope.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_again(const struct smtp_command *command, bool utf8)
{
    struct buffer line;
    struct smtp_command again;
    buffer_init(&line, 1 << 20);
    buffer_print(&line, "%s:<%.*s>", command->verb == SMTP_MAIL ? "MAIL FROM" : "RCPT TO",
                 SLICE_ARGS(command->address));
    for (size_t i = 0; i < command->parameter_count; i++) {
        const struct smtp_parameter *parameter = &command->parameters[i];
        buffer_print(&line, " %.*s%s%.*s", SLICE_ARGS(parameter->keyword), parameter->value.length > 0 ? "=" : "",
                     SLICE_ARGS(parameter->value));
    }
    assert(smtp_command_parse(buffer_slice(&line), utf8, &again) == SMTP_COMMAND_OK);
    assert(slice_equal(again.address, command->address));
    assert(again.parameter_count == command->parameter_count && again.utf8 == command->utf8);
    buffer_free(&line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice line = slice_from(slice_make(data, size), 2);
    unsigned allowed = size > 1 ? data[1] * 0x101U : 0;
    bool utf8 = size > 0 && data[0] & 1;
    struct smtp_command command;
    struct smtp_mail mail;
    struct smtp_rcpt rcpt;
    if (smtp_command_parse(line, utf8, &command) != SMTP_COMMAND_OK)
        return 0;
    for (size_t i = 0; i < line.length; i++)
        assert((uint8_t)line.data[i] >= 0x20 || line.data[i] == '\t');
    if (command.verb == SMTP_MAIL || command.verb == SMTP_RCPT)
        check_again(&command, utf8);
    if (command.verb == SMTP_MAIL && smtp_mail_parse(&command, allowed, &mail) == SMTP_COMMAND_OK)
        assert(mail.utf8 == command.utf8 && smtp_xtext_parse(mail.envid, NULL));
    if (command.verb == SMTP_RCPT && smtp_rcpt_parse(&command, allowed, &rcpt) == SMTP_COMMAND_OK)
        assert((rcpt.notify & SMTP_NOTIFY_NEVER) == 0 || rcpt.notify == SMTP_NOTIFY_NEVER);
    return 0;
}
