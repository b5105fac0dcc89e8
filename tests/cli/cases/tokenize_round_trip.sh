# needs: model
printf 'Once upon a time,\n\tthere was  a "file" - 0x1F600.\r\n' > 1
printf 'Gr\303\274\303\237e \360\237\230\200 \346\227\245\346\234\254 \341\203\223' > 2
printf '\377\376 \000 \303 \355\240\200 \200' > 3
: > 4
head -c 20000 "$MODEL" > 5
for text in 1 2 3 4 5; do
    calmoe tokenize -f $text > ids && wc -l < ids
    calmoe tokenize --decode -f ids | cmp - $text
done
