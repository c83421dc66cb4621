"""Words that no file may hold: functions that overflow or surprise, work left undone, paths and hosts of one machine."""
import re
import sys

import c_source
import tree

BANNED = {
    "strcpy": "text_ and buffer_ know their limits", "strcat": "text_ and buffer_ know their limits",
    "stpcpy": "text_ and buffer_ know their limits", "strncpy": "it may leave no terminator",
    "strncat": "text_ and buffer_ know their limits", "sprintf": "snprintf knows the limit",
    "vsprintf": "vsnprintf knows the limit", "strtok": "it keeps state", "gets": "it knows no limit",
    "atoi": "it tells no error", "atol": "it tells no error", "atoll": "it tells no error",
    "sscanf": "overflow is undefined in it", "rand": "dice_", "srand": "dice_", "random": "dice_",
    "localtime": "the log speaks UTC", "gmtime": "it keeps state", "ctime": "it keeps state",
    "asctime": "it keeps state", "strerror": "it is not safe beside threads: strerrordesc_np", "alloca": "no limit",
    "mktemp": "a race", "tmpnam": "a race", "setlocale": "parsers must not depend on it", "tolower": "locale: text_",
    "toupper": "locale: text_", "getaddrinfo": "it does not work in a static program; resolve_start",
    "gethostbyname": "resolve_start", "getpwnam": "it does not work in a static program",
    "getpwuid": "it does not work in a static program", "getgrnam": "it does not work in a static program",
}
# A turn that sleeps behind what it has just brought about: whoever waits looks at it right before the loop sleeps.
TURN = re.compile(r"\bUV_RUN_ONCE\b")
TURNS = "test/unit/loop.h"
CALL = re.compile(r"(?<![\w.>])(" + "|".join(BANNED) + r")\s*\(")

# In pieces, so that this file does not find itself.
UNDONE = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK|NO" r"COMMIT)\b")
SWITCHED_OFF = re.compile(r"#\s*define\s+NDEB" r"UG|-DNDEB" r"UG")
MACHINE = re.compile(r"(?<![\w.$}~*])/(?:wo" r"rk|ro" r"ot|ho" r"me)/[\w.]|/tmp/" r"notes")
REGISTRY = re.compile(r"\b(?:[\w-]+\.)*(?:deb" r"ian\.org/debian|npm" r"js\.(?:org|com)|py" r"pi\.org|python" r"hosted\.org"
                      r"|deb\.deb" r"ian\.org|security\.deb" r"ian\.org|snapshot\.deb" r"ian\.org|proxy\.gol" r"ang\.org)")

# Words that read oddly to an operator, in what he reads; and one thing has one name: a route leads to a smart host.
PLAIN = re.compile(r"\b(?:mend(?:s|ed|ing)?|anew|upstreams?|what is to be|1 aliases)\b", re.IGNORECASE)
STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
READ_WHOLE = re.compile(r"README\.md$|etc/man/|etc/sternpost\.conf$|etc/compose\.yaml$|etc/systemd/")
READ_STRINGS = re.compile(r"(?:relay|base|smtp|sts|tls|queue)/[^/]*\.[ch]$")


def main():
    top = tree.root()
    names = [name for name in tree.files(top) if "/corpus/" not in name and "/vectors/" not in name]
    faults = []
    for name in names:
        text = tree.read(top, name)
        if "\0" in text:
            continue
        faults += words_in(name, text)
        faults += odd_words_in(name, text)
        if name.endswith((".c", ".h")):
            faults += calls_in(name, text)
    tree.report(faults, len(names), "files")


def words_in(name, text):
    for number, line in enumerate(text.split("\n"), 1):
        for pattern, fault in ((UNDONE, "work left undone"), (SWITCHED_OFF, "asserts stay on"),
                               (MACHINE, "a path of one machine"), (REGISTRY, "the host of a registry")):
            match = pattern.search(line)
            if match:
                yield f"{name}:{number}: {match.group(0)}: {fault}"


def odd_words_in(name, text):
    for number, line in enumerate(text.split("\n"), 1):
        if READ_STRINGS.match(name) and not line.lstrip().startswith("#include"):
            told = " ".join(STRING.findall(line))
        elif READ_WHOLE.match(name):
            told = line
        else:
            continue
        for match in PLAIN.finditer(told):
            yield f"{name}:{number}: {match.group(0)}: fixed, again, reloaded, smart host: a plain word, the same for the same thing"


def calls_in(name, text):
    for number, line in enumerate(c_source.strip(text).split("\n"), 1):
        for match in CALL.finditer(line):
            yield f"{name}:{number}: {match.group(1)}: {BANNED[match.group(1)]}"
        if TURN.search(line) and name != TURNS:
            yield f"{name}:{number}: UV_RUN_ONCE: it sleeps though what was waited for has come; loop_turn of {TURNS}"


if __name__ == "__main__":
    sys.exit(main())
