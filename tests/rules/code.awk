# Prints C files as "FILE:LINE:code" without comments; with -v strings=0 literals are emptied too.
BEGIN { if (strings == "") strings = 1 }
FNR == 1 { in_comment = 0 }
{
    line = $0
    code = ""
    while (line != "") {
        if (in_comment) {
            end = index(line, "*/")
            if (!end) break
            in_comment = 0
            code = code " "
            line = substr(line, end + 2)
            continue
        }
        if (!match(line, /["']|\/\*|\/\//)) {
            code = code line
            break
        }
        code = code substr(line, 1, RSTART - 1)
        mark = substr(line, RSTART, RLENGTH)
        line = substr(line, RSTART)
        if (mark == "//") break
        if (mark == "/*") {
            in_comment = 1
            line = substr(line, 3)
            continue
        }
        if (!match(line, mark == "\"" ? "^\"([^\"\\\\]|\\\\.)*\"" : "^'([^'\\\\]|\\\\.)*'")) RLENGTH = length(line)
        code = code (strings ? substr(line, 1, RLENGTH) : mark mark)
        line = substr(line, RLENGTH + 1)
    }
    print FILENAME ":" FNR ":" code
}
