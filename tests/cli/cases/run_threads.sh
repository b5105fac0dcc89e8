# needs: model
for threads in 1 2 3; do
    calmoe run -p "The function returns" -n 24 -t $threads --logit-hash > out.$threads
done
cmp out.1 out.2 && cmp out.1 out.3 && tail -1 out.1
