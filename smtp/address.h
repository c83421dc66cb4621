/* Mailbox addresses as RFC 5321 4.1.2 writes them (RFC 6531 with UTF-8). An address is kept as the text "local@domain"
 * without angle brackets; the local part is never interpreted. The null reverse-path is the empty text. */
#ifndef SMTP_ADDRESS_H
#define SMTP_ADDRESS_H

#include "base/slice.h"

#define SMTP_ADDRESS_MAX 320 /* 64 + 1 + 255, RFC 5321 4.5.3.1 */

/* Takes a path from the front of *input: "<" [source-route ":"] Mailbox ">", or "<>" where null is allowed. A source
 * route is dropped (RFC 5321 4.1.1.3, appendix C). "<postmaster>" without a domain is a path of its own (4.5.1); other names
 * are where they are allowed, and the address is the name then. A pair of brackets may be missing around an address (old
 * clients): then the path ends at the next blank. utf8: RFC 6531 was asked for.
 * False: not a path; *input is left where it was. The address is a view into the input, as it was written: a path may also hold
 * what smtp_address_repair() makes an address of. */
struct smtp_path_rules {
    bool null_allowed, name_allowed;
    bool utf8;
};
bool smtp_path_parse(struct slice *input, struct smtp_path_rules rules, struct slice *address);

/* Is this text a Mailbox: dot-string or quoted-string local part of 1..64 bytes, "@", a domain name of 1..255 bytes or an
 * address literal? %-hacks and bang paths are nothing special: they are part of the local part. A bare "@" too many is an error. */
bool smtp_address_is_valid(struct slice address, bool utf8);

/* What other mail systems take besides, and what exists: mailboxes "x..y", "x." and ".x" (telephone companies gave them out),
 * and a domain as DNS writes it, with a dot behind it. The local part is put in quotes, where such dots may stand and which mean
 * the same (RFC 5321 4.1.2); the domain loses its dot. *address becomes a view of text, or is left as it was when it is valid.
 * False: it is no address even so, and is left as it was too. */
bool smtp_address_repair(struct slice *address, bool utf8, char text[SMTP_ADDRESS_MAX + 1]);

struct slice smtp_address_local(struct slice address);  /* before the last "@"; all when there is none */
struct slice smtp_address_domain(struct slice address); /* after it; empty when there is none */
bool smtp_domain_is_literal(struct slice domain);       /* "[...]" */
/* A domain as EHLO, MAIL and RCPT may carry it: letters, digits, hyphens and underscores in labels; UTF-8 when allowed. */
bool smtp_domain_is_valid(struct slice domain, bool utf8);

#endif
