# needs: model
try() { calmoe calibrate "$@"; echo "$?"; }
: > empty
printf 'A day.' > day
try
try day --delta 1%,1%
try day --delta 120%
try day --epsilon 0
try day --first 2
try day --max-exits 4
try nothing
try empty
try day
printf '{"text": "A day."}\n{"prompt": ""}\n' > a.jsonl
try a.jsonl
printf '{"answer": "A day."}\n' > a.jsonl
try a.jsonl
printf '{"text": ' > a.jsonl
try a.jsonl
printf '{"prompt": "A day", "answer": "."}\n{"prompt": "A day"}\n' > a.jsonl
try a.jsonl
printf '{"prompt": "A"}\n{"prompt": "B"}\n' > a.jsonl
try a.jsonl --measures luck
try a.jsonl --loss luck
try a.jsonl --p-value binomial
try a.jsonl -a 512
try a.jsonl -m nothing.gguf
try a.jsonl --resident
