# needs: model
# A trace made by hand: each of 6 tokens takes experts 0, 1, 2, … of every layer.
field() { calmoe inspect --json | grep -o "\"$1\" *: *\"*[0-9a-f]*" | grep -o '[0-9a-f]*$'; }
number() { local i; for ((i = 0; i < $2; i++)); do printf '%b' "\\x$(printf %02x $(($1 >> 8 * i & 255)))"; done; }
layers=$(field n_layers) experts=$(field n_experts) used=$(field n_experts_used)
{
    printf 'CALMOETR'
    number 1 4; number 48 4
    printf %s "$(field fingerprint)"
    number "$layers" 4; number "$experts" 4; number "$used" 4; number 0 4
    for token in 0 1 2 3 4 5; do
        number $token 4; number 7 4
        for ((layer = 0; layer < layers; layer++)); do
            for ((slot = 0; slot < used; slot++)); do number $slot 2; done
            for ((slot = 0; slot < used; slot++)); do number 0 2; done
        done
    done
} > by_hand.trace
for policy in one_node sliced; do
    calmoe place --policy $policy --topology "numa:2 core:2 pu:1" --simulate by_hand.trace | grep -A 3 'the trace'
done
head -c 100 by_hand.trace > cut.trace
calmoe place --topology "numa:2 core:2 pu:1" --simulate cut.trace
echo $?
