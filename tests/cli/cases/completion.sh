# What bash offers behind the words of a line: the subcommands, options and words of options that --help lists.
. "$(dirname "$MODEL")/../tools/completion.bash"
offer()
{
    COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
    _calmoe "$1" "${!#}" "${COMP_WORDS[COMP_CWORD - 1]}"
    echo "$* -> [${COMPREPLY[*]}]"
}
touch model.gguf 'two words.txt'
offer calmoe ru
offer calmoe run --top
offer calmoe run --color ''
offer calmoe run -m mod
offer calmoe run -f two
offer calmoe run --temp ''
offer calmoe calibrate --costs t
offer calmoe run --lossless --show
offer calmoe-bench --synth
offer calmoe-bench --kv ''
