#include "test/unit/folder.h"

#include <assert.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *walk);

void folder_use_memory(void)
{
    if (access("/dev/shm", W_OK) == 0) {
        setenv("TMPDIR", "/dev/shm", 0);
    }
}

void folder_make(struct folder *folder)
{
    const char *parent = getenv("TMPDIR");
    snprintf(folder->path, sizeof folder->path, "%.100s/sternpost-XXXXXX", parent != NULL ? parent : "/tmp");
    if (mkdtemp(folder->path) == NULL) {
        perror(folder->path);
        exit(EXIT_FAILURE);
    }
}

void folder_remove(struct folder *folder)
{
    nftw(folder->path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

const char *folder_path(struct folder *folder, const char *name)
{
    snprintf(folder->name, sizeof folder->name, "%s/%.100s", folder->path, name);
    return folder->name;
}

bool folder_damage(const char *file, struct slice marker)
{
    int opened = open(file, O_RDWR);
    struct stat status;
    if (opened < 0 || fstat(opened, &status) != 0 || status.st_size == 0) {
        perror(file);
        exit(EXIT_FAILURE);
    }
    size_t size = (size_t)status.st_size;
    char *bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, opened, 0);
    assert(bytes != MAP_FAILED);
    bool is_found = false;
    for (char *at = bytes; (at = memmem(at, size - (size_t)(at - bytes), marker.data, marker.length)) != NULL; at++) {
        *at = (char)(*at ^ 0x20);
        is_found = true;
    }
    munmap(bytes, size);
    close(opened);
    return is_found;
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *walk)
{
    (void)status;
    (void)kind;
    (void)walk;
    return remove(path);
}
