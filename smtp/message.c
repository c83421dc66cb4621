#include "smtp/message.h"

#include "base/text.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))
#define TRACE_WORD_MAX 255

enum scan_state {
    SCAN_NAME,  /* in a field's name, or at the start of a line */
    SCAN_BLANK, /* blanks before the colon, which old mail may have */
    SCAN_REST,  /* the rest of a line */
};

static void scan_byte(struct smtp_header_scan *scan, char byte);
static void scan_name_byte(struct smtp_header_scan *scan, char byte);
static void scan_line_end(struct smtp_header_scan *scan);
static void note_field(struct smtp_header_scan *scan);
static bool *flag_of(struct smtp_header_scan *scan, struct slice name);
static size_t line_length(struct slice text);
static bool is_folded(struct slice rest);
static struct slice without_line_end(struct slice line);
static void add_words(struct buffer *out, struct slice text, const char *extra);

void smtp_header_scan_init(struct smtp_header_scan *scan)
{
    *scan = (struct smtp_header_scan){.state = SCAN_NAME};
}

void smtp_header_scan_feed(struct smtp_header_scan *scan, struct slice content)
{
    for (size_t i = 0; i < content.length && !scan->done; i++) {
        scan->length++;
        scan_byte(scan, content.data[i]);
    }
}

bool smtp_header_next(struct slice *section, struct smtp_header_field *field)
{
    struct slice rest = *section;
    size_t length = line_length(rest);
    if (without_line_end(slice_to(rest, length)).length == 0) {
        return false;
    }
    while (is_folded(slice_from(rest, length))) {
        length += line_length(slice_from(rest, length));
    }
    struct slice whole = slice_to(rest, length);
    size_t colon = slice_find(whole, ':');
    bool named = !is_folded(whole) && colon > 0 && colon < slice_find(whole, '\n');
    *field = (struct smtp_header_field){
        .name = named ? slice_trim(slice_to(whole, colon)) : SLICE_EMPTY,
        .body = without_line_end(named ? slice_from(whole, colon + 1) : whole),
        .whole = whole,
    };
    *section = slice_from(rest, length);
    return true;
}

size_t smtp_header_section_length(struct slice message)
{
    size_t at = 0;
    while (at < message.length) {
        size_t length = line_length(slice_from(message, at));
        struct slice line = slice_to(slice_from(message, at), length);
        at += length;
        if (without_line_end(line).length == 0) {
            return at;
        }
    }
    return at;
}

/* Beyond ASCII only in mail that came by SMTPUTF8 (RFC 6531 4.3), whose header may have it. */
static void add_recipient(struct buffer *out, const struct smtp_trace *trace)
{
    struct slice text = slice_to(trace->recipient, 320);
    if (!slice_starts(trace->with, SLICE("UTF8")) || !text_is_utf8(text)) {
        text_clean(out, text, 320);
        return;
    }
    for (size_t i = 0; i < text.length; i++) {
        uint8_t byte = (uint8_t)text.data[i];
        buffer_add_byte(out, byte < 0x20 || byte == 0x7f ? '?' : text.data[i]);
    }
}

/* Time-stamp-line (RFC 5321 4.4). What others said is cut to the bytes that can be in a name or a comment. */
void smtp_message_received(struct buffer *out, const struct smtp_trace *trace)
{
    char date[40];
    buffer_add(out, SLICE("Received: "));
    if (trace->hello.length > 0) {
        buffer_add(out, SLICE("from "));
        add_words(out, trace->hello, ".-_:[]");
        buffer_add(out, SLICE(" ("));
        add_words(out, trace->address, ".-_:[] ");
        buffer_add(out, SLICE(")\r\n\tby "));
    } else {
        buffer_add(out, SLICE("by "));
    }
    add_words(out, trace->hostname, ".-_:[]");
    if (trace->hello.length == 0 && trace->address.length > 0) {
        buffer_add(out, SLICE(" ("));
        add_words(out, trace->address, ".-_:[] ");
        buffer_add(out, SLICE(")"));
    }
    buffer_add(out, SLICE(" with "));
    add_words(out, trace->with, "-");
    if (trace->tls.length > 0) {
        buffer_add(out, SLICE("\r\n\t("));
        add_words(out, trace->tls, ".-_:/=, ");
        buffer_add(out, SLICE(")"));
    }
    buffer_add(out, SLICE("\r\n\tid "));
    add_words(out, trace->id, "");
    if (trace->recipient.length > 0) {
        buffer_add(out, SLICE("\r\n\tfor <"));
        add_recipient(out, trace);
        buffer_add(out, SLICE(">"));
    }
    buffer_add(out, SLICE(";\r\n\t"));
    buffer_add(out, text_date_rfc5322(trace->date_ms, date));
    buffer_add(out, SLICE("\r\n"));
}

/* ---- the scan ---- */

static void scan_byte(struct smtp_header_scan *scan, char byte)
{
    if (byte == '\n') {
        scan_line_end(scan);
        return;
    }
    if (byte != '\r') {
        scan->line_length++;
    }
    if (scan->state == SCAN_NAME) {
        scan_name_byte(scan, byte);
    } else if (scan->state == SCAN_BLANK && byte == ':') {
        note_field(scan);
    } else if (scan->state == SCAN_BLANK && byte != ' ' && byte != '\t') {
        scan->state = SCAN_REST; /* no field */
    }
}

static void scan_name_byte(struct smtp_header_scan *scan, char byte)
{
    bool blank = byte == ' ' || byte == '\t';
    if (byte == ':') {
        note_field(scan);
    } else if (blank) {
        scan->state = scan->name_length > 0 ? SCAN_BLANK : SCAN_REST; /* REST: a folded line */
    } else if (byte_is_print(byte) && scan->name_length < sizeof scan->name) {
        scan->name[scan->name_length++] = byte;
    } else if (byte != '\r') {
        scan->state = SCAN_REST; /* none that we look for */
    }
}

static void scan_line_end(struct smtp_header_scan *scan)
{
    scan->done = scan->line_length == 0;
    scan->line_length = scan->name_length = 0;
    scan->state = SCAN_NAME;
}

static void note_field(struct smtp_header_scan *scan)
{
    struct slice name = slice_make(scan->name, scan->name_length);
    bool *flag = flag_of(scan, name);
    scan->state = SCAN_REST;
    if (flag != NULL) {
        *flag = true;
    }
    scan->received_count += slice_equal_nocase(name, SLICE("Received"));
}

static bool *flag_of(struct smtp_header_scan *scan, struct slice name)
{
    const struct {
        const char *name;
        bool *flag;
    } table[] = {
        {"Date", &scan->has_date},
        {"Message-ID", &scan->has_message_id},
        {"From", &scan->has_from},
        {"Sender", &scan->has_sender},
        {"DKIM-Signature", &scan->has_dkim_signature},
        {"To", &scan->has_to},
        {"Cc", &scan->has_cc},
        {"Bcc", &scan->has_bcc},
    };
    for (size_t i = 0; i < COUNT(table); i++) {
        if (slice_equal_nocase(slice_of(table[i].name), name)) {
            return table[i].flag;
        }
    }
    return NULL;
}

/* ---- the section in memory ---- */

/* Of the first line with its end. */
static size_t line_length(struct slice text)
{
    size_t at = slice_find(text, '\n');
    return at < text.length ? at + 1 : at;
}

static bool is_folded(struct slice rest)
{
    return rest.length > 0 && (rest.data[0] == ' ' || rest.data[0] == '\t');
}

static struct slice without_line_end(struct slice line)
{
    if (slice_ends(line, SLICE("\n"))) {
        line.length--;
    }
    if (slice_ends(line, SLICE("\r"))) {
        line.length--;
    }
    return line;
}

static void add_words(struct buffer *out, struct slice text, const char *extra)
{
    struct slice kept = slice_to(text, TRACE_WORD_MAX);
    for (size_t i = 0; i < kept.length; i++) {
        bool allowed = byte_is_alnum(kept.data[i]) || slice_has(slice_of(extra), kept.data[i]);
        buffer_add_byte(out, allowed ? kept.data[i] : '?');
    }
}
