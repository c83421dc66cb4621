/* Whose domain it is: the part of a name that somebody has registered, below which all is his. Without a list of public suffixes: the
 * last two labels, or three below a country's code where the second is one of the words under which countries register ("co.uk").
 * Only shares are decided by it, nothing about trust: where it takes strangers for one (github.io), they share. */
#ifndef RELAY_REGISTRABLE_H
#define RELAY_REGISTRABLE_H

#include "base/slice.h"

struct slice registrable_of(struct slice domain); /* a view; of a literal or a single label: all of it */

#endif
