"""Private namespaces: enter them by running the same program again under unshare(1)."""

import ctypes
import fcntl
import os
import pathlib
import shutil
import signal
import socket
import struct
import subprocess
import sys

MARK = "STERNPOST_LAB_INSIDE"
IPV4_NETWORK = ("11.0.0.0", 8)
IPV6_NETWORK = ("2a11::", 32)

# The users that the unpacked mail software wants, and nobody else.
USERS = {
    "root": (0, 0),
    "daemon": (1, 1),
    "bin": (2, 2),
    "mail": (8, 8),
    "nobody": (65534, 65534),
    "postfix": (901, 901),
    "Debian-exim": (902, 902),
    "unbound": (903, 903),
    "www-data": (33, 33),
    "mailbox": (904, 904),
    "sender": (905, 905),
}
GROUPS = {name: gid for name, (_, gid) in USERS.items()} | {
    "postdrop": 910, "tty": 5, "nogroup": 65533, "sternpost-admin": 911}

MS_BIND, MNT_DETACH = 4096, 2
SIOCSIFFLAGS, IFF_UP, IFF_LOOPBACK, IFF_RUNNING = 0x8914, 0x1, 0x8, 0x40
RTM_NEWROUTE, NLM_F_REQUEST, NLM_F_ACK, NLM_F_CREATE = 24, 1, 4, 0x400
RTA_DST, RTA_OIF = 1, 4
RT_TABLE_LOCAL, RTPROT_STATIC, RT_SCOPE_HOST, RTN_LOCAL = 255, 4, 254, 2


class NotPermitted(Exception):
    """The machine does not let us make namespaces; the text says what is needed."""


def is_inside():
    return os.environ.get(MARK) == "1"


def enter(with_ipv6=True, with_mounts=True):
    """Replaces this process by itself inside fresh namespaces; returns only when inside. with_mounts=False: for who mounts
    nothing over the machine's files, so that it works inside a chroot too, whose mounts nobody can make private."""
    if is_inside():
        open_network(with_ipv6)
        return
    command = choose_unshare(with_mounts)
    os.environ[MARK] = "1"
    os.execvp(command[0], command + [sys.executable] + sys.argv)


def choose_unshare(with_mounts):
    """The unshare command that works here: as root, else with a user namespace of our own."""
    if shutil.which("unshare") is None:
        raise NotPermitted("unshare (package util-linux) is missing")
    base = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child"]
    own = ["--user", "--map-root-user"]
    is_root = os.geteuid() == 0
    attempts = [base + ["--mount-proc"]] if is_root else []
    # root needs no user namespace; processes are numbered as in the /proc that there is.
    attempts += [["unshare", "--net", "--fork", "--kill-child"]] if is_root and not with_mounts else []
    # Inside a container a user may have namespaces but no /proc of his own.
    attempts += [base + own + ["--mount-proc"], base + own]
    said = ""
    for attempt in attempts:
        run = subprocess.run(attempt + ["true"], capture_output=True, text=True, check=False)
        if run.returncode == 0:
            return attempt
        said = said or run.stderr.strip()
    raise NotPermitted(
        "network namespaces are not permitted here (%s): %sin a container --privileged or --cap-add=SYS_ADMIN is "
        "needed%s" % (said, "" if is_root else "run as root, ",
                      "" if is_root else ", or allow user namespaces (sysctl kernel.unprivileged_userns_clone=1)"))


def open_network(with_ipv6):
    """Loopback up; the lab's ranges are this machine's own, so any of them can be bound."""
    stop_on_signals()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        flags = IFF_UP | IFF_LOOPBACK | IFF_RUNNING
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", flags))
    add_local_route(socket.AF_INET, *IPV4_NETWORK)
    if with_ipv6 and has_ipv6():
        add_local_route(socket.AF_INET6, *IPV6_NETWORK)
        # Unlike IPv4, bind() to an address of a local route is refused without this.
        pathlib.Path("/proc/sys/net/ipv6/ip_nonlocal_bind").write_text("1", encoding="ascii")


def has_ipv6():
    inet6 = pathlib.Path("/proc/net/if_inet6")
    return inet6.exists() and inet6.read_text(encoding="ascii").strip() != ""


def add_local_route(family, network, bits):
    """Does `ip route add local NETWORK/BITS dev lo` without needing ip(8)."""
    index = socket.if_nametoindex("lo")
    address = socket.inet_pton(family, network)
    body = struct.pack("BBBBBBBBI", family, bits, 0, 0, RT_TABLE_LOCAL,
                       RTPROT_STATIC, RT_SCOPE_HOST, RTN_LOCAL, 0)
    body += struct.pack("HH", 4 + len(address), RTA_DST) + address
    body += struct.pack("HHI", 8, RTA_OIF, index)
    flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE
    message = struct.pack("IHHII", 16 + len(body), RTM_NEWROUTE, flags, 1, 0) + body
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as netlink:
        netlink.send(message)
        answer = netlink.recv(4096)
    error = -struct.unpack_from("i", answer, 16)[0]
    if error:
        raise OSError(error, "route %s/%d: %s" % (network, bits, os.strerror(error)))


def stop_on_signals():
    """As process 1 of its namespace this program gets no default actions: be stoppable."""
    def stop(number, _frame):
        raise KeyboardInterrupt("signal %d" % number)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)


def unmount_below(directory):
    """Takes away what is mounted in a folder, so that whoever removes the folder removes nothing else."""
    libc = ctypes.CDLL(None, use_errno=True)
    inside = os.path.realpath(directory) + "/"
    with open("/proc/self/mountinfo", encoding="utf-8") as table:
        places = [line.split()[4].encode().decode("unicode_escape") for line in table]
    for place in reversed([place for place in places if place.startswith(inside)]):
        if libc.umount2(os.fsencode(place), MNT_DETACH) != 0:
            error = ctypes.get_errno()
            raise OSError(error, "unmount %s: %s" % (place, os.strerror(error)))


def bind_over(target, source):
    """Shows the file `source` at `target`, in this mount namespace only."""
    libc = ctypes.CDLL(None, use_errno=True)
    resolved = os.path.realpath(target)
    if libc.mount(os.fsencode(source), os.fsencode(resolved), None, MS_BIND, None) != 0:
        error = ctypes.get_errno()
        raise OSError(error, "bind %s over %s: %s" % (source, resolved, os.strerror(error)))


def bind_system_files(directory, resolver, extra_users=()):
    """Private /etc/passwd, group, hosts and resolv.conf: the machine's own stay as they are."""
    users = dict(USERS)
    users.update({name: (920 + i, 920 + i) for i, name in enumerate(extra_users)})
    groups = dict(GROUPS)
    groups.update({name: 920 + i for i, name in enumerate(extra_users)})
    texts = {
        "passwd": "".join("%s:x:%d:%d::/nonexistent:/usr/sbin/nologin\n" % (name, uid, gid)
                          for name, (uid, gid) in users.items()),
        "group": "".join("%s:x:%d:\n" % item for item in groups.items()),
        "hosts": "127.0.0.1 localhost\n::1 localhost\n",
        "resolv.conf": "nameserver %s\n" % resolver,
        "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
    }
    for name, text in texts.items():
        path = pathlib.Path(directory, name)
        path.write_text(text, encoding="ascii")
        if os.path.exists("/etc/" + name):
            bind_over("/etc/" + name, path)
