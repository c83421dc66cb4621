#include "relay/users.h"

#include "base/arena.h"
#include "base/list.h"
#include "base/map.h"
#include "base/text.h"
#include "relay/config_internal.h"
#include "relay/host.h"

#include <stdlib.h>

#define FILE_SIZE_MAX (16u << 20)

struct user {
    struct map_node node;
    struct tls_password password;
};
struct users {
    struct arena *arena;
    struct map names;
    uint32_t iterations;
};

static enum err parse_lines(struct users *users, struct slice text, struct slice where, struct buffer *fault);
static enum err take_line(struct users *users, struct slice line);
static void explain(enum err err, struct slice line, struct buffer *fault);

enum err users_load(struct slice path, struct users **users, struct buffer *fault)
{
    char name[4096];
    bool may_be_read_by_all = false;
    struct buffer text;
    *users = NULL;
    buffer_init(&text, FILE_SIZE_MAX);
    text_print(name, sizeof name, "%.*s", SLICE_ARGS(path));
    enum err err = path.length < sizeof name ? config_slurp(name, &text, &may_be_read_by_all) : ERR_NOT_FOUND;
    if (err == ERR_NONE && may_be_read_by_all) {
        buffer_print(fault, "%s can be read by everybody; chmod 0640 it", name);
        err = ERR_PERMISSION;
    } else if (err == ERR_NONE) {
        err = users_parse(buffer_slice(&text), path, users, fault);
    } else {
        buffer_print(fault, "%s: %s", name, err_text(err));
    }
    buffer_free(&text);
    return err;
}

enum err users_parse(struct slice text, struct slice where, struct users **out, struct buffer *fault)
{
    struct users *users = calloc(1, sizeof *users);
    struct arena *arena = arena_new(8 * (size_t)FILE_SIZE_MAX);
    *out = NULL;
    if (users == NULL || arena == NULL) {
        free(users);
        arena_free(&arena);
        return ERR_MEMORY;
    }
    uint64_t seed[2] = {dice_u64(), dice_u64()};
    map_init(&users->names, seed);
    users->arena = arena;
    users->iterations = TLS_PASSWORD_ITERATIONS;
    enum err err = parse_lines(users, text, where, fault);
    if (err == ERR_NONE)
        *out = users;
    else
        users_free(&users);
    return err;
}

void users_free(struct users **users)
{
    if (*users == NULL)
        return;
    map_free(&(*users)->names);
    arena_free(&(*users)->arena);
    free(*users);
    *users = NULL;
}

size_t users_count(const struct users *users)
{
    return users->names.count;
}

const struct tls_password *users_find(const struct users *users, struct slice name)
{
    struct map_node *node = map_get(&users->names, name);
    return node == NULL ? NULL : &LIST_OF(node, struct user, node)->password;
}

uint32_t users_iterations(const struct users *users)
{
    return users->iterations;
}

bool users_is_name(struct slice name)
{
    bool plain = name.length > 0 && name.length <= USERS_NAME_MAX && name.data[0] != '#' && text_is_utf8(name) &&
                 slice_trim(name).length == name.length;
    for (size_t i = 0; plain && i < name.length; i++)
        plain = (uint8_t)name.data[i] >= 0x20 && name.data[i] != 0x7f && name.data[i] != ':';
    return plain;
}

static enum err parse_lines(struct users *users, struct slice text, struct slice where, struct buffer *fault)
{
    struct slice line;
    enum err err = ERR_NONE;
    for (size_t number = 1; err == ERR_NONE && slice_cut(&text, '\n', &line); number++) {
        if (slice_ends(line, SLICE("\r")))
            line = slice_to(line, line.length - 1);
        if (slice_trim(line).length == 0 || line.data[0] == '#')
            continue;
        err = take_line(users, line);
        if (err == ERR_NONE)
            continue;
        buffer_print(fault, "%.*s:%zu: ", SLICE_ARGS(where), number);
        explain(err, line, fault);
    }
    return err;
}

static enum err take_line(struct users *users, struct slice line)
{
    struct user *user = arena_alloc(users->arena, sizeof *user);
    size_t colon = slice_find(line, ':');
    struct slice name = slice_to(line, colon), key;
    if (user == NULL || !arena_slice(users->arena, name, &key))
        return ERR_MEMORY;
    if (colon == line.length || !users_is_name(name) ||
        tls_password_parse(&user->password, slice_from(line, colon + 1)) != ERR_NONE)
        return ERR_SYNTAX;
    if (map_get(&users->names, name) != NULL)
        return ERR_EXISTS;
    if (user->password.iterations > users->iterations)
        users->iterations = user->password.iterations;
    return map_add(&users->names, &user->node, key);
}

/* Of the line only the name is told: what follows may be a password in the clear. */
static void explain(enum err err, struct slice line, struct buffer *fault)
{
    struct slice name = slice_to(line, slice_find(line, ':'));
    if (err == ERR_SYNTAX)
        buffer_add(fault, SLICE("not NAME:HASH; make the line with `sternpost passwd NAME`"));
    else if (err != ERR_EXISTS)
        buffer_add(fault, slice_of(err_text(err)));
    if (err != ERR_EXISTS)
        return;
    buffer_add(fault, SLICE("the user \""));
    text_clean(fault, name, USERS_NAME_MAX);
    buffer_add(fault, SLICE("\" stands in an earlier line already; remove one of them"));
}
