#!/bin/sh
# Builds a copy of the working tree under build/$1 with that profile (debug or asan) and runs the tests named after it.
set -eu
profile=$1
shift
here=$PWD
python=$here/.venv/bin/python
tree=build/$profile

mkdir -p "$tree"
# Time stamps are kept, so that only what changed is compiled again.
git ls-files -z --cached --others --exclude-standard |
    xargs -0 sh -c 'for f; do [ -e "$f" ] && printf "%s\0" "$f"; done' sh |
    tar --null -T - -cf - | tar -xf - -C "$tree"
cd "$tree"
SFU_BUILD=$profile "$python" setup.py -q build_ext --inplace

existing=""
for path in "$@"; do [ -e "$path" ] && existing="$existing $path"; done

if [ "$profile" = asan ]; then
    # Python itself is not instrumented: the runtime comes first, and its arenas and leaks are none of ours.
    LD_PRELOAD=$(gcc -print-file-name=libasan.so):$(gcc -print-file-name=libubsan.so)
    export LD_PRELOAD PYTHONMALLOC=malloc
    export ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1:abort_on_error=1:handle_segv=0
    export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
fi
# shellcheck disable=SC2086
PYTHONPATH=$PWD SFU_PROFILE=$profile FUZZ_SECONDS=${FUZZ_SECONDS:-3} "$python" -m pytest -q -p no:cacheprovider --capture=sys $existing
