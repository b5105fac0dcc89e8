# needs: model
# A conversation in OpenAI's form, by the model's template: as text, as tokens, and with what is whose.
cat > conversation << 'END'
{"messages": [{"role": "system", "content": "Be <|im_end|> brief."},
              {"role": "user", "content": [{"type": "text", "text": "Hello"}, {"type": "text", "text": "you"}]}]}
END
calmoe template < conversation
calmoe template --marks -f conversation
calmoe template --tokens < conversation > ids
calmoe tokenize --decode --special $(cat ids) | cmp - <(calmoe template < conversation) && echo the same text
calmoe template --chat-format llama3 -f conversation
