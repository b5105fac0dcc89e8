# needs: model
# Texts read as answers leave early, and take fewer experts.
printf 'The river was wide, and the old bridge had gone.' > river.txt
calmoe profile -f river.txt --exit always:0.5@4 -o early.json --html early.html | sed -n '/^Depth/,/^$/p'
calmoe profile -f river.txt --width fixed:3 | sed -n '/^Depth/,/^$/p' | tail -n +3
calmoe profile -f river.txt --exit always:0.5@9 --json | tr -d '\n ' | grep -o '"layers_per_token":[^,]*,"experts_per_token":[^,]*'
calmoe profile --merge early.json early.json | sed -n '/^Depth/,/^$/p' | tail -n +3
grep -o '"layers_per_token":[^,]*' early.html
