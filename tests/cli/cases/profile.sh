# needs: model
printf 'Once upon a time there was a small house by the river, and in it lived an old man.' > story
printf 'for (int i = 0; i < n; i++) if (a[i] != NULL) free(a[i]);' > loop.c
calmoe profile --domain english=story c=loop.c --domain c=loop.c -o profile.json --prometheus profile.prom --trace both.trace
calmoe place --profile profile.json --domain c --topology "numa:2 core:4 pu:1" | grep '^policy'
grep '^calmoe_profile_tokens_total' profile.prom
calmoe profile --merge profile.json profile.json -o twice.json | head -5 | cut -c1-27
calmoe place --simulate both.trace --topology "numa:2 core:4 pu:1" | grep 'the trace'
