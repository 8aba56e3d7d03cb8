#!/bin/sh
# Builds the Debian package from a clean copy of the sources, and installs, uses, upgrades, removes
# and purges it in a root of its own: a copy of this machine's, of which nothing is changed, or of
# the directory SMOKEFS_PACKAGE_ROOT, such as debootstrap makes. Skipped (77) where that is
# impossible.
set -eu
cd "$(dirname "$0")/.."

skip() {
    echo "skipped: $*"
    exit 77
}

fail() {
    echo "FAILED: $*" >&2
    exit 1
}

if [ "${1:-}" != --inside ]; then
    [ "$(id -u)" = 0 ] || skip "not root"
    command -v dh >/dev/null || skip "debhelper is missing"
    [ -w /dev/fuse ] || skip "/dev/fuse is missing"
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    mkdir "$work/source" "$work/over" "$work/root"
    git ls-files -z | tar --null --files-from=- --create | tar --extract --directory="$work/source"
    echo "== build"
    if ! (cd "$work/source" && dpkg-buildpackage -us -uc -b >"$work/log" 2>&1); then
        tail -n 60 "$work/log"
        fail "dpkg-buildpackage"
    fi
    if command -v lintian >/dev/null; then
        echo "== lintian"
        lintian --allow-root --fail-on error,warning --tag-display-limit 0 \
            "$work"/smokefs_*.changes || fail "lintian"
    fi
    # A namespace of mounts ends with all that is in it.
    unshare --mount --propagation private sh "tests/package.sh" --inside "$work" || exit $?
    exit 0
fi

work=$2
root=$work/root
mount -t tmpfs tmpfs "$work/over"
mkdir "$work/over/upper" "$work/over/work"
mount -t overlay -o "lowerdir=${SMOKEFS_PACKAGE_ROOT:-/},upperdir=$work/over/upper,workdir=$work/over/work" \
    overlay "$root" || skip "no overlay can be mounted"
mount --rbind /dev "$root/dev"
mount -t proc proc "$root/proc"
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
cp "$work"/smokefs_*.deb "$root/tmp/first.deb"
rm -rf "$work/second"
dpkg-deb -R "$root/tmp/first.deb" "$work/second"
sed -i 's/^Version: .*/&+test/' "$work/second/DEBIAN/control"
dpkg-deb -b "$work/second" "$root/tmp/second.deb" >/dev/null

inside() {
    env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root DEBIAN_FRONTEND=noninteractive LC_ALL=C \
        chroot "$root" "$@"
}

# What is there, where a package or its program could leave something, but for the records of dpkg
# itself, and backups that the tools for users make.
snapshot() {
    find "$root/etc" "$root/usr" "$root/lib/" "$root/var/lib" "$root/var/spool" "$root/opt" \
        "$root/srv" -xdev \( -path "$root/var/lib/dpkg" -o -path "$root/var/lib/apt" \) -prune \
        -o ! -name '*-' ! -name .pwd.lock -printf '%p %y %m %U %l\n' | sort
    cat "$root/etc/passwd" "$root/etc/group"
}

is_node() { # pid
    [ "$(cat "/proc/$1/comm" 2>/dev/null)" = smokefs ]
}

echo "== install"
if [ -n "${SMOKEFS_PACKAGE_ROOT:-}" ]; then
    cp /etc/resolv.conf "$root/etc/resolv.conf"
    inside apt-get update -qq
    # What it needs is to stay, and no part of the comparison.
    inside apt-get install -y -qq --no-install-recommends /tmp/first.deb
    inside dpkg --purge smokefs
fi
inside dpkg --purge smokefs 2>/dev/null
snapshot >"$work/before"
inside dpkg --install /tmp/first.deb
inside smokefs --version
for path in /usr/bin/smokefs /usr/sbin/mount.smokefs /lib/systemd/system/smokefs@.service \
    /usr/lib/systemd/user/smokefs@.service /usr/lib/sysusers.d/smokefs.conf \
    /usr/share/bash-completion/completions/smokefs /usr/share/zsh/vendor-completions/_smokefs \
    /usr/share/fish/vendor_completions.d/smokefs.fish; do
    inside test -s "$path" || fail "$path is missing"
done
case ${SMOKEFS_PACKAGE_ROOT:-} in
'') # a small system leaves these out
    for path in man/man1/smokefs.1.gz man/man8/mount.smokefs.8.gz doc/smokefs/README.md \
        doc/smokefs/docs/design.md doc/smokefs/examples/fstab doc/smokefs/copyright; do
        inside test -s "/usr/share/$path" || fail "/usr/share/$path is missing"
    done
    ;;
esac
inside getent passwd smokefs >/dev/null || fail "there is no user smokefs"
[ "$(inside stat -c %a /etc/smokefs)" = 700 ] || fail "/etc/smokefs can be read by others"
if inside test -x /usr/bin/systemd-analyze; then
    inside systemd-analyze verify --man=no smokefs@srv-net.service || fail "the unit"
fi

echo "== use"
inside mkdir /srv/net
inside mount -t smokefs none /srv/net -o _netdev,nofail,address=127.0.0.1,no_discovery,name=packaged
inside findmnt /srv/net
pid=$(sed -n 's/^pid //p' "$root/srv/net/status")
inside test -s /etc/smokefs/network.key || fail "no key was made"
id=$(cat "$root/srv/net/id")

echo "== upgrade"
inside dpkg --install /tmp/second.deb
is_node "$pid" || fail "the node has ended"
[ "$(cat "$root/srv/net/id")" = "$id" ] || fail "the mount has gone"
inside umount /srv/net
inside mount -t smokefs none /srv/net -o address=127.0.0.1,no_discovery
[ "$(cat "$root/srv/net/id")" = "$id" ] || fail "another id after the upgrade"
inside umount /srv/net
inside rmdir /srv/net

echo "== remove"
inside dpkg --remove smokefs
inside test -s /etc/smokefs/network.key || fail "the key went with the program"
inside test -e /usr/bin/smokefs && fail "the program is still there"

echo "== install again, purge"
inside dpkg --install /tmp/first.deb
inside dpkg --purge smokefs
snapshot >"$work/after"
diff "$work/before" "$work/after" || fail "something was left behind"
echo "== done"
