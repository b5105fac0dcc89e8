# needs: model
# needs: chromium
# The page's script runs to its end in a browser, whatever is chosen; the page prints.
printf 'The river was wide.' > river.txt
printf 'int main(void) { return 0; }' > main.c
calmoe profile -f river.txt main.c --exit always:0.5@7 --html page.html > /dev/null 2>&1
cp page.html clicked.html
printf '<script>
for (const b of document.querySelectorAll("#domains button")) b.click();
for (const s of document.querySelectorAll("select")) for (const o of s.options) {
  s.value = o.value;
  s.dispatchEvent(new Event("change"));
}
document.getElementById("text").firstChild.dispatchEvent(new MouseEvent("mousemove", {bubbles: true}));
document.body.dataset.end = "reached";
</script>' >> clicked.html
browse() { chromium --headless --no-sandbox --disable-gpu --user-data-dir="$PWD/browser" "$@" 2> /dev/null; }
browse --dump-dom "file://$PWD/page.html" > dom
grep -o '<h1 id="title">[^<]*' dom
grep -o 'data-i="[0-9]' dom | wc -l
grep -o 'class="card"' dom | wc -l
grep -o '>layer 9</text>' dom | wc -l
grep -o '7.00 of 10 layers and 28.0 of 40 experts' dom
grep -c 'by_usage' dom
browse --dump-dom "file://$PWD/clicked.html" > dom
grep -o 'data-end="reached"' dom
grep -o '<div id="tip"[^>]*>7 of 10 layers' dom | sed 's/ style="[^"]*"//'
browse --window-size=1366,768 --screenshot="$PWD/page.png" "file://$PWD/page.html" > /dev/null
browse --print-to-pdf="$PWD/page.pdf" "file://$PWD/page.html" > /dev/null
head -c 4 page.pdf; echo
[ "$(wc -c < page.pdf)" -gt 20000 ] && [ "$(wc -c < page.png)" -gt 20000 ] && echo "shown and printed"
