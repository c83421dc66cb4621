/* JSON values: what the control socket and --json say. A thin layer over the JSON library; nothing else includes it.
 *
 * The first failure for want of memory is remembered in the tree: json_print() of it then returns ERR_MEMORY, so that no
 * setter needs a check and no member goes missing unseen. Three functions are called otherwise than one would expect
 * because the library has taken json_object, json_array and json_string. */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include "base/buffer.h"
#include "base/err.h"

struct json; /* a value; the root owns all below it */

struct json *json_object_new(void); /* NULL when out of memory; all setters accept NULL and then do nothing */
struct json *json_array_new(void);
void json_free(struct json **json);

void json_set_text(struct json *object, const char *key, struct slice value); /* invalid UTF-8 is replaced */
void json_set_string(struct json *object, const char *key, const char *value);
void json_set_number(struct json *object, const char *key, int64_t value);
void json_set_flag(struct json *object, const char *key, bool value);
/* Takes the value over and leaves NULL, whatever happens; a value that is NULL already counts as out of memory. */
void json_set(struct json *object, const char *key, struct json **value);
void json_append(struct json *array, struct json **value);
void json_append_text(struct json *array, struct slice value);

struct slice json_text(const struct json *object, const char *key); /* empty when absent or no string */
int64_t json_number(const struct json *object, const char *key, int64_t otherwise);
bool json_flag(const struct json *object, const char *key, bool otherwise);
struct json *json_get(const struct json *object, const char *key); /* borrowed; NULL when absent */
size_t json_count(const struct json *array);
struct json *json_at(const struct json *array, size_t index); /* borrowed */
struct slice json_string_text(const struct json *value);      /* of a string value; empty otherwise */
/* Walks an object's members: NULL starts; returns the key or NULL at the end. */
const char *json_next_key(const struct json *object, const char *previous);

/* One line, no newline, members in order of insertion. ERR_MEMORY, ERR_LIMIT (of the buffer). */
MUST_CHECK enum err json_print(const struct json *json, struct buffer *out);
/* An object or an array; a key given twice is a syntax error. ERR_SYNTAX, ERR_MEMORY (which the library reports as a
 * syntax error where it fails inside a string). */
MUST_CHECK enum err json_parse(struct slice text, struct json **json);
/* Of a text from whom nothing is known: with more values in it or deeper than that nothing is made of it, and ERR_LIMIT returned. A
 * value costs up to JSON_VALUE_COST bytes, so that three of a text's bytes can cost a hundred times as much. */
#define JSON_VALUE_COST 400
struct json_bounds {
    size_t value_max, depth_max;
};
MUST_CHECK enum err json_parse_bounded(struct slice text, const struct json_bounds *bounds, struct json **json);
/* How many values are in it at most, and how deep they lie; of any text, valid or not. */
struct json_bounds json_measure(struct slice text);

#endif
