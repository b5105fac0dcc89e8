# needs: model
# Where threads run is said, whatever was asked for, and is never a bit of the text.
calmoe run -p "The" -n 4 --pin no -t 2 --verbose > no
calmoe run -p "The" -n 4 --pin yes -t 2 > yes 2> /dev/null
cmp no yes
calmoe run -p "The" -n 4 --pin maybe
