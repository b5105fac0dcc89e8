# needs: model
for how in "--temp 0" "--temp 0.8 --seed 3 --repeat-penalty 1.1"; do
    calmoe run -p "Once upon a time" -n 40 --ignore-eos $how --logit-hash > plain 2> err || exit
    for exits in "" "--exit always:1@5" "--exit softmax:0.5@3,6"; do
        calmoe run -p "Once upon a time" -n 40 --ignore-eos $how --logit-hash --lossless $exits > drafted 2> err || exit
        cmp plain drafted && echo the same
    done
done
calmoe run -p "Once upon a time" -n 8 --json --lossless 2> err | sed 's/"drafts_by".*//' | grep -oE '"(rounds|drafted|accepted)"'
