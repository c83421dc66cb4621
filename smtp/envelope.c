#include "smtp/envelope.h"

#include "base/text.h"
#include "smtp/extension.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))
#define ENVID_MAX 100 /* RFC 3461 4.4 */
#define ORCPT_MAX 500 /* RFC 3461 4.2 */

/* What a parameter's value is written to; one of the two is NULL. */
struct target {
    struct smtp_mail *mail;
    struct smtp_rcpt *rcpt;
};
struct parameter_rule {
    struct slice keyword;
    unsigned extension; /* must be among the offered ones */
    bool (*read)(struct slice value, struct target target);
};

static bool read_size(struct slice value, struct target target);
static bool read_body(struct slice value, struct target target);
static bool read_utf8(struct slice value, struct target target);
static bool read_ret(struct slice value, struct target target);
static bool read_envid(struct slice value, struct target target);
static bool read_auth(struct slice value, struct target target);
static bool read_requiretls(struct slice value, struct target target);
static bool read_notify(struct slice value, struct target target);
static bool read_orcpt(struct slice value, struct target target);
static unsigned notify_of(struct slice word);
static bool is_address_type(struct slice type);
static bool is_utf8_orcpt(struct slice text);
static int hex_digit(char byte);
static bool xtext_next(struct slice *text, char *byte);

#define WORD(literal)                                                                                                  \
    {                                                                                                                  \
        "" literal, sizeof(literal) - 1                                                                                \
    }
static const struct parameter_rule mail_rules[] = {
    {WORD("SIZE"), SMTP_EXTENSION_SIZE, read_size},
    {WORD("BODY"), SMTP_EXTENSION_8BITMIME, read_body},
    {WORD("SMTPUTF8"), SMTP_EXTENSION_SMTPUTF8, read_utf8},
    {WORD("RET"), SMTP_EXTENSION_DSN, read_ret},
    {WORD("ENVID"), SMTP_EXTENSION_DSN, read_envid},
    {WORD("AUTH"), SMTP_EXTENSION_AUTH, read_auth},
    {WORD("REQUIRETLS"), SMTP_EXTENSION_REQUIRETLS, read_requiretls},
};
static const struct parameter_rule rcpt_rules[] = {
    {WORD("NOTIFY"), SMTP_EXTENSION_DSN, read_notify},
    {WORD("ORCPT"), SMTP_EXTENSION_DSN, read_orcpt},
};

struct rule_set {
    const struct parameter_rule *rules;
    size_t count;
    unsigned allowed;
};
static enum smtp_command_fault apply(const struct smtp_command *command, struct rule_set set, struct target target);
static const struct parameter_rule *find_rule(struct rule_set set, struct slice keyword);

enum smtp_command_fault smtp_mail_parse(const struct smtp_command *command, unsigned allowed, struct smtp_mail *mail)
{
    *mail = (struct smtp_mail){.reverse_path = command->address, .envid = SLICE_EMPTY};
    return apply(command, (struct rule_set){mail_rules, COUNT(mail_rules), allowed}, (struct target){.mail = mail});
}

enum smtp_command_fault smtp_rcpt_parse(const struct smtp_command *command, unsigned allowed, struct smtp_rcpt *rcpt)
{
    *rcpt = (struct smtp_rcpt){.address = command->address, .orcpt = SLICE_EMPTY};
    return apply(command, (struct rule_set){rcpt_rules, COUNT(rcpt_rules), allowed}, (struct target){.rcpt = rcpt});
}

bool smtp_xtext_parse(struct slice text, struct buffer *out)
{
    char byte;
    while (text.length > 0) {
        if (!xtext_next(&text, &byte) || (byte != ' ' && !byte_is_print(byte))) {
            return false;
        }
        if (out != NULL) {
            buffer_add_byte(out, byte);
        }
    }
    return true;
}

void smtp_xtext_print(struct buffer *out, struct slice bytes)
{
    for (size_t i = 0; i < bytes.length; i++) {
        char byte = bytes.data[i];
        if (byte_is_print(byte) && byte != '+' && byte != '=') {
            buffer_add_byte(out, byte);
        } else {
            buffer_print(out, "+%02X", (unsigned)(uint8_t)byte);
        }
    }
}

static enum smtp_command_fault apply(const struct smtp_command *command, struct rule_set set, struct target target)
{
    for (size_t i = 0; i < command->parameter_count; i++) {
        const struct parameter_rule *rule = find_rule(set, command->parameters[i].keyword);
        if (rule == NULL) {
            return SMTP_COMMAND_PARAMETER;
        }
        if (!rule->read(command->parameters[i].value, target)) {
            return SMTP_COMMAND_PARAMETER_BAD;
        }
    }
    return SMTP_COMMAND_OK;
}

static const struct parameter_rule *find_rule(struct rule_set set, struct slice keyword)
{
    for (size_t i = 0; i < set.count; i++) {
        if (slice_equal_nocase(set.rules[i].keyword, keyword) && (set.rules[i].extension & set.allowed) != 0) {
            return &set.rules[i];
        }
    }
    return NULL;
}

static bool read_size(struct slice value, struct target target)
{
    return slice_number(value, UINT64_MAX, &target.mail->size); /* RFC 1870 5: at most 20 digits */
}

static bool read_body(struct slice value, struct target target)
{
    bool eight_bit = slice_equal_nocase(value, SLICE("8BITMIME"));
    target.mail->body = eight_bit ? SMTP_BODY_8BITMIME : SMTP_BODY_7BIT;
    return eight_bit || slice_equal_nocase(value, SLICE("7BIT"));
}

static bool read_utf8(struct slice value, struct target target)
{
    target.mail->utf8 = true;
    return value.length == 0;
}

static bool read_ret(struct slice value, struct target target)
{
    bool full = slice_equal_nocase(value, SLICE("FULL"));
    target.mail->ret = full ? SMTP_RET_FULL : SMTP_RET_HDRS;
    return full || slice_equal_nocase(value, SLICE("HDRS"));
}

static bool read_envid(struct slice value, struct target target)
{
    target.mail->envid = value;
    return value.length > 0 && value.length <= ENVID_MAX && smtp_xtext_parse(value, NULL);
}

/* RFC 4954 5: read and, since we trust nobody's word for it, not passed on. */
static bool read_auth(struct slice value, struct target target)
{
    (void)target;
    return slice_equal(value, SLICE("<>")) || (value.length > 0 && smtp_xtext_parse(value, NULL));
}

static bool read_requiretls(struct slice value, struct target target)
{
    target.mail->tls = SMTP_TLS_REQUIRED;
    return value.length == 0;
}

/* "NEVER", or a list of the others (RFC 3461 4.1). */
static bool read_notify(struct slice value, struct target target)
{
    struct slice word;
    unsigned notify = 0;
    while (slice_cut(&value, ',', &word)) {
        unsigned bit = notify_of(word);
        if (bit == 0) {
            return false;
        }
        notify |= bit;
    }
    target.rcpt->notify = notify;
    return (notify & SMTP_NOTIFY_NEVER) == 0 || notify == SMTP_NOTIFY_NEVER;
}

static unsigned notify_of(struct slice word)
{
    static const struct {
        struct slice name;
        unsigned bit;
    } table[] = {
        {WORD("NEVER"), SMTP_NOTIFY_NEVER},
        {WORD("SUCCESS"), SMTP_NOTIFY_SUCCESS},
        {WORD("FAILURE"), SMTP_NOTIFY_FAILURE},
        {WORD("DELAY"), SMTP_NOTIFY_DELAY},
    };
    for (size_t i = 0; i < COUNT(table); i++) {
        if (slice_equal_nocase(table[i].name, word)) {
            return table[i].bit;
        }
    }
    return 0;
}

/* addr-type ";" xtext (RFC 3461 4.2), or "utf-8;" and the forms of RFC 6533 3. */
static bool read_orcpt(struct slice value, struct target target)
{
    struct slice text = value, type;
    target.rcpt->orcpt = value;
    if (value.length > ORCPT_MAX || !slice_cut(&text, ';', &type) || text.length == 0 || !is_address_type(type)) {
        return false;
    }
    return slice_equal_nocase(type, SLICE("utf-8")) ? is_utf8_orcpt(text) : smtp_xtext_parse(text, NULL);
}

static bool is_address_type(struct slice type)
{
    for (size_t i = 0; i < type.length; i++) {
        if (!byte_is_alnum(type.data[i]) && type.data[i] != '-') {
            return false;
        }
    }
    return type.length > 0;
}

/* Printable, without what could end or nest a parameter; embedded "\x{HEX}" is left as it stands. */
static bool is_utf8_orcpt(struct slice text)
{
    for (size_t i = 0; i < text.length; i++) {
        if (!byte_is_print(text.data[i]) && (uint8_t)text.data[i] <= 0x7f) {
            return false;
        }
    }
    return text_is_utf8(text);
}

static bool xtext_next(struct slice *text, char *byte)
{
    *byte = text->data[0];
    if (*byte != '+') {
        *text = slice_from(*text, 1);
        return byte_is_print(*byte) && *byte != '=';
    }
    int high = text->length < 3 ? -1 : hex_digit(text->data[1]);
    int low = text->length < 3 ? -1 : hex_digit(text->data[2]);
    *text = slice_from(*text, 3);
    *byte = (char)(high * 16 + low);
    return high >= 0 && low >= 0;
}

static int hex_digit(char byte)
{
    if (byte_is_digit(byte)) {
        return byte - '0';
    }
    byte = byte_lower(byte); /* RFC 3461 writes capitals; small ones mean nothing else */
    return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}
