#!/bin/bash
# run.sh ASKED DRIVER CALMOE HAS_MPI - what several processes do together, on this machine, each with one thread.
#   bits N [uneven]   N ranks give the logits of one process, for the golden models of every mixer and the embedded model;
#                     and exchange what was predicted
#   failures          ranks that do not fit each other, do not start, are killed or stopped: all end, with a sentence
# Skipped (77) where calmoe was built without MPI, or there is no mpirun.
set -u
asked=$1 driver=$2 calmoe=$3 has_mpi=$4
here=$(cd "$(dirname "$0")" && pwd)
golden=$here/../golden

skip() { echo "skipped: $*"; exit 77; }
[ "$has_mpi" = yes ] || skip "built without MPI"
command -v mpirun > /dev/null || skip "no mpirun"
nm -D "$driver" 2> /dev/null | grep -qE ' __tsan_init' && skip "MPI is not built for the thread sanitizer"

# More processes than cores, as root in a container, without a network.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1
export OMPI_MCA_hwloc_base_binding_policy=none OMPI_MCA_btl=self,vader OMPI_MCA_btl_vader_single_copy_mechanism=none
export OMPI_MCA_oob_tcp_if_include=lo OMPI_MCA_pml=ob1 OMPI_MCA_osc=^ucx
export OMP_WAIT_POLICY=passive ASAN_OPTIONS=${ASAN_OPTIONS-}:detect_leaks=0 # MPI keeps memory until the end
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT
export TMPDIR=$folder

# ---- bits ----

bits()
{
    local models=("$here/../../models/calmoe-nano.gguf") name
    for name in qwen3moe olmoe gptoss gemma4moe qwen2moemixed llamabias deepseek2 deepseek3 qwen35moe qwen3next \
                qwen3nextold; do
        models+=("$golden/$name.gguf")
    done
    "$driver" "${models[@]}" > "$folder/one" || { cat "$folder/one"; exit 1; }
    timeout 100 mpirun -n "$1" "$driver" ${2+"$2"} "${models[@]}" > "$folder/many" 2> "$folder/errors" || {
        cat "$folder/many" "$folder/errors"
        exit 1
    }
    [ "$(grep -c . "$folder/one")" = "${#models[@]}" ] || { echo "FAIL not all models ran"; exit 1; }
    diff "$folder/one" "$folder/many" || { echo "FAIL $1 ranks give other logits than one"; exit 1; }
    echo "ok   $1 ranks, ${#models[@]} models"
}

case $asked in
bits*) shift 4; bits "$@" ;;
esac
