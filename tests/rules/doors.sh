#!/bin/bash
# One door for each outside library: its header and its names stand in a file or two only.
. "$(dirname "$0")/common.sh"

# door HEADERS NAMES FILES, each an extended regular expression
door()
{
    grep -E "^[^:]*:[0-9]+:([ \t]*#[ \t]*include[ \t]*[<\"]($1)[>\"]|(.*[^A-Za-z0-9_])?($2))" <<< "$code" |
    awk -F: -v files="^($3)\$" '$1 !~ files {
        print $1 ":" $2 ": door: only " substr(files, 3, length(files) - 4) " may:" substr($0, length($1 $2) + 3)
    }'
}

check()
{
    local code
    code=$(code_of $(c_files include base kernels router experts runtime tools bench examples))
    door 'hwloc(/.*)?\.h'         'hwloc_[a-z_]+ *\('               'base/(topology|node_memory)[.]c'
    door 'omp\.h'                 'omp_[a-z_]+ *\(|# *pragma +omp'  'base/team[.]c'
    door 'pcre2(posix)?\.h'       'pcre2_[a-z_]+ *\('               'runtime/text/pretokenize[.]c'
    door 'jansson\.h'             'json_(load|dump|decref|pack|unpack|object_|array_)[a-z_]* *\(' \
                                  'runtime/documents/json[.]c|tools/json_(output|lines)[.]c|tools/serve/json_reader[.]c|bench/[a-z_]+[.]c'
    door '(cblas|lapacke|f77blas|openblas.*)\.h'  '(cblas|LAPACKE|openblas)_[a-z_]+ *\(|d[a-z]{4,5}_ *\(' \
                                  'kernels/blas[.]c'
    door 'sqlite3\.h'             'sqlite3_[a-z0-9_]+ *\('        'examples/answer[.]c'
    door 'dlfcn\.h'             '(dlopen|dlsym) *\('               'kernels/blas[.]c'
    door 'microhttpd\.h'         '(MHD_[A-Za-z_]+) *\('           'tools/serve/http[.]c'
    door 'curl/.*|sys/socket\.h'  '(socket|connect) *\('          'tools/serve/http[.]c|bench/serve_client[.]c'
    door 'mpi\.h'               'MPI_[A-Z][a-z_]+ *\('             'base/ranks[.]c'
    door 'liburing(/.*)?\.h'      'io_uring_[a-z_]+ *\('          'base/disk_ring[.]c'
    grep -lE '#[ \t]*include[ \t]*<jansson' $(c_files bench) /dev/null | sed 1d |
        sed 's/$/:1: jansson: bench\/ has a door to jansson already/'
}

samples()
{
    sample kernels/a.c <<< '#include <hwloc.h>'
    finds 'kernels/a.c:1: door: only base/'
    sample base/memory.c <<< '    hwloc_topology_load(t);'
    finds 'base/memory.c:1: door: only base/'
    sample experts/a.c <<< '#pragma omp parallel'
    finds 'door: only base/team[.]c'
    sample runtime/text/bpe.c <<< '#include <pcre2.h>'
    finds 'door: only runtime/text/pretokenize[.]c'
    sample tools/calmoe_run.c <<< 'int a = f(json_object_get(b, "c"));'
    finds 'door: only runtime/documents/json[.]c'
    sample kernels/linear.c <<< '#include <cblas.h>'
    finds 'door: only kernels/blas[.]c'
    sample runtime/fit/a.c <<< '    dpotrf_("L", &n, a, &n, &info, 1);'
    finds 'door: only kernels/blas[.]c'
    sample tools/a.c <<< '#include <sqlite3.h>'
    finds 'door: only examples/answer[.]c'
    sample tools/serve/routes.c <<< '    MHD_queue_response(a, b, c);'
    finds 'door: only tools/serve/http[.]c'
    sample tools/calmoe_run.c <<< 'int fd = socket(AF_INET, SOCK_STREAM, 0);'
    finds 'door: only tools/serve/http[.]c'
    sample runtime/engine/a.c <<< '    MPI_Comm_rank(comm, &rank);'
    finds 'door: only base/ranks[.]c'
    sample experts/a.c <<< '    io_uring_submit(&ring);'
    finds 'door: only base/disk_ring[.]c'
    sample bench/a.c <<< '#include <jansson.h>'
    sample bench/b.c <<< '#include <jansson.h>'
    finds 'has a door to jansson already'
    sample base/team.c <<< '#include <omp.h>
#pragma omp parallel'
    sample base/topology.h <<< 'struct topology { void *hwloc; }; /* for hwloc_topology_load() */'
    sample runtime/documents/json.c <<< '#include <jansson.h>'
    sample runtime/api/a.c <<< 'cm_json_loads(); json_text(x); reconnect(x);'
    accepts
}

rule_main "$@"
