# packages.sh - sourced by demo.sh and test.sh: says what is missing on a Debian machine, and installs it.

# Each row: Debian package | a program that makes it unnecessary ("" = ask dpkg)
calmoe_build_packages='gcc|gcc
libc6-dev|
cmake|cmake
ninja-build|ninja
pkg-config|pkg-config
libhwloc-dev|
libpcre2-dev|
libjansson-dev|
libmicrohttpd-dev|
libopenblas-dev|'
calmoe_test_packages='g++|g++
binutils|nm
libcmocka-dev|'
# for one of the examples, which is not built without it
calmoe_example_packages='libsqlite3-dev|'
# for tests/python, which is skipped without it
calmoe_python_packages='python3|python3'
# for tests/numa, which is skipped without them
calmoe_machine_packages='qemu-system-x86|qemu-system-x86_64
cpio|cpio'
# for tests/emulated.sh, which is skipped without it
calmoe_emulator_packages='qemu-user|qemu-x86_64'
# for the build for 64-bit Arm, which is skipped without it
calmoe_arm_packages='gcc-aarch64-linux-gnu|aarch64-linux-gnu-gcc
qemu-user|qemu-aarch64'
# for what several processes do together (base/ranks.c), which is left out, and its tests skipped, without them
calmoe_mpi_packages='libopenmpi-dev|
openmpi-bin|mpirun'
# for reading experts by io_uring (base/disk_ring.c); without it they are read by threads with pread
calmoe_uring_packages='liburing-dev|'
calmoe_full_packages='clang-14|clang-14
libomp-14-dev|
libclang-rt-14-dev|
llvm-14|llvm-symbolizer-14'

# missing_packages ROWS: the names of those that are not there, in one line
missing_packages()
{
    echo "$1" | while IFS='|' read -r package program; do
        if [ -n "$program" ] && command -v "$program" > /dev/null; then continue; fi
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2> /dev/null)" = installed ] ||
            printf '%s ' "$package"
    done
}

# need_packages ROWS: installs what is missing; needs no network when nothing is. Fails with a sentence.
need_packages()
{
    command -v dpkg-query > /dev/null || return 0 # not Debian: CMake will say what it lacks
    packages=$(missing_packages "$1")
    [ -n "$packages" ] || return 0
    if [ "$(id -u)" = 0 ]; then
        as_root=
    elif command -v sudo > /dev/null && { [ -t 0 ] || sudo -n true 2> /dev/null; }; then
        as_root=sudo
    else
        echo "Missing packages. Please install them as root, then try again:" >&2
        echo "    apt-get install $packages" >&2
        return 1
    fi
    echo "== installing: $packages" >&2
    # shellcheck disable=SC2086 # package names are words
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get update -q > /dev/null &&
        $as_root env DEBIAN_FRONTEND=noninteractive \
            apt-get install -q -y --no-install-recommends $packages > /dev/null || {
        echo "apt-get could not install: $packages" >&2
        return 1
    }
}

# need_kernel FOLDER: Debian's own kernel for tests/numa, as FOLDER/vmlinuz; taken out of its package, not installed.
# Needs no network when it is there. Where it cannot be had that test is skipped, so this does not fail.
need_kernel()
{
    [ ! -f "$1/vmlinuz" ] && command -v apt-get > /dev/null && [ "$(dpkg --print-architecture)" = amd64 ] || return 0
    for kernel in /boot/vmlinuz-*-amd64; do [ ! -r "$kernel" ] || return 0; done
    # the package of that name is empty and depends on the one with the present version's number
    package=$(apt-cache depends linux-image-cloud-amd64 2> /dev/null |
              awk '$1 == "Depends:" && $2 ~ /^linux-image-/ { print $2; exit }')
    (mkdir -p "$1" && cd "$1" && [ -n "$package" ] && apt-get download -q "$package" &&
        dpkg-deb --fsys-tarfile "$package"_*.deb | tar -xO --wildcards './boot/vmlinuz-*' > vmlinuz.part &&
        [ -s vmlinuz.part ] && mv vmlinuz.part vmlinuz) > /dev/null 2>&1 ||
        echo "== no kernel to be had; tests/numa will be skipped" >&2
    rm -f "$1"/*.deb "$1/vmlinuz.part"
}

# need_arm64 FOLDER: the libraries for 64-bit Arm, unpacked below FOLDER and not installed; apt knows of that architecture
# only here. Needs no network when they are there. Where they cannot be had that build is skipped, so this does not fail.
need_arm64()
{
    [ ! -f "$1/complete" ] && command -v apt-get > /dev/null || return 0
    (mkdir -p "$1/lists/partial" && cd "$1" &&
        arm="-o APT::Architecture=arm64 -o APT::Architectures::=arm64 -o Dir::State::lists=$PWD/lists
             -o Dir::State::status=/dev/null -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache=" &&
        # shellcheck disable=SC2086 # options are words
        apt-get $arm update -q && apt-get $arm download -q libhwloc15 libhwloc-dev libpcre2-8-0 libpcre2-dev \
            libjansson4 libjansson-dev libcmocka0 libcmocka-dev libopenblas-pthread-dev libudev1 libcap2 &&
        for package in *.deb; do dpkg-deb -x "$package" . || exit 1; done && touch complete) > /dev/null 2>&1 ||
        echo "== no libraries for 64-bit Arm to be had; that build will be skipped" >&2
    rm -rf "$1"/*.deb "$1/lists"
}

# configure PRESET [ARG...]: cmake with this preset, with ninja on a first time where there is ninja
configure()
{
    preset=$1
    shift
    generator=
    [ -f "build/$preset/CMakeCache.txt" ] || ! command -v ninja > /dev/null || generator='-G Ninja'
    # shellcheck disable=SC2086
    cmake --preset "$preset" $generator "$@" > "build/$preset.log" 2>&1 || {
        cat "build/$preset.log" >&2
        return 1
    }
}
