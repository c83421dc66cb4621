"""Every row of test/rfc8461.md names a test that is there. In its last column stand programs in backquotes, each followed by what of
it shows the clause: functions, classes with or without a function, and cases in quotes ("..." at a case's end stands for any more)."""
import os
import re
import sys

import tree

TABLE = "test/rfc8461.md"
PLACES = ("test/unit/%s.c", "test/live/%s.py", "test/scenario/%s.py")
PROGRAM = re.compile(r"\s*`(\w+)`\s*(.*)", re.DOTALL)
ITEM = re.compile(r'\s*(?:"((?:[^"\\]|\\.)*)"|(\w+)(?:\.(\w+))?)\s*(?:,|$)')


def main():
    top = tree.root()
    faults, rows = [], 0
    text = tree.read(top, TABLE) if os.path.exists(os.path.join(top, TABLE)) else ""
    for number, line in enumerate(text.split("\n"), 1):
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if not line.startswith("|") or cells[0] in ("clause", "input") or set(line) <= set("|-: "):
            continue
        rows += 1
        faults += [f"{TABLE}:{number}: {cells[0]}: {fault}" for fault in judge(top, cells)]
    tree.report(faults, rows, "rows")


def judge(top, cells):
    if len(cells) != 4:
        yield f"{len(cells)} columns, not 4"
        return
    if not cells[3]:
        yield "no test is named"
    for part in cells[3].split(";") if cells[3] else ():
        match = PROGRAM.fullmatch(part)
        if match is None:
            yield f"{part.strip()}: no test program"
            continue
        yield from judge_program(top, match.group(1), match.group(2))


def judge_program(top, name, items):
    paths = [place % name for place in PLACES if os.path.exists(os.path.join(top, place % name))]
    if len(paths) != 1:
        yield f"{name}: there is no such test program"
        return
    source = tree.read(top, paths[0])
    if not items:
        yield f"{name}: which test of it?"
    while items:
        match = ITEM.match(items)
        if match is None:
            yield f"{name}: {items}: neither a test nor a case"
            return
        items = items[match.end():]
        case, first, second = match.groups()
        if case is None and not has_test(source, paths[0], first, second):
            yield f"{name}: {first}{'.' + second if second else ''} is not there"
        if case is not None and not has_case(source, case):
            yield f'{name}: no case "{case}"'


def has_test(source, path, first, second):
    if path.endswith(".c"):
        is_defined = re.search(r"^static void %s\(void \*\*state\)" % first, source, re.MULTILINE)
        return second is None and is_defined and re.search(r"\b\w*(?:test|TEST)\w*\(\s*%s\b" % first, source)
    found = re.search(r"^class %s\(.*?(?=^\S|\Z)" % first, source, re.MULTILINE | re.DOTALL)
    return found and (second is None or re.search(r"^    def %s\(self" % second, found.group(0), re.MULTILINE))


def has_case(source, case):
    if case.endswith("..."):
        return '"' + case[:-3].rstrip() in source
    return '"%s"' % case in source


if __name__ == "__main__":
    sys.exit(main())
