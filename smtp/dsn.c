#include "smtp/dsn.h"

#include "base/text.h"
#include "smtp/message.h"

#define LINE_MAX_BYTES 998 /* RFC 5322 2.1.1 */
#define LINE_WANTED_BYTES 76
#define WORD_MAX_BYTES 900
#define FIELD_MAX 8192 /* of one diagnostic */
#define BOUNDARY_ID_MAX 40

/* How a text is laid out: what stands before its first line and before the others. */
struct layout {
    struct slice first, next;
    bool utf8;
};
struct paragraph {
    struct buffer *out;
    struct layout layout;
    size_t column;
};

static void print_header(struct buffer *out, const struct smtp_dsn *dsn);
static void print_threading(struct buffer *out, const struct smtp_dsn *dsn);
static bool is_message_id(struct slice text);
static void print_boundary(struct buffer *out, const struct smtp_dsn *dsn);
static void print_part(struct buffer *out, const struct smtp_dsn *dsn, const char *type, bool eight_bit);
static void print_text(struct buffer *out, const struct smtp_dsn *dsn);
static void print_text_recipient(struct buffer *out, const struct smtp_dsn *dsn,
                                 const struct smtp_dsn_recipient *recipient);
static void print_status(struct buffer *out, const struct smtp_dsn *dsn);
static void print_status_recipient(struct buffer *out, const struct smtp_dsn *dsn,
                                   const struct smtp_dsn_recipient *recipient);
static bool is_reply_of_host(const struct smtp_dsn_recipient *recipient);
static void print_original_recipient(struct buffer *out, struct slice orcpt, bool utf8);
static struct smtp_status status_of(const struct smtp_dsn_recipient *recipient);
static void print_returned(struct buffer *out, const struct smtp_dsn *dsn);
static void print_returned_header(struct buffer *out, const struct smtp_dsn *dsn);
static bool is_clean(struct slice message, bool utf8);
static void print_field(struct buffer *out, const char *name, struct slice text, bool utf8);
static void print_date(struct buffer *out, const char *name, int64_t date_ms);
static void print_wrapped(struct buffer *out, struct slice text, struct layout layout);
static void print_word(struct paragraph *paragraph, struct slice word);
static void print_clean(struct buffer *out, struct slice text, bool utf8);
static size_t cut_length(struct slice text, size_t limit);
static enum smtp_dsn_action worst_action(const struct smtp_dsn *dsn);

static const char *const action_names[] = {
    [SMTP_DSN_FAILED] = "failed",   [SMTP_DSN_DELAYED] = "delayed",   [SMTP_DSN_DELIVERED] = "delivered",
    [SMTP_DSN_RELAYED] = "relayed", [SMTP_DSN_EXPANDED] = "expanded",
};
static const char *const subjects[] = {
    [SMTP_DSN_FAILED] = "Your message could not be delivered", [SMTP_DSN_DELAYED] = "Your message is delayed",
    [SMTP_DSN_DELIVERED] = "Your message was delivered",       [SMTP_DSN_RELAYED] = "Your message was passed on",
    [SMTP_DSN_EXPANDED] = "Your message was passed on",
};
static const char *const introductions[] = {
    [SMTP_DSN_FAILED] = "could not be delivered to everybody it was meant for. For the addresses below that failed, "
                        "nothing more will be tried: if it matters, correct what is wrong and send it again.",
    [SMTP_DSN_DELAYED] =
        "has not been delivered yet. Delivery will be tried again by itself; you need not do anything, "
        "and should not send the message again.",
    [SMTP_DSN_DELIVERED] = "was delivered.",
    [SMTP_DSN_RELAYED] = "was passed on to a mail system that does not report deliveries. You may hear no more of it.",
    [SMTP_DSN_EXPANDED] = "was passed on to the members of a list.",
};
static const char *const verdicts[] = {
    [SMTP_DSN_FAILED] = "could not be delivered",
    [SMTP_DSN_DELAYED] = "not delivered yet",
    [SMTP_DSN_DELIVERED] = "delivered",
    [SMTP_DSN_RELAYED] = "passed on",
    [SMTP_DSN_EXPANDED] = "passed on to its members",
};

void smtp_dsn_print(struct buffer *out, const struct smtp_dsn *dsn)
{
    print_header(out, dsn);
    print_text(out, dsn);
    print_status(out, dsn);
    if (dsn->returned.length > 0) {
        print_returned(out, dsn);
    }
    buffer_add(out, SLICE("\r\n--"));
    print_boundary(out, dsn);
    buffer_add(out, SLICE("--\r\n"));
}

static void print_header(struct buffer *out, const struct smtp_dsn *dsn)
{
    struct slice hostname = dsn->hostname;
    buffer_print(out, "From: Mail Delivery System <MAILER-DAEMON@%.*s>\r\nTo: <", SLICE_ARGS(hostname));
    print_clean(out, dsn->sender, dsn->utf8);
    buffer_print(out, ">\r\nSubject: %s\r\n", subjects[worst_action(dsn)]);
    print_date(out, "Date", dsn->date_ms);
    buffer_print(out, "Message-ID: <%.*s@%.*s>\r\n", SLICE_ARGS(dsn->id), SLICE_ARGS(hostname));
    print_threading(out, dsn);
    buffer_add(out, SLICE("Auto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n"
                          "Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\""));
    print_boundary(out, dsn);
    buffer_add(out, SLICE("\"\r\n"));
    buffer_add(out, dsn->utf8 ? SLICE("Content-Transfer-Encoding: 8bit\r\n\r\n") : SLICE("\r\n"));
    buffer_add(out, SLICE("This is a delivery report in MIME format.\r\n"));
}

/* RFC 3834 3.1.5: so that the report stands beside what it reports on. */
static void print_threading(struct buffer *out, const struct smtp_dsn *dsn)
{
    struct slice rest = dsn->returned;
    struct smtp_header_field field;
    while (smtp_header_next(&rest, &field)) {
        struct slice id = slice_trim(field.body);
        if (slice_equal_nocase(field.name, SLICE("Message-ID")) && is_message_id(id)) {
            buffer_print(out, "In-Reply-To: %.*s\r\nReferences: %.*s\r\n", SLICE_ARGS(id), SLICE_ARGS(id));
            return;
        }
    }
}

static bool is_message_id(struct slice text)
{
    for (size_t i = 0; i < text.length; i++) {
        if (!byte_is_print(text.data[i])) {
            return false;
        }
    }
    return text.length > 2 && text.length < 250 && text.data[0] == '<' && slice_find(text, '>') == text.length - 1;
}

/* RFC 2046 5.1.1: the boundary must not stand in what it encloses. Only in a message that comes back could it begin a line;
 * whoever guesses our ids may have put it there. */
static void print_boundary(struct buffer *out, const struct smtp_dsn *dsn)
{
    char text[BOUNDARY_ID_MAX + 32];
    struct slice id = slice_to(dsn->id, BOUNDARY_ID_MAX);
    struct slice boundary = text_print(text, sizeof text, "=_report_%.*s", SLICE_ARGS(id));
    for (unsigned i = 1; slice_find_slice(dsn->returned, boundary) < dsn->returned.length; i++) {
        boundary = text_print(text, sizeof text, "=_report_%.*s_%u", SLICE_ARGS(id), i);
    }
    buffer_add(out, boundary);
}

static void print_part(struct buffer *out, const struct smtp_dsn *dsn, const char *type, bool eight_bit)
{
    buffer_add(out, SLICE("\r\n--"));
    print_boundary(out, dsn);
    buffer_print(out, "\r\nContent-Type: %s\r\n%s\r\n", type, eight_bit ? "Content-Transfer-Encoding: 8bit\r\n" : "");
}

typedef void print_one(struct buffer *out, const struct smtp_dsn *dsn, const struct smtp_dsn_recipient *recipient);

/* What failed is told first: it is what somebody has to do something about. */
static void each_recipient(struct buffer *out, const struct smtp_dsn *dsn, print_one *print)
{
    for (int action = SMTP_DSN_FAILED; action <= SMTP_DSN_EXPANDED; action++) {
        for (size_t i = 0; i < dsn->recipient_count; i++) {
            if ((int)dsn->recipients[i].action == action) {
                print(out, dsn, &dsn->recipients[i]);
            }
        }
    }
}

/* RFC 6533 3: the form that fewer systems read only where an address of the report needs it. */
static bool is_global_status(const struct smtp_dsn *dsn)
{
    bool ascii = true;
    for (size_t i = 0; i < dsn->recipient_count; i++) {
        ascii = ascii && text_is_ascii(dsn->recipients[i].address) && text_is_ascii(dsn->recipients[i].orcpt);
    }
    return dsn->utf8 && !ascii;
}

/* ---- for people ---- */

static void print_text(struct buffer *out, const struct smtp_dsn *dsn)
{
    struct layout plain = {SLICE_EMPTY, SLICE_EMPTY, dsn->utf8};
    char date[40];
    struct buffer text;
    buffer_init(&text, FIELD_MAX);
    print_part(out, dsn, dsn->utf8 ? "text/plain; charset=utf-8" : "text/plain; charset=us-ascii", dsn->utf8);
    buffer_print(out, "This is the mail system at %.*s.\r\n\r\n", SLICE_ARGS(dsn->hostname));
    buffer_add(&text, SLICE("Your message"));
    if (dsn->arrival_ms > 0) {
        struct slice arrival = text_date_rfc5322(dsn->arrival_ms, date);
        buffer_print(&text, " of %.*s", SLICE_ARGS(arrival));
    }
    buffer_print(&text, " (queue id %.*s) %s", SLICE_ARGS(dsn->reported_id), introductions[worst_action(dsn)]);
    print_wrapped(out, buffer_slice(&text), plain);
    buffer_free(&text);
    each_recipient(out, dsn, print_text_recipient);
    buffer_add(out, SLICE("\r\nWhat follows is the same for programs"));
    buffer_add(out, dsn->returned.length > 0 ? SLICE(", and what your message began with.\r\n") : SLICE(".\r\n"));
}

static void print_text_recipient(struct buffer *out, const struct smtp_dsn *dsn,
                                 const struct smtp_dsn_recipient *recipient)
{
    struct layout indented = {SLICE("   "), SLICE("   "), dsn->utf8};
    struct slice diagnostic = slice_to(recipient->diagnostic, FIELD_MAX), line;
    char date[40];
    buffer_add(out, SLICE("\r\n<"));
    print_clean(out, recipient->address, dsn->utf8);
    buffer_print(out, ">: %s\r\n", verdicts[recipient->action]);
    if (is_reply_of_host(recipient)) {
        buffer_add(out, SLICE("    "));
        print_clean(out, recipient->remote_host, dsn->utf8);
        buffer_add(out, SLICE(" said:\r\n"));
    }
    while (slice_cut(&diagnostic, '\n', &line)) {
        print_wrapped(out, line, indented);
    }
    print_wrapped(out, slice_to(recipient->advice, FIELD_MAX), indented);
    if (recipient->action == SMTP_DSN_DELAYED && recipient->retry_until_ms > 0) {
        struct slice until = text_date_rfc5322(recipient->retry_until_ms, date);
        buffer_print(out, "    It will be tried until %.*s.\r\n", SLICE_ARGS(until));
    }
}

/* ---- for programs: RFC 3464 2 ---- */

static void print_status(struct buffer *out, const struct smtp_dsn *dsn)
{
    bool utf8 = is_global_status(dsn);
    struct buffer envid;
    buffer_init(&envid, FIELD_MAX);
    print_part(out, dsn, utf8 ? "message/global-delivery-status" : "message/delivery-status", utf8);
    if (dsn->envid.length > 0 && smtp_xtext_parse(dsn->envid, &envid)) {
        print_field(out, "Original-Envelope-Id:", buffer_slice(&envid), utf8);
    }
    buffer_free(&envid);
    print_field(out, "Reporting-MTA: dns;", dsn->hostname, utf8);
    print_date(out, "Arrival-Date", dsn->arrival_ms);
    each_recipient(out, dsn, print_status_recipient);
}

static void print_status_recipient(struct buffer *out, const struct smtp_dsn *dsn,
                                   const struct smtp_dsn_recipient *recipient)
{
    bool utf8 = is_global_status(dsn);
    char number[16];
    struct slice status = smtp_status_print(status_of(recipient), number);
    bool international = utf8 && !text_is_ascii(recipient->address);
    buffer_add(out, SLICE("\r\n"));
    print_original_recipient(out, recipient->orcpt, utf8);
    print_field(out, international ? "Final-Recipient: utf-8;" : "Final-Recipient: rfc822;", recipient->address, utf8);
    buffer_print(out, "Action: %s\r\nStatus: %.*s\r\n", action_names[recipient->action], SLICE_ARGS(status));
    if (recipient->remote_host.length > 0) {
        print_field(out, "Remote-MTA: dns;", recipient->remote_host, utf8);
    }
    print_field(out, is_reply_of_host(recipient) ? "Diagnostic-Code: smtp;" : "Diagnostic-Code: X-Sternpost;",
                slice_to(recipient->diagnostic, FIELD_MAX), utf8);
    print_date(out, "Last-Attempt-Date", recipient->last_attempt_ms);
    print_date(out, "Will-Retry-Until", recipient->action == SMTP_DSN_DELAYED ? recipient->retry_until_ms : 0);
}

/* RFC 3461 9.2: what is of type smtp begins with a reply code. A host that could not be reached said nothing. */
static bool is_reply_of_host(const struct smtp_dsn_recipient *recipient)
{
    uint64_t code;
    struct slice text = recipient->diagnostic;
    return recipient->remote_host.length > 0 && slice_number(slice_to(text, 3), 999, &code) && code >= 100 &&
           (text.length == 3 || text.data[3] == ' ' || text.data[3] == '-');
}

/* ORCPT as it was before xtext (RFC 3464 2.3.1). */
static void print_original_recipient(struct buffer *out, struct slice orcpt, bool utf8)
{
    struct slice rest = orcpt, type;
    struct buffer text;
    buffer_init(&text, FIELD_MAX);
    bool typed = orcpt.length > 0 && slice_cut(&rest, ';', &type) && rest.length > 0;
    if (typed) {
        buffer_add(&text, type);
        buffer_add_byte(&text, ';');
        if (!smtp_xtext_parse(rest, &text)) {
            buffer_clear(&text);
            buffer_add(&text, orcpt); /* utf-8: it has a form of its own */
        }
        print_field(out, "Original-Recipient:", buffer_slice(&text), utf8);
    }
    buffer_free(&text);
}

static struct smtp_status status_of(const struct smtp_dsn_recipient *recipient)
{
    uint8_t class = recipient->action == SMTP_DSN_FAILED ? 5 : recipient->action == SMTP_DSN_DELAYED ? 4 : 2;
    if (recipient->status.class == 0) {
        return (struct smtp_status){class, 0, 0};
    }
    /* A temporary failure that lasted too long is reported as the permanent one it has become (RFC 3464 2.3.4). */
    return (struct smtp_status){class, recipient->status.subject, recipient->status.detail};
}

/* ---- what comes back ---- */

static void print_returned(struct buffer *out, const struct smtp_dsn *dsn)
{
    if (dsn->returned_full && is_clean(dsn->returned, dsn->utf8)) {
        print_part(out, dsn, dsn->utf8 ? "message/global" : "message/rfc822", dsn->utf8);
        buffer_add(out, dsn->returned);
    } else {
        print_part(out, dsn, dsn->utf8 ? "message/global-headers" : "text/rfc822-headers", dsn->utf8);
        print_returned_header(out, dsn);
    }
}

static void print_returned_header(struct buffer *out, const struct smtp_dsn *dsn)
{
    struct slice rest = slice_to(dsn->returned, smtp_header_section_length(dsn->returned)), line;
    while (rest.length > 0 && slice_cut(&rest, '\n', &line)) {
        if (slice_ends(line, SLICE("\r"))) {
            line.length--;
        }
        while (line.length > LINE_MAX_BYTES) {
            size_t length = cut_length(line, LINE_MAX_BYTES - 1);
            print_clean(out, slice_to(line, length), dsn->utf8);
            buffer_add(out, SLICE("\r\n\t"));
            line = slice_from(line, length);
        }
        print_clean(out, line, dsn->utf8);
        buffer_add(out, SLICE("\r\n"));
    }
}

static bool is_clean(struct slice message, bool utf8)
{
    struct slice rest = message, line;
    if (!slice_ends(message, SLICE("\r\n"))) {
        return false;
    }
    while (rest.length > 0 && slice_cut(&rest, '\n', &line)) {
        bool whole = slice_ends(line, SLICE("\r"));
        line.length -= whole;
        if (!whole || line.length > LINE_MAX_BYTES || slice_has(line, '\r') || slice_has(line, '\0')) {
            return false;
        }
        if (!utf8 && !text_is_ascii(line)) {
            return false;
        }
    }
    return true;
}

/* ---- lines ---- */

static void print_field(struct buffer *out, const char *name, struct slice text, bool utf8)
{
    struct layout layout = {slice_of(name), SLICE("   "), utf8};
    print_wrapped(out, text, layout);
}

static void print_date(struct buffer *out, const char *name, int64_t date_ms)
{
    char text[40];
    if (date_ms > 0) {
        struct slice date = text_date_rfc5322(date_ms, text);
        buffer_print(out, "%s: %.*s\r\n", name, SLICE_ARGS(date));
    }
}

/* The words of a text in lines of some 76 bytes; nothing for a text without words. */
static void print_wrapped(struct buffer *out, struct slice text, struct layout layout)
{
    struct paragraph paragraph = {out, layout, layout.first.length};
    struct slice word;
    if (!slice_word(&text, &word)) {
        return;
    }
    buffer_add(out, layout.first);
    do {
        print_word(&paragraph, word);
    } while (slice_word(&text, &word));
    buffer_add(out, SLICE("\r\n"));
}

static void print_word(struct paragraph *paragraph, struct slice word)
{
    while (word.length > 0) {
        size_t length = cut_length(word, WORD_MAX_BYTES);
        if (paragraph->column + 1 + length > LINE_WANTED_BYTES && paragraph->column > paragraph->layout.next.length) {
            buffer_add(paragraph->out, SLICE("\r\n"));
            buffer_add(paragraph->out, paragraph->layout.next);
            paragraph->column = paragraph->layout.next.length;
        }
        if (paragraph->column > 0) {
            buffer_add_byte(paragraph->out, ' ');
        }
        print_clean(paragraph->out, slice_to(word, length), paragraph->layout.utf8);
        paragraph->column += 1 + length;
        word = slice_from(word, length);
    }
}

/* No byte of a peer's can end a line here, or stand where only ASCII may. */
static void print_clean(struct buffer *out, struct slice text, bool utf8)
{
    bool eight_bit = utf8 && text_is_utf8(text);
    for (size_t i = 0; i < text.length; i++) {
        uint8_t byte = (uint8_t)text.data[i];
        bool harmless = byte == '\t' || (byte >= 0x20 && byte < 0x7f) || (byte > 0x7f && eight_bit);
        buffer_add_byte(out, harmless ? text.data[i] : '?');
    }
}

/* At most limit bytes, and not in the middle of a UTF-8 sequence. */
static size_t cut_length(struct slice text, size_t limit)
{
    if (text.length <= limit) {
        return text.length;
    }
    size_t length = limit;
    while (length > limit - 4 && ((uint8_t)text.data[length] & 0xc0) == 0x80) {
        length--;
    }
    return length;
}

static enum smtp_dsn_action worst_action(const struct smtp_dsn *dsn)
{
    enum smtp_dsn_action worst = SMTP_DSN_EXPANDED;
    for (size_t i = 0; i < dsn->recipient_count; i++) {
        if (dsn->recipients[i].action < worst) {
            worst = dsn->recipients[i].action;
        }
    }
    return worst;
}
