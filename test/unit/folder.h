/* A temporary folder for a test, and what tests do to the files in it. */
#ifndef TEST_UNIT_FOLDER_H
#define TEST_UNIT_FOLDER_H

#include "base/slice.h"

struct folder {
    char path[128];
    char name[256]; /* the last that folder_path() gave */
};
/* From now on folders are in memory, where there is such a place: for thousands of commits of which none needs to last. */
void folder_use_memory(void);
void folder_make(struct folder *folder); /* ends the program when it cannot */
void folder_remove(struct folder *folder); /* with all that is in it */
const char *folder_path(struct folder *folder, const char *name); /* until the next call */
/* Turns over a bit of every place in a file where the marker stands. False: nowhere. */
bool folder_damage(const char *file, struct slice marker);

#endif
