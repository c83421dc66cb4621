#include "relay/recipient.h"

#include "base/idna.h"
#include "base/ip.h"
#include "smtp/address.h"
#include "smtp/envelope.h"

#include <assert.h>

static enum recipient_result add_all(struct draft *draft, const struct draft_recipient *given, const struct config_list *addresses,
                                     struct arena *arena);
static uint8_t without_success(uint8_t notify);
static bool canonical_domain(struct slice domain, struct arena *arena, struct slice *canonical);

enum recipient_result recipient_add(const struct locals *locals, struct draft *draft, const struct draft_recipient *given,
                                    struct arena *arena)
{
    struct slice address = given->address;
    struct config_list expanded = {.items = &address, .count = 1};
    switch (locals_expand(locals, given->address, arena, &expanded)) {
    case LOCALS_REMOTE:
        expanded = (struct config_list){.items = &address, .count = 1};
        return add_all(draft, given, &expanded, arena);
    case LOCALS_EXPANDED:
        return add_all(draft, given, &expanded, arena);
    case LOCALS_UNKNOWN:
        return RECIPIENT_UNKNOWN;
    case LOCALS_LOOP:
        return RECIPIENT_LOOP;
    case LOCALS_TOO_MANY:
        return RECIPIENT_LIST;
    case LOCALS_MEMORY:
        break;
    }
    return RECIPIENT_MEMORY;
}

/* RFC 3461 5.2.7.3: success is told once, by the host of the first of an alias's addresses. */
static uint8_t without_success(uint8_t notify)
{
    uint8_t rest = notify & (uint8_t)~SMTP_NOTIFY_SUCCESS;
    return notify != SMTP_NOTIFY_DEFAULT && rest == SMTP_NOTIFY_DEFAULT ? SMTP_NOTIFY_NEVER : rest;
}

/* All or, where one of them is no address, none. */
static enum recipient_result add_all(struct draft *draft, const struct draft_recipient *given, const struct config_list *addresses,
                                     struct arena *arena)
{
    struct slice *domains = arena_array(arena, addresses->count, sizeof *domains);
    if (domains == NULL)
        return RECIPIENT_MEMORY;
    for (size_t i = 0; i < addresses->count; i++) {
        struct slice address = addresses->items[i];
        if (!smtp_address_is_valid(address, true) || !canonical_domain(smtp_address_domain(address), arena, &domains[i]))
            return RECIPIENT_INVALID;
    }
    for (size_t i = 0; i < addresses->count; i++) {
        struct draft_recipient each = {.address = addresses->items[i], .domain = domains[i], .orcpt = given->orcpt};
        each.notify = i == 0 ? given->notify : without_success(given->notify);
        if (draft_add_recipient(draft, &each) != ERR_NONE)
            return RECIPIENT_TOO_MANY;
    }
    return RECIPIENT_ADDED;
}

static bool canonical_domain(struct slice domain, struct arena *arena, struct slice *canonical)
{
    struct ip ip;
    if (!smtp_domain_is_literal(domain))
        return idna_canonical(domain, arena, canonical) == ERR_NONE;
    struct slice inner = slice_to(slice_from(domain, 1), domain.length - 2);
    if (slice_starts_nocase(inner, SLICE("ipv6:")))
        inner = slice_from(inner, 5);
    *canonical = domain;
    return ip_parse(inner, &ip);
}

struct smtp_reply recipient_reply(enum recipient_result result)
{
    switch (result) {
    case RECIPIENT_UNKNOWN:
        return smtp_reply_make(
            550, 1, 1, "no such user here: nothing is delivered locally; name an address in [local] root or the aliases file");
    case RECIPIENT_LOOP:
        return smtp_reply_make(550, 4, 6, "the aliases of this address lead back to it; correct the aliases file");
    case RECIPIENT_LIST:
        return smtp_reply_make(550, 2, 4, "the aliases of this address lead to more than 1000 addresses; shorten them in the aliases file");
    case RECIPIENT_INVALID:
        return smtp_reply_make(501, 1, 3, "this is not an address that mail can be sent to");
    case RECIPIENT_TOO_MANY:
        return smtp_reply_make(452, 5, 3, "too many recipients; send the rest in another message");
    case RECIPIENT_MEMORY:
        return smtp_reply_make(452, 3, 0, "out of memory; try again later");
    case RECIPIENT_ADDED:
        break;
    }
    assert(result != RECIPIENT_ADDED);
    return smtp_reply_make(451, 3, 0, "try again later");
}
