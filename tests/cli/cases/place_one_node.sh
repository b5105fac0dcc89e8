# needs: model
calmoe place --policy one_node -o plan.json > /dev/null
calmoe run -p "The" -n 4 --logit-hash --plan plan.json --json > with.json 2> /dev/null; echo $?
calmoe run -p "The" -n 4 --logit-hash --json > without.json 2> /dev/null; echo $?
grep -o '"logit_hash" *: *"[0-9a-f]*"' with.json > with.hash
grep -o '"logit_hash" *: *"[0-9a-f]*"' without.json > without.hash
[ -s with.hash ] && cmp with.hash without.hash && echo the same bits
