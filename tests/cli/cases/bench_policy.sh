# needs: model
# A policy that leaves nothing out answers as OFF does, and so do drafts; a static exit after 5 of 10 layers leaves always.
printf 'The river was wide and the boat was small, and on the other bank a dog was waiting for them. ' > river.txt
calmoe-bench --width fixed:4 -f river.txt -p 8 -n 3 -r 2 -b 2
calmoe-bench --exit always:1@5 -p 4 -n 3 -r 1 -o csv
calmoe-bench --exit always:1@5 -p 4 -n 3 -r 2 -b 1,2 -o json > out
tr -d '\n ' < out | grep -oE '"(prompt|repeats|rung|delta|answers|exits|layers_per_token|experts_per_token)":(\[[0-9,]*\]|[0-9.a-z]+)'
calmoe-bench --lossless -f river.txt -p 8 -n 6 -r 2 -o csv | cut -d, -f 11,24-27
