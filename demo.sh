#!/bin/bash
# demo.sh - from a fresh clone to answers in less than two minutes: installs what is missing (Debian, as root or by
# sudo), builds the release without its tests, and asks the embedded model questions whose right answers are known, with
# all of its layers and with what a proven bound lets it leave out.
set -u
cd "$(dirname "$0")" || exit 1
. .ci/packages.sh

need_packages "$calmoe_build_packages" || exit 1

echo "== building (build/release)"
started=$SECONDS
mkdir -p build
tests=-DCALMOE_TESTS=OFF
[ ! -f build/release/CMakeCache.txt ] || tests= # a build that is there already stays as it is
# shellcheck disable=SC2086
configure release $tests &&
    cmake --build build/release --parallel "$(nproc)" --target calmoe calmoe-bench > build/demo.log 2>&1 || {
    tail -30 build/demo.log >&2
    echo "demo.sh: the build failed; the whole of it is in build/release.log and build/demo.log" >&2
    exit 1
}
echo "   $((SECONDS - started)) s"

if [ ! -f models/calmoe-nano.gguf ]; then
    echo "demo.sh: models/calmoe-nano.gguf, the embedded model, is not there; is the clone complete?" >&2
    exit 1
fi
calmoe=build/release/bin/calmoe
bound=5%
rounds=40 # the questions are asked so often where tokens/s are measured
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT

# pad WIDTH TEXT: the text and blanks up to that many columns; what Japanese is written in takes two
pad()
{
    local wide=${2//[^ぁ-ヿ一-鿿、-〿！-～]/}
    local n=$(($1 - ${#2} - ${#wide}))
    printf '%s%*s' "$2" $((n > 0 ? n : 0)) ''
}

# judge ANSWER WANTED KIND: says "right", or what would be, and of a new question that it is
judge()
{
    local new=
    [ "$3" != new ] || new=' (a message that it never saw)'
    if [ "${1,,}" = "${2,,}" ]; then printf 'right%s' "$new"; else printf 'WRONG%s, right is: %s' "$new" "$2"; fi
}

# ask QUESTION [OPTION...]: sets $answer, and $figures: tokens, layers of a token, bytes of a token
ask()
{
    local question=$1 json
    shift
    json=$("$calmoe" run --chat --json -n 40 "$@" -p "$question" 2>> "$work/messages") || {
        cat "$work/messages" >&2
        exit 1
    }
    answer=$(sed -E 's/^\{"text":"(([^"\\]|\\.)*)".*/\1/; s/\\(["\\])/\1/g' <<< "$json")
    figures=$(sed -E 's/.*"generated_tokens":([0-9]+).*"layers_per_token":([0-9.]+).*"bytes_per_token":([0-9.e+]+).*/\1 \2 \3/' \
        <<< "$json")
}

# rate [OPTION...]: tokens/s of the answers to all questions, asked $rounds times
rate()
{
    LC_ALL=C "$calmoe" run --chat -n 40 -t 1 --audit 0 "$@" < "$work/turns" 2>&1 > "$work/answers" |
        sed -nE 's/.*generation .* ([0-9.]+) tokens\/s.*/\1/p'
}

# Sums of what lines "tokens layers bytes" say, a token each.
mean() { awk '{ n += $1; l += $1 * $2; b += $1 * $3 } END { if (n) printf "%.2f %.2f", l / n, b / n / 1e6 }' "$1"; }

export LC_ALL=C.UTF-8
echo
echo "== Questions that have a right answer:  calmoe run --chat -p 'What does ls do?'"
echo "   calmoe-nano is a small model: it was taught such answers, and short translations. These were chosen because it"
echo "   knows them, most under the bound below, too; of others it gets many wrong: models/README.md says how many."
echo
n_asked=0 n_right=0 n_same=0
while IFS='|' read -r question wanted kind; do
    ask "$question" < /dev/null
    full=$answer
    echo "$figures" >> "$work/off"
    printf '   %s %s  %s\n' "$(pad 52 "$question")" "$(pad 36 "$full")" "$(judge "$full" "$wanted" "$kind")"
    ask "$question" --quality "$bound" --audit 0 < /dev/null
    echo "$figures" >> "$work/on"
    read -r n layers _ <<< "$figures"
    printf '%s|%s|%s|%s\n' "$question" "$answer" "$(judge "$answer" "$wanted" '')" "$layers" >> "$work/early"
    [ "$answer" != "$full" ] || n_same=$((n_same + 1))
    [ "${full,,}" != "${wanted,,}" ] || n_right=$((n_right + 1))
    n_asked=$((n_asked + 1))
done < models/calmoe-nano.demo.txt
echo
echo "   $n_right of $n_asked are right."

echo
echo "== The same with less work, if at most $bound of the tokens may differ, 95 % sure:  calmoe run --quality $bound"
echo
while IFS='|' read -r question answer verdict layers; do
    printf '   %s %s  %s, %.1f of 10 layers a token\n' "$(pad 52 "$question")" "$(pad 36 "$answer")" "$verdict" "$layers"
done < "$work/early"
for ((i = 0; i < rounds; i++)); do sed 's/|.*//; s/$/\n\/reset/' models/calmoe-nano.demo.txt; done > "$work/turns"
for _ in 1 2 3; do
    rate >> "$work/rate_off"
    rate --quality "$bound" >> "$work/rate_on"
done
read -r layers_off bytes_off <<< "$(mean "$work/off")"
read -r layers_on bytes_on <<< "$(mean "$work/on")"
rate_off=$(sort -n "$work/rate_off" | sed -n 2p) rate_on=$(sort -n "$work/rate_on" | sed -n 2p)
cat << END

   $n_same of $n_asked answers are the same. What a token of them takes (tokens/s: one thread, each $rounds times, median of 3):

                      layers   MB of weights   tokens/s
   all layers          $(printf '%5s   %13s   %8.0f' "$layers_off" "$bytes_off" "$rate_off")
   at most $bound differ   $(printf '%5s   %13s   %8.0f' "$layers_on" "$bytes_on" "$rate_on")   $(
    awk "BEGIN { printf \"%.2f times as fast\", $rate_on / $rate_off }")
END

echo
echo "== Which experts languages use:  calmoe profile tests/data/domains/*.txt"
echo "   One story in five languages. The two experts of each that are most its own, with tokens that like them; and how"
echo "   alike the languages' uses of all experts are, 1 being the same."
echo
"$calmoe" profile tests/data/domains/{english,german,french,russian,japanese}.txt 2> "$work/messages" > "$work/profile" || {
    cat "$work/messages" >&2
    exit 1
}
awk '/^Specialists/ { on = 1; next } /^Similarity/ { on = 2; print ""; next } /^$/ { on = 0 }
     on == 1 { if (/^  [^ ]/) n = 0; if (n++ < 2) print " " $0 } on == 2 { print " " $0 }' "$work/profile"

cat << END

In all: $SECONDS s. What to try next:

    $calmoe run --chat                                 converse: ask it "What does ls do?"
    $calmoe run --chat --quality 5% --html page.html -p 'What does cp do?'
                                                                        the answer as a page: depth, confidence, experts
    $calmoe run --temp 0.8 --seed 7 -n 200 -p 'def '   go on with a text
    $calmoe run -m MODEL.gguf -p 'Hello'               another model, as a GGUF file
    $calmoe serve                                      a server with OpenAI's API, and a page at http://127.0.0.1:8080
    build/release/bin/calmoe-bench                                      how fast this machine is
    $calmoe --help                                     all that it can do
    ./test.sh                                                           the test suite
END
