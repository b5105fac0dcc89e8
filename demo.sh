#!/bin/bash
# demo.sh - from a fresh clone to generated text: installs what is missing (Debian, as root or by sudo),
# builds the release without its tests, and lets the embedded model write.
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

write() # TITLE PROMPT: lets the model go on from a prompt
{
    echo
    echo "== $1:  calmoe run -n 60 --temp 0.6 --repeat-penalty 1.1 --seed 3 -p '$2'"
    "$calmoe" run -n 60 --temp 0.6 --repeat-penalty 1.1 --seed 3 -p "$2" || exit 1
}

echo
echo "== what is in the model:  calmoe inspect models/calmoe-nano.gguf"
"$calmoe" inspect models/calmoe-nano.gguf | head -24
write 'documentation' 'The function returns the number of'
write 'Python' 'class Reader:
    def __init__(self'
write 'German' 'Das Programm wird mit'

echo
echo "== at most 5 % of the tokens differ, 95 % sure:  calmoe run --quality 5% --show-exits -p 'If you want to' …"
"$calmoe" run -n 60 --temp 0.6 --repeat-penalty 1.1 --seed 3 --quality 5% --show-exits -p 'If you want to' || exit 1

cat << END

That was calmoe-nano, a small model whose training took hours, not months: it knows the sound of
documentation and code, not facts. In all: $SECONDS s. What to try next:

    $calmoe run --temp 0.8 --seed 7 -n 200 -p 'def '   another text for each seed
    $calmoe run --chat                                 converse: ask it "What does ls do?"
    $calmoe run --quality 5% --html page.html -p 'The' the same as a page: depth, confidence, experts
    $calmoe run -m MODEL.gguf -p 'Hello'               another model, as a GGUF file
    $calmoe serve                                      a server with OpenAI's API, and a page at http://127.0.0.1:8080
    build/release/bin/calmoe-bench                                      how fast this machine is
    $calmoe --help                                     all that it can do
    ./test.sh                                                           the test suite
END
