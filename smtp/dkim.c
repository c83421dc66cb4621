#include "smtp/dkim.h"

#include "base/text.h"
#include "smtp/message.h"
#include "smtp/mime.h"

#include <assert.h>

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))
#define LINE_WANTED 72
#define FIELDS_MAX 8 /* of one name: keeps our field short, and no mail has more in earnest */

/* ONCE: a receiver shows or acts upon one, and none may be added. ONCE_IF_THERE: the same, but those on the way add it
 * where it is missing (a list its List-Id, a resender its Sender). OFTEN: each hop may add its own (RFC 5322 3.6.6). */
enum occurrence { ONCE, ONCE_IF_THERE, OFTEN };

/* RFC 6376 5.4.1, and what has come up since that a receiver acts upon. */
static const struct {
    const char *name;
    enum occurrence occurrence;
} signed_fields[] = {
    {"From", ONCE},
    {"Sender", ONCE_IF_THERE},
    {"Reply-To", ONCE},
    {"To", ONCE},
    {"Cc", ONCE},
    {"Subject", ONCE},
    {"Date", ONCE},
    {"Message-ID", ONCE},
    {"In-Reply-To", ONCE},
    {"References", ONCE},
    {"MIME-Version", ONCE},
    {"Content-Type", ONCE},
    {"Content-Transfer-Encoding", ONCE},
    {"Content-ID", ONCE_IF_THERE},
    {"Content-Description", ONCE_IF_THERE},
    {"Resent-Date", OFTEN},
    {"Resent-From", OFTEN},
    {"Resent-Sender", OFTEN},
    {"Resent-To", OFTEN},
    {"Resent-Cc", OFTEN},
    {"Resent-Message-ID", OFTEN},
    {"List-Id", ONCE_IF_THERE},
    {"List-Help", ONCE_IF_THERE},
    {"List-Unsubscribe", ONCE_IF_THERE},
    {"List-Unsubscribe-Post", ONCE_IF_THERE},
    {"List-Subscribe", ONCE_IF_THERE},
    {"List-Post", ONCE_IF_THERE},
    {"List-Owner", ONCE_IF_THERE},
    {"List-Archive", ONCE_IF_THERE},
    {"Auto-Submitted", ONCE_IF_THERE},
};

static void body_byte(struct smtp_dkim_body *body, char byte, struct buffer *out);
static void end_body_line(struct smtp_dkim_body *body, struct buffer *out);
static void print_tags(const struct smtp_dkim_signature *signature, struct slice section, struct buffer *out);
static bool is_signed_field(struct slice name);
static size_t count_named(struct slice section, size_t index);
static size_t count_fields(struct slice section, struct slice name);
static void add_fields(struct slice section, struct slice name, struct buffer *out);
static void add_folded(struct slice text, size_t column, struct buffer *out);
static struct slice tag_value(struct slice tags, char name);
static struct slice unfolded(struct slice text);
static bool is_white(char byte);
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

/* ---- whether to sign ---- */

const char *smtp_dkim_obstacle(struct slice section)
{
    struct slice rest = section;
    struct smtp_header_field field;
    while (rest.length > 0 && smtp_header_next(&rest, &field)) {
        bool is_obsolete = field.name.length > 0 && field.whole.data[field.name.length] != ':';
        if (is_obsolete && is_signed_field(field.name)) {
            return "a blank stands before the colon of a header field, on which verifiers disagree";
        }
        /* Where content is converted the header section would end in front of it. */
        if (field.name.length > SMTP_FIELD_NAME_MAX) {
            return "a header field has a name of over 900 bytes, which ends the header section for some";
        }
    }
    for (size_t i = 0; i < COUNT(signed_fields); i++) {
        if (count_fields(section, slice_of(signed_fields[i].name)) > FIELDS_MAX) {
            return "a header field that is expected once is there more than eight times";
        }
    }
    size_t author_count = count_fields(section, SLICE("From"));
    return author_count == 1  ? NULL
           : author_count == 0 ? "it has no From field"
                               : "it has several From fields: a reader may be shown another than was signed";
}

static bool is_signed_field(struct slice name)
{
    for (size_t i = 0; i < COUNT(signed_fields); i++) {
        if (slice_equal_nocase(name, slice_of(signed_fields[i].name))) {
            return true;
        }
    }
    return false;
}

bool smtp_dkim_is_signed_by(struct slice section, struct slice domain)
{
    struct slice rest = section;
    struct smtp_header_field field;
    while (rest.length > 0 && smtp_header_next(&rest, &field)) {
        if (slice_equal_nocase(field.name, SLICE("DKIM-Signature")) &&
            slice_equal_nocase(tag_value(field.body, 'd'), domain)) {
            return true;
        }
    }
    return false;
}

/* Of a tag list (RFC 6376 3.2) as it stands, folded or not; empty: there is none. */
static struct slice tag_value(struct slice tags, char name)
{
    while (tags.length > 0) {
        struct slice tag = slice_to(tags, slice_find(tags, ';'));
        tags = slice_from(tags, tag.length + 1);
        size_t equals = slice_find(tag, '=');
        struct slice tag_name = unfolded(slice_to(tag, equals));
        if (tag_name.length == 1 && tag_name.data[0] == name) {
            return unfolded(slice_from(tag, equals + 1));
        }
    }
    return SLICE_EMPTY;
}

/* Without the folding white space around it. */
static struct slice unfolded(struct slice text)
{
    while (text.length > 0 && is_white(text.data[0])) {
        text = slice_from(text, 1);
    }
    while (text.length > 0 && is_white(text.data[text.length - 1])) {
        text.length--;
    }
    return text;
}

/* ---- the header section ---- */

void smtp_dkim_header(const struct smtp_dkim_signature *signature, struct slice section, struct buffer *out)
{
    struct buffer tags;
    for (size_t i = 0; i < COUNT(signed_fields); i++) {
        add_fields(section, slice_of(signed_fields[i].name), out);
    }
    buffer_init(&tags, 65536);
    print_tags(signature, section, &tags);
    smtp_dkim_relax(SLICE("DKIM-Signature"), buffer_slice(&tags), out);
    out->is_over = out->is_over || tags.is_over;
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
    for (size_t i = 0; i < COUNT(signed_fields); i++) {
        struct slice name = slice_of(signed_fields[i].name);
        for (size_t count = count_named(section, i); count > 0; count--) {
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

/* How often h= names it. */
static size_t count_named(struct slice section, size_t index)
{
    size_t count = count_fields(section, slice_of(signed_fields[index].name));
    switch (signed_fields[index].occurrence) {
        case ONCE:
            return count + 1;
        case ONCE_IF_THERE:
            return count > 0 ? count + 1 : 0;
        case OFTEN:
            break;
    }
    return count;
}

static size_t count_fields(struct slice section, struct slice name)
{
    struct smtp_header_field field;
    size_t count = 0;
    while (section.length > 0 && smtp_header_next(&section, &field)) {
        count += slice_equal_nocase(field.name, name);
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
        assert(count < FIELDS_MAX);
        found[count++] = field;
    }
    while (count > 0) {
        count--;
        smtp_dkim_relax(found[count].name, found[count].body, out);
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

static bool is_white(char byte)
{
    return is_blank(byte) || byte == '\r' || byte == '\n';
}
