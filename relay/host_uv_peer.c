/* Who is at the other end of a unix socket, by what the kernel says. */
#include "relay/host_uv_loop.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef SO_PEERGROUPS
#define SO_PEERGROUPS 59 /* Linux 4.13; headers that do not know it are older than the kernels that we meet */
#endif
#define GROUPS_MAX 65536 /* NGROUPS_MAX of Linux */

static bool has_group(int fd, gid_t wanted);

bool stream_peer_uid(const struct stream *stream, uint32_t *uid, uint32_t *gid)
{
    int domain = AF_UNSPEC;
    socklen_t domain_length = sizeof domain;
    struct ucred credentials;
    socklen_t length = sizeof credentials;
    int fd = host_stream_fd(stream);
    if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &domain_length) != 0 || domain != AF_UNIX ||
        getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length) != 0)
        return false;
    *uid = credentials.uid;
    *gid = credentials.gid;
    return true;
}

bool stream_peer_in_group(const struct stream *stream, uint32_t gid)
{
    uint32_t uid;
    uint32_t primary;
    return stream_peer_uid(stream, &uid, &primary) && (primary == gid || has_group(host_stream_fd(stream), gid));
}

/* The kernel says how much room the list needs. */
static bool has_group(int fd, gid_t wanted)
{
    gid_t few[32];
    socklen_t length = sizeof few;
    bool found = false;
    gid_t *groups = few;
    int status = getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &length);
    if (status != 0 && length > sizeof few && length <= GROUPS_MAX * sizeof *groups) {
        groups = host_allocate(length);
        status = getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &length);
    }
    for (size_t i = 0; status == 0 && i < length / sizeof *groups; i++)
        found = found || groups[i] == wanted;
    if (groups != few)
        free(groups);
    return found;
}

void stream_own_user(uint32_t *uid, uint32_t *gid)
{
    *uid = geteuid();
    *gid = getegid();
}
