# ranks_faults.sh - the part of ranks_netns.sh --faults that follows when networks and mpirun's way to them are there.
calmoe=$program rank=$here/../tests/ranks/rank.sh
CALMOE_RANKS_TIMEOUT=3

running= # mpirun's parent, where it is in the background
fail()
{
    echo "FAIL $*"
    cat "$folder"/err.*
    end_run
    exit 1
}

# await SECONDS COMMAND...: it succeeds within them
await()
{
    local i limit=$1
    shift
    for ((i = 0; i < 10 * limit; i++)); do
        "$@" 2> /dev/null && return
        sleep 0.1
    done
    return 1
}

have_ended() { [ "$(ls "$folder" | grep -c '^end\.[0-9]')" = "$n" ]; }

# Cuts the cable of the last rank, and waits for the end of all.
cut_cable() { kill -USR1 $cable; began=$(date +%s%N); }
all_ended()
{
    await 60 have_ended || fail "$1: only $(ls "$folder" | grep -c '^end\.[0-9]') of $n ranks end"
    local seconds=$((($(date +%s%N) - began) / 100000000)) i
    for ((i = 0; i < n; i++)); do
        [ "$(< "$folder/end.$i")" = 1 ] || fail "$1: rank $i ends with $(< "$folder/end.$i")"
        grep -qE 'lost: no answer for|ended: ' "$folder/err.$i" || fail "$1: rank $i does not say why"
    done
    echo "ok   $1: all ranks end with status 1 and a sentence, $((seconds / 10)).$((seconds % 10)) s after"
    for ((i = 0; i < n; i++)); do echo "     rank $i: $(grep -E 'lost: no|ended: ' "$folder/err.$i" | head -1)"; done
    rm -f "$folder"/{end,err,pid,out}.*
}

# mpirun itself waits for what is behind the cut.
end_run()
{
    [ -n "$running" ] || return 0
    local mpirun=$(pgrep -P $running || true)
    [ -z "$mpirun" ] || kill -KILL $mpirun $(pgrep -P $mpirun) || true # and what it started on the other "machines"
    wait $running || true
    running=
}

lay 2000,20000
mkdir "$folder/alone"
RANKS_FOLDER=$folder/alone bash "$rank" "$calmoe" run -t 1 -p "The quick" -n 8 --logit-hash
run bash "$rank" "$calmoe" run -t 1 -p "The quick" -n 8 --logit-hash 2> /dev/null
cmp "$folder/alone/out.0" "$folder/out.0" || fail "a cable that is ten times slower changes bits"
echo "ok   a cable that is ten times slower: the same bits, $(tail -1 "$folder/out.0")"
rm -f "$folder"/{end,err,pid,out}.*

lay 2000
run bash "$rank" "$calmoe" run -t 1 -p hi -n 900000 -c 900008 --ignore-eos 2> /dev/null & running=$!
await 60 grep -q 'is longer than' "$folder/err.0" || fail "no answer begins"
sleep 1
cut_cable
all_ended "a cable that is cut during an answer"
end_run

lay 2000
run bash "$rank" "$calmoe" serve -t 1 --port 8080 2> /dev/null & running=$!
await 60 grep -q served "$folder/out.0" || fail "nothing is served"
ask='exec 4<> /dev/tcp/127.0.0.1/8080; body="{\"prompt\": \"The\", \"n_predict\": 4000}"
printf "POST /completion HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" ${#body} "$body" >&4
tr -d "\r" <&4'
ip netns exec $name-0 bash -c "$ask" > "$folder/answer" & asked=$!
sleep 2
cut_cable
wait $asked || true
grep -q '^HTTP/1.1 503' "$folder/answer" && grep -q "rank $((n - 1)) is lost" "$folder/answer" ||
    fail "the server answers $(cat "$folder/answer")"
echo "ok   a cable that is cut during a server's answer: 503, $(grep -o '"message":"[^"]*"' "$folder/answer")"
all_ended "the server's ranks"
end_run
