# What is written never stands over what is read: the model would be gone. Nor do two outputs share a file.
# needs: model
cp "$MODEL" m.gguf; cp m.gguf kept.gguf; echo "some words" > t.txt; ln -s m.gguf link.gguf; ln m.gguf hard.gguf
for options in "run -m m.gguf -p x --trace m.gguf" "run -m m.gguf -p x --html link.gguf" \
    "run -m link.gguf -p x --save-session hard.gguf" "run -f t.txt --trace t.txt" "run -p x --html a --trace a" \
    "context -f t.txt -o t.txt" "profile -m m.gguf t.txt -o ./m.gguf" "profile --domain a=t.txt -o t.txt" \
    "profile a.txt --html a --prometheus a" "place -m m.gguf -o m.gguf" "pack m.gguf -o m.gguf" \
    "fit-exits -f t.txt -o t.txt" "calibrate t.txt -o t.txt"; do
    calmoe $options
    [ $? = 2 ] || echo "WRONG: $options"
done
cmp m.gguf kept.gguf && cat t.txt
ls
# Going on in the same file is what sessions are for.
calmoe run -p x -n 1 -t 1 --save-session s > /dev/null 2>&1
calmoe run -p y -n 1 -t 1 --restore-session s --save-session s > /dev/null 2>&1 && echo went on
