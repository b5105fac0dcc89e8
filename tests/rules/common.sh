# common.sh - sourced by every rule of this folder. A rule is a script that defines
#   check [ARG...]   run at the root of a tree; prints one line "FILE:LINE: WHAT: sentence" for each finding
#   samples          feeds check with small trees, by `sample`, `finds` and `accepts` below
# and ends with `rule_main "$@"`. Called as RULE.sh ROOT [ARG...], it first makes sure by its samples that it
# can fail, then checks the tree. Exit status: 0 kept, 1 broken, 77 skipped.
#
# Exceptions stand in tests/rules/exceptions.txt, one a row: RULE FILE WHAT reason. A row that excuses
# nothing any more is a finding itself.
set -u
export LC_ALL=C.UTF-8
rules_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
rule_name=$(basename "$0" .sh)

# c_files FOLDER...: the C files in those of the folders that exist.
c_files()
{
    local folder
    for folder in "$@"; do
        [ -d "$folder" ] && find "$folder" -type f \( -name '*.[ch]' -o -name '*.inc' \)
    done | LC_ALL=C sort
}

# code_of [-v strings=0] FILE...: "FILE:LINE:code" without comments (and without the text of literals).
code_of()
{
    awk -f "$rules_dir/code.awk" "$@" /dev/null
}

# findings RULE-ARG...: what check finds here and exceptions.txt does not excuse.
findings()
{
    local table=tests/rules/exceptions.txt
    [ -f $table ] || table=/dev/null
    check "$@" | awk -v rule="$rule_name" '
        FNR == 1 { n_files++ }
        FILENAME == ARGV[1] {
            if ($1 == rule) { row[$2 " " $3] = FNR; if (NF < 4) print ARGV[1] ":" FNR ": no reason is given" }
            next
        }
        {
            split($0, part, ":")
            what = part[3]; sub(/^ */, "", what)
            if ((part[1] " " what) in row) used[part[1] " " what] = 1
            else print
        }
        END { for (key in row) if (!(key in used)) print ARGV[1] ":" row[key] ": this row excuses nothing: " key }
    ' "$table" -
}

# sample FILE < text: one file of the tree that the next finds or accepts looks at.
sample()
{
    mkdir -p "$sample_tree/$(dirname "$1")"
    cat > "$sample_tree/$1"
}

# finds TEXT [ARG...]: the sample must be found, with TEXT in a finding. accepts [ARG...]: it must not.
finds()
{
    local text=$1 found
    shift
    found=$(cd "$sample_tree" && findings "$@")
    case $found in
    *"$text"*) ;;
    *)  echo "$rule_name: self-check: '$text' was not found in a sample that breaks the rule; found: '$found'"
        exit 1 ;;
    esac
    rm -rf "${sample_tree:?}"/*
}
accepts()
{
    local found
    found=$(cd "$sample_tree" && findings "$@")
    if [ -n "$found" ]; then
        echo "$rule_name: self-check: a sample that keeps the rule was found: '$found'"
        exit 1
    fi
    rm -rf "${sample_tree:?}"/*
}

rule_main()
{
    local root=$1 found
    shift
    sample_tree=$(mktemp -d) || exit 1
    trap 'rm -rf "$sample_tree"' EXIT
    samples "$@"
    cd "$root" || exit 1
    found=$(findings "$@")
    [ -z "$found" ] && exit 0
    echo "$found"
    echo "$rule_name: $(echo "$found" | wc -l) findings. The rule: $(sed -n '2s/^# //p' "$rules_dir/$rule_name.sh")"
    exit 1
}
