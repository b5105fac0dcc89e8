# needs: model
# A plan does not change a bit: sliced over three nodes that hwloc describes instead of this machine, whole experts dealt
# to them, and none given there.
text="A text of a few tokens."
calmoe run -p "$text" -n 6 --temp 0 --logit-hash > wanted 2>&1 || cat wanted
grep "logit hash" wanted > hash
export HWLOC_SYNTHETIC="numa:3 core:1 pu:1"
for policy in sliced round_robin; do
    calmoe place -m "$MODEL" --policy $policy -o $policy.json > /dev/null
    calmoe run -p "$text" -n 6 --temp 0 --logit-hash --plan $policy.json 2>&1 | grep "logit hash" | cmp - hash && echo $policy
done
calmoe run -p "$text" -n 6 --temp 0 --logit-hash 2>&1 | grep "logit hash" | cmp - hash && echo none
calmoe run -p "$text" -n 6 --temp 0 --logit-hash -t 2 --plan sliced.json 2>&1 | grep -E "logit hash|no thread" > two
grep "logit hash" two | cmp - hash && grep "no thread" two
