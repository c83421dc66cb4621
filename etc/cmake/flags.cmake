# sternpost_flags: how every file is compiled. sternpost_program: how the released program is linked.

include(CheckCCompilerFlag)
include(CheckCSourceCompiles)

set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

# CMake's own release flags switch assert() off. Here asserts stay on.
set(CMAKE_C_FLAGS_RELEASE "-O2 -g")
set(CMAKE_C_FLAGS_RELWITHDEBINFO "-O2 -g")
set(CMAKE_C_FLAGS_MINSIZEREL "-Os -g")

add_library(sternpost_flags INTERFACE)
target_include_directories(sternpost_flags INTERFACE ${CMAKE_SOURCE_DIR})
target_compile_definitions(sternpost_flags INTERFACE
    _GNU_SOURCE _FILE_OFFSET_BITS=64 STERNPOST_VERSION="${PROJECT_VERSION}")
target_compile_options(sternpost_flags INTERFACE
    -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Werror
    -fno-common -ffile-prefix-map=${CMAKE_SOURCE_DIR}/=)

add_library(sternpost_program INTERFACE)

if(STERNPOST_SANITIZE)
    add_compile_options(-fsanitize=${STERNPOST_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
    add_link_options(-fsanitize=${STERNPOST_SANITIZE})
endif()

if(STERNPOST_FUZZ)
    if(NOT CMAKE_C_COMPILER_ID STREQUAL Clang)
        message(FATAL_ERROR "The fuzzers need clang: cmake --preset fuzz")
    endif()
    add_compile_options(-fsanitize=fuzzer-no-link)
endif()

function(sternpost_flag_if_known variable)
    string(REPLACE ";" " " CMAKE_REQUIRED_FLAGS "${ARGN};-Werror")
    check_c_source_compiles("int main(void) { return 0; }" ${variable})
    if(${variable})
        target_compile_options(sternpost_flags INTERFACE ${ARGN})
    endif()
endfunction()

if(STERNPOST_HARDEN)
    target_compile_options(sternpost_flags INTERFACE -fstack-protector-strong -fno-delete-null-pointer-checks)
    target_link_options(sternpost_program INTERFACE LINKER:-z,relro,-z,now,-z,noexecstack,-z,separate-code)
    sternpost_flag_if_known(HAVE_STACK_CLASH -fstack-clash-protection)
    sternpost_flag_if_known(HAVE_CF_PROTECTION -fcf-protection=full)
    sternpost_flag_if_known(HAVE_AUTO_VAR_INIT -ftrivial-auto-var-init=zero)
    if(NOT HAVE_AUTO_VAR_INIT)
        # clang before 16 wants to be asked twice.
        sternpost_flag_if_known(HAVE_AUTO_VAR_INIT_OF_OLD_CLANG -ftrivial-auto-var-init=zero
            -enable-trivial-auto-var-init-zero-knowing-it-will-be-removed-from-clang)
    endif()
    set(CMAKE_REQUIRED_FLAGS "-O2 -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3 -Werror")
    check_c_source_compiles("#include <string.h>\nint main(void) { return 0; }" HAVE_FORTIFY_3)
    unset(CMAKE_REQUIRED_FLAGS)
    if(HAVE_FORTIFY_3)
        target_compile_options(sternpost_flags INTERFACE -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3)
    else()
        target_compile_options(sternpost_flags INTERFACE -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
    endif()
endif()

if(STERNPOST_STATIC)
    add_compile_options(-fPIE)
    target_link_options(sternpost_program INTERFACE -static-pie)
endif()
