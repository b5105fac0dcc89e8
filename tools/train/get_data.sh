#!/bin/sh
# Fetch and unpack the Debian packages that calmoe-nano is trained on (packages.txt).
# Nothing is installed: packages are downloaded with apt-get and unpacked with dpkg-deb.
set -eu

if [ $# -ne 1 ] || [ "$1" = --help ]; then
    echo "usage: get_data.sh DIR    (needs about 6 GB in DIR; Debian 12, apt sources for 'main')" >&2
    exit 2
fi
here=$(cd "$(dirname "$0")" && pwd)
whole=$(sed -n '/^# Of these only/q; /^#/!p' "$here/packages.txt")
parts=$(sed -n '1,/^# Of these only/d; p' "$here/packages.txt")

mkdir -p "$1/deb"
cd "$1/deb"
missing=
for p in $whole $parts; do ls "$p"_*.deb >/dev/null 2>&1 || missing="$missing $p"; done
# All at once, which is quick; where one of them is no more, one after another.
# shellcheck disable=SC2086
if [ -n "$missing" ] && ! apt-get download -q $missing; then
    for p in $missing; do ls "$p"_*.deb >/dev/null 2>&1 || apt-get download -q "$p" || echo "skipped: $p" >&2; done
fi

# unpack PACKAGE PATTERN...: into a folder of its own, so that the programs know where a file came from.
unpack() {
    package=$1
    shift
    [ ! -d "../pkg/$package" ] || return 0
    for deb in "$package"_*.deb; do
        [ -f "$deb" ] || continue
        rm -rf "../pkg/$package.part"
        mkdir -p "../pkg/$package.part"
        # tar fails where a package has nothing of a kind.
        dpkg-deb --fsys-tarfile "$deb" | tar -C "../pkg/$package.part" -x --wildcards "$@" 2>/dev/null || :
        mv "../pkg/$package.part" "../pkg/$package"
    done
}
for p in $whole; do unpack "$p" '*'; done
for p in $parts; do
    unpack "$p" '*/de/LC_MESSAGES/*.mo' '*/fr/LC_MESSAGES/*.mo' '*/ru/LC_MESSAGES/*.mo' '*/ja/LC_MESSAGES/*.mo' \
        '*/man/man[1-8]/*' '*/man/de/man[1-8]/*' '*/man/fr/man[1-8]/*' '*/man/ru/man[1-8]/*' '*/man/ja/man[1-8]/*' '*.desktop'
done

# Of the kernel only these folders are used.
if [ ! -d ../pkg/linux-source-6.1/src ]; then
    mkdir ../pkg/linux-source-6.1/src
    tar -C ../pkg/linux-source-6.1/src --strip-components=1 --wildcards -xf ../pkg/linux-source-6.1/usr/src/linux-source-*.tar.xz \
        '*/lib/*.c' '*/kernel/*.c' '*/mm/*.c' '*/fs/*.c' '*/ipc/*.c' '*/block/*.c' '*/init/*.c'
fi
for d in *.deb; do dpkg-deb -W --showformat '${Package}\t${Version}\n' "$d"; done > ../packages.tsv
