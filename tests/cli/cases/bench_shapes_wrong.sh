bench() { calmoe-bench --synthetic "$1" -p 1 -n 0 -r 1; echo $?; }
bench nosuch:q4_0
bench tiny
bench tiny:q9_0
bench ./nosuch.txt:q4_0
printf 'family = a\nlayers = 2\nlayers = 3\n' > twice.txt && bench ./twice.txt:q4_0
printf '# a comment\n\nlayerz = 2\n' > unknown.txt && bench ./unknown.txt:q4_0
printf 'layers = two # words\n' > number.txt && bench ./number.txt:q4_0
printf 'layers\n' > bare.txt && bench ./bare.txt:q4_0
printf 'tied = maybe\n' > yes.txt && bench ./yes.txt:q4_0
printf 'family = a\n' > missing.txt && bench ./missing.txt:q4_0
head -c 2000 /dev/zero | tr '\0' x > long.txt && bench ./long.txt:q4_0
