#!/bin/sh
# Fetch and unpack the Debian packages that calmoe-nano is trained on.
# Nothing is installed: packages are downloaded with apt-get and unpacked with dpkg -x.
set -eu

if [ $# -ne 1 ] || [ "$1" = --help ]; then
    echo "usage: get_data.sh DIR    (needs about 2 GB in DIR; Debian 12, apt sources for 'main')" >&2
    exit 2
fi

packages="
manpages manpages-dev
manpages-de manpages-de-dev manpages-fr manpages-fr-dev manpages-ru manpages-ru-dev manpages-ja manpages-ja-dev
libreoffice-help-en-us libreoffice-help-de libreoffice-help-fr libreoffice-help-ru libreoffice-help-ja
debian-reference-en debian-reference-de debian-reference-fr debian-reference-ja
debian-handbook debian-faq debian-faq-de debian-faq-fr debian-faq-ru debian-faq-ja
installation-guide-amd64 git-doc perl-doc python3.11-doc coreutils
gimp-help-en gimp-help-de gimp-help-fr gimp-help-ru gimp-help-ja
aptitude-doc-en aptitude-doc-fr aptitude-doc-ru aptitude-doc-ja
linux-source-6.1
libpython3.11-stdlib libpython3.11-minimal python3-django python3-networkx python3-docutils python3-sqlalchemy
python3-twisted mercurial-common python3-pygments
"

mkdir -p "$1/deb"
cd "$1/deb"
for p in $packages; do
    ls "$p"_*.deb >/dev/null 2>&1 || apt-get download -q "$p" || echo "skipped: $p" >&2
done

# One folder a package, so that prepare.py knows where a file came from.
for d in *.deb; do
    p=${d%%_*}
    [ -d "../pkg/$p" ] && continue
    mkdir -p "../pkg/$p"
    dpkg -x "$d" "../pkg/$p"
done

# Of the kernel only these folders are used.
if [ ! -d ../pkg/linux-source-6.1/src ]; then
    mkdir ../pkg/linux-source-6.1/src
    tar -C ../pkg/linux-source-6.1/src --strip-components=1 --wildcards -xf ../pkg/linux-source-6.1/usr/src/linux-source-*.tar.xz \
        '*/lib/*.c' '*/kernel/*.c' '*/mm/*.c' '*/fs/*.c' '*/ipc/*.c' '*/block/*.c' '*/init/*.c'
fi
for d in *.deb; do dpkg-deb -W --showformat '${Package}\t${Version}\n' "$d"; done > ../packages.tsv
