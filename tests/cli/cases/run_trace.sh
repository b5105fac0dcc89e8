# needs: model
# A record for each token that was read: 8 + 10 layers x 4 experts x 4 bytes.
calmoe run -p "The river" -n 5 --trace run.trace --json 2> /dev/null | grep -o '"prompt_tokens": *[0-9]*'
echo $((($(wc -c < run.trace) - 48) % 168))
calmoe place --simulate run.trace --topology "numa:2 core:4 pu:1" | grep 'the trace'
calmoe run -p "The" -n 1 --trace no/such/folder/t
echo $?
