try() { "$@"; echo "$?"; }
try calmoe fit-exits
try calmoe fit-exits -f a.txt
try calmoe fit-exits -f a.txt -o e.gguf --layers 3,2
try calmoe fit-exits -f a.txt -o e.gguf --layers 3,
try calmoe fit-exits -f a.txt -o e.gguf --rank -1
