# needs: model
printf '/help\n/sing\n\n   \n/quit\nNever read\n' | calmoe run --chat -n 4
