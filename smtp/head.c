#include "smtp/head.h"

#include "base/text.h"
#include "smtp/address.h"
#include "smtp/mailbox.h"
#include "smtp/message.h"
#include "smtp/mime.h"

/* Of the fields that must be there. */
struct presence {
    bool from, date, message_id;
};

enum line_kind { LINE_FIELD, LINE_BLANK, LINE_MAILBOX_FILE, LINE_BODY };

static bool take_line(struct smtp_head *head);
static enum line_kind judge_line(const struct smtp_head *head, struct slice line);
static bool is_field(struct slice line);
static void complete(struct smtp_head *head, size_t length);
static struct slice add_name(const struct smtp_header_field *field, struct buffer *out);
static void qualify(const struct smtp_header_field *field, struct slice value, struct slice hostname,
                    struct buffer *out);
static bool has_addresses(struct slice name);
static void add_missing(struct presence has, const struct smtp_head_repair *repair, struct buffer *out);
static void add_author(const struct smtp_head_repair *repair, struct buffer *out);
static struct slice without_line_end(struct slice line);

void smtp_head_init(struct smtp_head *head)
{
    *head = (struct smtp_head){.length = 0};
    buffer_init(&head->bytes, SMTP_HEAD_MAX);
}

void smtp_head_free(struct smtp_head *head)
{
    buffer_free(&head->bytes);
}

void smtp_head_add_own(struct smtp_head *head, struct slice fields)
{
    buffer_add(&head->bytes, fields);
    head->own_length = head->line = buffer_length(&head->bytes);
}

size_t smtp_head_feed(struct smtp_head *head, struct slice content)
{
    struct slice rest = content;
    while (rest.length > 0 && !head->is_complete) {
        struct slice part = slice_to(rest, slice_find(rest, '\n') + 1);
        /* A line that is over the limit without saying that it is a field is none; so not all of it must be held. */
        size_t held = buffer_length(&head->bytes) - head->line;
        if (held <= SMTP_LINE_MAX) {
            part = slice_to(part, SMTP_LINE_MAX + 1 - held);
        }
        if (part.length > buffer_room(&head->bytes)) {
            head->is_too_long = true;
            complete(head, buffer_length(&head->bytes));
            break;
        }
        buffer_add(&head->bytes, part);
        rest = slice_from(rest, part.length);
        if (slice_ends(part, SLICE("\n")) || buffer_length(&head->bytes) - head->line > SMTP_LINE_MAX) {
            take_line(head);
        }
    }
    return content.length - rest.length;
}

void smtp_head_finish(struct smtp_head *head)
{
    bool has_rest = !head->is_complete && buffer_length(&head->bytes) > head->line;
    if (has_rest) {
        take_line(head);
    }
    if (!head->is_complete) {
        complete(head, buffer_length(&head->bytes));
    }
}

struct slice smtp_head_section(const struct smtp_head *head)
{
    return slice_to(buffer_slice(&head->bytes), head->length);
}

struct slice smtp_head_body(const struct smtp_head *head)
{
    return slice_from(buffer_slice(&head->bytes), head->length);
}

/* ---- where it ends ---- */

/* Of the line that is being read, or of its beginning. */
static bool take_line(struct smtp_head *head)
{
    struct slice line = slice_from(buffer_slice(&head->bytes), head->line);
    bool ends = slice_ends(line, SLICE("\n"));
    switch (judge_line(head, line)) {
        case LINE_BLANK:
            complete(head, head->line + line.length);
            break;
        case LINE_BODY:
            complete(head, head->line);
            break;
        case LINE_MAILBOX_FILE:
            buffer_truncate(&head->bytes, ends ? head->line : buffer_length(&head->bytes));
            break;
        case LINE_FIELD:
            head->line += ends ? line.length : 0;
            break;
    }
    return head->is_complete;
}

static enum line_kind judge_line(const struct smtp_head *head, struct slice line)
{
    bool is_first = head->line == head->own_length;
    if (without_line_end(line).length == 0) {
        return LINE_BLANK;
    }
    if (line.data[0] == ' ' || line.data[0] == '\t') {
        return is_first ? LINE_BODY : LINE_FIELD; /* nothing may be added to our own fields */
    }
    if (is_field(line)) {
        return LINE_FIELD;
    }
    bool is_mailbox_file = slice_starts(line, SLICE("From ")) || slice_starts(line, SLICE(">From "));
    return is_first && is_mailbox_file ? LINE_MAILBOX_FILE : LINE_BODY;
}

/* RFC 5322 2.2 and, for blanks before the colon, 4.5. */
static bool is_field(struct slice line)
{
    struct slice name = slice_trim(slice_to(line, slice_find(line, ':')));
    bool is_name = name.length > 0 && name.length < line.length;
    for (size_t i = 0; i < name.length; i++) {
        is_name = is_name && byte_is_print(name.data[i]);
    }
    return is_name;
}

static void complete(struct smtp_head *head, size_t length)
{
    head->length = length;
    head->is_complete = true;
}

static struct slice without_line_end(struct slice line)
{
    line.length -= slice_ends(line, SLICE("\n"));
    line.length -= slice_ends(line, SLICE("\r"));
    return line;
}

/* ---- the repair ---- */

void smtp_head_repair(const struct smtp_head *head, const struct smtp_head_repair *repair, struct buffer *out)
{
    struct slice rest = smtp_head_section(head);
    struct presence has = {.from = false};
    struct smtp_header_field field;
    while (rest.length > 0 && smtp_header_next(&rest, &field)) {
        has.from = has.from || slice_equal_nocase(field.name, SLICE("From"));
        has.date = has.date || slice_equal_nocase(field.name, SLICE("Date"));
        has.message_id = has.message_id || slice_equal_nocase(field.name, SLICE("Message-ID"));
        struct slice value = add_name(&field, out);
        if (has_addresses(field.name)) {
            qualify(&field, value, repair->hostname, out);
        } else {
            buffer_add(out, value);
        }
        if (!slice_ends(field.whole, SLICE("\n"))) {
            buffer_add(out, SLICE("\r\n")); /* the content ended here */
        }
    }
    add_missing(has, repair, out);
    buffer_add(out, SLICE("\r\n"));
}

static bool has_addresses(struct slice name)
{
    static const char *const names[] = {"From", "Sender", "Reply-To", "To", "Cc", "Bcc"};
    if (slice_starts_nocase(name, SLICE("Resent-"))) {
        name = slice_from(name, sizeof "Resent-" - 1);
    }
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (slice_equal_nocase(name, slice_of(names[i]))) {
            return true;
        }
    }
    return false;
}

/* Writes the name with its colon, and returns what follows. Blanks between them (RFC 5322 4.5.8) go: verifiers of
 * signatures disagree on them, and some readers take such a line for text. */
static struct slice add_name(const struct smtp_header_field *field, struct buffer *out)
{
    if (field->name.length == 0) {
        return field->whole;
    }
    buffer_add(out, field->name);
    buffer_add_byte(out, ':');
    return slice_from(field->whole, slice_find(field->whole, ':') + 1);
}

/* RFC 6409 8.5: a local part alone means a user of this place. What is no address stays as it is. `value`: what stands
 * behind the colon, with its line end. */
static void qualify(const struct smtp_header_field *field, struct slice value, struct slice hostname,
                    struct buffer *out)
{
    const char *written = value.data;
    struct smtp_mailbox_list list = smtp_mailbox_list_of(field->body);
    struct smtp_mailbox mailbox;
    struct buffer address;
    enum smtp_mailbox_kind kind;
    buffer_init(&address, 4 * SMTP_ADDRESS_MAX);
    while ((kind = smtp_mailbox_next(&list, &mailbox, &address)) != SMTP_MAILBOX_END) {
        if (kind == SMTP_MAILBOX_ADDRESS && mailbox.is_bare) {
            const char *end = mailbox.span.data + mailbox.span.length;
            buffer_add(out, slice_make(written, (size_t)(end - written)));
            buffer_print(out, "@%.*s", SLICE_ARGS(hostname));
            written = end;
        }
    }
    const char *end = value.data + value.length;
    buffer_add(out, slice_make(written, (size_t)(end - written)));
    buffer_free(&address);
}

static void add_missing(struct presence has, const struct smtp_head_repair *repair, struct buffer *out)
{
    char date[40];
    if (!has.from) {
        add_author(repair, out);
    }
    if (!has.date) {
        buffer_print(out, "Date: %.*s\r\n", SLICE_ARGS(text_date_rfc5322(repair->date_ms, date)));
    }
    if (!has.message_id) {
        buffer_print(out, "Message-ID: <%.*s@%.*s>\r\n", SLICE_ARGS(repair->id), SLICE_ARGS(repair->hostname));
    }
}

static void add_author(const struct smtp_head_repair *repair, struct buffer *out)
{
    if (smtp_address_is_valid(repair->sender, true)) {
        buffer_print(out, "From: %.*s\r\n", SLICE_ARGS(repair->sender));
    } else {
        buffer_print(out, "From: MAILER-DAEMON@%.*s\r\n", SLICE_ARGS(repair->hostname));
    }
}

bool smtp_head_author_domain(struct slice section, struct buffer *out)
{
    struct slice rest = section;
    struct smtp_header_field field;
    struct smtp_mailbox mailbox;
    struct buffer address;
    bool found = false;
    buffer_init(&address, 4 * SMTP_ADDRESS_MAX);
    while (!found && rest.length > 0 && smtp_header_next(&rest, &field)) {
        if (!slice_equal_nocase(field.name, SLICE("From"))) {
            continue;
        }
        struct smtp_mailbox_list list = smtp_mailbox_list_of(field.body);
        found = smtp_mailbox_next(&list, &mailbox, &address) == SMTP_MAILBOX_ADDRESS && !mailbox.is_bare;
    }
    if (found) {
        buffer_add(out, smtp_address_domain(buffer_slice(&address)));
    }
    buffer_free(&address);
    return found;
}
