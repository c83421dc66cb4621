/* What the name servers of the resolver's tests say: the end of a name chooses the answer, "nx.test" that there is no
 * such name, and so on. What is not listed has records of every kind. */
#ifndef TEST_UNIT_DNS_SCRIPT_H
#define TEST_UNIT_DNS_SCRIPT_H

#include "test/unit/dns_server.h"

extern const struct dns_entry dns_script[];
extern const struct dns_entry dns_script_silent[]; /* never answers */
extern const struct dns_entry dns_script_bogus[];  /* SERVFAIL, whatever is asked */
extern const struct dns_entry dns_script_plain[];  /* one address, whatever is asked */

#endif
