#include "relay/submission.h"

#include "base/text.h"
#include "smtp/address.h"
#include "smtp/envelope.h"

#define NOTIFY_ALL (SMTP_NOTIFY_NEVER | SMTP_NOTIFY_SUCCESS | SMTP_NOTIFY_FAILURE | SMTP_NOTIFY_DELAY)
#define ENVID_MAX 100  /* RFC 3461 4.4 */
#define ORCPT_MAX 500  /* RFC 3461 4.2 */

static bool is_address(struct slice address);
static bool is_parameter(struct slice text, size_t length_max);
static enum err read_recipients(const struct json *list, struct arena *arena, struct submission *submission, char *fault);

struct json_bounds submission_bounds(size_t recipient_count_max)
{
    size_t longest = SUBMISSION_LINE_MAX / sizeof "{\"address\":\"a\"}"; /* no line has more */
    size_t count = recipient_count_max < longest ? recipient_count_max : longest;
    return (struct json_bounds){.value_max = 64 + 10 * count, .depth_max = 4};
}

struct json *submission_request(const struct submission *submission)
{
    struct json *object = json_object_new();
    struct json *recipients = json_array_new();
    json_set_string(object, "command", SUBMISSION_COMMAND);
    json_set_number(object, "version", SUBMISSION_VERSION);
    json_set_text(object, "sender", submission->sender);
    json_set_number(object, "size", (int64_t)submission->size);
    if (submission->name.length > 0)
        json_set_text(object, "name", submission->name);
    if (submission->utf8)
        json_set_flag(object, "utf8", true);
    if (submission->ret != SMTP_RET_NONE)
        json_set_string(object, "ret", submission->ret == SMTP_RET_FULL ? "full" : "hdrs");
    if (submission->envid.length > 0)
        json_set_text(object, "envid", submission->envid);
    for (size_t i = 0; i < submission->recipient_count; i++) {
        const struct submission_recipient *recipient = &submission->recipients[i];
        struct json *item = json_object_new();
        json_set_text(item, "address", recipient->address);
        if (recipient->notify != SMTP_NOTIFY_DEFAULT)
            json_set_number(item, "notify", recipient->notify);
        if (recipient->orcpt.length > 0)
            json_set_text(item, "orcpt", recipient->orcpt);
        json_append(recipients, &item);
    }
    json_set(object, "recipients", &recipients);
    return object;
}

void submission_print(const struct submission *submission, struct buffer *out)
{
    struct json *object = submission_request(submission);
    if (json_print(object, out) != ERR_NONE)
        out->failed = true;
    buffer_add_byte(out, '\n');
    out->failed = out->failed || buffer_length(out) > SUBMISSION_LINE_MAX;
    json_free(&object);
}

/* ---- reading ---- */

static enum err wrong(char *fault, const char *what, struct slice text)
{
    struct buffer out;
    buffer_init(&out, SUBMISSION_FAULT_MAX);
    text_clean(&out, text, 80);
    text_print(fault, SUBMISSION_FAULT_MAX, "%s: \"%.*s\"", what, SLICE_ARGS(buffer_slice(&out)));
    buffer_free(&out);
    return ERR_SYNTAX;
}

static enum err read_parameters(const struct json *request, struct submission *submission, char *fault)
{
    struct slice ret = json_text(request, "ret");
    int64_t size = json_number(request, "size", -1);
    submission->ret = slice_equal(ret, SLICE("full"))   ? SMTP_RET_FULL
                      : slice_equal(ret, SLICE("hdrs")) ? SMTP_RET_HDRS
                                                        : SMTP_RET_NONE;
    if (ret.length > 0 && submission->ret == SMTP_RET_NONE)
        return wrong(fault, "ret is full or hdrs", ret);
    if (!is_parameter(submission->envid, ENVID_MAX))
        return wrong(fault, "no envelope id", submission->envid);
    if (size < 0)
        return wrong(fault, "the size of the message is missing", SLICE_EMPTY);
    submission->size = (uint64_t)size;
    return ERR_NONE;
}

enum err submission_parse(const struct json *request, struct arena *arena, struct submission *submission,
                          char fault[SUBMISSION_FAULT_MAX])
{
    *submission = (struct submission){.sender = json_text(request, "sender"),
                                      .envid = json_text(request, "envid"),
                                      .name = json_text(request, "name"),
                                      .utf8 = json_flag(request, "utf8", false)};
    fault[0] = '\0';
    if (!slice_equal(json_text(request, "command"), SLICE(SUBMISSION_COMMAND)))
        return wrong(fault, "no submission", json_text(request, "command"));
    if (json_number(request, "version", 0) != SUBMISSION_VERSION) {
        (void)wrong(fault, "made by another version of sternpost", SLICE_EMPTY);
        return ERR_UNSUPPORTED;
    }
    if (submission->sender.length > 0 && !is_address(submission->sender))
        return wrong(fault, "the sender is no address", submission->sender);
    enum err err = read_parameters(request, submission, fault);
    return err != ERR_NONE ? err : read_recipients(json_get(request, "recipients"), arena, submission, fault);
}

static enum err read_recipient(const struct json *item, struct submission_recipient *recipient, char *fault)
{
    int64_t notify = json_number(item, "notify", SMTP_NOTIFY_DEFAULT);
    *recipient = (struct submission_recipient){.address = json_text(item, "address"), .orcpt = json_text(item, "orcpt")};
    if (!is_address(recipient->address))
        return wrong(fault, "the recipient is no address", recipient->address);
    if (!is_parameter(recipient->orcpt, ORCPT_MAX))
        return wrong(fault, "no original recipient", recipient->orcpt);
    if (notify < 0 || (notify & ~(int64_t)NOTIFY_ALL) != 0 || (notify > 1 && (notify & SMTP_NOTIFY_NEVER) != 0))
        return wrong(fault, "no set of notifications for", recipient->address);
    recipient->notify = (unsigned)notify;
    return ERR_NONE;
}

static enum err read_recipients(const struct json *list, struct arena *arena, struct submission *submission, char *fault)
{
    size_t count = json_count(list);
    if (count == 0)
        return wrong(fault, "there is no recipient", SLICE_EMPTY);
    submission->recipients = arena_array(arena, count, sizeof *submission->recipients);
    if (submission->recipients == NULL)
        return ERR_MEMORY;
    for (size_t i = 0; i < count; i++) {
        enum err err = read_recipient(json_at(list, i), &submission->recipients[i], fault);
        if (err != ERR_NONE)
            return err;
    }
    submission->recipient_count = count;
    return ERR_NONE;
}

/* With a domain, or a local part alone. */
static bool is_address(struct slice address)
{
    char text[SMTP_ADDRESS_MAX];
    if (smtp_address_domain(address).length > 0)
        return smtp_address_is_valid(address, true);
    return address.length <= sizeof text - 2 &&
           smtp_address_is_valid(text_print(text, sizeof text, "%.*s@a", SLICE_ARGS(address)), true);
}

/* What may stand behind "=" in MAIL and RCPT: printable, without "=" (RFC 5321 4.1.2, 6531 3.3). */
static bool is_parameter(struct slice text, size_t length_max)
{
    for (size_t i = 0; i < text.length; i++) {
        bool is_allowed = byte_is_print(text.data[i]) || (unsigned char)text.data[i] > 0x7f;
        if (!is_allowed || text.data[i] == '=')
            return false;
    }
    return text.length <= length_max && text_is_utf8(text);
}
