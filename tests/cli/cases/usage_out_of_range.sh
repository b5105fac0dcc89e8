try() { "$@"; echo "$?"; }
try calmoe run -p x -n -1
try calmoe run -p x -c 2147483648
try calmoe run -p x -t 5000
try calmoe run -p x --top-p 1.01
try calmoe run -p x --min-p=-0.1
try calmoe run -p x --repeat-penalty 0
try calmoe run -p x --batch 0
try calmoe-bench -r 0
try calmoe-bench -b 0
