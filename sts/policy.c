/* RFC 8461 3.2:
 *
 *   sts-policy-record = sts-policy-field *WSP *(sts-policy-term sts-policy-field *WSP) [sts-policy-term]
 *   sts-policy-field  = version / mode / max_age / mx / extension      ; each is NAME ":" *WSP VALUE
 *   sts-policy-term   = LF / CRLF
 *   mx value          = ["*."] Domain                                  ; RFC 5321 4.1.2
 *   max_age value     = 1*10(DIGIT)
 *   extension value   = vchar [*(%x20 / vchar) vchar]                  ; vchar = %x21-7E / UTF8-2 / UTF8-3 / UTF8-4
 *
 * Beyond the grammar these are accepted with a warning, because they cannot change what the policy says and to refuse
 * them would disarm it: blank lines, a byte order mark, a dot at the end of an mx, an address as mx. */
#include "sts/policy.h"

#include <assert.h>

#include "base/ip.h"
#include "base/text.h"
#include "sts/field.h"

#define BIT(name) (1u << STS_WARNING_##name)
#define DAY_S 86400u

/* Fields that may be given once. */
enum { SEEN_VERSION = 1, SEEN_MODE = 2, SEEN_MAX_AGE = 4 };

struct parse {
    struct arena *arena;
    struct sts_policy *policy;
    struct sts_fault *fault;
    struct slice *mx; /* policy->mx while it is filled */
    size_t mx_room;
    size_t line;
    unsigned seen;
};

static bool prepare(struct parse *parse, struct slice *body);
static bool allocate_mx(struct parse *parse, struct slice body);
static bool parse_line(struct parse *parse, struct slice line);
static bool parse_field(struct parse *parse, struct slice name, struct slice value);
static bool take_once(struct parse *parse, unsigned field);
static bool take_version(struct parse *parse, struct slice value);
static bool take_mode(struct parse *parse, struct slice value);
static bool take_max_age(struct parse *parse, struct slice value);
static bool take_mx(struct parse *parse, struct slice value);
static bool take_extension(struct parse *parse, struct slice name, struct slice value);
static bool check_whole(struct parse *parse);
static bool add_mx(struct parse *parse, struct slice pattern);
static bool is_extension_value(struct slice value);
static bool is_domain(struct slice name);
static bool is_sub_domain(struct slice label);
static bool is_address(struct slice name);
static struct slice without_dot(struct slice name);
static struct slice without_wildcard(struct slice pattern);
static bool fail(struct parse *parse, const char *why);
static bool fail_memory(struct parse *parse);

const char *sts_mode_name(enum sts_mode mode)
{
    switch (mode) {
#define X(name, text)                                                                                                  \
    case STS_MODE_##name:                                                                                              \
        return text;
        STS_MODE_LIST(X)
#undef X
    }
    return "";
}

bool sts_policy_parse(struct slice body, struct arena *arena, struct sts_policy *policy, struct sts_fault *fault)
{
    struct parse parse = {.arena = arena, .policy = policy, .fault = fault};
    *policy = (struct sts_policy){0};
    *fault = (struct sts_fault){0};
    if (!prepare(&parse, &body))
        return false;
    while (body.length > 0) {
        size_t end = slice_find(body, '\n');
        struct slice line = slice_to(body, end);
        parse.line++;
        if (end < body.length && slice_ends(line, SLICE("\r")))
            line = slice_to(line, line.length - 1);
        if (!parse_line(&parse, line))
            return false;
        body = slice_from(body, end + 1);
    }
    return check_whole(&parse);
}

bool sts_policy_equal(const struct sts_policy *a, const struct sts_policy *b)
{
    if (a->mode != b->mode || a->max_age_s != b->max_age_s || a->mx_count != b->mx_count)
        return false;
    for (size_t i = 0; i < a->mx_count; i++)
        if (!slice_equal(a->mx[i], b->mx[i]))
            return false;
    return true;
}

bool sts_policy_copy(const struct sts_policy *policy, struct arena *arena, struct sts_policy *copy)
{
    struct slice *mx = arena_array(arena, policy->mx_count + 1, sizeof *mx);
    for (size_t i = 0; mx != NULL && i < policy->mx_count; i++) {
        if (!arena_slice(arena, policy->mx[i], &mx[i]))
            return false;
    }
    *copy = *policy;
    copy->mx = mx;
    return mx != NULL;
}

bool sts_policy_admits(const struct sts_policy *policy, struct slice host)
{
    for (size_t i = 0; i < policy->mx_count; i++)
        if (sts_pattern_admits(policy->mx[i], host))
            return true;
    return false;
}

bool sts_pattern_admits(struct slice pattern, struct slice host)
{
    host = without_dot(host);
    pattern = without_dot(pattern);
    if (host.length == 0 || slice_has(host, '*') || is_address(host))
        return false;
    if (!slice_starts(pattern, SLICE("*.")))
        return slice_equal_nocase(pattern, host);
    size_t dot = slice_find(host, '.');
    struct slice parent = without_wildcard(pattern);
    return dot > 0 && parent.length > 0 && slice_equal_nocase(slice_from(host, dot + 1), parent);
}

/* The checks of the whole body, and the byte order mark off. */
static bool prepare(struct parse *parse, struct slice *body)
{
    static const struct slice mark = {"\xef\xbb\xbf", 3};
    if (body->length > STS_POLICY_SIZE_MAX)
        return fail(parse, "the policy is over 64 KiB");
    if (slice_starts(*body, mark)) {
        parse->policy->warnings |= BIT(BYTE_ORDER_MARK);
        *body = slice_from(*body, mark.length);
    }
    return allocate_mx(parse, *body);
}

/* As many patterns as there can be: lines that begin with "mx". */
static bool allocate_mx(struct parse *parse, struct slice body)
{
    size_t count = 0;
    while (body.length > 0) {
        count += slice_starts(body, SLICE("mx:"));
        body = slice_from(body, slice_find(body, '\n') + 1);
    }
    if (count > STS_MX_MAX)
        return fail(parse, "there are more than 1024 mx fields");
    if (count == 0)
        return true;
    parse->mx_room = count;
    parse->mx = arena_array(parse->arena, count, sizeof *parse->mx);
    parse->policy->mx = parse->mx;
    return parse->mx != NULL || fail_memory(parse);
}

static bool parse_line(struct parse *parse, struct slice line)
{
    struct slice text = sts_field_trim_end(line);
    if (text.length == 0) {
        parse->policy->warnings |= BIT(BLANK_LINE);
        return true;
    }
    if (text.length < line.length)
        parse->policy->warnings |= BIT(TRAILING_SPACE);
    size_t colon = slice_find(text, ':');
    if (colon == text.length)
        return fail(parse, "the line has no colon");
    return parse_field(parse, slice_to(text, colon), sts_field_trim_start(slice_from(text, colon + 1)));
}

/* A repeated field is ignored (RFC 8461 3.2), but must still be well-formed as an extension is. */
static bool parse_field(struct parse *parse, struct slice name, struct slice value)
{
    if (slice_equal(name, SLICE("version")) && take_once(parse, SEEN_VERSION))
        return take_version(parse, value);
    if (slice_equal(name, SLICE("mode")) && take_once(parse, SEEN_MODE))
        return take_mode(parse, value);
    if (slice_equal(name, SLICE("max_age")) && take_once(parse, SEEN_MAX_AGE))
        return take_max_age(parse, value);
    if (slice_equal(name, SLICE("mx")))
        return take_mx(parse, value);
    return take_extension(parse, name, value);
}

static bool take_once(struct parse *parse, unsigned field)
{
    if (parse->seen & field)
        parse->policy->warnings |= BIT(DUPLICATE);
    bool is_first = (parse->seen & field) == 0;
    parse->seen |= field;
    return is_first;
}

static bool take_version(struct parse *parse, struct slice value)
{
    return slice_equal(value, SLICE("STSv1")) || fail(parse, "the version is not STSv1");
}

static bool take_mode(struct parse *parse, struct slice value)
{
#define X(name, text)                                                                                                  \
    if (slice_equal(value, SLICE(text))) {                                                                             \
        parse->policy->mode = STS_MODE_##name;                                                                         \
        return true;                                                                                                   \
    }
    STS_MODE_LIST(X)
#undef X
    return fail(parse, "the mode is not enforce, testing or none");
}

static bool take_max_age(struct parse *parse, struct slice value)
{
    uint64_t age_s;
    if (value.length > 10 || !slice_number(value, UINT64_C(9999999999), &age_s))
        return fail(parse, "max_age is not a number of 1 to 10 digits");
    if (age_s > STS_MAX_AGE_S) {
        parse->policy->warnings |= BIT(MAX_AGE_CAPPED);
        age_s = STS_MAX_AGE_S;
    }
    parse->policy->max_age_s = (uint32_t)age_s;
    return true;
}

static bool take_mx(struct parse *parse, struct slice value)
{
    struct slice pattern = without_dot(value);
    struct slice name = without_wildcard(pattern);
    if (is_address(name))
        parse->policy->warnings |= BIT(ADDRESS_AS_MX);
    else if (!text_is_ascii(name))
        return fail(parse, "an mx is not ASCII; an internationalised name must be given as its A-label (xn--)");
    else if (!is_domain(name))
        return fail(parse, "an mx is not a domain name, or \"*.\" and a domain name");
    if (pattern.length < value.length)
        parse->policy->warnings |= BIT(TRAILING_DOT);
    return add_mx(parse, pattern);
}

static bool add_mx(struct parse *parse, struct slice pattern)
{
    char *lower = arena_alloc(parse->arena, pattern.length);
    if (lower == NULL)
        return fail_memory(parse);
    assert(parse->policy->mx_count < parse->mx_room);
    for (size_t i = 0; i < pattern.length; i++)
        lower[i] = byte_lower(pattern.data[i]);
    parse->mx[parse->policy->mx_count++] = slice_make(lower, pattern.length);
    return true;
}

static bool take_extension(struct parse *parse, struct slice name, struct slice value)
{
    if (!sts_field_name_is_valid(name))
        return fail(parse, "the field's name is not 1 to 32 letters, digits, \"_\", \"-\" or \".\"");
    return is_extension_value(value) || fail(parse, "the field's value is empty, not UTF-8, or has control characters");
}

static bool check_whole(struct parse *parse)
{
    struct sts_policy *policy = parse->policy;
    parse->line = 0;
    if (!(parse->seen & SEEN_VERSION))
        return fail(parse, "there is no version field");
    if (!(parse->seen & SEEN_MODE))
        return fail(parse, "there is no mode field");
    if (!(parse->seen & SEEN_MAX_AGE))
        return fail(parse, "there is no max_age field");
    if (policy->mode != STS_MODE_NONE && policy->mx_count == 0)
        return fail(parse, "there is no mx field");
    if (policy->mode != STS_MODE_NONE && policy->max_age_s < DAY_S)
        policy->warnings |= BIT(MAX_AGE_SHORT);
    return true;
}

static bool is_extension_value(struct slice value)
{
    for (size_t i = 0; i < value.length; i++)
        if ((unsigned char)value.data[i] < 0x20 || value.data[i] == 0x7f)
            return false;
    return value.length > 0 && text_is_utf8(value);
}

static bool is_domain(struct slice name)
{
    for (;;) {
        size_t end = slice_find(name, '.');
        if (!is_sub_domain(slice_to(name, end)))
            return false;
        if (end == name.length)
            return true;
        name = slice_from(name, end + 1);
    }
}

/* sub-domain = Let-dig [Ldh-str] (RFC 5321 4.1.2). */
static bool is_sub_domain(struct slice label)
{
    if (label.length == 0 || !byte_is_alnum(label.data[0]) || !byte_is_alnum(label.data[label.length - 1]))
        return false;
    for (size_t i = 0; i < label.length; i++)
        if (!byte_is_alnum(label.data[i]) && label.data[i] != '-')
            return false;
    return true;
}

/* Also in brackets, as an address literal is written. */
static bool is_address(struct slice name)
{
    struct ip ip;
    if (slice_starts(name, SLICE("[")) && slice_ends(name, SLICE("]"))) {
        name = slice_to(slice_from(name, 1), name.length - 2);
        if (slice_starts_nocase(name, SLICE("IPv6:")))
            name = slice_from(name, 5);
    }
    return ip_parse(name, &ip);
}

static struct slice without_dot(struct slice name)
{
    return slice_ends(name, SLICE(".")) ? slice_to(name, name.length - 1) : name;
}

static struct slice without_wildcard(struct slice pattern)
{
    return slice_starts(pattern, SLICE("*.")) ? slice_from(pattern, 2) : pattern;
}

static bool fail(struct parse *parse, const char *why)
{
    parse->fault->line = parse->line;
    parse->fault->why = why;
    return false;
}

static bool fail_memory(struct parse *parse)
{
    parse->fault->out_of_memory = true;
    return fail(parse, "out of memory");
}
