#include "relay/config_internal.h"

#include <string.h>

#define WIDTH 96

static void print_wrapped(struct buffer *out, const char *text);
static void print_section(struct buffer *out, const struct config_key *key);

void config_print_sample(struct buffer *out)
{
    const char *section = NULL;
    buffer_add(out, SLICE("# Every key of Sternpost with its default. No key is needed: this file may be empty or absent.\n"
                          "# Comments stand at the start of a line; a line that begins with white space continues the one before,\n"
                          "# and is refused where it would itself be a setting.\n\n"));
    for (size_t i = 0; i < config_key_count; i++) {
        const struct config_key *key = &config_keys[i];
        if (section == NULL || strcmp(section, key->section) != 0)
            print_section(out, key);
        section = key->section;
        print_wrapped(out, key->meaning);
        buffer_print(out, "#%s = %s\n\n", key->key, key->normal);
    }
}

static void print_section(struct buffer *out, const struct config_key *key)
{
    if (key->section[0] == '\0')
        return;
    const struct config_named *named = config_named_find(slice_of(key->section));
    if (named != NULL)
        buffer_print(out, "#[%s \"%s\"]\n", key->section, named->example);
    else
        buffer_print(out, "[%s]\n", key->section);
}

/* As comment lines of bounded width, cut at blanks. */
static void print_wrapped(struct buffer *out, const char *text)
{
    struct slice rest = slice_of(text);
    struct slice word;
    size_t column = 0;
    while (slice_word(&rest, &word)) {
        if (column > 0 && column + 1 + word.length > WIDTH) {
            buffer_add_byte(out, '\n');
            column = 0;
        }
        buffer_add(out, column == 0 ? SLICE("# ") : SLICE(" "));
        buffer_add(out, word);
        column += word.length + (column == 0 ? 2 : 1);
    }
    buffer_add_byte(out, '\n');
}

static void print_heading(struct buffer *out, const char *section)
{
    const struct config_named *named = config_named_find(slice_of(section));
    if (section[0] == '\0')
        buffer_add(out, SLICE(".SS Top level\n"));
    else if (named == NULL)
        buffer_print(out, ".SS [%s]\n", section);
    else
        buffer_print(out, ".SS [%s \"%s\"]\n", section, (named->forms & CONFIG_NAME_NETWORK) != 0 ? "NETWORK" : "NAME");
}

void config_print_manual(struct buffer *out)
{
    const char *section = NULL;
    for (size_t i = 0; i < config_key_count; i++) {
        const struct config_key *key = &config_keys[i];
        if (section == NULL || strcmp(section, key->section) != 0)
            print_heading(out, key->section);
        section = key->section;
        buffer_print(out, ".TP\n.B %s\n%s%s\n", key->key, key->meaning[0] == '.' ? "\\&" : "", key->meaning);
        if (key->normal[0] != '\0')
            buffer_print(out, "Default: %s\n", key->normal);
    }
}

/* ---- what is in force ---- */

/* A value that stands in a file of its own may have lines; in one line of a configuration it has none. */
static void print_value(struct buffer *out, const char *key, struct slice value)
{
    buffer_print(out, "%s = ", key);
    for (size_t i = 0; i < value.length; i++)
        buffer_add_byte(out, (unsigned char)value.data[i] < ' ' ? ' ' : value.data[i]);
    buffer_add_byte(out, '\n');
}

static void print_key(const struct config *config, const struct config_key *key, struct slice name, struct buffer *out)
{
    const struct config_setting *setting = config_setting_find(config, slice_of(key->section), name, slice_of(key->key));
    if (setting != NULL)
        buffer_print(out, "# %.*s\n", SLICE_ARGS(setting->origin));
    if (setting != NULL && key->is_secret)
        buffer_print(out, "#%s = (hidden)\n", key->key);
    else if (setting != NULL)
        print_value(out, key->key, setting->value);
    else if (key->section[0] == '\0' && strcmp(key->key, "hostname") == 0)
        buffer_print(out, "# the machine's name\nhostname = %.*s\n", SLICE_ARGS(config->hostname));
    else
        buffer_print(out, "%s%s = %s\n", key->normal[0] == '\0' ? "#" : "", key->key, key->normal);
}

/* All sections of that kind, in the order in which they were met. */
static void print_named(const struct config *config, const char *section, struct buffer *out)
{
    for (struct list_node *node = list_first(&config->settings); node != NULL; node = list_next(&config->settings, node)) {
        const struct config_setting *setting = &LIST_OF(node, struct config_kept, node)->setting;
        bool is_first = config_setting_find(config, setting->section, setting->name, SLICE_EMPTY) == setting;
        if (!is_first || !slice_equal(setting->section, slice_of(section)))
            continue;
        buffer_print(out, "\n[%s \"%.*s\"]\n", section, SLICE_ARGS(setting->name));
        for (size_t i = 0; i < config_key_count; i++) {
            if (strcmp(config_keys[i].section, section) == 0)
                print_key(config, &config_keys[i], setting->name, out);
        }
    }
}

void config_print_effective(const struct config *config, struct buffer *out)
{
    const char *section = "";
    for (size_t i = 0; i < config_key_count; i++) {
        const struct config_key *key = &config_keys[i];
        bool is_named = config_section_is_named(slice_of(key->section));
        bool is_new = strcmp(section, key->section) != 0;
        section = key->section;
        if (is_named && is_new)
            print_named(config, section, out);
        if (is_named)
            continue;
        if (is_new)
            buffer_print(out, "\n[%s]\n", section);
        print_key(config, key, SLICE_EMPTY, out);
    }
}
