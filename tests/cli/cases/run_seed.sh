# needs: model
for run in 1 2; do
    calmoe run -p "The" -n 32 --temp 1 --top-k 50 --top-p 0.95 --min-p 0.01 --repeat-penalty 1.1 --seed 7 > seven.$run
done
calmoe run -p "The" -n 32 --temp 1 --seed 8 > eight
calmoe run -p "The" -n 32 > greedy.1
calmoe run -p "The" -n 32 --seed 9 > greedy.2
cmp seven.1 seven.2 && cmp greedy.1 greedy.2 && ! cmp -s seven.1 eight
