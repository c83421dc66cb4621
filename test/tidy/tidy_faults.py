"""The tidy tests themselves: over a small tree that is clean each passes, and every fault planted in it is told.
Usage: python3 tidy_faults.py ROOT CC FLAG..."""
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
COMPILER = sys.argv[2:] or ["cc"]

ROW = "| clause | says | Sternpost | shown by |\n|---|---|---|---|\n| 3.1 | this | that | %s |\n"

CLEAN = {
    "base/slice.h": "int slice_add(int a, int b);\n",
    "base/slice.c": '#include "base/slice.h"\n\nint slice_add(int a, int b)\n{\n    return a + b;\n}\n',
    "smtp/reply.c": '#include "base/slice.h"\n#include <string.h>\n\nstatic const char *const words[] = {"a", "b"};\n\n'
                    "const char *word(int i);\nconst char *word(int i)\n{\n    return words[slice_add(i, 0) & 1];\n}\n",
    "relay/host.h": "\n",
    "relay/host_uv.c": "int host_start(void);\n\nint host_start(void)\n{\n    return 0;\n}\n",
    "etc/run": "#!/bin/sh\necho yes\n",
    "README.md": "# Name of it\n\n[run](etc/run) and [above](#name-of-it), `base/slice.c`\n",
    "test/rfc8461.md": ROW % '`sts_a` test_a, "a case"; `t_b` B.test_b, B',
    "test/unit/sts_a.c": "static void test_a(void **state)\n{\n    (void)state;\n}\n\nint main(void)\n{\n"
                         "    const struct CMUnitTest tests[] = {cmocka_unit_test(test_a)};\n    return run(tests, \"a case\");\n}\n",
    "test/live/t_b.py": "class B(case.LiveCase):\n    def test_b(self):\n        pass\n",
}

# test, what stands in the tree, what must be said of it
FAULTS = [
    ("layers", {"smtp/reply.c": '#include "sts/policy.h"\n', "sts/policy.h": "\n"}, "smtp/ may not include"),
    ("layers", {"base/slice.c": '#include "smtp/reply.h"\n', "smtp/reply.h": "\n"}, "base/ may not include"),
    ("layers", {"relay/route.c": "#include <uv.h>\n"}, "<uv.h> may be included by"),
    ("layers", {"relay/host_uv.c": "#include <udns.h>\n"}, "<udns.h> may be included by"),
    ("layers", {"relay/route.c": "# include <mbedtls/ssl.h>\n"}, "<mbedtls/ssl.h> may be included by"),
    ("layers", {"queue/envelope.c": "#include <lmdb.h>\n"}, "<lmdb.h> may be included by"),
    ("layers", {"sts/report.c": "#include <jansson.h>\n"}, "<jansson.h> may be included by"),
    ("layers", {"relay/route.c": "#include <sys/socket.h>\n"}, "is the host's"),
    ("layers", {"smtp/reply.c": '#include "../base/slice.h"\n'}, "climbs"),
    ("layers", {"smtp/reply.c": '#include "slice.h"\n'}, "is not there"),
    ("symbols", {"smtp/reply.c": "#include <time.h>\nlong now(void);\nlong now(void)\n{\n    return time(0);\n}\n"}, "calls time"),
    ("symbols", {"base/slice.c": "#include <stdlib.h>\nint n(void);\nint n(void)\n{\n    return rand();\n}\n"}, "calls rand"),
    ("symbols", {"sts/policy.c": "int n(void);\nint n(void)\n{\n    static int count;\n    return count++;\n}\n"}, "keeps state in count"),
    ("symbols", {"smtp/reply.c": "int shared = 3;\n"}, "keeps state in shared"),
    ("symbols", {"relay/route.c": "#include <time.h>\nlong t(void);\nlong t(void)\n{\n    return time(0);\n}\n"}, "calls time"),
    ("size", {"smtp/reply.c": "/* */\n" * 601}, "601 lines"),
    ("size", {"smtp/reply.c": "int f(void)\n{\n" + "    ;\n" * 68 + "    return 0;\n}\n"}, "f has 72 lines"),
    ("size", {"test/unit/a.c": "static int g(int a,\n             int b) {\n" + "\n" * 70 + "}\n"}, "g has 73 lines"),
    ("size", {"smtp/reply.c": "".join(f"int f{i}(void)\n{{\n{'    ;' + chr(10) + '    ;'}\n" + "    ;\n" * 10 + "}\n\n" for i in range(9))},
     "the median function"),
    ("words", {"smtp/reply.c": "void f(char *a) { strcpy(a, a); }\n"}, "strcpy"),
    ("words", {"relay/host_uv.c": "int f(char *a) { return atoi(a); }\n"}, "atoi"),
    ("words", {"test/unit/host_a.c": "void f(void) { uv_run(host_loop(), UV_RUN_ONCE); }\n"}, "UV_RUN_ONCE"),
    ("words", {"README.md": "# Name of it\n\nTO" "DO: more\n"}, "work left undone"),
    ("words", {"etc/run": "#!/bin/sh\ncd /ro" "ot/x\n"}, "a path of one machine"),
    ("words", {"etc/run": "#!/bin/sh\necho deb.deb" "ian.org\n"}, "the host of a registry"),
    ("words", {"relay/route.c": 'const char *advice = "men' 'd the host";\n'}, "a plain word"),
    ("words", {"README.md": "# Name of it\n\nIt is read an" "ew.\n"}, "a plain word"),
    ("words", {"CMakeLists.txt": "add_compile_options(-DNDEB" "UG)\n"}, "asserts stay on"),
    ("scripts", {"etc/run": "#!/bin/sh\nif true; then\n"}, "etc/run"),
    ("scripts", {".ci/run": "#!/usr/bin/env bash\ncase x in\n"}, ".ci/run"),
    ("scripts", {"test/live/t_a.py": "def f(:\n"}, "t_a.py"),
    ("rfc8461", {"test/rfc8461.md": ROW % ""}, "no test is named"),
    ("rfc8461", {"test/rfc8461.md": ROW % "(live)"}, "no test program"),
    ("rfc8461", {"test/rfc8461.md": ROW % "`sts_a`"}, "which test of it?"),
    ("rfc8461", {"test/rfc8461.md": ROW % "`sts_gone` test_a"}, "there is no such test program"),
    ("rfc8461", {"test/rfc8461.md": ROW % "`sts_a` test_gone"}, "test_gone is not there"),
    ("rfc8461", {"test/rfc8461.md": ROW % '`sts_a` "another case"'}, 'no case "another case"'),
    ("rfc8461", {"test/rfc8461.md": ROW % "`t_b` B.test_a"}, "B.test_a is not there"),
    ("rfc8461", {"test/rfc8461.md": ROW % "`sts_a` test_a; and by looking"}, "and by looking: no test program"),
    ("rfc8461", {"test/rfc8461.md": ROW % "`sts_a` test_a |"}, "5 columns"),
    ("rfc8461", {"test/rfc8461.md": "# Nothing\n"}, "found no rows"),
    ("links", {"README.md": "[gone](etc/gone)\n"}, "etc/gone is not there"),
    ("links", {"README.md": "[gone](etc/run) `smtp/gone.c`\n"}, "smtp/gone.c is not there"),
    ("links", {"README.md": "# Name\n[gone](#other)\n"}, "no such heading"),
]


def run(test, tree):
    with tempfile.TemporaryDirectory() as top:
        for name, text in tree.items():
            path = os.path.join(top, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
        command = [sys.executable, os.path.join(HERE, test + ".py"), top]
        command += COMPILER if test == "symbols" else []
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        return result.returncode, result.stdout + result.stderr


def main():
    wrong = 0
    for test in sorted({test for test, _, _ in FAULTS}):
        status, output = run(test, CLEAN)
        if status != 0:
            wrong += 1
            print(f"{test} finds a fault in a clean tree:\n{output}")
    for test, planted, expected in FAULTS:
        status, output = run(test, CLEAN | planted)
        if status != 1 or expected not in output:
            wrong += 1
            print(f"{test} does not tell '{expected}' (exit {status}) of {sorted(planted)}:\n{output}")
    print(f"{len(FAULTS)} faults planted, {wrong} wrong")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
