#include "relay/recipient.h"

#include "base/idna.h"
#include "base/ip.h"
#include "smtp/address.h"
#include "smtp/envelope.h"

#include <assert.h>

static enum recipient_result add_one(struct draft *draft, const struct draft_recipient *given, struct slice address,
                                     struct arena *arena);
static uint8_t without_success(uint8_t notify);
static bool canonical_domain(struct slice domain, struct arena *arena, struct slice *canonical);

enum recipient_result recipient_add(const struct locals *locals, struct draft *draft, const struct draft_recipient *given,
                                    struct arena *arena)
{
    struct config_list expanded;
    enum recipient_result result = RECIPIENT_ADDED;
    switch (locals_expand(locals, given->address, arena, &expanded)) {
    case LOCALS_REMOTE:
        return add_one(draft, given, given->address, arena);
    case LOCALS_EXPANDED:
        for (size_t i = 0; i < expanded.count && result == RECIPIENT_ADDED; i++) {
            struct draft_recipient each = *given;
            each.notify = i == 0 ? given->notify : without_success(given->notify);
            result = add_one(draft, &each, expanded.items[i], arena);
        }
        return result;
    case LOCALS_UNKNOWN:
        return RECIPIENT_UNKNOWN;
    case LOCALS_LOOP:
        return RECIPIENT_LOOP;
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

static enum recipient_result add_one(struct draft *draft, const struct draft_recipient *given, struct slice address,
                                     struct arena *arena)
{
    struct draft_recipient recipient = {.address = address, .orcpt = given->orcpt, .notify = given->notify};
    if (!smtp_address_is_valid(address, true) || !canonical_domain(smtp_address_domain(address), arena, &recipient.domain))
        return RECIPIENT_INVALID;
    return draft_add_recipient(draft, &recipient) == ERR_NONE ? RECIPIENT_ADDED : RECIPIENT_TOO_MANY;
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
        return smtp_reply_make(451, 3, 5, "the aliases of this address have no end; mend the aliases file");
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
