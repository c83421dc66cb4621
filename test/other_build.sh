#!/bin/sh
# Configures and builds a second preset and runs its tests, as one test of the first.
# Usage: sh test/other_build.sh PRESET BUILD-FOLDER TARGET CTEST-LABEL
set -eu
cd "$(dirname "$0")/.."

cmake --preset "$1" -B "$2" --log-level=WARNING
cmake --build "$2" --target "$3"

# ThreadSanitizer of some compilers cannot start where the kernel scatters addresses widely.
fixed=
if [ "$1" = tsan ] && setarch -R true 2>/dev/null; then
    fixed="setarch -R"
fi
# shellcheck disable=SC2086
exec $fixed ctest --test-dir "$2" --output-on-failure --no-tests=error -j "$(nproc)" -L "$4"
