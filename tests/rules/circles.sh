#!/bin/bash
# No circle of files: where a file uses what another one defines, that one does not, by any way, use the first.
#
# Argument: OBJECTS, a file with the path of one object file a line, as CMake names them (…_objects.dir/base/a.c.o).
# A symbol that an object file leaves undefined is a use of the file that defines it, a row of a table as much as a
# call. Files that can reach one another by such uses are a circle. In exceptions.txt a circle is named by its files,
# "+" between them.
. "$(dirname "$0")/common.sh"

uses() # "SOURCE D SYMBOL" for each definition, "SOURCE U SYMBOL" for each use
{
    tr '\n' '\0' < "$1" | xargs -0 nm -gA 2> /dev/null | awk '
    {
        split($0, part, ".o:")
        source = part[1]
        sub(/.*_objects\.dir\//, "", source)
        if ($NF ~ /^(cm|calmoe)_/) print source, ($(NF - 1) == "U" ? "U" : "D"), $NF
    }'
}

check()
{
    [ -s "${1-}" ] || { echo "${1-}:0: missing: no such list of object files"; return; }
    uses "$1" | LC_ALL=C sort -u | awk '
    function folder_of(file) { sub(/\/[^\/]*$/, "", file); return file }
    function name_of(file) { sub(/.*\//, "", file); sub(/\.c$/, "", file); return file }
    !($1 in index_of) { index_of[$1] = ++n; file[n] = $1 }
    $2 == "D" { definer[$3] = index_of[$1] }
    $2 == "U" { use_by[++n_uses] = index_of[$1]; use_of[n_uses] = $3 }
    # Marks in seen[start, …] all files that `start` reaches.
    function reach(start,    queue, head, tail, at, i, next_file) {
        queue[tail = 1] = start
        for (head = 1; head <= tail; head++) {
            at = queue[head]
            for (i = 1; i <= degree[at]; i++) {
                next_file = target[at, i]
                if (!((start, next_file) in seen)) { seen[start, next_file] = 1; queue[++tail] = next_file }
            }
        }
    }
    END {
        for (i = 1; i <= n_uses; i++) {
            by = use_by[i]
            of = definer[use_of[i]]
            if (!of || of == by || (by, of) in edge) continue
            edge[by, of] = use_of[i]
            target[by, ++degree[by]] = of
        }
        for (i = 1; i <= n; i++) reach(i)
        for (i = 1; i <= n; i++) { # the files are sorted, so that a circle is met at its first one
            if (!((i, i) in seen) || i in done) continue
            n_files = 0; n_folders = 1; names = ""; uses = ""
            for (j = i; j <= n; j++)
                if ((i, j) in seen && (j, i) in seen) {
                    member[++n_files] = j
                    done[j] = 1
                    names = names (n_files > 1 ? "+" : "") name_of(file[j])
                    if (folder_of(file[j]) != folder_of(file[i])) n_folders = 2
                }
            for (a = 1; a <= n_files; a++)
                for (b = 1; b <= n_files; b++)
                    if ((member[a], member[b]) in edge)
                        uses = uses (uses == "" ? "" : ", ") name_of(file[member[a]]) " uses " edge[member[a], member[b]] " of " \
                               name_of(file[member[b]])
            if (n_folders > 1) print file[i] ":0: " names ": a circle through several rooms: " uses
            else print file[i] ":0: " names ": a circle of files in " folder_of(file[i]) "/: " uses
        }
    }'
}

samples()
{
    local list=$sample_tree/objects.txt
    object() # object FILE.c < C: compiles one file of the sample, and lists it
    {
        local to=$sample_tree/a_objects.dir/$1.o
        mkdir -p "$(dirname "$to")"
        ${CC:-cc} -w -xc -c -o "$to" - || exit 1
        echo "$to" >> "$list"
    }
    object base/a.c <<< 'int cm_b(void); int cm_a(void) { return cm_b(); }'
    object kernels/b.c <<< 'int cm_c(void); int cm_b(void) { return cm_c(); }'
    object base/c.c <<< 'int cm_a(void); int cm_c(void) { return cm_a(); }'
    finds 'base/a.c:0: a+c+b: a circle through several rooms: a uses cm_b of b, c uses cm_a of a, b uses cm_c of c' \
          "$list"
    pair() # pair FOLDER NAME: a circle of two files
    {
        object "$1/$2.c" <<< "extern int cm_table_$2[]; int *cm_$2(void) { return cm_table_$2; }"
        object "$1/$2_table.c" <<< "int *cm_$2(void); int *(*cm_table_$2[])(void) = {cm_$2};"
    }
    pair runtime/a x
    pair runtime/b y
    finds 'runtime/b/y.c:0: y+y_table: a circle of files in runtime/b/' "$list"
    finds 'missing' "$list"
    object runtime/b/y.c <<< 'extern int cm_table_y[]; int *cm_y(void) { return cm_table_y; }'
    object runtime/b/y_table.c <<< 'int cm_own(void) { return 1; } int (*cm_table_y[])(void) = {cm_own};'
    object runtime/b/z.c <<< 'int *cm_y(void), printf(const char *, ...); int cm_z(void) { return *cm_y() + printf(""); }'
    accepts "$list"
}

rule_main "$@"
