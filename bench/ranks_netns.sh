#!/bin/bash
# ranks_netns.sh BENCH_BINARY [N] - N ranks (2) on this machine, each in a network of its own, with cables between them
# that delay what they carry: time of a token for each delay. The slope is the number of messages that a token waits for,
# one after the other, which calmoe place --ranks predicts. Root, iproute2 and Open MPI are needed. Delay is tc's netem,
# or, where the kernel has none, ranks_cable.py.
#
#     ranks_netns.sh --faults CALMOE [N]
# The same with N ranks (3) and cables of ranks_cable.py, one of which is ten times slower than the others: the same bits
# as one process gives. And one that is cut in the middle of an answer, of calmoe run and of calmoe serve: every rank ends
# within seconds, with status 1 and a sentence, and the server answers 503 first.
#
# What it does not show: real cards, cables and switches. All ranks share this machine's cores, so that only differences
# between delays mean anything.
set -eu
faults=
[ "$1" != --faults ] || { faults=yes; shift; }
program=$(realpath "$1") here=$(cd "$(dirname "$0")" && pwd)
n=${2:-${faults:+3}}
n=${n:-2}
delays=${CALMOE_DELAYS:-2000 4000 8000} # microseconds
name=calmoe$$
folder=$(mktemp -d)

cable=
finish()
{
    [ -z "$cable" ] || kill $cable 2> /dev/null || true
    for ((i = 0; i < n; i++)); do ip netns del $name-$i 2> /dev/null || true; done
    ip link del $name 2> /dev/null || true
    rm -rf "$folder"
}
trap finish EXIT

# A bridge, and for each rank a namespace with one end of a cable to it.
ip link add $name type bridge
ip link set $name up
has_netem=yes
[ -z "$faults" ] || has_netem=no
[ $has_netem = no ] || tc qdisc add dev $name root netem delay 1ms 2> /dev/null || has_netem=no
hosts= names=
for ((i = 0; i < n; i++)); do
    ip netns add $name-$i
    if [ $has_netem = yes ]; then
        ip link add v$$-$i type veth peer name eth0 netns $name-$i
        ip link set v$$-$i master $name up
    else
        ip -n $name-$i tuntap add dev eth0 mode tun
    fi
    names+=" $name-$i"
    ip -n $name-$i addr add 10.77.0.$((i + 1))/24 dev eth0
    ip -n $name-$i link set eth0 up
    ip -n $name-$i link set lo up
    hosts+=${hosts:+,}10.77.0.$((i + 1)):1
done

# mpirun's way to another "machine": its namespace, under a host name of its own.
cat > "$folder/agent" << END
#!/bin/bash
while [[ \$1 == -* ]]; do shift; done
host=\$1
shift
exec ip netns exec $name-\$((\${host##*.} - 1)) unshare -u bash -c "hostname rank\${host##*.}; \$*"
END
chmod +x "$folder/agent"

export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMP_WAIT_POLICY=passive
export RANKS_FOLDER=$folder CALMOE_RANKS_TIMEOUT=${CALMOE_RANKS_TIMEOUT:-10}
# run PROGRAM...: by all ranks
run()
{
    ip netns exec $name-0 unshare -u bash -c "hostname rank1; exec \"\$@\"" mpirun \
        mpirun -n "$n" -host "$hosts" --bind-to none --mca plm_rsh_agent "$folder/agent" --mca btl self,tcp \
        --mca btl_tcp_if_include eth0 --mca oob_tcp_if_include eth0 --mca pml ob1 \
        -x OMP_WAIT_POLICY -x CALMOE_MODELS -x CALMOE_RANKS_TIMEOUT -x RANKS_FOLDER "$@"
}

# lay DELAYS: cables, as ranks_cable.py says
lay()
{
    [ -z "$cable" ] || kill $cable
    python3 "$here/ranks_cable.py" "$1" $names &
    cable=$!
}

if [ -n "$faults" ]; then
    . "$here/ranks_faults.sh"
    exit
fi

echo "delay_us,us_per_token,exchanges_per_token,exchange_us_per_token,bytes_received_per_token"
for delay in $delays; do
    if [ $has_netem = yes ]; then
        for ((i = 0; i < n; i++)); do
            ip netns exec $name-$i tc qdisc replace dev eth0 root netem delay ${delay}us limit 10000
        done
    else
        lay "$delay"
    fi
    run "$program" -t 1 -p 0 -n 8 -r 3 -o json 2> "$folder/errors" | python3 -c '
import json, sys
row = json.load(sys.stdin)[0]
print(sys.argv[1], "%.0f" % (1e6 / row["tokens_per_s"]["max"]), "%.2f" % row["exchanges_per_token"],
      "%.0f" % (1e6 * row["exchange_seconds_per_token"]), "%.0f" % row["exchange_bytes_per_token"], sep=",")' "$delay" ||
        { cat "$folder/errors"; exit 1; }
done > "$folder/table"
cat "$folder/table"
python3 - "$folder/table" << 'END'
import sys
rows = [line.split(",") for line in open(sys.argv[1]) if line[0].isdigit()]
x, y = [float(row[0]) for row in rows], [float(row[1]) for row in rows]
mx, my = sum(x) / len(x), sum(y) / len(y)
print("slope: %.1f delays a token" % (sum((a - mx) * (b - my) for a, b in zip(x, y)) / sum((a - mx) ** 2 for a in x)))
END
