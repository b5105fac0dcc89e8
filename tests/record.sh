#!/bin/bash
# Records anew what tests and pages know of the embedded model's weights: tests/record.sh [BUILD]
#
# For a commit that changes models/calmoe-nano.gguf or its policy, and for nothing else: afterwards the logit hashes of
# the embedded model and the outputs on the Python module's page are those of today. Fails where other models' logits
# changed, too. BUILD (build/release) must be built. Look at `git diff` before you commit.
set -u
cd "$(dirname "$0")/.." || exit 1
build=$(realpath "${1:-build/release}") || exit 1
export LC_ALL=C.UTF-8 CALMOE_MODELS=$PWD/models CALMOE_CACHE= OMP_WAIT_POLICY=passive
records=tests/property/logit_hashes.txt
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT

# Each line behind the name of its record.
named() { awk '/^\[/ { name = $0 } NF { print name "\t" $0 }' "$1"; }

cp $records "$work/before"
CALMOE_RECORD_LOGIT_HASHES=1 "$build/tests/test_logit_hashes" > "$work/messages" 2>&1 || {
    tail -20 "$work/messages"
    exit 1
}
diff <(named "$work/before") <(named $records) | sed -nE 's/^[<>] (\[[^\t]*\])\t.*/\1/p' | sort -u > "$work/changed"
others=$(grep -v '^\[nano, ' "$work/changed")
[ -z "$others" ] || { printf 'record.sh: these are not the embedded model:\n%s\n' "$others"; exit 1; }
echo "logit hashes: $(grep -c . "$work/changed") records of the embedded model changed"

cp bindings/python/README.md "$work/page"
PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=bindings/python CALMOE_LIBRARY=$build/libcalmoe.so \
    python3 tests/python/run_page.py --write bindings/python/README.md || exit 1
cmp -s "$work/page" bindings/python/README.md && echo "the page is as it was" || git diff --stat bindings/python/README.md
