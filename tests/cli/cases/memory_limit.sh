# needs: model
try() { "$@"; echo "$?"; }
text=$(calmoe run -p "Once upon a time" -n 24 --seed 1 2> /dev/null)
same() { [ "$(calmoe run -p "Once upon a time" -n 24 --seed 1 "$@" 2> said)" = "$text" ] && echo same; grep -q "^calmoe: disk  .* MB/token" said && echo told; }
calmoe pack "$MODEL" -o experts.packed
calmoe pack "$MODEL" -o experts.packed --check
same --memory-limit 12MiB
same --memory-limit 12MiB --no-lookahead --disk-reads direct
same --memory-limit 12MiB --packed experts.packed
same --packed experts.packed
same --memory-limit 1GiB
calmoe profile -d a="$MODEL" -n 40 -o own.json --memory-limit 12MiB --trace own.trace > tables
same --memory-limit 12MiB --keep-by own.json
calmoe place --memory-limit 13MiB --stream --profile own.json -o plan.json | grep -o "[0-9]* experts streamed"
same --plan plan.json
calmoe run -p "Once upon a time" -n 24 --seed 1 --plan plan.json --width resident:0.5 2>&1 > /dev/null | grep -o "experts in memory; of those"
calmoe place --plan plan.json --simulate own.trace --memory-limit 13MiB | grep -A2 "of memory" | head -n 2
calmoe place --simulate own.trace --memory-limit 12MiB | grep -A2 "of memory" | head -n 2
calmoe-bench -p 0 -n 4 -r 1 --memory-limit 12MiB -o json | grep -o '"experts_in_memory": [0-9]*'
head -c 100000 experts.packed > short.packed
try calmoe run -p x --memory-limit 1MB
try calmoe run -p x --memory-limit much
try calmoe run -p x --memory-limit 12MiB --keep-by no-such.json
try calmoe run -p x --packed short.packed
try calmoe place --memory-limit 12MiB
try calmoe run -p x --width resident:0.5 --memory-limit 12MiB
try calmoe place --stream
try calmoe place --plan plan.json --stream --memory-limit 13MiB
try calmoe run -p x --plan plan.json --memory-limit 4MiB
try calmoe pack
