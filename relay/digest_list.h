/* What the next digest for the postmaster will say: reports that could not be returned to anybody. A value with a stored form; the
 * first ones are kept, the others counted. Pure. */
#ifndef RELAY_DIGEST_LIST_H
#define RELAY_DIGEST_LIST_H

#include "base/buffer.h"
#include "base/err.h"

#define DIGEST_ITEMS_MAX 100
#define DIGEST_INTERVAL_MS (3600 * 1000)

struct digest_item {
    int64_t time_ms;
    struct slice id;        /* of the message that failed, as text */
    struct slice origin;    /* how that came: "report on 6A…" */
    struct slice sender;    /* empty: the null reverse-path */
    struct slice recipient; /* whom it was for */
    struct slice text;      /* why it failed */
};
struct digest_list {
    int64_t sent_ms;       /* when the last digest was made; 0: none yet */
    uint64_t count;        /* of items since */
    size_t kept;           /* of them, in items */
    struct buffer items;
};
void digest_list_init(struct digest_list *list);
void digest_list_free(struct digest_list *list);
/* Texts are cut. Without memory the item is only counted. */
void digest_list_add(struct digest_list *list, const struct digest_item *item);
void digest_list_sent(struct digest_list *list, int64_t now_ms); /* all of it is in a digest: begins anew */
/* When the next digest may be made; INT64_MAX: there is nothing to say. A clock that was set back delays by no more than the interval. */
int64_t digest_list_due_ms(const struct digest_list *list, int64_t now_ms);

void digest_list_encode(const struct digest_list *list, struct buffer *out);
MUST_CHECK enum err digest_list_decode(struct slice bytes, struct digest_list *list); /* ERR_CORRUPT, ERR_MEMORY: list is empty */

struct digest_letter {
    struct slice hostname, id, to; /* id: of the digest's own message */
    int64_t date_ms;
};
void digest_list_print(const struct digest_list *list, const struct digest_letter *letter, struct buffer *out); /* CRLF lines */

#endif
