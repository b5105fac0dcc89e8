# needs: model
seq 1 900 | sed 's/$/ is a number, and the file has many lines of them./' > text.txt
calmoe fit-exits text.txt -n 2000 -c 128 -l 3,5 -r 8 -t 1 -o e.gguf && ls &&
    calmoe run -p "The file" -n 4 --exits e.gguf --exit classifier:0.5@3,5 --json | tr ',' '\n' | grep -c layers_per_token
