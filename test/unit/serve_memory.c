/* The limit of a control group, in trees of both versions as the kernel shows them. */
#include "relay/serve_memory.h"

#include "test/unit/check.h"
#include "test/unit/folder.h"

#include <sys/stat.h>

static struct folder tree;

static int make_tree(void **state)
{
    (void)state;
    folder_make(&tree);
    return 0;
}

static int remove_tree(void **state)
{
    (void)state;
    folder_remove(&tree);
    return 0;
}

/* With the directories above it. */
static void write_at(const char *name, const char *text)
{
    char path[512];
    int length = snprintf(path, sizeof path, "%s/%s", tree.path, name);
    assert_true(length > 0 && (size_t)length < sizeof path);
    for (char *slash = strchr(path + strlen(tree.path) + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        (void)mkdir(path, 0755);
        *slash = '/';
    }
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void test_limits(void **state)
{
    static const struct {
        const char *name, *groups;
        const char *files[3][2];
        uint64_t limit;
    } cases[] = {
        {"its own", "0::/a/b\n", {{"a/b/memory.max", "33554432\n"}}, 33554432},
        {"that of one above it", "0::/a/b\n", {{"a/b/memory.max", "max\n"}, {"a/memory.max", "16777216\n"}}, 16777216},
        {"the smaller one", "0::/a/b\n", {{"a/b/memory.max", "5000\n"}, {"a/memory.max", "4000\n"}, {"memory.max", "9000\n"}}, 4000},
        {"the root of a container", "0::/\n", {{"memory.max", "7000\n"}}, 7000},
        {"a path that is not shown", "0::/../other/group\n", {{"memory.max", "7000\n"}}, 7000},
        {"none", "0::/a\n", {{"a/memory.max", "max\n"}}, 0},
        {"no files", "0::/a\n", {{NULL, NULL}}, 0},
        {"no number", "0::/a\n", {{"a/memory.max", "-1\n"}}, 0},
        {"version 1", "9:cpu:/x\n4:memory:/a/b\n0::/\n", {{"memory/a/b/memory.limit_in_bytes", "6000\n"}}, 6000},
        {"version 1, of several", "4:cpu,memory:/a\n", {{"memory/a/memory.limit_in_bytes", "6000\n"}}, 6000},
        {"version 1 in a container", "4:memory:/docker/12\n", {{"memory/memory.limit_in_bytes", "6000\n"}}, 6000},
        {"version 1, none", "4:memory:/a\n", {{"memory/a/memory.limit_in_bytes", "9223372036854771712\n"}}, 0},
        {"another's group", "4:cpu:/a\n", {{"memory/a/memory.limit_in_bytes", "6000\n"}, {"a/memory.max", "5000"}}, 0},
        {"no list", "", {{"memory.max", "5000"}}, 0},
    };
    char groups[300];
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        make_tree(NULL);
        snprintf(groups, sizeof groups, "%s/groups", tree.path);
        write_at("groups", cases[i].groups);
        for (size_t j = 0; j < 3 && cases[i].files[j][0] != NULL; j++)
            write_at(cases[i].files[j][0], cases[i].files[j][1]);
        check_number(cases[i].name, serve_memory_limit(groups, tree.path), cases[i].limit);
        remove_tree(NULL);
    }
    check_number("nothing at all", serve_memory_limit("/nonexistent", "/nonexistent"), 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {cmocka_unit_test(test_limits)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
