#include "smtp/address.h"

#include "base/ip.h"
#include "base/text.h"

#include <string.h>

#define LOCAL_MAX 64
#define DOMAIN_MAX 255
#define LABEL_MAX 63

static bool take_bracketed(struct slice *input, struct slice *inner);
static bool take_bare(struct slice *input, struct slice *inner);
static size_t unquoted_find(struct slice text, const char *stops);
static bool drop_source_route(struct slice *inner, bool utf8);
static bool is_route(struct slice route, bool utf8);
static bool is_mailbox_path(struct slice inner, struct smtp_path_rules rules);
static bool is_name(struct slice inner, bool utf8);
static void add(char *text, size_t *length, struct slice part);
static bool is_dot_string(struct slice local, bool utf8);
static bool is_dotted(struct slice local, bool utf8);
static bool is_quoted_string(struct slice local, bool utf8);
static bool is_atom_byte(char byte, bool utf8);
static bool is_label(struct slice label, bool utf8);
static bool is_label_byte(char byte, bool utf8);
static bool is_literal(struct slice domain);

bool smtp_path_parse(struct slice *input, struct smtp_path_rules rules, struct slice *address)
{
    struct slice rest = *input, inner;
    bool bracketed = take_bracketed(&rest, &inner);
    if (!bracketed && !take_bare(&rest, &inner)) {
        return false;
    }
    rules.name_allowed = rules.name_allowed && bracketed;
    bool is_null = bracketed && inner.length == 0;
    if (is_null ? !rules.null_allowed : !drop_source_route(&inner, rules.utf8) || !is_mailbox_path(inner, rules)) {
        return false;
    }
    *input = rest;
    *address = inner;
    return true;
}

bool smtp_address_is_valid(struct slice address, bool utf8)
{
    struct slice local = smtp_address_local(address);
    struct slice domain = smtp_address_domain(address);
    if (local.length == 0 || local.length > LOCAL_MAX || domain.length == 0) {
        return false;
    }
    if (utf8 && !text_is_utf8(address)) {
        return false;
    }
    bool quoted = local.data[0] == '"';
    return (quoted ? is_quoted_string(local, utf8) : is_dot_string(local, utf8)) &&
           (is_literal(domain) || smtp_domain_is_valid(domain, utf8));
}

bool smtp_address_repair(struct slice *address, bool utf8, char text[SMTP_ADDRESS_MAX + 1])
{
    struct slice local = smtp_address_local(*address), domain = smtp_address_domain(*address);
    if (smtp_address_is_valid(*address, utf8)) {
        return true;
    }
    if (slice_ends(domain, SLICE("."))) {
        domain.length--;
    }
    const char *quote = is_dotted(local, utf8) && !is_dot_string(local, utf8) ? "\"" : "";
    if (local.length > LOCAL_MAX - 2 * strlen(quote) || domain.length > DOMAIN_MAX) {
        return false;
    }
    size_t length = 0;
    add(text, &length, slice_of(quote));
    add(text, &length, local);
    add(text, &length, slice_of(quote));
    add(text, &length, SLICE("@"));
    add(text, &length, domain);
    if (!smtp_address_is_valid(slice_make(text, length), utf8)) {
        return false;
    }
    *address = slice_make(text, length);
    return true;
}

/* Whatever the bytes are: one that ends texts of C must not make another address of it. */
static void add(char *text, size_t *length, struct slice part)
{
    if (part.length > 0) {
        memcpy(text + *length, part.data, part.length);
    }
    *length += part.length;
}

struct slice smtp_address_local(struct slice address)
{
    return slice_to(address, slice_find_last(address, '@'));
}

struct slice smtp_address_domain(struct slice address)
{
    return slice_from(address, slice_find_last(address, '@') + 1);
}

bool smtp_domain_is_literal(struct slice domain)
{
    return domain.length > 2 && domain.data[0] == '[' && domain.data[domain.length - 1] == ']';
}

bool smtp_domain_is_valid(struct slice domain, bool utf8)
{
    struct slice rest = domain, label;
    if (domain.length == 0 || domain.length > DOMAIN_MAX || (utf8 && !text_is_utf8(domain))) {
        return false;
    }
    while (slice_cut(&rest, '.', &label)) {
        if (!is_label(label, utf8)) {
            return false;
        }
    }
    return true;
}

static bool take_bracketed(struct slice *input, struct slice *inner)
{
    if (!slice_starts(*input, SLICE("<"))) {
        return false;
    }
    struct slice rest = slice_from(*input, 1);
    size_t end = unquoted_find(rest, ">");
    if (end == rest.length) {
        return false;
    }
    *inner = slice_to(rest, end);
    *input = slice_from(rest, end + 1);
    return true;
}

static bool take_bare(struct slice *input, struct slice *inner)
{
    size_t end = unquoted_find(*input, " \t");
    *inner = slice_to(*input, end);
    *input = slice_from(*input, end);
    return inner->length > 0 && inner->data[0] != '<';
}

/* The first of the stops outside a quoted string; the length of all when there is none. */
static size_t unquoted_find(struct slice text, const char *stops)
{
    bool quoted = false;
    for (size_t i = 0; i < text.length; i++) {
        if (text.data[i] == '"') {
            quoted = !quoted;
        } else if (quoted && text.data[i] == '\\') {
            i++;
        } else if (!quoted && slice_has(slice_of(stops), text.data[i])) {
            return i;
        }
    }
    return text.length;
}

/* A-d-l ":" in front of the mailbox: it must be understood and is ignored. */
static bool drop_source_route(struct slice *inner, bool utf8)
{
    if (!slice_starts(*inner, SLICE("@"))) {
        return true;
    }
    size_t colon = unquoted_find(*inner, ":");
    if (colon == inner->length || !is_route(slice_to(*inner, colon), utf8)) {
        return false;
    }
    *inner = slice_from(*inner, colon + 1);
    return true;
}

static bool is_route(struct slice route, bool utf8)
{
    struct slice hop;
    while (slice_cut(&route, ',', &hop)) {
        if (!slice_starts(hop, SLICE("@")) || !smtp_domain_is_valid(slice_from(hop, 1), utf8)) {
            return false;
        }
    }
    return true;
}

static bool is_mailbox_path(struct slice inner, struct smtp_path_rules rules)
{
    if (!rules.null_allowed && slice_equal_nocase(inner, SLICE("postmaster"))) {
        return true;
    }
    char text[SMTP_ADDRESS_MAX + 1];
    return (rules.name_allowed && is_name(inner, rules.utf8)) || smtp_address_repair(&inner, rules.utf8, text);
}

/* A name is what an address of some domain could begin with. */
static bool is_name(struct slice inner, bool utf8)
{
    char whole[LOCAL_MAX + 3], text[SMTP_ADDRESS_MAX + 1];
    if (inner.length > LOCAL_MAX || slice_has(inner, '@') || slice_has(inner, '\0')) {
        return false;
    }
    struct slice address = text_print(whole, sizeof whole, "%.*s@a", SLICE_ARGS(inner));
    return smtp_address_repair(&address, utf8, text);
}

/* Atom *("." Atom). An "@" outside of quotes is no part of it: who sends one means a route, or hopes that we misread it. */
static bool is_dot_string(struct slice local, bool utf8)
{
    bool in_atom = false;
    for (size_t i = 0; i < local.length; i++) {
        bool separator = local.data[i] == '.';
        if (separator ? !in_atom : !is_atom_byte(local.data[i], utf8)) {
            return false;
        }
        in_atom = !separator;
    }
    return in_atom;
}

/* Atoms and dots in any order. */
static bool is_dotted(struct slice local, bool utf8)
{
    for (size_t i = 0; i < local.length; i++) {
        if (local.data[i] != '.' && !is_atom_byte(local.data[i], utf8)) {
            return false;
        }
    }
    return local.length > 0;
}

static bool is_quoted_string(struct slice local, bool utf8)
{
    size_t i = 1;
    for (; i < local.length && local.data[i] != '"'; i++) {
        char byte = local.data[i];
        bool allowed = byte == ' ' || byte_is_print(byte) || (utf8 && (uint8_t)byte > 0x7f);
        if (!allowed) {
            return false;
        }
        if (byte == '\\') {
            i++;
            if (i == local.length || (local.data[i] != ' ' && !byte_is_print(local.data[i]))) {
                return false;
            }
        }
    }
    return i + 1 == local.length;
}

static bool is_atom_byte(char byte, bool utf8)
{
    return byte_is_alnum(byte) || slice_has(SLICE("!#$%&'*+-/=?^_`{|}~"), byte) || (utf8 && (uint8_t)byte > 0x7f);
}

static bool is_label(struct slice label, bool utf8)
{
    if (label.length == 0 || (label.length > LABEL_MAX && !utf8) || label.data[0] == '-' ||
        label.data[label.length - 1] == '-') {
        return false;
    }
    for (size_t i = 0; i < label.length; i++) {
        if (!is_label_byte(label.data[i], utf8)) {
            return false;
        }
    }
    return true;
}

static bool is_label_byte(char byte, bool utf8)
{
    return byte_is_alnum(byte) || byte == '-' || byte == '_' || (utf8 && (uint8_t)byte > 0x7f);
}

/* IPv4 or IPv6 address literals (RFC 5321 4.1.3); no other tag was ever registered. */
static bool is_literal(struct slice domain)
{
    if (!smtp_domain_is_literal(domain)) {
        return false;
    }
    struct slice inner = slice_to(slice_from(domain, 1), domain.length - 2);
    bool tagged = slice_starts_nocase(inner, SLICE("IPv6:"));
    struct slice address = slice_from(inner, tagged ? 5 : 0);
    struct ip ip;
    return ip_parse(address, &ip) && slice_has(address, ':') == tagged;
}
