/* RFC 8461 3.1:
 *
 *   sts-text-record = sts-version 1*(sts-field-delim sts-field) [sts-field-delim]
 *   sts-field       = sts-id / sts-extension
 *   sts-field-delim = *WSP ";" *WSP
 *   sts-version     = %s"v=STSv1"
 *   sts-id          = %s"id=" 1*32(ALPHA / DIGIT)
 *   sts-extension   = sts-ext-name "=" sts-ext-value
 *   sts-ext-value   = 1*(%x21-3A / %x3C / %x3E-7E)
 *
 * Beyond the grammar an empty field and white space at the end are accepted with a warning: neither can change what the
 * record says, and to refuse them would disarm the policy. */
#include "sts/record.h"

#include <string.h>

#include "sts/field.h"

#define VERSION SLICE("v=STSv1")
#define BIT(name) (1u << STS_WARNING_##name)

static bool parse_field(struct slice field, struct sts_record *record, const char **why);
static bool take_id(struct slice value, struct sts_record *record, const char **why);
static bool is_id(struct slice value);
static bool is_extension_value(struct slice value);
static bool refuse(const char **why, const char *sentence);

const char *sts_warning_text(enum sts_warning warning)
{
    switch (warning) {
#define X(name, text)                                                                                                  \
    case STS_WARNING_##name:                                                                                           \
        return text;
        STS_WARNING_LIST(X)
#undef X
    }
    return "";
}

/* The prose of the RFC wants "v=STSv1;", its grammar allows white space before the semicolon. "v=STSv10;" is neither.
 */
bool sts_record_is_candidate(struct slice text)
{
    return slice_starts(text, VERSION) &&
           slice_starts(sts_field_trim_start(slice_from(text, VERSION.length)), SLICE(";"));
}

bool sts_record_parse(struct slice text, struct sts_record *record, const char **why)
{
    *record = (struct sts_record){0};
    if (!sts_record_is_candidate(text))
        return refuse(why, "the record does not begin with \"v=STSv1;\"");
    if (text.data[VERSION.length] != ';')
        record->warnings |= BIT(SPACE_BEFORE_DELIMITER);
    struct slice rest = sts_field_trim_end(text);
    if (rest.length < text.length)
        record->warnings |= BIT(TRAILING_SPACE);
    rest = slice_from(rest, slice_find(rest, ';') + 1);
    while (rest.length > 0) {
        size_t end = slice_find(rest, ';');
        if (!parse_field(slice_trim(slice_to(rest, end)), record, why))
            return false;
        rest = slice_from(rest, end + 1);
    }
    if (record->id[0] == '\0')
        return refuse(why, "the record has no id");
    return true;
}

bool sts_record_choose(const struct slice *texts, size_t count, struct sts_record *record, const char **why)
{
    const struct slice *only = NULL;
    *record = (struct sts_record){0};
    for (size_t i = 0; i < count; i++) {
        if (!sts_record_is_candidate(texts[i]))
            continue;
        if (only != NULL)
            return refuse(why, "there is more than one MTA-STS record");
        only = &texts[i];
    }
    if (only == NULL)
        return refuse(why, "there is no MTA-STS record");
    return sts_record_parse(*only, record, why);
}

static bool parse_field(struct slice field, struct sts_record *record, const char **why)
{
    if (field.length == 0) {
        record->warnings |= BIT(EMPTY_FIELD);
        return true;
    }
    size_t equals = slice_find(field, '=');
    if (equals == field.length)
        return refuse(why, "a field has no \"=\"");
    struct slice name = slice_to(field, equals), value = slice_from(field, equals + 1);
    if (!sts_field_name_is_valid(name))
        return refuse(why, "a field's name is not 1 to 32 letters, digits, \"_\", \"-\" or \".\"");
    if (slice_equal(name, SLICE("id")) && record->id[0] == '\0')
        return take_id(value, record, why);
    if (!is_extension_value(value))
        return refuse(why, "a field's value is empty or has white space, \"=\", or bytes that are not printable ASCII");
    if (slice_equal(name, SLICE("id")) || slice_equal(name, SLICE("v")))
        record->warnings |= BIT(DUPLICATE);
    return true;
}

static bool take_id(struct slice value, struct sts_record *record, const char **why)
{
    if (!is_id(value))
        return refuse(why, "the id is not 1 to 32 letters and digits");
    memcpy(record->id, value.data, value.length);
    return true;
}

static bool is_id(struct slice value)
{
    if (value.length == 0 || value.length > STS_ID_MAX)
        return false;
    for (size_t i = 0; i < value.length; i++)
        if (!byte_is_alnum(value.data[i]))
            return false;
    return true;
}

static bool is_extension_value(struct slice value)
{
    for (size_t i = 0; i < value.length; i++)
        if (!byte_is_print(value.data[i]) || value.data[i] == '=')
            return false;
    return value.length > 0;
}

static bool refuse(const char **why, const char *sentence)
{
    *why = sentence;
    return false;
}
