# The manual pages have all that --help says: each program and subcommand its page, each option its entry.
bash "$(dirname "$MODEL")/../tools/man.sh" pages "$(command -v calmoe)" "$(command -v calmoe-bench)" || exit 1
check() # PAGE COMMAND...
{
    local page=$1 option
    shift
    for option in $("$@" --help | grep -o '^  \(-., \)\{0,1\} *--[a-z-]*' | grep -o -- '--.*'); do
        zcat "pages/$page.1.gz" | sed 's/\\//g' | grep -q "^\.B .*$option\>" || echo "$page lacks $option"
    done
    zcat "pages/$page.1.gz" | grep -q '^\.SH EXAMPLE' || echo "$page has no example"
    zcat "pages/$page.1.gz" | grep -c '^\.TH .* 1 "" "calmoe [0-9.]*" "User Commands"$'
}
check calmoe calmoe
check calmoe-bench calmoe-bench
for subcommand in $(calmoe --help | sed -n '/^Subcommands:$/,/^$/s/^  \([a-z-]*\) .*/\1/p'); do
    check "calmoe-$subcommand" calmoe "$subcommand"
done | sort | uniq -c | awk '{ print ($1 > 7 ? "many" : $1), $2, $3, $4 }'
