# needs: model
# needs: chromium
# The page at / in a browser: it asks, shows the answer's tokens with what is told of them, load and the map of experts.
calmoe serve --port 0 -t 2 --temp 0 > out 2> err &
server=$!
for i in $(seq 200); do grep -q served out && break; sleep 0.05; done
# The browser's own time runs ahead of the server's: on a busy machine it may look before the answer is whole, so it is
# asked again.
for budget in 4000 8000 16000 32000 64000; do
    chromium --headless --no-sandbox --disable-gpu --user-data-dir="$PWD/browser" --virtual-time-budget=$budget \
        --dump-dom "$(grep -o 'http.*' out)/#ask=What%20does%20ls%20do%3F" > dom 2> /dev/null
    ! grep -q 'a second; prompt' dom || break
done
kill $server
wait $server
echo "status $?"
grep -o '<h1 id="title">[^<]*' dom
grep -o '10 layers, 4 of 24 experts a token' dom
grep -o '<div class="text">What does ls do?' dom
grep -c 'class="token"' dom
grep -o '[0-9]* tokens, [0-9.]* a second; prompt 18 tokens' dom | sed 's/[0-9.]* a second/R a second/'
grep -o '0 of 4</b><span>slots at work' dom
