#include "base/json.h"

#include "base/text.h"

#include <assert.h>
#include <jansson.h>

/* A struct json is the library's json_t under a name of ours.
 *
 * A container that could not take a member is marked by a second reference: nothing here ever shares a value, so the
 * count of an unmarked one is 1, and the mark needs no memory at a moment when there is none. */

static json_t *to_library(const struct json *json);
static struct json *from_library(json_t *value);
static void mark(json_t *container);
static bool is_marked(const json_t *value);
static bool any_marked(const json_t *value);
static void unmark_all(json_t *value);
static void set_new(struct json *object, const char *key, json_t *value);
static void append_new(struct json *array, json_t *value);
static json_t *text_new(struct slice text);
static void add_replaced(struct buffer *out, struct slice text);
static int write_part(const char *part, size_t length, void *out);

struct json *json_object_new(void)
{
    return from_library(json_object());
}

struct json *json_array_new(void)
{
    return from_library(json_array());
}

void json_free(struct json **json)
{
    unmark_all(to_library(*json));
    json_decref(to_library(*json));
    *json = NULL;
}

void json_set_text(struct json *object, const char *key, struct slice value)
{
    set_new(object, key, text_new(value));
}

void json_set_string(struct json *object, const char *key, const char *value)
{
    set_new(object, key, text_new(slice_of(value)));
}

void json_set_number(struct json *object, const char *key, int64_t value)
{
    set_new(object, key, json_integer(value));
}

void json_set_flag(struct json *object, const char *key, bool value)
{
    set_new(object, key, json_boolean(value));
}

void json_set(struct json *object, const char *key, struct json **value)
{
    set_new(object, key, to_library(*value));
    *value = NULL;
}

void json_append(struct json *array, struct json **value)
{
    append_new(array, to_library(*value));
    *value = NULL;
}

void json_append_text(struct json *array, struct slice value)
{
    append_new(array, text_new(value));
}

struct slice json_text(const struct json *object, const char *key)
{
    return json_string_text(json_get(object, key));
}

int64_t json_number(const struct json *object, const char *key, int64_t otherwise)
{
    const json_t *value = to_library(json_get(object, key));
    return json_is_integer(value) ? json_integer_value(value) : otherwise;
}

bool json_flag(const struct json *object, const char *key, bool otherwise)
{
    const json_t *value = to_library(json_get(object, key));
    return json_is_boolean(value) ? json_is_true(value) : otherwise;
}

struct json *json_get(const struct json *object, const char *key)
{
    return from_library(json_object_get(to_library(object), key));
}

size_t json_count(const struct json *array)
{
    return json_array_size(to_library(array));
}

struct json *json_at(const struct json *array, size_t index)
{
    return from_library(json_array_get(to_library(array), index));
}

struct slice json_string_text(const struct json *value)
{
    const json_t *string = to_library(value);
    return json_is_string(string) ? slice_make(json_string_value(string), json_string_length(string)) : SLICE_EMPTY;
}

const char *json_next_key(const struct json *object, const char *previous)
{
    json_t *walked = to_library(object);
    void *at = previous == NULL ? json_object_iter(walked)
                                : json_object_iter_next(walked, json_object_iter_at(walked, previous));
    return json_object_iter_key(at);
}

enum err json_print(const struct json *json, struct buffer *out)
{
    const json_t *value = to_library(json);
    if (value == NULL || any_marked(value)) {
        return ERR_MEMORY;
    }
    if (json_dump_callback(value, write_part, out, JSON_COMPACT | JSON_ENCODE_ANY) != 0) {
        return buffer_failed(out) ? ERR_LIMIT : ERR_MEMORY;
    }
    return ERR_NONE;
}

enum err json_parse(struct slice text, struct json **json)
{
    json_error_t error;
    /* U+0000 is allowed because our own texts may hold it and must come back as they went. */
    json_t *value = json_loadb(text.data, text.length, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    *json = from_library(value);
    if (value != NULL) {
        return ERR_NONE;
    }
    bool is_explained = error.text[0] != '\0' && json_error_code(&error) != json_error_out_of_memory;
    return is_explained ? ERR_SYNTAX : ERR_MEMORY;
}

/* Each value but the first stands behind one of these signs. What is in strings does not count. */
struct json_bounds json_measure(struct slice text)
{
    struct json_bounds found = {.value_max = 1};
    size_t depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < text.length; i++) {
        char byte = text.data[i];
        if (in_string && byte == '\\') {
            i++;
        } else if (byte == '"') {
            in_string = !in_string;
        } else if (!in_string && (byte == '{' || byte == '[')) {
            found.value_max++;
            depth++;
            found.depth_max = depth > found.depth_max ? depth : found.depth_max;
        } else if (!in_string && (byte == '}' || byte == ']')) {
            depth -= depth > 0;
        } else if (!in_string && (byte == ',' || byte == ':')) {
            found.value_max++;
        }
    }
    return found;
}

enum err json_parse_bounded(struct slice text, const struct json_bounds *bounds, struct json **json)
{
    struct json_bounds found = json_measure(text);
    *json = NULL;
    return found.value_max > bounds->value_max || found.depth_max > bounds->depth_max ? ERR_LIMIT : json_parse(text, json);
}

static json_t *to_library(const struct json *json)
{
    return (json_t *)(uintptr_t)json;
}

static struct json *from_library(json_t *value)
{
    return (struct json *)(void *)value;
}

static void mark(json_t *container)
{
    if (container != NULL && !is_marked(container)) {
        json_incref(container);
    }
}

static bool is_marked(const json_t *value)
{
    return (json_is_object(value) || json_is_array(value)) && value->refcount > 1;
}

static bool any_marked(const json_t *value)
{
    const char *key;
    json_t *member;
    size_t index;
    json_object_foreach((json_t *)(uintptr_t)value, key, member)
    {
        if (any_marked(member)) {
            return true;
        }
    }
    json_array_foreach(value, index, member)
    {
        if (any_marked(member)) {
            return true;
        }
    }
    return is_marked(value);
}

static void unmark_all(json_t *value)
{
    const char *key;
    json_t *member;
    size_t index;
    json_object_foreach(value, key, member)
    {
        unmark_all(member);
    }
    json_array_foreach(value, index, member)
    {
        unmark_all(member);
    }
    if (is_marked(value)) {
        json_decref(value);
    }
}

/* Takes the value over; NULL is one that could not be made. */
static void set_new(struct json *object, const char *key, json_t *value)
{
    json_t *container = to_library(object), *replaced = json_object_get(container, key);
    assert(container == NULL || json_is_object(container));
    if (any_marked(replaced)) {
        unmark_all(replaced);
        mark(container);
    }
    /* With a reference of our own the library cannot destroy a marked value, which it would leave half alive. */
    if (json_object_set_new(container, key, json_incref(value)) != 0) {
        mark(container);
        unmark_all(value);
    }
    json_decref(value);
}

static void append_new(struct json *array, json_t *value)
{
    json_t *container = to_library(array);
    assert(container == NULL || json_is_array(container));
    if (json_array_append_new(container, json_incref(value)) != 0) {
        mark(container);
        unmark_all(value);
    }
    json_decref(value);
}

static json_t *text_new(struct slice text)
{
    if (text_is_utf8(text)) {
        return json_stringn(text.data, text.length);
    }
    struct buffer replaced;
    buffer_init(&replaced, SIZE_MAX);
    add_replaced(&replaced, text);
    struct slice valid = buffer_slice(&replaced);
    json_t *value = buffer_failed(&replaced) ? NULL : json_stringn(valid.data, valid.length);
    buffer_free(&replaced);
    return value;
}

/* With U+FFFD for every byte that is not part of valid UTF-8. */
static void add_replaced(struct buffer *out, struct slice text)
{
    while (text.length > 0) {
        struct slice before = text;
        uint32_t character;
        bool valid = text_utf8_next(&text, &character);
        buffer_add(out, valid ? slice_to(before, before.length - text.length) : SLICE("\xef\xbf\xbd"));
    }
}

static int write_part(const char *part, size_t length, void *out)
{
    buffer_add(out, slice_make(part, length));
    return buffer_failed(out) ? -1 : 0;
}
