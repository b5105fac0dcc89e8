# needs: model
calmoe quantize "$MODEL" same.gguf q8_0 &&
    calmoe run -m same.gguf -p "The file" -n 4 > out && wc -l < out
calmoe inspect same.gguf | grep -c '^fingerprint'
calmoe quantize "$MODEL" small.gguf q4_0 --requantize &&
    calmoe run -m small.gguf -p "The file" -n 4 > out && wc -l < out
calmoe inspect small.gguf | grep '^weights'
ls
