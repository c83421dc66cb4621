"""Who may include whom (ARCHITECTURE.md): the layers, and the one file that may know each library."""
import os
import re
import sys
from fnmatch import fnmatch

import tree

ALLOWED = {
    "base": {"base"},
    "smtp": {"smtp", "base"},
    "sts": {"sts", "base"},
    "tls": {"tls", "base"},
    "queue": {"queue", "base"},
    "relay": {"relay", "smtp", "tls", "sts", "queue", "base"},
}

# header, the only files that may include it
OWNERS = [
    ("uv.h", ["relay/host_uv*", "relay/resolver_udns*"]),
    ("uv/*", []),
    ("udns.h", ["relay/resolver_udns*"]),
    ("mbedtls/*", ["tls/*"]),
    ("psa/*", ["tls/*"]),
    ("lmdb.h", ["queue/lmdb*"]),
    ("jansson.h", ["base/json.c", "test/*"]),
    ("idn2.h", ["base/idna.c"]),
    ("unistr.h", []),
    ("llhttp.h", ["sts/http.c", "relay/http*.c"]),
    ("cmocka.h", ["test/*"]),
    ("pthread.h", ["relay/host_uv*", "test/*"]),
    ("threads.h", []),
    ("openssl/*", ["test/bench/sink*", "test/unit/forge.h", "test/unit/tls_chains*"]),
]

# A socket, a process or a wait is the host's business; the command line's, and the tests'.
HOST_ONLY = ["sys/socket.h", "sys/epoll.h", "sys/wait.h", "sys/un.h", "poll.h", "netdb.h", "signal.h", "resolv.h"]
HOST = ["relay/host_uv*", "relay/resolver_udns*", "relay/main.c", "relay/cli*", "relay/serve*", "test/*"]

INCLUDE = re.compile(r"^\s*#\s*include\s*([<\"])([^>\"]+)[>\"]", re.MULTILINE)


def main():
    top = tree.root()
    names = tree.files(top, ".c", ".h")
    faults = []
    for name in names:
        text = tree.read(top, name)
        for match in INCLUDE.finditer(text):
            line = text.count("\n", 0, match.start(2)) + 1
            fault = judge(top, name, match.group(1), match.group(2))
            if fault:
                faults.append(f"{name}:{line}: {fault}")
    tree.report(faults, len(names), "C files")


def judge(top, name, quote, header):
    folder = name.split("/")[0]
    if quote == '"':
        return judge_own(top, name, folder, header)
    for pattern, owners in OWNERS:
        if fnmatch(header, pattern) and not any(fnmatch(name, owner) for owner in owners):
            return f"<{header}> may be included by {' and '.join(owners) or 'nobody'} only"
    if header in HOST_ONLY and not any(fnmatch(name, owner) for owner in HOST):
        return f"<{header}> is the host's: ask for what is needed through relay/host.h"
    return None


def judge_own(top, name, folder, header):
    target = header.split("/")[0]
    if ".." in header.split("/"):
        return f'"{header}" climbs: write the path from the top of the tree'
    if not os.path.isfile(os.path.join(top, header)):
        beside = os.path.join(os.path.dirname(name), header)
        if folder == "test" and os.path.isfile(os.path.join(top, beside)):
            return None
        return f'"{header}" is not there: write the path from the top of the tree'
    if folder in ALLOWED and target not in ALLOWED[folder]:
        return f'{folder}/ may not include "{header}", only {" ".join(sorted(ALLOWED[folder]))}'
    if folder == "test" and name.startswith("test/sim/") and header in ("relay/host_uv.h", "relay/resolver_udns.h"):
        return f'the simulator stands in for "{header}"'
    return None


if __name__ == "__main__":
    sys.exit(main())
