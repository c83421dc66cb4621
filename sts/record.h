/* The _mta-sts TXT record: RFC 8461 3.1, with the tolerances that cannot change its meaning (an empty field, trailing
 * white space: valid with a warning). */
#ifndef STS_RECORD_H
#define STS_RECORD_H

#include "base/slice.h"

#define STS_ID_MAX 32

#define STS_WARNING_LIST(X)                                                                                            \
    X(EMPTY_FIELD, "empty field")                                                                                      \
    X(TRAILING_SPACE, "trailing white space")                                                                          \
    X(SPACE_BEFORE_DELIMITER, "white space before the first semicolon")                                                \
    X(DUPLICATE, "a field is given twice; the first counts")                                                           \
    X(BLANK_LINE, "blank line")                                                                                        \
    X(BYTE_ORDER_MARK, "UTF-8 byte order mark")                                                                        \
    X(TRAILING_DOT, "trailing dot on an mx")                                                                           \
    X(ADDRESS_AS_MX, "IP address as mx, never matches")                                                                \
    X(MAX_AGE_CAPPED, "max_age over 31557600 is capped")                                                               \
    X(MAX_AGE_SHORT, "max_age under a day protects little")
enum sts_warning {
#define X(name, text) STS_WARNING_##name,
    STS_WARNING_LIST(X)
#undef X
};
const char *sts_warning_text(enum sts_warning warning);

struct sts_record {
    char id[STS_ID_MAX + 1];
    unsigned warnings; /* set of 1 << enum sts_warning */
};

/* Does the text count as an MTA-STS record at all (v=STSv1, white space or none, then ";")? Others are discarded. */
bool sts_record_is_candidate(struct slice text);
/* One record, its strings already joined. False: invalid, *why says it in a static sentence. */
bool sts_record_parse(struct slice text, struct sts_record *record, const char **why);
/* The "exactly one" rule over all TXT records of the name: false with *why when there is none, more than one, or the one
 * is invalid. */
bool sts_record_choose(const struct slice *texts, size_t count, struct sts_record *record, const char **why);

#endif
