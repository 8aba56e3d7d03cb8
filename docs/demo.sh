#!/bin/sh
# Five nodes on this machine: they find each other through one seed, talk, move a file, lose a
# node and get it back. Installs what is missing, builds, cleans up behind itself.
set -eu
cd "$(dirname "$0")/.."

packages="gcc meson ninja-build pkg-config libfuse3-dev fuse3 libev-dev libc-ares-dev libssl-dev \
libseccomp-dev libjansson-dev uthash-dev"
missing=
for package in $packages; do
    dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null | grep -q '^ii' ||
        missing="$missing $package"
done
if [ -n "$missing" ]; then
    echo "installing$missing"
    root=
    [ "$(id -u)" = 0 ] || root=sudo
    $root apt-get update -qq
    # shellcheck disable=SC2086
    $root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        $missing >/dev/null
fi
[ -f build/build.ninja ] || meson setup build --buildtype=release >/dev/null
meson compile -C build >/dev/null
smokefs=$PWD/build/smokefs

work=$(mktemp -d)
pids=
cleanup() {
    status=$?
    trap - EXIT INT TERM
    for pid in $pids; do
        kill "$pid" 2>/dev/null || true
    done
    for n in 1 2 3 4 5; do
        pid=$(node_pid $n)
        [ -z "$pid" ] || kill "$pid" 2>/dev/null || true
    done
    for n in 1 2 3 4 5; do
        gone $n || echo "node $n is still mounted" >&2
    done
    rm -rf "$work"
    exit $status
}

node_pid() { # of node n, empty when it does not run
    pid=$(cat "$work/state$1/lock" 2>/dev/null) || return 0
    if [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null; then
        echo "$pid"
    fi
}

mounted() {
    grep -q " $work/net$1 .* fuse\.smokefs " /proc/self/mountinfo
}

# Waits up to ten seconds for a command to succeed.
wait_for() {
    tries=0
    until "$@"; do
        tries=$((tries + 1))
        if [ $tries -gt 200 ]; then
            echo "demo: gave up waiting for: $*" >&2
            exit 1
        fi
        sleep 0.05
    done
}

gone() {
    tries=0
    while mounted "$1" || [ -n "$(node_pid "$1")" ]; do
        tries=$((tries + 1))
        [ $tries -le 200 ] || return 1
        sleep 0.05
    done
}

start() { # node n, seed
    "$smokefs" --key "$work/network.key" --address 127.0.0.1 --state "$work/state$1" \
        --name "node$1" "$2" "$work/net$1"
}

step() {
    printf '\n# %s\n' "$*"
}

trap cleanup EXIT INT TERM
for n in 1 2 3 4 5; do
    mkdir "$work/net$n"
done
cd "$work"

step "five nodes, one seed"
start 1 none
seed=$(sed -n 's/^address //p' net1/status)
for n in 2 3 4 5; do
    start $n "$seed"
done
members() {
    for n in 1 2 3 4 5; do
        grep -qx 'members 5' net$n/status || return 1
        [ "$(ls net$n/peers | wc -l)" -ge 3 ] || return 1
    done
}
wait_for members
for n in 1 2 3 4 5; do
    printf 'node%s %s peers:' $n "$(cat net$n/id)"
    for peer in net$n/peers/*; do
        printf ' %s' "$(cat "$peer/name")"
    done
    echo
done

step "echo into one broadcast, cat from the others"
for n in 2 3 4 5; do
    cat net$n/broadcast >heard$n &
    pids="$pids $!"
done
readers() { # a reader hears from its open on
    for n in 2 3 4 5; do
        grep -qx 'handles 1' net$n/status || return 1
    done
}
wait_for readers
echo 'hello from node1' >net1/broadcast
heard() {
    for n in 2 3 4 5; do
        grep -qx 'hello from node1' heard$n || return 1
    done
}
wait_for heard
for n in 2 3 4 5; do
    echo "node$n heard: $(cat heard$n)"
done
for pid in $pids; do
    kill "$pid"
done
pids=

step "10 MB through a direct stream"
peer=$(ls net1/peers | head -n 1)
for n in 2 3 4 5; do
    [ "$(cat net$n/id)" != "$peer" ] || to=$n
done
head -c 10000000 /dev/urandom >sent
head -c 10000000 "net$to/peers/$(cat net1/id)/stream" >received &
receiver=$!
cat sent >"net1/peers/$peer/stream"
wait $receiver
sha256sum sent received
cmp sent received

step "tail -f events notices a node killed with -9"
victim=5
witness=$(for n in 1 2 3 4; do
    [ ! -d "net$n/peers/$(cat net5/id)" ] || echo $n
done | head -n 1)
id5=$(cat net5/id)
tail -n 0 -f "net$witness/events" >tailed &
pids="$pids $!"
tail_pid=$!
tail_open() {
    ls -l "/proc/$tail_pid/fd" 2>/dev/null | grep -q events
}
wait_for tail_open
kill -9 "$(node_pid $victim)"
removed() {
    grep -q "remove id=$id5" tailed
}
wait_for removed
grep "remove id=$id5" tailed
wait_for gone $victim
echo "its mount is gone, too"

step "it comes back under the same id"
start $victim "$seed"
wait_for members
[ "$(cat net$victim/id)" = "$id5" ]
echo "node5 $(cat net$victim/id) peers: $(ls net$victim/peers | wc -l)"

step "a clean end"
for pid in $pids; do
    kill "$pid" 2>/dev/null || true
done
pids=
for n in 1 2 3 4 5; do
    kill "$(node_pid $n)"
done
for n in 1 2 3 4 5; do
    gone $n
done
echo "nothing is mounted, nothing runs"
