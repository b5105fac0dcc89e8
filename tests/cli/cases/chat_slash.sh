# needs: model
# Lines that begin with a slash and are no commands are turns; of two slashes the first only says so.
turn() { printf '%s\n' "$1" | calmoe run --chat -n 1 2>&1 > /dev/null | grep -c 'answer was cut'; }
turn /etc/hosts
turn '/help me'
turn /Help
turn //help
printf '//help\n' | calmoe run --chat -n 6 2> /dev/null > sent
calmoe run --chat -p /help -n 6 2> /dev/null | cmp - sent && echo same
