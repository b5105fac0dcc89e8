# needs: model
# From a pipe, Ctrl-C stops the answer and the program.
set -m
mkfifo text
printf 'Hello\nNever read\n' | calmoe run --chat -n 1000000 -c 1000000 --ignore-eos > text &
{ head -c 1 > one; kill -INT %1; cat > rest; } < text
wait %1
echo "$?"
