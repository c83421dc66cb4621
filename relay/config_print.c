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
    bool named = config_section_is_named(slice_of(key->section));
    buffer_print(out, named ? "#[%s \"example.com\"]\n" : "[%s]\n", key->section);
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

void config_print_manual(struct buffer *out)
{
    const char *section = NULL;
    for (size_t i = 0; i < config_key_count; i++) {
        const struct config_key *key = &config_keys[i];
        if (section == NULL || strcmp(section, key->section) != 0)
            buffer_print(out, ".SS %s%s%s\n", key->section[0] == '\0' ? "Top level" : "[", key->section,
                         key->section[0] == '\0' ? "" : config_section_is_named(slice_of(key->section)) ? " \"NAME\"]" : "]");
        section = key->section;
        buffer_print(out, ".TP\n.B %s\n%s%s\n", key->key, key->meaning[0] == '.' ? "\\&" : "", key->meaning);
        if (key->normal[0] != '\0')
            buffer_print(out, "Default: %s\n", key->normal);
    }
}
