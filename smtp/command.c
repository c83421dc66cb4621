#include "smtp/command.h"

#include "base/text.h"
#include "smtp/address.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

enum argument_rule {
    RULE_NONE,     /* nothing may follow the verb */
    RULE_OPTIONAL, /* anything may */
    RULE_REQUIRED, /* something must */
    RULE_NAME,     /* one word must */
    RULE_PATH,     /* "FROM:" or "TO:", a path and parameters */
};
struct verb_rule {
    struct slice name;
    enum argument_rule rule;
};

#define ROW(name, rule) [SMTP_##name] = {{#name, sizeof #name - 1}, rule}
static const struct verb_rule verbs[] = {
    ROW(EHLO, RULE_NAME),     ROW(HELO, RULE_NAME),     ROW(MAIL, RULE_PATH),     ROW(RCPT, RULE_PATH),
    ROW(DATA, RULE_NONE),     ROW(BDAT, RULE_REQUIRED), ROW(RSET, RULE_NONE),     ROW(NOOP, RULE_OPTIONAL),
    ROW(QUIT, RULE_NONE),     ROW(VRFY, RULE_REQUIRED), ROW(EXPN, RULE_REQUIRED), ROW(HELP, RULE_OPTIONAL),
    ROW(ETRN, RULE_REQUIRED), ROW(TURN, RULE_NONE),     ROW(STARTTLS, RULE_NONE), ROW(AUTH, RULE_REQUIRED),
};
#undef ROW

static enum smtp_verb verb_of(struct slice word);
static enum smtp_command_fault check_bytes(struct slice line, bool *eight_bit);
static enum smtp_command_fault parse_argument(struct smtp_command *command);
static enum smtp_command_fault parse_path(struct smtp_command *command);
static enum smtp_command_fault parse_parameters(struct smtp_command *command, struct slice rest);
static enum smtp_command_fault parse_parameter(struct slice word, struct smtp_parameter *parameter);
static bool is_keyword(struct slice keyword);
static bool is_value(struct slice value);
static bool has_parameter(const struct smtp_command *command, struct slice keyword);
static bool may_be_utf8(const struct smtp_command *command, bool utf8);
static struct slice skip_blanks(struct slice text);

enum smtp_command_fault smtp_command_parse(struct slice line, bool utf8, struct smtp_command *command)
{
    bool eight_bit = false;
    struct slice rest = line, word = SLICE_EMPTY;
    *command = (struct smtp_command){.verb = SMTP_UNKNOWN, .argument = line, .address = SLICE_EMPTY};
    slice_word(&rest, &word);
    bool indented = line.length > 0 && (line.data[0] == ' ' || line.data[0] == '\t');
    command->verb = indented ? SMTP_UNKNOWN : verb_of(word);

    enum smtp_command_fault fault = check_bytes(line, &eight_bit);
    if (fault != SMTP_COMMAND_OK) {
        return fault;
    }
    if (command->verb == SMTP_UNKNOWN) {
        return SMTP_COMMAND_UNKNOWN;
    }
    command->argument = slice_trim(rest);
    fault = parse_argument(command);
    if (eight_bit && (fault == SMTP_COMMAND_OK || fault == SMTP_COMMAND_SYNTAX) && !may_be_utf8(command, utf8)) {
        return SMTP_COMMAND_BYTES;
    }
    return fault;
}

const char *smtp_verb_name(enum smtp_verb verb)
{
    return verb == SMTP_UNKNOWN ? "unknown" : verbs[verb].name.data;
}

static enum smtp_verb verb_of(struct slice word)
{
    for (size_t i = SMTP_UNKNOWN + 1; i < COUNT(verbs); i++) {
        if (slice_equal_nocase(verbs[i].name, word)) {
            return (enum smtp_verb)i;
        }
    }
    return SMTP_UNKNOWN;
}

/* No control but a tab; what is over 0x7f must be UTF-8, and whether it may be there is asked later. */
static enum smtp_command_fault check_bytes(struct slice line, bool *eight_bit)
{
    for (size_t i = 0; i < line.length; i++) {
        uint8_t byte = (uint8_t)line.data[i];
        if ((byte < 0x20 && byte != '\t') || byte == 0x7f) {
            return SMTP_COMMAND_BYTES;
        }
        *eight_bit |= byte > 0x7f;
    }
    return *eight_bit && !text_is_utf8(line) ? SMTP_COMMAND_BYTES : SMTP_COMMAND_OK;
}

static enum smtp_command_fault parse_argument(struct smtp_command *command)
{
    struct slice rest = command->argument, word;
    bool given = slice_word(&rest, &word);
    switch (verbs[command->verb].rule) {
        case RULE_NONE:
            return given ? SMTP_COMMAND_SYNTAX : SMTP_COMMAND_OK;
        case RULE_OPTIONAL:
            return SMTP_COMMAND_OK;
        case RULE_REQUIRED:
            return given ? SMTP_COMMAND_OK : SMTP_COMMAND_SYNTAX;
        case RULE_NAME:
            return given && rest.length == 0 ? SMTP_COMMAND_OK : SMTP_COMMAND_SYNTAX;
        case RULE_PATH:
            break;
    }
    return parse_path(command);
}

static enum smtp_command_fault parse_path(struct smtp_command *command)
{
    struct slice prefix = command->verb == SMTP_MAIL ? SLICE("FROM:") : SLICE("TO:");
    if (!slice_starts_nocase(command->argument, prefix)) {
        return SMTP_COMMAND_SYNTAX;
    }
    struct slice rest = skip_blanks(slice_from(command->argument, prefix.length));
    /* UTF-8 is let through here: whether it was asked for, the parameters say. */
    struct smtp_path_rules rules = {.null_allowed = command->verb == SMTP_MAIL, .utf8 = true};
    command->is_name = !smtp_path_parse(&rest, rules, &command->address);
    rules.name_allowed = true;
    if (command->is_name && !smtp_path_parse(&rest, rules, &command->address)) {
        return SMTP_COMMAND_SYNTAX;
    }
    if (rest.length > 0 && rest.data[0] != ' ' && rest.data[0] != '\t') {
        return SMTP_COMMAND_SYNTAX;
    }
    return parse_parameters(command, rest);
}

/* esmtp-param = esmtp-keyword ["=" esmtp-value], apart by blanks (RFC 5321 4.1.2). */
static enum smtp_command_fault parse_parameters(struct smtp_command *command, struct slice rest)
{
    struct slice word;
    while (slice_word(&rest, &word)) {
        struct smtp_parameter parameter;
        enum smtp_command_fault fault = parse_parameter(word, &parameter);
        if (fault != SMTP_COMMAND_OK) {
            return fault;
        }
        if (command->parameter_count == SMTP_PARAMETER_MAX || has_parameter(command, parameter.keyword)) {
            return SMTP_COMMAND_PARAMETER_BAD;
        }
        command->parameters[command->parameter_count++] = parameter;
    }
    command->utf8 = command->verb == SMTP_MAIL && has_parameter(command, SLICE("SMTPUTF8"));
    return SMTP_COMMAND_OK;
}

static enum smtp_command_fault parse_parameter(struct slice word, struct smtp_parameter *parameter)
{
    size_t equals = slice_find(word, '=');
    *parameter = (struct smtp_parameter){slice_to(word, equals), slice_from(word, equals + 1)};
    if (!is_keyword(parameter->keyword)) {
        return SMTP_COMMAND_SYNTAX;
    }
    bool has_value = equals < word.length;
    return has_value && !is_value(parameter->value) ? SMTP_COMMAND_PARAMETER_BAD : SMTP_COMMAND_OK;
}

static bool is_keyword(struct slice keyword)
{
    for (size_t i = 0; i < keyword.length; i++) {
        if (!byte_is_alnum(keyword.data[i]) && (i == 0 || keyword.data[i] != '-')) {
            return false;
        }
    }
    return keyword.length > 0;
}

static bool is_value(struct slice value)
{
    return value.length > 0 && !slice_has(value, '=');
}

static bool has_parameter(const struct smtp_command *command, struct slice keyword)
{
    for (size_t i = 0; i < command->parameter_count; i++) {
        if (slice_equal_nocase(command->parameters[i].keyword, keyword)) {
            return true;
        }
    }
    return false;
}

/* RFC 6531 3.4 and 3.7: MAIL, VRFY and EXPN say it themselves; the other commands stand under their MAIL. */
static bool may_be_utf8(const struct smtp_command *command, bool utf8)
{
    if (command->verb == SMTP_MAIL) {
        return command->utf8;
    }
    bool asked = slice_ends_nocase(command->argument, SLICE(" SMTPUTF8"));
    return utf8 || (asked && (command->verb == SMTP_VRFY || command->verb == SMTP_EXPN));
}

static struct slice skip_blanks(struct slice text)
{
    while (text.length > 0 && (text.data[0] == ' ' || text.data[0] == '\t')) {
        text = slice_from(text, 1);
    }
    return text;
}
