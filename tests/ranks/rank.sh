#!/bin/bash
# rank.sh PROGRAM... - the program of a rank, whose output, process id and end are noted in RANKS_FOLDER, and which mpirun
# does not notice before the others have ended, too.
rank=${OMPI_COMM_WORLD_RANK-${PMI_RANK-0}} n_ranks=${OMPI_COMM_WORLD_SIZE-${PMI_SIZE-1}}
[ "$rank" = 0 ] || exec < /dev/null
exec 3<&0
"$@" <&3 > "$RANKS_FOLDER/out.$rank" 2> "$RANKS_FOLDER/err.$rank" & echo $! > "$RANKS_FOLDER/pid.$rank"
wait $!
echo $? > "$RANKS_FOLDER/end.part.$rank" && mv "$RANKS_FOLDER/end.part.$rank" "$RANKS_FOLDER/end.$rank"
for ((i = 0; i < 2400 && $(ls "$RANKS_FOLDER" | grep -c '^end\.[0-9]') < n_ranks; i++)); do sleep 0.05; done
