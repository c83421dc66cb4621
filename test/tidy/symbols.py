"""What the pure files ask of the outside: their objects may use this list and no more, and keep no state.

A file that calls time(), a socket or a random source could not be simulated; a variable in .data or .bss would be
shared by all sessions. relay/ may do more, but not what the host does for it.
Usage: python3 symbols.py ROOT CC FLAG...
"""
import os
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatch

import tree

PURE = ["base/*.c", "smtp/*.c", "sts/*.c", "queue/envelope.c", "queue/backoff.c"]
WITH_LIBRARY = {"base/json.c": r"json_\w+|jansson_\w+", "base/idna.c": r"idn2_\w+", "sts/http.c": r"llhttp_\w+"}

MEMORY = "malloc calloc realloc free reallocarray"
STRINGS = """memchr memcmp memcpy memmem memmove memrchr memset mempcpy strchr strcmp strcspn strdup strlen strncmp
    strndup strnlen strpbrk strrchr strspn strstr stpcpy bsearch qsort explicit_bzero strchrnul inet_pton inet_ntop"""
NUMBERS = "strtol strtoul strtoll strtoull strtod snprintf vsnprintf gmtime_r timegm abs labs fmod floor ceil ldexp"
COMPILER = """__assert_fail abort __cpu_model _GLOBAL_OFFSET_TABLE_ __stack_chk_fail __errno_location __ctype_b_loc
    __snprintf_chk __vsnprintf_chk __memcpy_chk __memmove_chk __memset_chk __explicit_bzero_chk
    __isoc99_sscanf __isoc23_strtol __isoc23_strtoul __isoc23_strtoll __isoc23_strtoull"""
# base/clock.h and base/dice.h declare these; the host and the simulator define them.
SEAM = "clock_wall_ms clock_monotonic_ms clock_monotonic_us clock_boot_ms clock_boot_id dice_fill dice_below dice_u64"
LIBC = set(f"{MEMORY} {STRINGS} {NUMBERS} {COMPILER}".split())
# base/log.c hands its finished line to whoever asked, else to standard error.
MORE = {"base/log.c": {"write", "fwrite", "fputs", "stderr", "stdout", "fflush", "isatty"}}

FORBIDDEN_IN_RELAY = re.compile(
    r"(time|gettimeofday|clock_gettime|ftime|socket|connect|bind|listen|accept4?|sendto|recvfrom|sendmsg|recvmsg|poll|"
    r"epoll_\w+|select|rand|rand_r|srand|random|srandom|drand48|arc4random\w*|getrandom|getaddrinfo|gethostby\w+|"
    r"pthread_\w+|fork|system|popen|sleep|usleep|nanosleep|signal|sigaction|uv_\w+|dns_\w+|mdb_\w+|mbedtls_\w+|psa_\w+|"
    r"json_\w+|jansson_\w+|idn2_\w+)$")
HOST = ["relay/host_uv*", "relay/resolver_udns*", "relay/main.c", "relay/cli*", "relay/serve*"]


def main():
    top = tree.root()
    compiler = sys.argv[2:] or ["cc"]
    names = [name for name in tree.files(top, ".c") if name.split("/")[0] in tree.FOLDERS]
    with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(os.cpu_count()) as pool:
        jobs = [(name, pool.submit(compile_and_list, top, compiler, name, scratch)) for name in names]
        objects = {name: job.result() for name, job in jobs}
    own = {symbol for defined, _, _ in objects.values() for symbol in defined}
    faults = []
    for name, (_, undefined, state) in sorted(objects.items()):
        faults += judge(name, undefined, state, own)
    pure = sum(1 for name in names if is_pure(name))
    tree.report(faults, pure, "pure objects")


def is_pure(name):
    return any(fnmatch(name, pattern) for pattern in PURE)


def compile_and_list(top, compiler, name, scratch):
    target = os.path.join(scratch, name.replace("/", "-") + ".o")
    # Without -fno-pie a constant table of pointers would look like a variable.
    subprocess.run([*compiler, "-std=gnu11", "-O2", "-w", "-fno-pie", "-D_GNU_SOURCE", '-DSTERNPOST_VERSION=""', f"-I{top}",
                    "-c", os.path.join(top, name), "-o", target], check=True)
    listing = subprocess.run(["nm", "-P", target], check=True, capture_output=True, text=True).stdout
    defined, undefined, state = set(), set(), []
    for line in listing.splitlines():
        symbol, kind = line.split()[:2]
        if kind in "Uvw":
            undefined.add(symbol)
        else:
            defined.add(symbol)
        if kind in "dDbBC" and not symbol.startswith("__"):
            state.append(symbol)
    return defined, undefined, state


def judge(name, undefined, state, own):
    folder = name.split("/")[0]
    if not is_pure(name):
        if folder == "relay" and not any(fnmatch(name, pattern) for pattern in HOST):
            for symbol in sorted(undefined - own):
                if FORBIDDEN_IN_RELAY.match(symbol):
                    yield f"{name}: calls {symbol}, which is the host's or another folder's business"
        return
    allowed = LIBC | set(SEAM.split()) | MORE.get(name, set()) | own
    library = WITH_LIBRARY.get(name, "$^")
    for symbol in sorted(undefined - allowed):
        if not re.fullmatch(library, symbol):
            yield f"{name}: calls {symbol}, which is not on the list of test/tidy/symbols.py"
    for symbol in state:
        yield f"{name}: keeps state in {symbol}: no variable that lasts, unless const"


if __name__ == "__main__":
    sys.exit(main())
