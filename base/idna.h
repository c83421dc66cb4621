/* Domain names of addresses in the form that DNS, policies and certificates use: lower-case A-labels, no trailing dot. */
#ifndef BASE_IDNA_H
#define BASE_IDNA_H

#include "base/arena.h"
#include "base/err.h"

/* The canonical form of a domain: U-labels become A-labels (IDNA 2008, non-transitional), ASCII is lowered, one trailing
 * dot goes. ERR_SYNTAX: not a domain name (empty label, label over 63, name over 253, bytes that cannot be in one). */
MUST_CHECK enum err idna_canonical(struct slice domain, struct arena *arena, struct slice *canonical);

#endif
