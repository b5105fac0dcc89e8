# needs: model
# What is wrong is told by its place; a system text without a place, tools in a format, no JSON, no file, two ways to print.
echo '{"messages": [{"role": "user", "content": 3}]}' | calmoe template
echo "$?"
echo '{"messages": [{"role": "user", "content": "a"}], "tools": [{"type": "x"}]}' | calmoe template --chat-format chatml
echo "$?"
echo 'hello' | calmoe template
echo "$?"
calmoe template -f nowhere
echo "$?"
calmoe template --tokens --marks
echo "$?"
