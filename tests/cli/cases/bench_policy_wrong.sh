# needs: model
bench() { calmoe-bench "$@"; echo $?; }
printf 'short' > short.txt
bench -f short.txt
bench --exit often
bench --exit always:1@5 --quality 1%
bench --exit always:1@5 -d 8
bench --exit always:1@5 -p 8,16
bench --exit always:1@5 -p 0
bench --exit always:1@5 -n 0
bench --lossless -b 1,2
bench --exit always:1@5 --routing trace a.trace
bench --exit always:1@10
bench --exit always:1@5 -f short.txt
bench --exit always:1@5 -f missing.txt
bench --policy missing.json
