#!/bin/bash
# run.sh MACHINE DRIVER INIT KERNEL_FOLDER - boots a machine of machines.txt in qemu, in software, with Debian's kernel
# and an initramfs of the driver, the libraries that it needs and a tiny model; passes when each line that the driver
# writes on the serial console is a PASS and the last says that it came to its end. Skipped (77) where there is no
# qemu, cpio or kernel. CALMOE_NUMA_KERNEL: another kernel's image; CALMOE_NUMA_SHOW=1: show the whole console.
set -u
machine=$1 driver=$2 init=$3 kernels=$4
here=$(cd "$(dirname "$0")" && pwd)

skip() { echo "skipped: $*"; exit 77; }
fail() { echo "FAIL $*"; exit 1; }

[ "$(uname -m)" = x86_64 ] || skip "the machines are x86-64's"
for program in qemu-system-x86_64 cpio ldd; do
    command -v $program > /dev/null || skip "no $program"
done
kernel=${CALMOE_NUMA_KERNEL-}
for candidate in "$kernels/vmlinuz" /boot/vmlinuz-*-cloud-amd64 /boot/vmlinuz-*-amd64; do
    [ -n "$kernel" ] || [ ! -r "$candidate" ] || kernel=$candidate
done
[ -n "$kernel" ] || skip "no Debian kernel in $kernels nor /boot; test.sh downloads one"
nm -D "$driver" 2> /dev/null | grep -qE ' __(tsan|asan)_init' && skip "sanitizers are too slow on a machine in software"

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# What the machine has, as qemu is told and as the driver is to find it
read -r rows nodes <<< "$(awk -v name="$machine" '$1 == name { $1 = ""; print }' "$here/machines.txt")"
[ -n "$nodes" ] || fail "no machine $machine in machines.txt"
qemu=() cpu=0 megabytes=0 node=0 expected=
for words in $nodes; do
    IFS=: read -r size cores near <<< "$words"
    qemu+=(-object "memory-backend-ram,id=m$node,size=${size}M")
    if [ "$cores" -gt 0 ]; then
        qemu+=(-numa "node,nodeid=$node,cpus=$cpu-$((cpu + cores - 1)),memdev=m$node")
        near=$node
    else
        qemu+=(-numa "node,nodeid=$node,memdev=m$node")
    fi
    for ((other = 0; other < node; other++)); do
        qemu+=(-numa "dist,src=$other,dst=$node,val=$((other == near ? 15 : 30))")
    done
    expected+="${expected:+,}$size:$cores:$near"
    cpu=$((cpu + cores)) megabytes=$((megabytes + size)) node=$((node + 1))
done

# The initramfs: driver, init, their libraries where they stand here, the model
root=$folder/root
mkdir "$root"
cp "$driver" "$root/driver" && cp "$init" "$root/init" || fail "no driver"
for library in $(ldd "$driver" "$init" | grep -oE '/[^ ]+\.so[^ ]*' | sort -u); do
    mkdir -p "$root$(dirname "$library")" && cp -L "$library" "$root$library" || fail "no $library"
done
hash=$("$driver" here "$root/model.gguf") || fail "here: $hash"
(cd "$root" && find . | cpio --quiet -o -H newc --owner 0:0 > "$folder/initramfs") || fail "cpio"

timeout 1150 qemu-system-x86_64 -accel tcg,thread=multi -cpu max -m "${megabytes}M" -smp "$cpu" "${qemu[@]}" \
    -kernel "$kernel" -initrd "$folder/initramfs" -display none -monitor none -nic none -no-reboot \
    -serial "file:$folder/console" \
    -append "console=ttyS0 quiet loglevel=3 panic=-1 -- $rows $hash $expected" \
    < /dev/null > "$folder/qemu.log" 2>&1
status=$?
tr -d '\r' < "$folder/console" > "$folder/lines"
if [ -n "${CALMOE_NUMA_SHOW-}" ]; then cat "$folder/lines"; else grep -aE '^(PASS|FAIL|NOTE)' "$folder/lines"; fi

if grep -aq '^FAIL' "$folder/lines" || ! grep -aqx 'DRIVER ENDED 0' "$folder/lines"; then
    echo "the console's last lines (qemu's status: $status):"
    cat "$folder/qemu.log"
    tail -60 "$folder/lines"
    fail "$machine"
fi
