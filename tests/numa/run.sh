#!/bin/bash
# run.sh MACHINE DRIVER INIT KERNEL_FOLDER RANKS_DRIVER - boots a machine of machines.txt in qemu, in software, with
# Debian's kernel and an initramfs of the driver, the libraries that it needs and a tiny model; passes when each line
# that the driver writes on the serial console is a PASS and the last says that it came to its end. Skipped (77) where
# there is no qemu, cpio or kernel, or, for a machine on which ranks run, no Open MPI. CALMOE_NUMA_KERNEL: another
# kernel's image; CALMOE_NUMA_SHOW=1: show the whole console.
set -u
machine=$1 driver=$2 init=$3 kernels=$4 ranks_driver=$5
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

# The initramfs: driver, init, their libraries where they stand here, models
root=$folder/root
mkdir "$root" "$root/tmp"
cp "$init" "$root/init" || fail "no init"

# add_libraries FILE...: that these need
add_libraries()
{
    local library
    for library in $(ldd "$@" 2> /dev/null | grep -oE '/[^ ]+\.so[^ ]* \(' | cut -d' ' -f1 | sort -u); do
        [ -e "$root$library" ] && continue
        mkdir -p "$root$(dirname "$library")" && cp -L "$library" "$root$library" || fail "no $library"
    done
}

# Open MPI with its parts, but for those of networks, which a machine without any does not miss; and PMIx with its own
add_mpi()
{
    local folder parts pmix
    folder=$(dirname "$(readlink -f "$(ldd "$ranks_driver" | grep -oE '/[^ ]*/libmpi\.so[^ ]*')")")
    folder=${folder%/openmpi/lib}/openmpi/lib/openmpi3
    parts=$(grep -LE 'libuc[pt]\.so|libfabric\.so|libpsm' "$folder"/*.so) || fail "no parts of Open MPI in $folder"
    pmix=$(ldd "$folder"/mca_pmix_ext*.so | grep -oE '/[^ ]*/libpmix\.so[^ ]*' | head -1)
    pmix=$(dirname "$(dirname "$(readlink -f "$pmix")")")
    mkdir -p "$root/usr/bin" "$root/bin" "$root$folder" "$root$pmix" "$root/usr/share" "$root/etc"
    cp $parts "$root$folder" && cp -L "$(command -v mpirun)" "$root/usr/bin/mpirun" && cp -L /bin/sh "$root/bin/sh" &&
        cp -r /usr/share/openmpi "$root/usr/share" || fail "no Open MPI"
    cp -rL "$pmix/." "$root$pmix" 2> /dev/null # links for compilers lead nowhere
    add_libraries $parts "$(command -v mpirun)" /bin/sh
    echo "root:x:0:0::/:/bin/sh" > "$root/etc/passwd"
    echo "127.0.0.1 machine localhost" > "$root/etc/hosts"
}

if [ "$rows" = ranks ]; then
    [ -z "${CALMOE_THIN_TESTS-}" ] || skip "mpirun takes long on a machine in software; ./test.sh --full runs it"
    models=(olmoe deepseek3)
    nm -D "$ranks_driver" | grep -q MPI_Init || skip "built without MPI"
    command -v mpirun > /dev/null || skip "no mpirun"
    add_mpi
    cp "$ranks_driver" "$root/ranks_driver"
    for model in "${models[@]}"; do cp "$here/../golden/$model.gguf" "$root"; done
    wanted=$(cd "$root" && ./ranks_driver steps "${models[@]/%/.gguf}") || fail "here: $wanted"
    cat > "$root/driver" << END
#!/bin/sh
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1 PATH=/usr/bin:/bin
export OMPI_MCA_hwloc_base_binding_policy=none OMPI_MCA_btl=self,vader OMPI_MCA_btl_vader_single_copy_mechanism=none
export OMPI_MCA_oob_tcp_if_include=lo OMPI_MCA_pml=ob1 OMPI_MCA_plm=isolated TMPDIR=/tmp HOME=/
export CALMOE_RANKS_TIMEOUT=60
[ -d /sys/devices/system/node/node1 ] || echo "FAIL the machine has one node"
found=\$(mpirun -n 2 /ranks_driver steps cores ${models[@]/%/.gguf} 2> /tmp/errors)
[ "\$found" = "$wanted" ] && echo "PASS 2 ranks on all nodes: the logits of one process, ${#models[@]} models" && exit 0
echo "FAIL 2 ranks on all nodes give other logits than one process: \$found"
while read -r line; do echo "\$line"; done < /tmp/errors
END
    chmod +x "$root/driver"
    add_libraries "$ranks_driver" "$init"
    hash=
else
    cp "$driver" "$root/driver" || fail "no driver"
    add_libraries "$driver" "$init"
    hash=$("$driver" here "$root/model.gguf") || fail "here: $hash"
fi
(cd "$root" && find . | cpio --quiet -o -H newc --owner 0:0 > "$folder/initramfs") || fail "cpio"

# A machine in software that gets little time may miss its timer's ticks while its kernel counts them, and the kernel
# then gives up ("IO-APIC + timer doesn't work"); no_timer_check keeps it from counting.
timeout 1150 qemu-system-x86_64 -accel tcg,thread=multi -cpu max -m "${megabytes}M" -smp "$cpu" "${qemu[@]}" \
    -kernel "$kernel" -initrd "$folder/initramfs" -display none -monitor none -nic none -no-reboot \
    -serial "file:$folder/console" \
    -append "console=ttyS0 no_timer_check hostname=machine quiet loglevel=3 panic=-1 -- $rows $hash $expected" \
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
