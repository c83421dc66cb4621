"""What an engine does before it starts the program of a container; container.py starts this in fresh namespaces."""

import ctypes
import json
import os
import sys

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 2, 4, 32, 4096, 16384, 1 << 18
PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS, CAPABILITIES = 24, 38, 64


def mount(source, target, kind, flags, data=None):
    arguments = [None if each is None else os.fsencode(each) for each in (source, target, kind)]
    if ctypes.CDLL(None, use_errno=True).mount(*arguments, flags, data) != 0:
        number = ctypes.get_errno()
        raise OSError(number, "mount %s: %s" % (target, os.strerror(number)))


def become(plan):
    root = plan["root"]
    mount(None, "/", None, MS_REC | MS_PRIVATE)
    mount(root, root, None, MS_BIND)
    for source, target in plan["binds"]:
        mount(source, os.path.join(root, target), None, MS_BIND)
    mount("proc", os.path.join(root, "proc"), "proc", MS_NOSUID | MS_NODEV)
    mount(None, root, None, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV)
    os.chroot(root)
    os.chdir("/")
    libc = ctypes.CDLL(None, use_errno=True)
    for number in range(CAPABILITIES):
        libc.prctl(PR_CAPBSET_DROP, number, 0, 0, 0)
    os.setgroups([])
    os.setresgid(plan["gid"], plan["gid"], plan["gid"])
    os.setresuid(plan["uid"], plan["uid"], plan["uid"])
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError("no_new_privs")
    os.execve(plan["words"][0], plan["words"], plan["environment"])


if __name__ == "__main__":
    become(json.loads(sys.argv[1]))
