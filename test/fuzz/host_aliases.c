/* Aliases files of anything: every alias is found by its name in any case, has addresses that can be used or is refused as too long, and
 * says the same when it is written out and read again; whatever is left out is told with its place. */
#include <assert.h>
#include <string.h>

#include "base/list.h"
#include "relay/aliases.h"
#include "smtp/address.h"

#define ARENA_MAX ((size_t)64 << 20)
#define PATH "/etc/aliases"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_item(struct slice item)
{
    char whole[SMTP_ADDRESS_MAX + 2];
    struct slice name = item.length > 0 && item.data[0] == '\\' ? slice_from(item, 1) : item;
    assert(name.length > 0 && name.length <= SMTP_ADDRESS_MAX && !slice_has(name, '\n'));
    assert(item.data[0] != '|' && item.data[0] != '/');
    if (slice_has(name, '@')) {
        assert(smtp_address_is_valid(name, true));
        return;
    }
    memcpy(whole, name.data, name.length);
    memcpy(whole + name.length, "@a", 2);
    assert(smtp_address_is_valid(slice_make(whole, name.length + 2), true));
}

static void print_alias(struct slice name, const struct alias *alias, struct buffer *out)
{
    buffer_add_byte(out, '"');
    buffer_add(out, name);
    buffer_add(out, SLICE("\":"));
    for (size_t i = 0; i < alias->count; i++) {
        buffer_add(out, i > 0 ? SLICE(", ") : SLICE(" "));
        buffer_add(out, alias->items[i]);
    }
    buffer_add(out, SLICE("\n"));
}

static void check_again(struct slice name, const struct alias *first)
{
    struct buffer line, warnings;
    struct aliases aliases;
    struct arena *arena = arena_new(ARENA_MAX);
    buffer_init(&line, ARENA_MAX);
    buffer_init(&warnings, 65536);
    aliases_init(&aliases, arena);
    print_alias(name, first, &line);
    aliases_read(&aliases, buffer_slice(&line), SLICE(PATH), &warnings);
    const struct alias *second = aliases_find(&aliases, name);
    assert(second != NULL && second->count == first->count && buffer_length(&warnings) == 0);
    for (size_t i = 0; i < first->count; i++)
        assert(slice_equal(first->items[i], second->items[i]));
    aliases_free(&aliases);
    arena_free(&arena);
    buffer_free(&line);
    buffer_free(&warnings);
}

static void check(const struct aliases *aliases, struct slice name, const struct alias *alias)
{
    char upper[SMTP_ADDRESS_MAX];
    assert(name.length > 0 && name.length <= sizeof upper && alias->line > 0);
    assert(alias->count > 0 || alias->is_too_long);
    for (size_t i = 0; i < name.length; i++)
        upper[i] = name.data[i] >= 'a' && name.data[i] <= 'z' ? (char)(name.data[i] - 'a' + 'A') : name.data[i];
    assert(aliases_find(aliases, slice_make(upper, name.length)) == alias);
    for (size_t i = 0; i < alias->count; i++)
        check_item(alias->items[i]);
    if (!alias->is_too_long && !slice_has(name, '"') && !slice_has(name, '\\'))
        check_again(name, alias);
}

static void check_warnings(struct slice warnings)
{
    struct slice line;
    while (slice_cut(&warnings, '\n', &line))
        assert(line.length == 0 || slice_starts(line, SLICE(PATH ":")));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct aliases aliases;
    struct buffer warnings;
    struct arena *arena = arena_new(ARENA_MAX);
    buffer_init(&warnings, ARENA_MAX);
    aliases_init(&aliases, arena);
    aliases_read(&aliases, slice_make(data, size), SLICE(PATH), &warnings);
    for (struct map_node *node = map_first(&aliases.names); node != NULL; node = map_after(&aliases.names, node))
        check(&aliases, node->key, LIST_OF(node, struct alias, node));
    check_warnings(buffer_slice(&warnings));
    aliases_free(&aliases);
    arena_free(&arena);
    buffer_free(&warnings);
    return 0;
}
