/* The users file: who may relay with AUTH. A line each, NAME:HASH, as `sternpost passwd NAME` prints it; empty lines and lines that
 * begin with # are passed over. Immutable: a reload makes a new one. */
#ifndef RELAY_USERS_H
#define RELAY_USERS_H

#include "base/buffer.h"
#include "base/err.h"
#include "tls/password.h"

#define USERS_NAME_MAX 255

struct users;
/* Reads the file. On error fault has a sentence that names file and line: ERR_PERMISSION also when everybody can read it,
 * ERR_EXISTS for a name that stands there twice, ERR_SYNTAX, ERR_NOT_FOUND, ERR_LIMIT (a file of over 16M), ERR_IO, ERR_MEMORY. */
MUST_CHECK enum err users_load(struct slice path, struct users **users, struct buffer *fault);
/* The same of a text; where: what the fault calls it. */
MUST_CHECK enum err users_parse(struct slice text, struct slice where, struct users **users, struct buffer *fault);
void users_free(struct users **users);
size_t users_count(const struct users *users);
/* NULL: there is no such user. Names are compared byte by byte. */
const struct tls_password *users_find(const struct users *users, struct slice name);
/* Of all users, and of one that is made now, the most iterations: what every check shall cost. */
uint32_t users_iterations(const struct users *users);
/* 1 to 255 bytes of UTF-8 without blanks at the ends, controls and colons, and not a comment. */
bool users_is_name(struct slice name);

#endif
