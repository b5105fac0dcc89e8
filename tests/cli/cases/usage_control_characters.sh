# What was typed must not reach a terminal as it is.
calmoe run $'--\e[31mred\n'
