#include "base/idna.h"

#include "base/text.h"

#include <idn2.h>

#define LABEL_MAX 63
#define NAME_MAX_BYTES 253
/* More than any name that fits into 253 bytes as A-labels; normalising takes time that grows faster than the length. */
#define INPUT_MAX 1024

static enum err to_ascii(struct slice domain, struct arena *arena, struct slice *ascii);
static bool is_name(struct slice name);
static bool is_label(struct slice label);

enum err idna_canonical(struct slice domain, struct arena *arena, struct slice *canonical)
{
    if (domain.length > INPUT_MAX) {
        return ERR_SYNTAX;
    }
    struct slice ascii = domain;
    if (!text_is_ascii(domain)) {
        enum err err = to_ascii(domain, arena, &ascii);
        if (err != ERR_NONE) {
            return err;
        }
    }
    if (slice_ends(ascii, SLICE("."))) {
        ascii.length--;
    }
    if (!is_name(ascii)) {
        return ERR_SYNTAX;
    }
    char *lower = arena_alloc(arena, ascii.length + 1);
    if (lower == NULL) {
        return ERR_MEMORY;
    }
    for (size_t i = 0; i < ascii.length; i++) {
        lower[i] = byte_lower(ascii.data[i]);
    }
    *canonical = slice_make(lower, ascii.length);
    return ERR_NONE;
}

/* The mapping can make dots and any other ASCII out of look-alikes, so its result is judged like ASCII input. */
static enum err to_ascii(struct slice domain, struct arena *arena, struct slice *ascii)
{
    if (!text_is_utf8(domain) || slice_has(domain, '\0')) {
        return ERR_SYNTAX;
    }
    struct slice string;
    if (!arena_slice(arena, domain, &string)) {
        return ERR_MEMORY;
    }
    uint8_t *looked_up = NULL;
    int code = idn2_lookup_u8((const uint8_t *)string.data, &looked_up, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
    if (code != IDN2_OK) {
        return code == IDN2_MALLOC ? ERR_MEMORY : ERR_SYNTAX;
    }
    bool copied = arena_slice(arena, slice_of((const char *)looked_up), ascii);
    idn2_free(looked_up);
    return copied ? ERR_NONE : ERR_MEMORY;
}

static bool is_name(struct slice name)
{
    if (name.length == 0 || name.length > NAME_MAX_BYTES) {
        return false;
    }
    struct slice label;
    while (slice_cut(&name, '.', &label)) {
        if (!is_label(label)) {
            return false;
        }
    }
    return true;
}

/* Letters, digits and inner hyphens (RFC 1123 2.1), and the underscore that service names such as _mta-sts begin with
 * and that hosts of real mail systems carry. */
static bool is_label(struct slice label)
{
    if (label.length == 0 || label.length > LABEL_MAX || label.data[0] == '-' || label.data[label.length - 1] == '-') {
        return false;
    }
    for (size_t i = 0; i < label.length; i++) {
        if (!byte_is_alnum(label.data[i]) && label.data[i] != '-' && label.data[i] != '_') {
            return false;
        }
    }
    return true;
}
