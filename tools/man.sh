#!/bin/bash
# man.sh - the manual pages, made from what --help says: man.sh FOLDER PROGRAM...
#
# Writes FOLDER/NAME.1.gz of each program, and FOLDER/NAME-SUBCOMMAND.1.gz of each subcommand that its help lists.
set -eu -o pipefail
folder=$1
shift

# page NAME VERSION COMMAND...: the page of what COMMAND --help says
page()
{
    local name=$1 version=$2
    shift 2
    "$@" --help | awk -v name="$name" -v version="$version" '
    function plain(text) { # as troff takes it: neither backslashes nor a first dot are commands
        gsub(/\\/, "\\e", text)
        gsub(/-/, "\\-", text)
        return text ~ /^[.\047]/ ? "\\&" text : text
    }
    function keep(is_kept) { # from here on lines stay as they stand, or are filled
        if (is_kept && !kept) print ".PP\n.nf\n.RS 2"
        if (!is_kept && kept) print ".RE\n.fi"
        kept = is_kept
    }
    function item(left, text) {
        gsub(/^ +/, "", left)
        sub(/^ +/, "", text)
        print ".TP\n.B " plain(left) "\n" plain(text)
    }
    /^Usage: / { usage = substr($0, 8); next }
    summary == "" {
        if (!NF) next
        summary = $0
        first = $0
        sub(/\.$/, "", first)
        printf ".TH %s 1 \"\" \"calmoe %s\" \"User Commands\"\n", plain(toupper(name)), version
        print ".SH NAME\n" plain(name) " \\- " plain(tolower(substr(first, 1, 1)) substr(first, 2))
        print ".SH SYNOPSIS\n.B " plain(usage) "\n.SH DESCRIPTION\n" plain(summary)
        next
    }
    /^(Options|Subcommands|Examples?):$/ {
        keep(0)
        part = toupper(substr($0, 1, length($0) - 1))
        print ".SH " part
        next
    }
    part == "SUBCOMMANDS" && NF || part == "OPTIONS" && match($0, /--[^ ]+( [^ ]+)?/) {
        if (part == "SUBCOMMANDS") match($0, /[^ ]+/) # the name; of an option its value, too, behind a single blank
        item(substr($0, 1, RSTART + RLENGTH - 1), substr($0, RSTART + RLENGTH))
        next
    }
    part ~ /^(OPTIONS|SUBCOMMANDS)$/ { part = "NOTES"; begins = 1; next }
    !NF { keep(0); print ".PP"; next }
    {
        if (begins) print ".SH NOTES"
        begins = 0
        keep($0 ~ /^  /)
        print plain(kept ? substr($0, 3) : $0)
    }
    END { keep(0) }' > "$folder/$name.1"
}

mkdir -p "$folder"
rm -f "$folder"/*.1 "$folder"/*.1.gz
for program in "$@"; do
    name=${program##*/}
    version=$("$program" --version)
    version=${version##* }
    page "$name" "$version" "$program"
    for subcommand in $("$program" --help | sed -n '/^Subcommands:$/,/^$/s/^  \([a-z-]*\) .*/\1/p'); do
        page "$name-$subcommand" "$version" "$program" "$subcommand"
    done
done
gzip -9n "$folder"/*.1
