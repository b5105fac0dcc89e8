# needs: model
# What counting costs, and where a plan's experts are read.
calmoe place --policy one_node -o plan.json > /dev/null
calmoe-bench -p 0 -n 2 -b 2 -r 1 --counting 22 --plan plan.json -o json | tr -d '\n ' |
    grep -o '"node_read_bytes_per_token":\[[^]]*\],"remote_bytes_per_token":[^,]*,"counting":[^,]*,"counting_low":[^,]*,"counting_high":[^,]*' |
    sed -E 's/:-?[0-9.]+(e-?[0-9]+)?/:N/g; s/\[[0-9.,]+\]/[N]/'
calmoe-bench -p 0 -n 2 -r 1 --counting 4 | sed -n '/counting costs/,$p' | cut -d'|' -f 3-
calmoe-bench -p 0 -n 2 -r 1 --plan nothing.json; echo "$?"
calmoe-bench -p 0 -n 2 -r 1 --counting 4 --width fixed:2; echo "$?"
