#!/bin/bash
# Include only to the left: include -> base -> kernels -> router -> experts -> runtime -> tools, bench, examples.
#
# Inside runtime: proof -> policy -> load -> documents -> text -> constrain -> sample -> stats -> families -> adapters -> mixers -> forward -> exits -> engine ->
# calibrate -> fit -> make -> api. Programs and examples
# include <calmoe/...>, headers of the system, and headers of their own folder; bench also what it shares
# with tools, tools/front.h. What calmoe/calmoe.h brings in is the core; headers of the core include no others.
. "$(dirname "$0")/common.sh"

check()
{
    code_of $(c_files include base kernels router experts runtime tools bench examples) | awk -F: '
    BEGIN {
        n = split("include base kernels router experts runtime tools bench examples", name, " ")
        for (i = 1; i <= n; i++) layer[name[i]] = i
        n = split("proof policy load documents text constrain sample stats families adapters mixers forward exits engine calibrate fit make api", name, " ")
        for (i = 1; i <= n; i++) part[name[i]] = i
        while ((getline line < "include/calmoe/calmoe.h") > 0)
            if (line ~ /^#include "calmoe\//) { split(line, word, "\""); core[word[2]] = 1 }
    }
    function say(what, sentence) { print file ":" $2 ": " what ": " sentence }
    function exists(path, dummy, answer) {
        answer = (getline dummy < path) >= 0
        close(path)
        return answer
    }
    {
        file = $1
        code = substr($0, length($1) + length($2) + 3)
        n_from = split(file, from, "/")
        if (from[1] == "runtime" && !(file in known)) {
            known[file] = 1
            if (n_from < 3 || !(from[2] in part)) say("folder", "in runtime/, but in none of its known folders")
        }
        if (code !~ /^[ \t]*#[ \t]*include/) next
        quoted = code ~ /include[ \t]*"/
        path = code
        sub(/^[^"<]*["<]/, "", path)
        sub(/[">].*/, "", path)
        n_to = split(path, to, "/")
        if (path ~ /^\.\.|\/\.\./) { say(path, "climbs"); next }
        if (quoted && n_to == 1) {
            folder = file
            sub(/[^\/]*$/, "", folder)
            if (!exists(folder path)) say(path, "a bare name is for a file of the same folder")
            next
        }
        if (layer[from[1]] > layer["runtime"]) {
            if (quoted && to[1] != from[1] && !(from[1] == "bench" && path == "tools/front.h"))
                say(path, from[1] "/ sees <calmoe/...> and headers of the system only")
            next
        }
        if (!quoted) {
            if (to[1] in layer) say(path, "our own headers are included with quotes")
            if (from[1] == "include" && path !~ /^(stddef|stdint|stdbool)\.h$/)
                say(path, "public headers need stddef.h, stdint.h and stdbool.h only")
            next
        }
        if (to[1] == "calmoe") { # the public headers: left of everything
            if (substr(file, 9) in core && !(path in core)) say(path, "a header of the core must not bring it in")
            next
        }
        if (!(to[1] in layer)) { say(path, "not in a layer"); next }
        if (layer[to[1]] > layer[from[1]]) say(path, from[1] "/ must not know " to[1] "/")
        if (from[1] == "runtime" && to[1] == "runtime" && part[to[2]] > part[from[2]])
            say(path, "runtime/" from[2] "/ must not know runtime/" to[2] "/")
    }'
}

samples()
{
    sample base/a.c <<< '#include "kernels/b.h"'
    finds 'base/a.c:1: kernels/b.h: base/ must not know kernels/'
    sample router/a.c <<< '#  include "experts/b.h"'
    finds 'router/ must not know experts/'
    sample runtime/load/a.c <<< '#include "runtime/forward/b.h"'
    finds 'runtime/load/ must not know runtime/forward/'
    sample runtime/a.c <<< 'int a;'
    finds 'none of its known folders'
    sample tools/a.c <<< '#include "base/memory.h"'
    finds 'tools/ sees <calmoe/...>'
    sample bench/a.c <<< '#include "tools/cli.h"'
    finds 'bench/ sees <calmoe/...>'
    sample examples/a.c <<< '#include "../base/memory.h"'
    finds 'climbs'
    sample kernels/a.c <<< '#include "b.h"'
    finds 'a bare name'
    sample include/calmoe/a.h <<< '#include <hwloc.h>'
    finds 'public headers need'
    sample include/calmoe/calmoe.h <<< '#include "calmoe/a.h"'
    sample include/calmoe/a.h <<< '#include "calmoe/b.h"'
    finds 'include/calmoe/a.h:1: calmoe/b.h: a header of the core must not'
    sample runtime/api/a.c <<< '#include "runtime/load/b.h" /* #include "tools/c.h" */
#include "calmoe/engine.h"
#include <math.h>
/*
#include "tools/c.h"
*/'
    sample tools/a.c <<< '#include "a.h"
#include "tools/a.h"
#include <calmoe/engine.h>'
    sample tools/a.h <<< 'int a;'
    sample include/calmoe/calmoe.h <<< '#include "calmoe/a.h"
#include "calmoe/b.h"'
    sample include/calmoe/a.h <<< '#include "calmoe/b.h"'
    sample include/calmoe/c.h <<< '#include "calmoe/d.h"'
    accepts
}

rule_main "$@"
