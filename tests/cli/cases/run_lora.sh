# An adapter changes what follows; of scale 0 it does not; in a file of a session it is named.
goldens=$(dirname "$MODEL")/../tests/golden
run() { calmoe run -m "$goldens/llama.gguf" -p 'The 12 experts' -n 6 -t 1 --kv f32 --logit-hash "$@" 2>&1 | sed -n 's/^logit.hash.* //p'; }
plain=$(run)
file=$(run --lora "$goldens/adapters/llama_file/adapter.gguf")
folder=$(run --lora "$goldens/adapters/llama_file")
half=$(run --lora "$goldens/adapters/llama_file:0.5")
[ -n "$plain" ] && [ "$plain" = "$(run --lora "$goldens/adapters/llama_file:0")" ] && echo 'scale 0 is the model'
[ "$file" = "$folder" ] && [ "$file" != "$plain" ] && echo 'the file is the folder'
remark() { calmoe run -m "$goldens/llama.gguf" -p x -n 1 -t 1 --lora "$goldens/adapters/llama_prefix" "$@" 2>&1 | grep -c 'the prefix takes 5 positions beside a context of [0-9]* tokens; the model was trained for'; }
[ "$(remark)" = 1 ] && [ "$(remark -c 20)" = 0 ] && echo 'a prefix beyond what the model knows is remarked on'
[ -n "$half" ] && [ "$half" != "$file" ] && [ "$half" != "$plain" ] && echo 'half is neither'
calmoe run -m "$goldens/llama.gguf" -p 'The' -n 2 --lora "$goldens/adapters/llama" --save-session s > /dev/null 2>&1 && echo saved
calmoe run -m "$goldens/llama.gguf" --restore-session s -n 1 --lora "$goldens/adapters/llama" > /dev/null 2>&1 && echo restored
calmoe run -m "$goldens/llama.gguf" --restore-session s -n 1
calmoe run -m "$goldens/llama.gguf" -p x --lora "$goldens/adapters/mixtral"
calmoe run -m "$goldens/llama.gguf" -p x --lora none.gguf
calmoe run -m "$goldens/adapters/llama_file/adapter.gguf" -p x
calmoe run -m "$goldens/llama.gguf" -p x --lora "$goldens/adapters/llama" --exit softmax:0.5
