#include "relay/registrable.h"

/* Words that nobody but a registry can have below a country's code. A short label as such says nothing: many are for sale. */
static const char *const seconds[] = {"ac",  "ad",  "co",  "com", "ed",  "edu", "go",  "gob", "gouv", "gov", "govt", "gv",
                                      "id",  "k12", "ltd", "me",  "mil", "ne",  "net", "nhs", "nom",  "or",  "org",  "plc",
                                      "sch", "school"};

static size_t last_dot(struct slice text)
{
    size_t at = text.length;
    while (at > 0 && text.data[at - 1] != '.')
        at--;
    return at;
}

static bool is_registry_word(struct slice label)
{
    for (size_t i = 0; i < sizeof seconds / sizeof *seconds; i++) {
        if (slice_equal_nocase(label, slice_of(seconds[i])))
            return true;
    }
    return false;
}

struct slice registrable_of(struct slice domain)
{
    size_t top = last_dot(domain);
    if (top == 0 || slice_starts(domain, SLICE("[")))
        return domain;
    struct slice rest = slice_to(domain, top - 1);
    size_t second = last_dot(rest);
    if (second == 0)
        return domain;
    bool is_country = domain.length - top == 2;
    if (!is_country || !is_registry_word(slice_from(rest, second)))
        return slice_from(domain, second);
    return slice_from(domain, last_dot(slice_to(rest, second - 1)));
}
