"""No file over 600 lines, no function over 70, and the median function at most 12 (of the program's folders)."""
import statistics
import sys

import c_source
import tree

FILE_LINES_MAX = 600
FUNCTION_LINES_MAX = 70
FUNCTION_LINES_MEDIAN = 12


def main():
    top = tree.root()
    names = tree.files(top, ".c", ".h", ".py", ".sh")
    faults, lengths = [], []
    for name in names:
        text = tree.read(top, name)
        lines = text.count("\n")
        if lines > FILE_LINES_MAX:
            faults.append(f"{name}: {lines} lines, over {FILE_LINES_MAX}: it has more than one noun")
        if not name.endswith(".c"):
            continue
        for function, line, length in c_source.functions(text):
            if length > FUNCTION_LINES_MAX:
                faults.append(f"{name}:{line}: {function} has {length} lines, over {FUNCTION_LINES_MAX}")
            if name.split("/")[0] in tree.FOLDERS:
                lengths.append(length)
    median = statistics.median(lengths) if lengths else 0
    if median > FUNCTION_LINES_MEDIAN:
        faults.append(f"the median function has {median} lines, over {FUNCTION_LINES_MEDIAN}")
    print(f"{len(lengths)} functions, median {median} lines, longest {max(lengths, default=0)}")
    tree.report(faults, len(names), "files")


if __name__ == "__main__":
    sys.exit(main())
