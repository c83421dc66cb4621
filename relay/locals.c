#include "relay/locals.h"

#include "base/idna.h"
#include "base/list.h"
#include "base/map.h"
#include "base/text.h"
#include "relay/config_internal.h"
#include "relay/host.h"
#include "smtp/address.h"

#include <stdio.h>
#include <stdlib.h>

#define ALIASES_SIZE_MAX (16u << 20)
#define EXPANDED_MAX 1000
#define DEPTH_MAX 32

struct alias {
    struct map_node node; /* key: lower-case local part */
    struct alias *next;
    struct slice value;
};
struct locals {
    struct arena *arena;
    struct config_list domains;
    struct slice root;
    struct map aliases;
};
struct expansion {
    const struct locals *locals;
    struct arena *arena;
    struct slice *items;
    size_t count, visits;
    enum locals_result result;
};

static enum err read_file(struct slice path, struct buffer *content);
static void parse_aliases(struct locals *locals, struct slice text, struct slice path, struct buffer *warnings);
static void expand(struct expansion *expansion, struct slice address, unsigned depth);

enum err locals_load(const struct config *config, struct locals **out, struct buffer *warnings)
{
    struct locals *locals = calloc(1, sizeof *locals);
    struct buffer content;
    *out = NULL;
    if (locals == NULL)
        return ERR_MEMORY;
    uint64_t seed[2] = {dice_u64(), dice_u64()};
    map_init(&locals->aliases, seed);
    locals->arena = arena_new(ALIASES_SIZE_MAX * 4);
    struct slice *domains = locals->arena == NULL ? NULL : arena_array(locals->arena, config->local_domains.count + 1, sizeof *domains);
    if (domains == NULL || !arena_slice(locals->arena, config->local_root, &locals->root))
        goto no_memory;
    locals->domains = (struct config_list){.items = domains, .count = config->local_domains.count};
    for (size_t i = 0; i < config->local_domains.count; i++) {
        if (!arena_slice(locals->arena, config->local_domains.items[i], &domains[i]))
            goto no_memory;
    }
    buffer_init(&content, ALIASES_SIZE_MAX);
    enum err err = config->aliases_file.length == 0 ? ERR_NOT_FOUND : read_file(config->aliases_file, &content);
    if (err == ERR_NONE)
        parse_aliases(locals, buffer_slice(&content), config->aliases_file, warnings);
    else if (err != ERR_NOT_FOUND)
        buffer_print(warnings, "%.*s: %s; aliases are not used\n", SLICE_ARGS(config->aliases_file), err_text(err));
    buffer_free(&content);
    *out = locals;
    return ERR_NONE;
no_memory:
    locals_free(&locals);
    return ERR_MEMORY;
}

void locals_free(struct locals **locals)
{
    if (*locals == NULL)
        return;
    map_free(&(*locals)->aliases);
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

/* ---- the aliases file: "name: address, address", continued by leading white space, "#" comments ---- */

static struct alias *alias_of(const struct locals *locals, struct slice name)
{
    char lower[SMTP_ADDRESS_MAX];
    if (name.length > sizeof lower)
        return NULL;
    for (size_t i = 0; i < name.length; i++)
        lower[i] = byte_lower(name.data[i]);
    struct map_node *node = map_get(&locals->aliases, slice_make(lower, name.length));
    return node == NULL ? NULL : LIST_OF(node, struct alias, node);
}

static bool add_alias(struct locals *locals, struct slice name, struct slice value)
{
    struct slice key;
    struct alias *alias = arena_alloc(locals->arena, sizeof *alias);
    char lower[SMTP_ADDRESS_MAX];
    if (alias == NULL || name.length > sizeof lower)
        return false;
    for (size_t i = 0; i < name.length; i++)
        lower[i] = byte_lower(name.data[i]);
    return arena_slice(locals->arena, slice_make(lower, name.length), &key) &&
           arena_slice(locals->arena, value, &alias->value) && map_add(&locals->aliases, &alias->node, key) == ERR_NONE;
}

static struct slice without_quotes(struct slice name)
{
    bool quoted = name.length >= 2 && name.data[0] == '"' && name.data[name.length - 1] == '"';
    return quoted ? slice_make(name.data + 1, name.length - 2) : name;
}

static void take_line(struct locals *locals, struct slice line, struct slice place, struct buffer *warnings)
{
    size_t colon = slice_find(line, ':');
    struct slice name = without_quotes(slice_trim(slice_to(line, colon)));
    struct slice value = colon < line.length ? slice_trim(slice_from(line, colon + 1)) : SLICE_EMPTY;
    if (colon == line.length || name.length == 0 || value.length == 0)
        buffer_print(warnings, "%.*s: not \"name: address\"; the line is skipped\n", SLICE_ARGS(place));
    else if (value.data[0] == '|' || value.data[0] == '/' || value.data[0] == ':')
        buffer_print(warnings, "%.*s: commands, files and includes are not supported; use an address\n", SLICE_ARGS(place));
    else if (alias_of(locals, name) != NULL)
        buffer_print(warnings, "%.*s: \"%.*s\" is defined already; the first one counts\n", SLICE_ARGS(place), SLICE_ARGS(name));
    else if (!add_alias(locals, name, value))
        buffer_print(warnings, "%.*s: out of memory or name too long\n", SLICE_ARGS(place));
}

static bool is_continuation(struct slice rest)
{
    return rest.length > 0 && (rest.data[0] == ' ' || rest.data[0] == '\t');
}

static void parse_aliases(struct locals *locals, struct slice text, struct slice path, struct buffer *warnings)
{
    struct slice line;
    struct buffer joined;
    size_t number = 0;
    buffer_init(&joined, 1u << 20);
    while (slice_cut(&text, '\n', &line)) {
        size_t first = ++number;
        buffer_clear(&joined);
        buffer_add(&joined, line);
        while (is_continuation(text) && slice_cut(&text, '\n', &line)) {
            number++;
            buffer_add(&joined, line);
        }
        struct slice whole = buffer_slice(&joined);
        struct slice trimmed = slice_make(whole.data, whole.length);
        while (trimmed.length > 0 && (trimmed.data[trimmed.length - 1] == '\r' || trimmed.data[trimmed.length - 1] == ' '))
            trimmed.length--;
        trimmed = slice_trim(trimmed);
        char place[4200];
        int length = snprintf(place, sizeof place, "%.*s:%zu", SLICE_ARGS(path), first);
        if (trimmed.length > 0 && trimmed.data[0] != '#')
            take_line(locals, trimmed, slice_make(place, (size_t)length), warnings);
    }
    buffer_free(&joined);
}

size_t locals_alias_count(const struct locals *locals)
{
    return locals->aliases.count;
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
        expansion->result = LOCALS_LOOP;
    else if (arena_slice(expansion->arena, address, &expansion->items[expansion->count]))
        expansion->count++;
    else
        expansion->result = LOCALS_MEMORY;
}

/* What root says goes out as it stands when it is remote; a bare name of a user is an alias like others. */
static struct slice value_of(const struct expansion *expansion, struct slice local)
{
    const struct locals *locals = expansion->locals;
    const struct alias *alias = alias_of(locals, local);
    if (alias == NULL && slice_equal_nocase(local, SLICE("MAILER-DAEMON")))
        alias = alias_of(locals, SLICE("postmaster"));
    if (alias != NULL)
        return alias->value;
    if (locals->root.length > 0)
        return locals->root;
    const struct alias *everyone = alias_of(locals, SLICE("*"));
    everyone = everyone == NULL ? alias_of(locals, SLICE("default")) : everyone;
    return everyone == NULL ? SLICE_EMPTY : everyone->value;
}

static void expand(struct expansion *expansion, struct slice address, unsigned depth)
{
    if (expansion->result != LOCALS_EXPANDED)
        return;
    if (depth > DEPTH_MAX || ++expansion->visits > EXPANDED_MAX * 4) {
        expansion->result = LOCALS_LOOP;
        return;
    }
    if (!is_local(expansion, address)) {
        add_address(expansion, address);
        return;
    }
    struct slice value = value_of(expansion, smtp_address_local(address));
    struct slice part;
    while (slice_cut(&value, ',', &part)) {
        part = slice_trim(part);
        if (part.length > 0)
            expand(expansion, part, depth + 1);
    }
}
