#!/bin/sh
# Sets up this machine and runs every test: a release build, the same with sanitizers, the
# format of the sources, and the demonstration. Ends with "N passed, N failed, N skipped".
set -eu
cd "$(dirname "$0")/.."
top=$PWD

say() {
    printf '\n== %s\n' "$*"
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        echo "tests/run.sh: run this as root, or install: $packages" >&2
        exit 1
    fi
}

packages="gcc meson ninja-build pkg-config libfuse3-dev fuse3 libev-dev libc-ares-dev libssl-dev \
libseccomp-dev libjansson-dev uthash-dev libcriterion-dev clang clang-format libclang-rt-dev python3 \
mandoc procps openssl iproute2 nftables systemd gnuplot-nox python3-prometheus-client"
# SMOKEFS_PACKAGE=1: the Debian package as well, which takes some two minutes.
[ -z "${SMOKEFS_PACKAGE:-}" ] || packages="$packages dpkg-dev debhelper fakeroot lintian"
missing=
for package in $packages; do
    dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null | grep -q '^ii' ||
        missing="$missing $package"
done
if [ -n "$missing" ]; then
    say "installing$missing"
    as_root apt-get update -qq
    # shellcheck disable=SC2086
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        $missing >/dev/null
fi

mounts() {
    grep -c ' fuse\.smokefs ' /proc/self/mountinfo || true
}
mounts_before=$(mounts)
passed=0 failed=0 skipped=0

count() { # a line of meson's summary, by its name
    sed -n "s/^$1: *\([0-9]*\) *$/\1/p" "$2" | tail -n 1
}

suite() { # name, multiple of the time limits, suite to leave out, options of meson setup
    name=$1 times=$2 without=$3
    shift 3
    say "suite: $name"
    if [ -f "build-$name/build.ninja" ]; then
        meson setup "build-$name" --reconfigure "$@" >/dev/null
    else
        meson setup "build-$name" "$@" >/dev/null
    fi
    meson compile -C "build-$name"
    log=$top/build-$name/run.log
    # One more than there are processors: some tests wait for the most part.
    meson test -C "build-$name" --no-rebuild --print-errorlogs \
        --num-processes $(($(nproc) + 1)) \
        --timeout-multiplier "$times" --no-suite "$without" >"$log" 2>&1 || true
    cat "$log"
    for pair in Ok:passed Fail:failed Timeout:failed 'Unexpected Pass':failed Skipped:skipped; do
        n=$(count "${pair%:*}" "$log")
        case ${pair#*:} in
        passed) passed=$((passed + ${n:-0})) ;;
        failed) failed=$((failed + ${n:-0})) ;;
        skipped) skipped=$((skipped + ${n:-0})) ;;
        esac
    done
    [ -n "$(count Ok "$log")" ] || failed=$((failed + 1)) # it did not get that far
}

check() { # what, command
    what=$1
    shift
    say "$what"
    status=0
    "$@" || status=$?
    case $status in
    0) passed=$((passed + 1)) ;;
    77) skipped=$((skipped + 1)) ;;
    *)
        echo "FAILED: $what"
        failed=$((failed + 1))
        ;;
    esac
}

# Every target for so many seconds, all at once. What a target found is in
# build-fuzz/found-<target>-*, and what it has learnt in build-fuzz/corpus for the next time.
fuzz_seconds=${SMOKEFS_FUZZ:-60}

fuzz_one() { # target
    mkdir -p "build-fuzz/corpus/$1"
    dict=tests/fuzz/$1.dict
    [ -f "$dict" ] && dict=-dict=$dict || dict=
    rm -f "build-fuzz/fuzz-$1.failed" "build-fuzz/found-$1-"*
    # shellcheck disable=SC2086
    timeout -k 10 $((fuzz_seconds + 120)) "build-fuzz/tests/fuzz/fuzz-$1" \
        -max_total_time="$fuzz_seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
        -artifact_prefix="build-fuzz/found-$1-" $dict \
        "build-fuzz/corpus/$1" "tests/fuzz/corpus/$1" >"build-fuzz/fuzz-$1.log" 2>&1 ||
        touch "build-fuzz/fuzz-$1.failed"
}

fuzz() {
    say "fuzz: $fuzz_seconds s a target"
    if ! echo 'int LLVMFuzzerTestOneInput(void); int LLVMFuzzerTestOneInput(void) { return 0; }' |
        clang -fsanitize=fuzzer -x c -o /dev/null - 2>/dev/null; then
        echo "skipped: clang has no libFuzzer here"
        skipped=$((skipped + 1))
        return
    fi
    reconfigure=
    [ -f build-fuzz/build.ninja ] && reconfigure=--reconfigure
    # shellcheck disable=SC2086
    CC=clang meson setup build-fuzz $reconfigure -Dfuzz=enabled -Dtests=disabled \
        --buildtype=debugoptimized -Db_sanitize=address,undefined -Db_lundef=false >/dev/null
    meson compile -C build-fuzz fuzz
    for directory in tests/fuzz/corpus/*; do
        fuzz_one "${directory##*/}" &
    done
    wait
    for directory in tests/fuzz/corpus/*; do
        target=${directory##*/}
        if [ -f "build-fuzz/fuzz-$target.failed" ]; then
            echo "FAILED: fuzz/$target"
            grep -v '^#' "build-fuzz/fuzz-$target.log" | tail -n 60
            for found in "build-fuzz/found-$target-"*; do
                [ -f "$found" ] && echo "$found" && base64 "$found" | head -n 100
            done
            failed=$((failed + 1))
        else
            sed -n "s/^Done \([0-9]*\) runs.*/fuzz\/$target: \1 inputs, nothing found/p" \
                "build-fuzz/fuzz-$target.log"
            passed=$((passed + 1))
        fi
    done
}

check "format of the sources" \
    sh -c 'git ls-files "*.c" "*.h" | xargs clang-format --dry-run --Werror'
check "man page" mandoc -T lint -W warning docs/smokefs.1
suite release 1 none --buildtype=release --werror -Dtests=enabled
# The leak checker reports at the exit of a process, the other two at once.
export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
suite sanitize 3 once --buildtype=debugoptimized --werror -Dtests=enabled \
    -Db_sanitize=address,undefined -Db_lundef=false
[ "$fuzz_seconds" = 0 ] || fuzz
if [ -w /dev/fuse ]; then
    check "demonstration" sh docs/demo.sh
else
    skipped=$((skipped + 1))
fi
[ -z "${SMOKEFS_PACKAGE:-}" ] || check "package" sh tests/package.sh
check "no mount is left" test "$(mounts)" = "$mounts_before"

say "result"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
