# needs: model
calmoe run -p "Once upon a time" -n 8 --ignore-eos --exit always:1@4 --show-exits --color always > out || exit
printf 'tokens in red %s, in green %s\n' "$(grep -o $'\e\[38;5;160m' out | wc -l)" "$(grep -o $'\e\[38;5;34m' out | wc -l)"
calmoe run -p "Once upon a time" -n 8 --ignore-eos --exit always:1@4 --show-exits > plain || exit
sed $'s/\e\[[0-9;]*m//g' out | cmp - plain && echo the same text
calmoe run -p "Once upon a time" -n 8 --ignore-eos --exit always:1@4 --width fixed:1 --show-exits --json 2> err | grep -oE '"(token_layers|layers_per_token|experts_per_token)":[^"]*'
for fill in propagate lazy catch_up; do
    calmoe run -p "Once upon a time" -n 24 --ignore-eos --temp 1 --exit softmax:0.3@4,6 --kv-fill $fill --logit-hash 2> err | tail -1 > hash.$fill || exit
done
cmp hash.propagate hash.lazy && echo lazily the same
cmp -s hash.lazy hash.catch_up || echo caught up another
