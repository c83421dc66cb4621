#include "smtp/dkim.h"

#include "base/text.h"
#include "smtp/message.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))
#define LINE_WANTED 72
#define FIELDS_MAX 256 /* of one name: a header section with more is signed without the others */

/* RFC 6376 5.4.1, and what has come up since that a receiver acts upon. */
static const char *const signed_names[] = {
    "From",
    "Sender",
    "Reply-To",
    "To",
    "Cc",
    "Subject",
    "Date",
    "Message-ID",
    "In-Reply-To",
    "References",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
    "Content-ID",
    "Content-Description",
    "Resent-Date",
    "Resent-From",
    "Resent-Sender",
    "Resent-To",
    "Resent-Cc",
    "Resent-Message-ID",
    "List-Id",
    "List-Help",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
    "List-Subscribe",
    "List-Post",
    "List-Owner",
    "List-Archive",
    "Auto-Submitted",
};

static void body_byte(struct smtp_dkim_body *body, char byte, struct buffer *out);
static void end_body_line(struct smtp_dkim_body *body, struct buffer *out);
static void print_tags(const struct smtp_dkim_signature *signature, struct slice section, struct buffer *out);
static size_t count_fields(struct slice section, struct slice name);
static void add_fields(struct slice section, struct slice name, struct buffer *out);
static void add_folded(struct slice text, size_t column, struct buffer *out);
static bool is_blank(char byte);

/* ---- the body ---- */

void smtp_dkim_body_feed(struct smtp_dkim_body *body, struct slice content, struct buffer *out)
{
    for (size_t i = 0; i < content.length; i++) {
        body_byte(body, content.data[i], out);
    }
}

void smtp_dkim_body_finish(struct smtp_dkim_body *body, struct buffer *out)
{
    if (body->in_line) {
        end_body_line(body, out); /* a body that does not end in CRLF gets one */
    }
    *body = (struct smtp_dkim_body){.in_line = false};
}

static void body_byte(struct smtp_dkim_body *body, char byte, struct buffer *out)
{
    if (byte == '\r') {
        body->has_cr = true;
        return;
    }
    if (byte == '\n' && body->has_cr) {
        body->has_cr = false;
        end_body_line(body, out);
        return;
    }
    body->has_cr = false; /* a bare CR is never in content */
    if (is_blank(byte)) {
        body->has_blank = true;
        return;
    }
    for (; body->empty_lines > 0; body->empty_lines--) {
        buffer_add(out, SLICE("\r\n"));
    }
    if (body->has_blank) {
        buffer_add_byte(out, ' ');
    }
    body->has_blank = false;
    body->in_line = true;
    buffer_add_byte(out, byte);
}

static void end_body_line(struct smtp_dkim_body *body, struct buffer *out)
{
    if (body->in_line) {
        buffer_add(out, SLICE("\r\n"));
    } else {
        body->empty_lines++;
    }
    body->in_line = body->has_blank = false;
}

/* ---- the header section ---- */

void smtp_dkim_header(const struct smtp_dkim_signature *signature, struct slice section, struct buffer *out)
{
    struct buffer tags;
    for (size_t i = 0; i < COUNT(signed_names); i++) {
        add_fields(section, slice_of(signed_names[i]), out);
    }
    buffer_init(&tags, 65536);
    print_tags(signature, section, &tags);
    smtp_dkim_relax(SLICE("DKIM-Signature"), buffer_slice(&tags), out);
    out->failed = out->failed || buffer_failed(&tags);
    buffer_free(&tags);
}

void smtp_dkim_field(const struct smtp_dkim_signature *signature, struct slice section, struct slice value,
                     struct buffer *out)
{
    struct buffer text;
    buffer_add(out, SLICE("DKIM-Signature:"));
    print_tags(signature, section, out);
    buffer_init(&text, 65536);
    if (text_base64_encode(value, &text) != ERR_NONE) {
        out->failed = true;
    }
    add_folded(buffer_slice(&text), sizeof "\tb=" - 1, out);
    buffer_free(&text);
    buffer_add(out, SLICE("\r\n"));
}

/* All tags up to the empty b=, which comes last: what is signed ends here (RFC 6376 3.7). */
static void print_tags(const struct smtp_dkim_signature *signature, struct slice section, struct buffer *out)
{
    buffer_print(out, " v=1; a=rsa-sha256; c=relaxed/relaxed; d=%.*s;\r\n\ts=%.*s; t=%lld;\r\n\th=",
                 SLICE_ARGS(signature->domain), SLICE_ARGS(signature->selector),
                 (long long)(signature->time_ms / 1000));
    size_t column = sizeof "\th=" - 1;
    for (size_t i = 0; i < COUNT(signed_names); i++) {
        struct slice name = slice_of(signed_names[i]);
        size_t count = count_fields(section, name) + (i == 0); /* one From more than there are */
        for (; count > 0; count--) {
            bool is_first = column == sizeof "\th=" - 1;
            if (!is_first && column + name.length + 1 > LINE_WANTED) {
                buffer_add(out, SLICE(":\r\n\t"));
                column = 1;
            } else if (!is_first) {
                buffer_add_byte(out, ':');
            }
            buffer_add(out, name);
            column += name.length + 1;
        }
    }
    buffer_add(out, SLICE(";\r\n\tbh="));
    if (text_base64_encode(signature->body_hash, out) != ERR_NONE) {
        out->failed = true;
    }
    buffer_add(out, SLICE(";\r\n\tb="));
}

static size_t count_fields(struct slice section, struct slice name)
{
    struct smtp_header_field field;
    size_t count = 0;
    while (section.length > 0 && smtp_header_next(&section, &field)) {
        count += count < FIELDS_MAX && slice_equal_nocase(field.name, name);
    }
    return count;
}

/* Of several with one name the last is named first (RFC 6376 5.4.2). */
static void add_fields(struct slice section, struct slice name, struct buffer *out)
{
    struct smtp_header_field field, found[FIELDS_MAX];
    size_t count = 0;
    while (section.length > 0 && smtp_header_next(&section, &field)) {
        if (!slice_equal_nocase(field.name, name)) {
            continue;
        }
        found[count % FIELDS_MAX] = field;
        count++;
    }
    for (size_t i = 0; i < count && i < FIELDS_MAX; i++) {
        const struct smtp_header_field *each = &found[(count - 1 - i) % FIELDS_MAX];
        smtp_dkim_relax(each->name, each->body, out);
        buffer_add(out, SLICE("\r\n"));
    }
}

void smtp_dkim_relax(struct slice name, struct slice body, struct buffer *out)
{
    bool has_blank = false, has_text = false;
    for (size_t i = 0; i < name.length; i++) {
        buffer_add_byte(out, byte_lower(name.data[i]));
    }
    buffer_add_byte(out, ':');
    for (size_t i = 0; i < body.length; i++) {
        char byte = body.data[i];
        if (is_blank(byte) || byte == '\r' || byte == '\n') {
            has_blank |= is_blank(byte);
            continue;
        }
        if (has_blank && has_text) {
            buffer_add_byte(out, ' ');
        }
        has_blank = false;
        has_text = true;
        buffer_add_byte(out, byte);
    }
}

static void add_folded(struct slice text, size_t column, struct buffer *out)
{
    while (text.length > 0) {
        struct slice part = slice_to(text, LINE_WANTED - column);
        buffer_add(out, part);
        text = slice_from(text, part.length);
        if (text.length > 0) {
            buffer_add(out, SLICE("\r\n\t"));
        }
        column = 1;
    }
}

static bool is_blank(char byte)
{
    return byte == ' ' || byte == '\t';
}
