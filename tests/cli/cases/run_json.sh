# needs: model
calmoe run -p "Once upon a time" -n 7 --ignore-eos --json > out || exit
calmoe run -p "Once upon a time" -n 7 --ignore-eos --json --logit-hash >> out
sed -E 's/"(text)":"([^"\\]|\\.)*"/"\1":T/; s/-?[0-9]+(\.[0-9]+)?(e[-+]?[0-9]+)?/N/g' out |
    sed -E 's/"logit_hash":"[0-9a-fN]*"/"logit_hash":H/'
grep -oE '"(prompt_tokens|generated_tokens)":[0-9]+' out | tail -1
