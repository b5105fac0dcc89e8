# bash completion of calmoe and calmoe-bench: subcommands, options and their words are read from what --help says.

_calmoe_help() # COMMAND...
{
    "$@" --help 2> /dev/null < /dev/null
}

_calmoe()
{
    local IFS=$'\n' program=$1 word=$2 previous=$3 line= value=
    local -a command=("$program")
    COMPREPLY=()

    # The subcommand, if the program has any.
    local subcommands
    subcommands=$(_calmoe_help "$program" | sed -n '/^Subcommands:$/,/^$/s/^  \([a-z-]*\) .*/\1/p')
    if [ -n "$subcommands" ]; then
        if [ "$COMP_CWORD" = 1 ]; then
            COMPREPLY=($(compgen -W "$subcommands"$'\n--help\n--version' -- "$word"))
            return
        fi
        command+=("${COMP_WORDS[1]}")
    fi

    # What the option before wants: its value in the help is words with | between them, or what a file is called.
    case $previous in
    --*) line=$(_calmoe_help "${command[@]}" | grep -m 1 -e "^  .*$previous ") ;;
    -?)  line=$(_calmoe_help "${command[@]}" | grep -m 1 -e "^  $previous, ") ;;
    esac
    if [[ $line =~ ^\ +(-.,\ )?--[a-z-]+\ ([^\ ]+) ]]; then
        value=${BASH_REMATCH[2]}
        case $value in
        *'|'*) COMPREPLY=($(compgen -W "${value//|/$'\n'}" -- "$word")) ;;
        FILE|MODEL|TRACE|*.json|*.gguf) COMPREPLY=($(compgen -f -- "$word")) ;;
        esac
        return
    fi

    if [[ $word == -* ]]; then
        COMPREPLY=($(compgen -W "$(_calmoe_help "${command[@]}" |
            sed -n '/^Options:$/,/^$/s/^  \(-., \)\{0,1\} *\(--[a-z-]*\).*/\2/p')" -- "$word"))
    else
        COMPREPLY=($(compgen -f -- "$word"))
    fi
}

complete -o filenames -F _calmoe calmoe calmoe-bench
