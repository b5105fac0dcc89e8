# needs: model
printf 'One fine day.' > a
calmoe profile -f a a -n 3 -c 2 --json > out.json
tr -d '\n' < out.json | grep -o '"window": *2,' ; grep -o '"tokens": *[0-9]*' out.json
