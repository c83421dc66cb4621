#include "smtp/mailbox.h"

#include "base/text.h"
#include "smtp/address.h"

/* mailbox = [phrase] "<" [route ":"] addr-spec ">" / addr-spec, read token by token. Until "<" or the end of the element it is not
 * known which of the two it is: words are gathered as if for an address, and a word that cannot follow another one without a dot
 * makes them a phrase. */
enum token_kind { TOKEN_END, TOKEN_WORD, TOKEN_LITERAL, TOKEN_SPECIAL, TOKEN_FAULT };
struct token {
    enum token_kind kind;
    struct slice text;
};

/* What is gathered of an address. */
struct gathering {
    struct buffer *out;
    const char *first, *last; /* of the span; first NULL: nothing yet */
    bool after_word;          /* a word here would be the second one without a dot: a phrase */
    bool is_phrase;           /* no address without brackets */
    bool has_domain;
};

static void advance(struct slice *rest, size_t length);
static struct token next_token(struct slice *rest);
static void put_back(struct slice *rest, struct token token);
static void skip_blanks(struct slice *rest);
static bool skip_comment(struct slice *rest);
static struct slice take_quoted(struct slice *rest, char end);
static struct slice take_atom(struct slice *rest);
static bool is_atom_byte(char byte);
static void gather(struct gathering *gathering, struct token token);
static bool take_brackets(struct slice *rest, struct gathering *gathering);
static void drop_route(struct gathering *gathering);
static bool is_address(const struct gathering *gathering);
static enum smtp_mailbox_kind read_element(struct smtp_mailbox_list *list, struct smtp_mailbox *mailbox, struct buffer *address);
static void skip_element(struct slice *rest);
static bool pass_separators(struct smtp_mailbox_list *list);

struct smtp_mailbox_list smtp_mailbox_list_of(struct slice text)
{
    return (struct smtp_mailbox_list){.rest = text};
}

enum smtp_mailbox_kind smtp_mailbox_next(struct smtp_mailbox_list *list, struct smtp_mailbox *mailbox, struct buffer *address)
{
    *mailbox = (struct smtp_mailbox){.element = SLICE_EMPTY, .span = SLICE_EMPTY};
    buffer_clear(address);
    while (pass_separators(list)) {
        enum smtp_mailbox_kind kind = read_element(list, mailbox, address);
        if (kind != SMTP_MAILBOX_END) {
            return kind;
        }
        buffer_clear(address); /* it was the name of a group */
    }
    return SMTP_MAILBOX_END;
}

/* Commas, and the end of a group. False: there is nothing more. */
static bool pass_separators(struct smtp_mailbox_list *list)
{
    for (;;) {
        skip_blanks(&list->rest);
        if (list->rest.length == 0) {
            return false;
        }
        bool ends_group = list->rest.data[0] == ';' && list->in_group;
        if (list->rest.data[0] != ',' && !ends_group) {
            return true;
        }
        list->in_group = list->in_group && !ends_group;
        advance(&list->rest, 1);
    }
}

static struct slice between(const char *first, const char *last)
{
    return slice_make(first, (size_t)(last - first));
}

static struct slice without_blank_end(struct slice text)
{
    while (text.length > 0 && slice_has(SLICE(" \t\r\n"), text.data[text.length - 1])) {
        text.length--;
    }
    return text;
}

/* One element. END: it was the name of a group, whose members follow. */
static enum smtp_mailbox_kind read_element(struct smtp_mailbox_list *list, struct smtp_mailbox *mailbox, struct buffer *address)
{
    struct gathering gathering = {.out = address};
    struct slice start = list->rest;
    bool had_brackets = false, is_wrong = false;
    for (;;) {
        struct token token = next_token(&list->rest);
        char special = token.kind == TOKEN_SPECIAL ? token.text.data[0] : '\0';
        if (token.kind == TOKEN_END || special == ',' || (special == ';' && list->in_group)) {
            put_back(&list->rest, token);
            break;
        }
        if (special == ':' && !list->in_group && !had_brackets && !gathering.has_domain && !is_wrong) {
            list->in_group = true;
            return SMTP_MAILBOX_END;
        }
        is_wrong = is_wrong || had_brackets || token.kind == TOKEN_FAULT;
        if (is_wrong) {
            skip_element(&list->rest);
            break;
        }
        if (special == '<') {
            had_brackets = true;
            gathering = (struct gathering){.out = address};
            buffer_clear(address);
            is_wrong = !take_brackets(&list->rest, &gathering);
        } else {
            gather(&gathering, token);
        }
    }
    mailbox->element = without_blank_end(between(start.data, list->rest.data));
    if (is_wrong || !is_address(&gathering)) {
        return SMTP_MAILBOX_FAULT;
    }
    mailbox->span = between(gathering.first, gathering.last);
    mailbox->is_bare = !gathering.has_domain;
    return SMTP_MAILBOX_ADDRESS;
}

/* Behind a fault: to the next comma outside of quotes, brackets and comments. */
static void skip_element(struct slice *rest)
{
    for (;;) {
        struct token token = next_token(rest);
        bool is_separator = token.kind == TOKEN_SPECIAL && slice_has(SLICE(",;"), token.text.data[0]);
        if (token.kind == TOKEN_END || is_separator) {
            put_back(rest, token);
            return;
        }
    }
}

/* ---- an address ---- */

static void gather(struct gathering *gathering, struct token token)
{
    bool is_word = token.kind == TOKEN_WORD || token.kind == TOKEN_LITERAL;
    bool is_at = token.text.data[0] == '@' && token.kind == TOKEN_SPECIAL;
    /* A second "@" stays: it makes the address invalid, which it is. */
    if ((is_word && gathering->after_word) || (token.kind == TOKEN_SPECIAL && !is_at && token.text.data[0] != '.')) {
        gathering->is_phrase = true;
    }
    gathering->after_word = is_word;
    gathering->has_domain = gathering->has_domain || is_at;
    if (gathering->first == NULL) {
        gathering->first = token.text.data;
    }
    gathering->last = token.text.data + token.text.length;
    struct slice line = token.text, part;
    while (slice_cut(&line, '\n', &part)) { /* a quoted string may be folded: its line ends are not part of it */
        buffer_add(gathering->out, slice_ends(part, SLICE("\r")) ? slice_to(part, part.length - 1) : part);
    }
}

/* Behind "<", up to and including ">". */
static bool take_brackets(struct slice *rest, struct gathering *gathering)
{
    for (;;) {
        struct token token = next_token(rest);
        char special = token.kind == TOKEN_SPECIAL ? token.text.data[0] : '\0';
        if (token.kind == TOKEN_END || token.kind == TOKEN_FAULT || special == '<' || special == ';') {
            return false;
        }
        if (special == '>') {
            return !gathering->is_phrase;
        }
        if (special == ':') {
            drop_route(gathering);
        } else if (special != ',') { /* one between the hosts of a route is dropped with it; any other is found wrong below */
            gather(gathering, token);
        } else if (gathering->first == NULL || gathering->first[0] != '@') {
            gathering->is_phrase = true;
        } else {
            gathering->after_word = false;
        }
    }
}

/* "@a,@b:" in front of the address (RFC 5321 appendix C): it is understood and ignored. Anything else before ":" is a fault. */
static void drop_route(struct gathering *gathering)
{
    bool is_route = gathering->first != NULL && gathering->first[0] == '@' && !gathering->is_phrase;
    buffer_clear(gathering->out);
    *gathering = (struct gathering){.out = gathering->out, .is_phrase = !is_route};
}

/* Leaves the valid form of it in out. */
static bool complete(struct slice address, struct buffer *out)
{
    char text[SMTP_ADDRESS_MAX + 1];
    if (!smtp_address_repair(&address, true, text)) {
        return false;
    }
    if (address.data == text) {
        buffer_clear(out);
        buffer_add(out, address);
    }
    return !buffer_failed(out);
}

static bool is_address(const struct gathering *gathering)
{
    char text[SMTP_ADDRESS_MAX];
    struct slice address = buffer_slice(gathering->out);
    if (gathering->first == NULL || gathering->is_phrase || buffer_failed(gathering->out)) {
        return false;
    }
    if (gathering->has_domain) {
        return complete(address, gathering->out);
    }
    /* A bare local part is valid where it would be with a domain. */
    return address.length <= sizeof text - 2 &&
           smtp_address_is_valid(text_print(text, sizeof text, "%.*s@a", SLICE_ARGS(address)), true);
}

/* ---- tokens ---- */

/* Unlike slice_from() it keeps the place when nothing is left, so that put_back() and the element's end are right. */
static void advance(struct slice *rest, size_t length)
{
    rest->data += length;
    rest->length -= length;
}

static struct token next_token(struct slice *rest)
{
    skip_blanks(rest);
    if (rest->length == 0) {
        return (struct token){.kind = TOKEN_END, .text = SLICE_EMPTY};
    }
    char byte = rest->data[0];
    struct token token = {.kind = TOKEN_SPECIAL, .text = slice_to(*rest, 1)};
    if (byte == '"' || byte == '[') {
        token.kind = byte == '"' ? TOKEN_WORD : TOKEN_LITERAL;
        token.text = take_quoted(rest, byte == '"' ? '"' : ']');
    } else if (is_atom_byte(byte)) {
        token.kind = TOKEN_WORD;
        token.text = take_atom(rest);
    } else {
        advance(rest, 1);
    }
    if (token.text.length == 0 || (token.kind == TOKEN_SPECIAL && !slice_has(SLICE("<>@,;:."), byte))) {
        token.kind = TOKEN_FAULT;
    }
    return token;
}

/* The token just taken; not an END, which took nothing. */
static void put_back(struct slice *rest, struct token token)
{
    rest->data -= token.text.length;
    rest->length += token.text.length;
}

/* White space, folding, and comments; an unclosed comment takes the rest. */
static void skip_blanks(struct slice *rest)
{
    while (rest->length > 0) {
        if (rest->data[0] == '(') {
            if (!skip_comment(rest)) {
                advance(rest, rest->length);
            }
        } else if (slice_has(SLICE(" \t\r\n"), rest->data[0])) {
            advance(rest, 1);
        } else {
            return;
        }
    }
}

static bool skip_comment(struct slice *rest)
{
    size_t depth = 0;
    for (size_t i = 0; i < rest->length; i++) {
        if (rest->data[i] == '\\') {
            i++;
        } else if (rest->data[i] == '(') {
            depth++;
        } else if (rest->data[i] == ')' && --depth == 0) {
            advance(rest, i + 1);
            return true;
        }
    }
    return false;
}

/* From the opening to the closing byte, both included; empty, and all is taken, when it is not closed. */
static struct slice take_quoted(struct slice *rest, char end)
{
    for (size_t i = 1; i < rest->length; i++) {
        if (rest->data[i] == '\\') {
            i++;
        } else if (rest->data[i] == end) {
            struct slice text = slice_to(*rest, i + 1);
            advance(rest, i + 1);
            return text;
        }
    }
    advance(rest, rest->length);
    return SLICE_EMPTY;
}

static struct slice take_atom(struct slice *rest)
{
    size_t length = 0;
    while (length < rest->length && is_atom_byte(rest->data[length])) {
        length++;
    }
    struct slice atom = slice_to(*rest, length);
    advance(rest, length);
    return atom;
}

static bool is_atom_byte(char byte)
{
    return (byte_is_print(byte) && !slice_has(SLICE("()<>[]:;@\\,.\""), byte)) || (unsigned char)byte > 0x7f;
}
