# needs: model
# needs: chromium
# The page's script runs to its end in a browser.
printf 'The river was wide.' > river.txt
printf 'int main(void) { return 0; }' > main.c
calmoe profile -f river.txt main.c --html page.html > /dev/null
chromium --headless --no-sandbox --disable-gpu --user-data-dir="$PWD/browser" --dump-dom "file://$PWD/page.html" 2> /dev/null > dom
grep -o '<h1 id="title">[^<]*' dom
grep -o 'data-i="[0-9]' dom | wc -l
grep -o '<td' dom | wc -l
grep -c 'layer 9</text>' dom
