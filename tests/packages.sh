#!/bin/bash
# Builds the Debian packages and tries them in an empty root: tests/packages.sh [FOLDER_FOR_THE_ROOT]
#
# As root, with debootstrap and a mirror to be had; else it is skipped (exit status 77). What is checked: lintian, where it
# is installed; that apt installs them with nothing else asked for; that command, manual pages, completion, Python module
# and a C program by pkg-config work there; that nothing is left when they are removed.
set -u
cd "$(dirname "$0")/.." || exit 1
skip() { echo "skipped: $1"; exit 77; }
fail() { echo "packages: $1" >&2; exit 1; }
[ "$(id -u)" = 0 ] || skip 'it wants root'
for program in debootstrap dpkg-shlibdeps; do
    command -v $program > /dev/null || skip "there is no $program (packages debootstrap, dpkg-dev)"
done

cmake --preset package > build/package.log 2>&1 && cmake --build --preset package >> build/package.log 2>&1 ||
    fail "they cannot be built; see build/package.log"
packages=$(ls build/package/*.deb)
echo "$packages"
if command -v lintian > /dev/null; then # a maintainer with an address is who builds for others
    lintian --fail-on error --suppress-tags bogus-mail-host,bogus-mail-host-in-debian-changelog,root-in-contact \
        $packages || fail 'lintian finds faults'
fi

folder=${1-$(mktemp -d)}
mkdir -p "$folder" || exit 1
trap '[ $# -gt 0 ] || rm -rf "$folder"' EXIT
root=$folder/root
if [ ! -e "$root/ready" ]; then
    debootstrap --variant=minbase bookworm "$root" > "$folder/debootstrap.log" 2>&1 ||
        skip "debootstrap fails: $(tail -1 "$folder/debootstrap.log")"
    touch "$root/ready"
fi
mkdir -p "$root/packages" && cp $packages examples/generate.c "$root/packages/" || exit 1
cp /etc/resolv.conf "$root/etc/resolv.conf"

inside() { chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive "$@"; }
inside sh -c 'apt-get update -q && apt-get install -q -y --no-install-recommends /packages/*.deb' \
    > "$folder/install.log" 2>&1 || fail "apt-get does not install them: $(tail -3 "$folder/install.log")"

[ -n "$(inside calmoe run -p 'The file' -n 8 2> "$folder/log")" ] || fail "calmoe says nothing: $(cat "$folder/log")"
inside calmoe-bench --help > /dev/null || fail 'calmoe-bench does not run'
[ "$(inside sh -c 'zcat /usr/share/man/man1/calmoe-run.1.gz | grep -c "^.TP"')" -gt 20 ] || fail 'no manual page'
inside python3 -c 'import calmoe; assert calmoe.Model().engine(threads=1).generate("The file", max_new_tokens=8)' ||
    fail 'the Python module does not run'
completions=$(inside bash -c '. /usr/share/bash-completion/completions/calmoe
    COMP_WORDS=(calmoe run --colo) COMP_CWORD=2; _calmoe calmoe --colo run; echo "${COMPREPLY[@]}"')
[ "$completions" = --color ] || fail "completion says '$completions'"
inside sh -c 'apt-get install -q -y --no-install-recommends gcc libc6-dev pkg-config' > "$folder/install.log" 2>&1 ||
    fail "no compiler: $(tail -3 "$folder/install.log")"
inside sh -c 'cc -o /packages/generate /packages/generate.c $(pkg-config --cflags --libs calmoe)' ||
    fail 'a program does not build'
inside /packages/generate | grep -q '^This function returns....' || fail 'a program does not run'

inside apt-get purge -q -y calmoe calmoe-data libcalmoe0 libcalmoe-dev python3-calmoe > "$folder/purge.log" 2>&1 ||
    fail "they cannot be removed: $(tail -3 "$folder/purge.log")"
left=$(find "$root/usr" "$root/etc" "$root/var/lib/dpkg/info" -iname '*calmoe*')
[ -z "$left" ] || fail "left behind: $left"
echo "packages: installed in an empty root, tried, removed"
