#include "relay/locals.h"

#include "base/idna.h"
#include "base/list.h"
#include "base/text.h"
#include "relay/aliases.h"
#include "relay/config_internal.h"
#include "relay/host.h"
#include "smtp/address.h"

#include <stdio.h>
#include <stdlib.h>

#define ALIASES_SIZE_MAX (16u << 20)
#define EXPANDED_MAX 1000
#define DEPTH_MAX 32
#define ROOT_MAX 100 /* addresses in [local] root */

struct locals {
    struct arena *arena;
    struct config_list domains;
    struct config_list root; /* addresses or names; empty: none */
    struct aliases aliases;
};
struct expansion {
    const struct locals *locals;
    struct arena *arena;
    struct slice *items;
    size_t count, visits;
    enum locals_result result;
};
/* What stands in the place of a name. */
struct targets {
    struct config_list list;
    bool is_too_long; /* it is not all there */
};

static enum err read_file(struct slice path, struct buffer *content);
static bool copy_config(struct locals *locals, const struct config *config);
static void warn_of_dead_ends(const struct locals *locals, struct slice path, struct buffer *warnings);
static void warn_of_root(const struct locals *locals, const struct config *config, struct buffer *warnings);
static void expand(struct expansion *expansion, struct slice address, unsigned depth);

enum err locals_load(const struct config *config, struct locals **out, struct buffer *warnings)
{
    struct locals *locals = calloc(1, sizeof *locals);
    struct buffer content;
    *out = NULL;
    if (locals == NULL)
        return ERR_MEMORY;
    locals->arena = arena_new(ALIASES_SIZE_MAX * 4);
    aliases_init(&locals->aliases, locals->arena);
    if (locals->arena == NULL || !copy_config(locals, config)) {
        locals_free(&locals);
        return ERR_MEMORY;
    }
    buffer_init(&content, ALIASES_SIZE_MAX);
    enum err err = config->aliases_file.length == 0 ? ERR_NOT_FOUND : read_file(config->aliases_file, &content);
    if (err == ERR_NONE) {
        aliases_read(&locals->aliases, buffer_slice(&content), config->aliases_file, warnings);
        warn_of_dead_ends(locals, config->aliases_file, warnings);
    } else if (err != ERR_NOT_FOUND) {
        buffer_print(warnings, "%.*s: %s; aliases are not used\n", SLICE_ARGS(config->aliases_file), err_text(err));
    }
    buffer_free(&content);
    warn_of_root(locals, config, warnings);
    *out = locals;
    return ERR_NONE;
}

static bool copy_config(struct locals *locals, const struct config *config)
{
    struct slice *domains = arena_array(locals->arena, config->local_domains.count + 1, sizeof *domains);
    struct slice *root = arena_array(locals->arena, ROOT_MAX, sizeof *root);
    struct slice rest, part;
    if (domains == NULL || root == NULL || !arena_slice(locals->arena, config->local_root, &rest))
        return false;
    for (size_t i = 0; i < config->local_domains.count; i++) {
        if (!arena_slice(locals->arena, config->local_domains.items[i], &domains[i]))
            return false;
    }
    locals->domains = (struct config_list){.items = domains, .count = config->local_domains.count};
    locals->root.items = root;
    while (locals->root.count < ROOT_MAX && slice_cut(&rest, ',', &part)) {
        root[locals->root.count] = slice_trim(part);
        locals->root.count += slice_trim(part).length > 0;
    }
    return true;
}

void locals_free(struct locals **locals)
{
    if (*locals == NULL)
        return;
    aliases_free(&(*locals)->aliases);
    arena_free(&(*locals)->arena);
    free(*locals);
    *locals = NULL;
}

static enum err read_file(struct slice path, struct buffer *content)
{
    char name[4096];
    bool may_be_read_by_all;
    text_print(name, sizeof name, "%.*s", SLICE_ARGS(path));
    return path.length < sizeof name ? config_slurp(name, content, &may_be_read_by_all) : ERR_NOT_FOUND;
}

size_t locals_alias_count(const struct locals *locals)
{
    return locals->aliases.names.count;
}

/* ---- expansion ---- */

bool locals_has_domain(const struct locals *locals, struct slice canonical_domain)
{
    for (size_t i = 0; i < locals->domains.count; i++) {
        if (slice_equal_nocase(locals->domains.items[i], canonical_domain))
            return true;
    }
    return false;
}

static bool is_local(const struct expansion *expansion, struct slice address)
{
    struct slice canonical;
    struct slice domain = smtp_address_domain(address);
    if (domain.length == 0)
        return true;
    return idna_canonical(domain, expansion->arena, &canonical) == ERR_NONE && locals_has_domain(expansion->locals, canonical);
}

enum locals_result locals_expand(const struct locals *locals, struct slice address, struct arena *arena,
                                 struct config_list *out)
{
    struct expansion expansion = {.locals = locals, .arena = arena, .result = LOCALS_EXPANDED};
    if (!is_local(&expansion, address))
        return LOCALS_REMOTE;
    expansion.items = arena_array(arena, EXPANDED_MAX, sizeof *expansion.items);
    if (expansion.items == NULL)
        return LOCALS_MEMORY;
    expand(&expansion, address, 0);
    if (expansion.result == LOCALS_EXPANDED && expansion.count == 0)
        expansion.result = LOCALS_UNKNOWN;
    *out = (struct config_list){.items = expansion.items, .count = expansion.count};
    return expansion.result;
}

static void add_address(struct expansion *expansion, struct slice address)
{
    for (size_t i = 0; i < expansion->count; i++) {
        if (slice_equal(expansion->items[i], address))
            return;
    }
    if (expansion->count == EXPANDED_MAX)
        expansion->result = LOCALS_TOO_MANY;
    else if (arena_slice(expansion->arena, address, &expansion->items[expansion->count]))
        expansion->count++;
    else
        expansion->result = LOCALS_MEMORY;
}

static struct targets targets_of(const struct alias *alias)
{
    if (alias == NULL)
        return (struct targets){.is_too_long = false};
    return (struct targets){.list = {.items = alias->items, .count = alias->count}, .is_too_long = alias->is_too_long};
}

/* For whom there is no alias. */
static struct targets fallback_of(const struct locals *locals)
{
    if (locals->root.count > 0)
        return (struct targets){.list = locals->root};
    const struct alias *everyone = aliases_find(&locals->aliases, SLICE("*"));
    return targets_of(everyone != NULL ? everyone : aliases_find(&locals->aliases, SLICE("default")));
}

/* What root says goes out as it stands when it is remote; a bare name of a user is an alias like others. */
static struct targets targets_for(const struct locals *locals, struct slice local)
{
    if (slice_starts(local, SLICE("\\")))
        return fallback_of(locals);
    const struct alias *alias = aliases_find(&locals->aliases, local);
    if (alias == NULL && slice_equal_nocase(local, SLICE("MAILER-DAEMON")))
        alias = aliases_find(&locals->aliases, SLICE("postmaster"));
    return alias != NULL ? targets_of(alias) : fallback_of(locals);
}

static void expand(struct expansion *expansion, struct slice address, unsigned depth)
{
    if (expansion->result != LOCALS_EXPANDED)
        return;
    if (depth > DEPTH_MAX || ++expansion->visits > EXPANDED_MAX * 4) {
        expansion->result = depth > DEPTH_MAX ? LOCALS_LOOP : LOCALS_TOO_MANY;
        return;
    }
    if (!is_local(expansion, address)) {
        add_address(expansion, address);
        return;
    }
    struct targets targets = targets_for(expansion->locals, smtp_address_local(address));
    if (targets.is_too_long)
        expansion->result = LOCALS_TOO_MANY;
    for (size_t i = 0; i < targets.list.count; i++)
        expand(expansion, targets.list.items[i], depth + 1);
}

static bool leads_on(const struct locals *locals, struct slice address)
{
    struct config_list list;
    struct arena *arena = arena_new(ALIASES_SIZE_MAX);
    enum locals_result result = arena == NULL ? LOCALS_MEMORY : locals_expand(locals, address, arena, &list);
    arena_free(&arena);
    return result == LOCALS_EXPANDED || result == LOCALS_REMOTE;
}

bool locals_knows_root(const struct locals *locals)
{
    return leads_on(locals, SLICE("root"));
}

/* ---- warnings ---- */

size_t locals_check(const struct locals *locals, struct slice path, struct buffer *faults)
{
    const struct map *names = &locals->aliases.names;
    size_t count = 0;
    for (struct map_node *node = map_first(names); node != NULL; node = map_after(names, node)) {
        const struct alias *alias = LIST_OF(node, struct alias, node);
        struct config_list list;
        struct arena *arena = arena_new(ALIASES_SIZE_MAX);
        enum locals_result result = arena == NULL ? LOCALS_MEMORY : locals_expand(locals, node->key, arena, &list);
        arena_free(&arena);
        if (result == LOCALS_EXPANDED || result == LOCALS_UNKNOWN || result == LOCALS_REMOTE)
            continue;
        count++;
        buffer_print(faults, "%.*s:%zu: mail for %.*s is refused: %s\n", SLICE_ARGS(path), alias->line, SLICE_ARGS(node->key),
                     result == LOCALS_LOOP       ? "it leads back to itself"
                     : result == LOCALS_TOO_MANY ? "it leads to more than 1000 addresses"
                                                 : err_text(ERR_MEMORY));
    }
    return count;
}

/* root's address is where everything ends: one of our own, without an alias, sends its mail round to itself. */
static void warn_of_root(const struct locals *locals, const struct config *config, struct buffer *warnings)
{
    for (size_t i = 0; i < locals->root.count; i++) {
        if (leads_on(locals, locals->root.items[i]))
            continue;
        config_place_print(config, SLICE("local"), SLICE("root"), warnings);
        buffer_print(warnings, ": %.*s is of this machine itself ([local] domains), and no alias leads on from it: mail for it is refused\n",
                     SLICE_ARGS(locals->root.items[i]));
    }
}

/* One of several addresses of an alias that leads nowhere: its copies would be missing and nobody told. Where it is the only one the
 * mail is refused, which tells enough. */
static void warn_of_dead_ends(const struct locals *locals, struct slice path, struct buffer *warnings)
{
    const struct map *names = &locals->aliases.names;
    if (fallback_of(locals).list.count > 0)
        return;
    for (struct map_node *node = map_first(names); node != NULL; node = map_after(names, node)) {
        const struct alias *alias = LIST_OF(node, struct alias, node);
        for (size_t i = 0; alias->count > 1 && i < alias->count; i++) {
            if (smtp_address_domain(alias->items[i]).length == 0 && targets_for(locals, alias->items[i]).list.count == 0)
                buffer_print(warnings, "%.*s:%zu: %.*s leads nowhere: it is no alias, and [local] root is not set\n",
                             SLICE_ARGS(path), alias->line, SLICE_ARGS(alias->items[i]));
        }
    }
}
