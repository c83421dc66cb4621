#include "smtp/extension.h"

#include <string.h>

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

struct named_bit {
    struct slice name;
    unsigned bit;
};

static const struct named_bit keywords[] = {
#define X(name, bit) {{#name, sizeof #name - 1}, SMTP_EXTENSION_##name},
    SMTP_EXTENSION_LIST(X)
#undef X
};
static const struct named_bit mechanisms[] = {
    {{"PLAIN", 5}, SMTP_AUTH_PLAIN},
    {{"LOGIN", 5}, SMTP_AUTH_LOGIN},
    {{"CRAM-MD5", 8}, SMTP_AUTH_CRAM_MD5},
};

static unsigned bit_of(const struct named_bit *table, size_t count, struct slice name);
static void add_mechanisms(struct smtp_extensions *extensions, struct slice words);
static void add_size(struct smtp_extensions *extensions, struct slice words);

void smtp_extension_add(struct smtp_extensions *extensions, struct slice line)
{
    struct slice rest = line, keyword;
    if (!slice_word(&rest, &keyword)) {
        return;
    }
    if (slice_starts_nocase(keyword, SLICE("AUTH="))) { /* the form from before RFC 2554 */
        rest = slice_from(line, slice_find(line, '=') + 1);
        keyword = SLICE("AUTH");
    }
    unsigned bit = bit_of(keywords, COUNT(keywords), keyword);
    extensions->set |= bit;
    if (bit == SMTP_EXTENSION_AUTH) {
        add_mechanisms(extensions, rest);
    } else if (bit == SMTP_EXTENSION_SIZE) {
        add_size(extensions, rest);
    }
}

static unsigned bit_of(const struct named_bit *table, size_t count, struct slice name)
{
    for (size_t i = 0; i < count; i++) {
        if (slice_equal_nocase(table[i].name, name)) {
            return table[i].bit;
        }
    }
    return 0;
}

/* RFC 4422 3.1: names of mechanisms are capitals, digits, "-" and "_"; nothing else of a peer's gets to people this way. */
static void add_name(struct smtp_extensions *extensions, struct slice word)
{
    size_t length = strlen(extensions->auth_names);
    if (length + 1 + word.length >= sizeof extensions->auth_names) {
        return;
    }
    for (size_t i = 0; i < word.length; i++) {
        if (!byte_is_alnum(word.data[i]) && word.data[i] != '-' && word.data[i] != '_') {
            return;
        }
    }
    if (length > 0) {
        extensions->auth_names[length++] = ' ';
    }
    memcpy(extensions->auth_names + length, word.data, word.length);
    extensions->auth_names[length + word.length] = '\0';
}

static void add_mechanisms(struct smtp_extensions *extensions, struct slice words)
{
    struct slice word;
    while (slice_word(&words, &word)) {
        add_name(extensions, word);
        extensions->auth |= bit_of(mechanisms, COUNT(mechanisms), word);
    }
}

/* RFC 1870 4: no number, or 0, is no limit; nor is one that no message can reach. */
static void add_size(struct smtp_extensions *extensions, struct slice words)
{
    struct slice word;
    uint64_t number;
    if (slice_word(&words, &word) && slice_number(word, UINT64_MAX, &number)) {
        extensions->size_max = number;
    }
}
