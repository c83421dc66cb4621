/* What the fields of the TXT record and of the policy have in common (RFC 8461 3.1 and 3.2). */
#ifndef STS_FIELD_H
#define STS_FIELD_H

#include "base/slice.h"

/* sts-ext-name and sts-policy-ext-name: a letter or digit, then up to 31 of letters, digits, "_", "-", ".". */
bool sts_field_name_is_valid(struct slice name);

struct slice sts_field_trim_start(struct slice text); /* without the WSP at its start */
struct slice sts_field_trim_end(struct slice text);   /* without the WSP at its end */

#endif
