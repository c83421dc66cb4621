/* One look at all of the drop directory: which files are to be taken next, and what else is found. Every user of the machine may put files
 * there, as many as he likes, so the places are shared by uid: whoever has few files there has them all taken in the first round, however
 * many another has.
 *
 * What cannot be read was left by no sendmail, or the directory has the wrong group: it is set aside in held/, and told once for each
 * user. Of one user only so many are kept that have not even the mode of a file of sendmail. A file that is being written may be removed
 * at any time: its writer finds out, and says that nothing is stored. So those that are too large, too old or too many go. */
#ifndef RELAY_DROP_SCAN_H
#define RELAY_DROP_SCAN_H

#include "relay/drop_wait.h"

#define DROP_NAMES_MAX 1000      /* of one scan */
#define DROP_USERS_MAX 256       /* that are told apart in one scan; all others are one */
#define DROP_ASIDE_MAX 100       /* files of one user that nobody may read: kept in held/ from one start or reload to the next */
#define DROP_WRITING_MAX 200     /* files of one user that are being written */
#define DROP_WRITING_BYTES_MAX (UINT64_C(4) << 30)

struct drop_user {
    uint32_t uid;
    unsigned names;      /* among the found */
    unsigned aside;      /* set aside by this scan */
    unsigned removed;    /* beyond what one user may have */
    unsigned writing;
    uint64_t writing_bytes;
    unsigned failures; /* the caller's count of those found that it could not take */
};
struct drop_found {
    struct drop_name name;
    uint32_t uid;
    unsigned turn; /* how many of this user come before it */
};
struct drop_scan {
    /* The caller's. */
    int directory;
    int64_t wall_ms, now_ms;        /* now_ms: for the waits */
    uint64_t size_max;              /* bytes of a file that can be taken */
    const struct drop_waits *waits; /* these are passed over */

    struct drop_found found[DROP_NAMES_MAX]; /* in the order in which they are to be taken */
    size_t count;
    bool is_full;  /* there are more */
    size_t junk;   /* files that no sendmail has left there, and that were removed */
    size_t stuck;  /* such that could not be removed */
    struct drop_user users[DROP_USERS_MAX];
    size_t user_count;
    /* Set aside since the last release, over all scans; the scan's own. */
    struct drop_aside {
        uint32_t uid;
        unsigned count;
    } aside[DROP_USERS_MAX];
    size_t aside_count;
};
/* May wait for a disk. */
MUST_CHECK enum err drop_scan_run(struct drop_scan *scan);
struct drop_user *drop_scan_user(struct drop_scan *scan, uint32_t uid); /* one that was met; beyond the last place all are the last one */
/* What was set aside goes back to where it is looked at. */
void drop_scan_release(struct drop_scan *scan);

#endif
