#include "relay/aliases.h"

#include "base/dice.h"
#include "base/list.h"
#include "base/text.h"
#include "smtp/address.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define LINE_LENGTH_MAX (1u << 20) /* with its continuations */
#define ITEMS_MAX 1000             /* of one line: more are more than an expansion may give */

/* One logical line at a time. */
struct reading {
    struct aliases *aliases;
    struct slice path;
    struct buffer *warnings;
    struct buffer line; /* without line ends; a continuation begins with its white space */
    size_t number;      /* of its first line; 0: none has begun */
    struct slice items[ITEMS_MAX];
    size_t count;
};

static void take_line(struct reading *reading);
static bool take_items(struct reading *reading, struct slice value);
static void keep(struct reading *reading, struct slice name, bool is_too_long);
static bool is_good_name(struct reading *reading, struct slice name);
static bool is_usable(struct reading *reading, struct slice item);
static size_t find_unquoted(struct slice text, char byte);
static struct slice without_quotes(struct slice name);
static void warn(struct reading *reading, const char *format, ...) __attribute__((format(printf, 2, 3)));

void aliases_init(struct aliases *aliases, struct arena *arena)
{
    uint64_t seed[2] = {dice_u64(), dice_u64()};
    map_init(&aliases->names, seed);
    aliases->arena = arena;
}

void aliases_free(struct aliases *aliases)
{
    map_free(&aliases->names);
}

static struct slice lower_of(struct slice name, char out[SMTP_ADDRESS_MAX])
{
    assert(name.length <= SMTP_ADDRESS_MAX);
    for (size_t i = 0; i < name.length; i++)
        out[i] = byte_lower(name.data[i]);
    return slice_make(out, name.length);
}

const struct alias *aliases_find(const struct aliases *aliases, struct slice name)
{
    char lower[SMTP_ADDRESS_MAX];
    name = without_quotes(name);
    if (name.length > sizeof lower)
        return NULL;
    struct map_node *node = map_get(&aliases->names, lower_of(name, lower));
    return node == NULL ? NULL : LIST_OF(node, struct alias, node);
}

/* ---- lines ---- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

void aliases_read(struct aliases *aliases, struct slice text, struct slice path, struct buffer *warnings)
{
    struct reading reading = {.aliases = aliases, .path = path, .warnings = warnings};
    struct slice line;
    size_t number = 0;
    buffer_init(&reading.line, LINE_LENGTH_MAX);
    while (slice_cut(&text, '\n', &line)) {
        number++;
        if (slice_ends(line, SLICE("\r")))
            line = slice_to(line, line.length - 1);
        struct slice content = slice_trim(line);
        if (content.length == 0 || content.data[0] == '#')
            continue;
        if (!is_blank(line.data[0]) || reading.number == 0) {
            take_line(&reading);
            reading.number = number;
        }
        buffer_add(&reading.line, line);
    }
    take_line(&reading);
    buffer_free(&reading.line);
}

static void take_line(struct reading *reading)
{
    struct slice line = slice_trim(buffer_slice(&reading->line));
    size_t colon = find_unquoted(line, ':');
    struct slice name = without_quotes(slice_trim(slice_to(line, colon)));
    struct slice value = slice_trim(slice_from(line, colon + 1));
    if (reading->number == 0)
        return;
    bool is_too_long = buffer_failed(&reading->line);
    if (name.length == 0 || value.length == 0)
        warn(reading, "not \"name: address\"; the line is skipped");
    else if (is_good_name(reading, name)) {
        if (is_too_long)
            warn(reading, "the line with its continuations is longer than 1 MiB: mail for \"%.*s\" is refused", SLICE_ARGS(name));
        is_too_long = !take_items(reading, value) || is_too_long;
        keep(reading, name, is_too_long);
    }
    buffer_clear(&reading->line);
}

static bool is_good_name(struct reading *reading, struct slice name)
{
    bool is_name = !slice_has(name, '@') && name.length <= SMTP_ADDRESS_MAX;
    if (!is_name)
        warn(reading, "an alias is a short name without a domain; the line is skipped");
    else if (aliases_find(reading->aliases, name) != NULL)
        warn(reading, "\"%.*s\" is defined already; the first one counts", SLICE_ARGS(name));
    return is_name && aliases_find(reading->aliases, name) == NULL;
}

/* An address in its valid form; a name as it is. */
static bool keep_item(struct arena *arena, struct slice item, struct slice *kept)
{
    char repaired[SMTP_ADDRESS_MAX + 1];
    if (slice_has(item, '@'))
        (void)smtp_address_repair(&item, true, repaired); /* is_usable() knows that it can be */
    return arena_slice(arena, item, kept);
}

static void keep(struct reading *reading, struct slice name, bool is_too_long)
{
    struct arena *arena = reading->aliases->arena;
    char lower[SMTP_ADDRESS_MAX];
    struct slice key;
    if (reading->count == 0 && !is_too_long)
        return;
    struct alias *alias = arena_alloc(arena, sizeof *alias);
    struct slice *items = arena_array(arena, reading->count + 1, sizeof *items);
    bool is_kept = alias != NULL && items != NULL && arena_slice(arena, lower_of(name, lower), &key);
    for (size_t i = 0; is_kept && i < reading->count; i++)
        is_kept = keep_item(arena, reading->items[i], &items[i]);
    if (is_kept) {
        alias->items = items;
        alias->count = reading->count;
        alias->line = reading->number;
        alias->is_too_long = is_too_long;
        is_kept = map_add(&reading->aliases->names, &alias->node, key) == ERR_NONE;
    }
    if (!is_kept)
        warn(reading, "out of memory; the line is skipped");
}

/* ---- what a name stands for ---- */

/* False: there are more than an expansion may have. */
static bool take_items(struct reading *reading, struct slice value)
{
    reading->count = 0;
    while (value.length > 0) {
        size_t length = find_unquoted(value, ',');
        struct slice item = slice_trim(slice_to(value, length));
        value = slice_from(value, length + 1);
        if (item.length == 0 || !is_usable(reading, item))
            continue;
        if (reading->count == ITEMS_MAX) {
            warn(reading, "more than %d addresses: mail for it is refused; use a mailing list program, or fewer", ITEMS_MAX);
            return false;
        }
        reading->items[reading->count++] = item;
    }
    return true;
}

/* All of a name is looked at: what stands behind a NUL or a hundred bytes is used as well. */
static bool is_address_or_name(struct slice text)
{
    char repaired[SMTP_ADDRESS_MAX + 1];
    char whole[SMTP_ADDRESS_MAX + 2];
    if (text.length == 0 || text.length > SMTP_ADDRESS_MAX)
        return false;
    if (slice_has(text, '@'))
        return smtp_address_repair(&text, true, repaired);
    memcpy(whole, text.data, text.length);
    memcpy(whole + text.length, "@a", 2);
    return smtp_address_is_valid(slice_make(whole, text.length + 2), true);
}

static bool is_usable(struct reading *reading, struct slice item)
{
    struct slice bare = without_quotes(item);
    char first = bare.length == 0 ? '\0' : bare.data[0];
    if (first == '|' || first == '/' || first == ':') {
        warn(reading, "commands, files and includes are not supported: use an address in the place of %.*s",
             SLICE_ARGS(slice_to(item, 100)));
        return false;
    }
    struct slice name = item.data[0] == '\\' ? slice_from(item, 1) : item;
    if (is_address_or_name(name))
        return true;
    warn(reading, "not an address: %.*s", SLICE_ARGS(slice_to(item, 100)));
    return false;
}

/* ---- quotes ---- */

/* Of a byte that stands outside of double quotes; a backslash quotes one byte within. */
static size_t find_unquoted(struct slice text, char byte)
{
    bool is_quoted = false;
    for (size_t i = 0; i < text.length; i++) {
        if (text.data[i] == '"')
            is_quoted = !is_quoted;
        else if (is_quoted && text.data[i] == '\\')
            i++;
        else if (!is_quoted && text.data[i] == byte)
            return i;
    }
    return text.length;
}

static struct slice without_quotes(struct slice name)
{
    bool quoted = name.length >= 2 && name.data[0] == '"' && name.data[name.length - 1] == '"';
    return quoted ? slice_make(name.data + 1, name.length - 2) : name;
}

static void warn(struct reading *reading, const char *format, ...)
{
    char text[600];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    size_t kept = length < 0 ? 0 : (size_t)length < sizeof text ? (size_t)length : sizeof text - 1;
    buffer_print(reading->warnings, "%.*s:%zu: ", SLICE_ARGS(reading->path), reading->number);
    text_clean(reading->warnings, slice_make(text, kept), sizeof text);
    buffer_add_byte(reading->warnings, '\n');
}
