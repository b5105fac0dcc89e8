# needs: model
# needs: chromium
# The page at / in a browser: it asks, shows the answer's tokens with what is told of them, load and the map of experts.
calmoe serve --port 0 -t 2 --temp 0 > out 2> err &
server=$!
for i in $(seq 1200); do grep -q served out && break; sleep 0.05; done
# What the page must show in the end: basic regular expressions.
cat > wanted << 'END'
<h1 id="title">calmoe-nano
10 layers, 4 of 24 experts a token
<div class="text">What does ls do?
<span class="token"
[1-9][0-9]* tokens, [0-9.]* a second; prompt [1-9][0-9]* tokens
0 of 4</b><span>slots at work
END
# The browser's own time runs ahead of the server's: on a busy machine it may look before the answer is whole. So it is
# asked again, and given more time, until everything is there.
for budget in 4000 8000 16000 32000 64000 128000; do
    chromium --headless --no-sandbox --disable-gpu --user-data-dir="$PWD/browser" --virtual-time-budget=$budget \
        --dump-dom "$(grep -o 'http.*' out)/#ask=What%20does%20ls%20do%3F" > dom 2> /dev/null
    while IFS= read -r pattern; do grep -q "$pattern" dom || echo "missing: $pattern"; done < wanted > missing
    [ -s missing ] || break
done
kill $server
wait $server
echo "status $?"
cat missing
