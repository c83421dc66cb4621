/* A slice is a view of bytes that somebody else owns: a pointer and a length, no NUL at the end. */
#ifndef BASE_SLICE_H
#define BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct slice {
    const char *data;
    size_t length;
};

/* A slice of a string literal. */
#define SLICE(literal) ((struct slice){"" literal, sizeof(literal) - 1})
/* The same as the initialiser of a static slice, where C wants a constant: {.name = SLICE_INIT("to")}. */
#define SLICE_INIT(literal)                                                                                            \
    {                                                                                                                  \
        "" literal, sizeof(literal) - 1                                                                                \
    }
#define SLICE_EMPTY ((struct slice){"", 0})
/* For printf: printf("%.*s", SLICE_ARGS(s)). */
#define SLICE_ARGS(s) (int)(s).length, (s).data

struct slice slice_of(const char *string); /* NULL gives the empty slice */
struct slice slice_make(const void *data, size_t length);

bool slice_equal(struct slice a, struct slice b);
bool slice_equal_nocase(struct slice a, struct slice b); /* ASCII only */
int slice_compare(struct slice a, struct slice b);       /* bytewise, as memcmp */
bool slice_starts(struct slice s, struct slice prefix);
bool slice_starts_nocase(struct slice s, struct slice prefix);
bool slice_ends(struct slice s, struct slice suffix);
bool slice_ends_nocase(struct slice s, struct slice suffix);
/* Offset of the first byte / first needle, or s.length when there is none. */
size_t slice_find(struct slice s, char byte);
size_t slice_find_last(struct slice s, char byte);
size_t slice_find_slice(struct slice s, struct slice needle);
bool slice_has(struct slice s, char byte);
struct slice slice_from(struct slice s, size_t offset); /* the rest; empty beyond the end */
struct slice slice_to(struct slice s, size_t length);   /* the first length bytes at most */
struct slice slice_trim(struct slice s);                /* without blanks and tabs at both ends */
/* Takes the part before the separator out of *s and steps over it; false when *s was exhausted. A slice without the
 * separator is returned whole and *s becomes exhausted (data NULL). */
bool slice_cut(struct slice *s, char separator, struct slice *part);
/* Takes the next run of bytes other than blank, tab, CR, LF; false when there is none. */
bool slice_word(struct slice *s, struct slice *word);
/* All of s as a decimal number up to max: no sign, no blank, at least one digit. */
bool slice_number(struct slice s, uint64_t max, uint64_t *number);

bool byte_is_alpha(char c);
bool byte_is_digit(char c);
bool byte_is_alnum(char c);
bool byte_is_print(char c); /* 0x21 to 0x7e */
char byte_lower(char c);

#endif
