"""The released program is one static, position-independent, hardened file whose asserts are on.
Usage: python3 release.py PROGRAM"""
import re
import subprocess
import sys


def readelf(option, program):
    return subprocess.run(["readelf", "-W", option, program], check=True, capture_output=True, text=True).stdout


def main():
    program = sys.argv[1]
    header, segments, dynamic = (readelf(option, program) for option in ("-h", "-l", "-d"))
    stack = re.search(r"GNU_STACK.*", segments)
    checks = {
        "it is position-independent": re.search(r"Type:\s+DYN", header),
        "it is static: asks for no loader": "INTERP" not in segments,
        "it is static: asks for no library": "(NEEDED)" not in dynamic,
        "relocations are read-only": "GNU_RELRO" in segments,
        "symbols are bound at the start": re.search(r"BIND_NOW|FLAGS.*NOW", dynamic),
        "its stack is not executable": stack and "RWE" not in stack.group(0),
        "no segment is writable and executable": not re.search(r"LOAD.*RWE", segments),
        "asserts are on": "__assert_fail" in readelf("-s", program),
        "the stack is guarded": "__stack_chk_fail" in readelf("-s", program),
        "buffers are guarded": "__memcpy_chk" in readelf("-s", program),
    }
    for what, holds in checks.items():
        print(f"{'yes' if holds else 'NO'}: {what}")
    version = subprocess.run([program, "version"], capture_output=True, text=True, check=False)
    print(f"{'yes' if version.returncode == 0 else 'NO'}: it starts")
    sys.exit(0 if all(checks.values()) and version.returncode == 0 else 1)


if __name__ == "__main__":
    main()
