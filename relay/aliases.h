/* The aliases file, as sendmail and Postfix have it: "name: address, address" a line, continued by lines that begin with white space;
 * empty lines and lines that begin with "#" are nothing, wherever they stand. Addresses are local@domain, or names of this machine. */
#ifndef RELAY_ALIASES_H
#define RELAY_ALIASES_H

#include "base/arena.h"
#include "base/buffer.h"
#include "base/map.h"

struct alias {
    struct map_node node;      /* key: the name in lower case */
    const struct slice *items; /* addresses and names; "\name" is a name that is no alias */
    size_t count;              /* at least 1, but of one that is too long */
    bool is_too_long;          /* not all of it was kept: mail for it is refused, or some would go astray */
    size_t line;               /* of the file */
};
struct aliases {
    struct map names;
    struct arena *arena;
};
void aliases_init(struct aliases *aliases, struct arena *arena); /* the arena is the caller's */
void aliases_free(struct aliases *aliases);
/* Whatever cannot be used is left out, with a warning that names path:line; the rest counts. Of two lines for one name the first. */
void aliases_read(struct aliases *aliases, struct slice text, struct slice path, struct buffer *warnings);
/* name: with or without quotes, in any case. NULL: there is none. */
const struct alias *aliases_find(const struct aliases *aliases, struct slice name);

#endif
