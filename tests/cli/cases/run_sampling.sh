# needs: model
# The embedded model's file advises nothing on sampling: what it is asked for changes nothing.
calmoe run -p "The" -n 24 > plain
calmoe run -p "The" -n 24 --model-sampling > advised
cmp plain advised
# Penalties on what stands in the answer change it; they are the same each time.
calmoe run -p "The" -n 24 --presence-penalty 2 --frequency-penalty 1 > penal.1
calmoe run -p "The" -n 24 --presence-penalty 2 --frequency-penalty 1 > penal.2
cmp penal.1 penal.2 && ! cmp -s plain penal.1 && echo "other text"
calmoe run -p "The" -n 24 --frequency-penalty 101
