#!/bin/bash
# Tests of bindings/python: tests/python/run.sh PYTHON SOURCE C_COMPILER WHAT
#
#   abi        _abi.py says what the headers say, and its structs lie as the compiler lays them
#   module     test_calmoe.py
#   page       README.md, whose blocks must print what it shows
#   training   test_training_data.py: how tools/train cleans messages and counts answers
#   installed  `pip install .` into an empty folder; what is there runs
#
# Skipped (77) where there is no Python of 3.9 or later; `installed` also where pip and setuptools are missing.
set -u
python=$1 source=$2 cc=$3 what=$4
skip() { echo "skipped: $1"; exit 77; }

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 9))' 2> /dev/null || skip 'there is no Python 3.9 or later'
[ "$what" = abi ] || [ "$what" = training ] || [ -f "$source/models/calmoe-nano.gguf" ] || skip 'there is no embedded model to run'
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
export PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$source/bindings/python
[ "$what" = abi ] || export LD_PRELOAD=${CALMOE_PRELOAD-} # a sanitizer, which has to come before all libraries

case $what in
abi)
    "$python" "$source/bindings/python/make_abi.py" --check || exit 1
    "$python" "$source/bindings/python/make_abi.py" --layout > "$work/layout.c" &&
        "$cc" -std=c11 -I"$source/include" -c "$work/layout.c" -o "$work/layout.o" || exit 1
    # the check itself: a struct that lies otherwise, and a header that says something else, must be noticed
    mkdir -p "$work/bindings" "$work/include" && cp -r "$source/bindings/python" "$work/bindings/" &&
        cp -r "$source/include/calmoe" "$work/include/" || exit 1
    make_abi=$work/bindings/python/make_abi.py
    sed -i 's/("n_tokens", c_int)/("n_tokens", c_uint64)/' "$work/bindings/python/calmoe/_abi.py"
    "$python" "$make_abi" --layout > "$work/layout.c" || exit 1
    ! "$cc" -std=c11 -I"$source/include" -c "$work/layout.c" -o "$work/layout.o" 2> /dev/null ||
        { echo "abi: a struct that lies otherwise was not noticed"; exit 1; }
    cp "$source/bindings/python/calmoe/_abi.py" "$work/bindings/python/calmoe/"
    sed -i 's/    int      *top_k;/    float top_k;/' "$work/include/calmoe/sampler.h"
    ! "$python" "$make_abi" --check > /dev/null || { echo "abi: another header was not noticed"; exit 1; } ;;
module)
    "$python" "$source/tests/python/test_calmoe.py" ;;
training)
    "$python" "$source/tests/python/test_training_data.py" "$source" ;;
page)
    "$python" "$source/tests/python/run_page.py" "$source/bindings/python/README.md" ;;
installed)
    "$python" -c 'import setuptools, wheel, pip' 2> /dev/null || skip 'pip, setuptools or wheel is missing'
    cp -r "$source/bindings/python" "$work/source" || exit 1
    "$python" -m pip install --quiet --no-index --no-deps --no-build-isolation --disable-pip-version-check \
        --root-user-action=ignore --target "$work/there" "$work/source" || exit 1
    [ -f "$work/there/calmoe/py.typed" ] || { echo "installed: py.typed is missing"; exit 1; }
    cd "$work" && env PYTHONPATH="$work/there" "$python" -c '
import calmoe, importlib.metadata
assert calmoe.__file__.startswith("'"$work"'/there"), calmoe.__file__
assert importlib.metadata.version("calmoe") == calmoe.__version__
assert calmoe.Model().engine(threads=1).generate("The file", max_new_tokens=8)' ;;
*)
    echo "unknown: $what"; exit 2 ;;
esac
