# needs: model
# A signal that ends a program ends what it was writing: nothing is left of it, and what stood there stays.
exec 2> /dev/null # where bash tells how jobs ended
mkfifo text
for signal in TERM HUP; do
    echo older > own.trace
    calmoe run -p "The file" -n 1000000 -c 1000000 --ignore-eos --trace own.trace > text 2> said &
    { head -c 1 > one; ls own.*; kill -$signal $!; cat > rest; } < text
    wait $!
    echo "$?"
    cat own.trace
    ls own.*
done
