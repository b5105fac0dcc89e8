# needs: model
calmoe inspect --json > short
calmoe inspect --json --tensors --metadata > long
grep -cE '^  "(tensors|metadata)": \[' short
grep -E '^  "(path|n_experts|n_parameters|fingerprint|types|tensors|metadata)":' long
head -1 long; tail -1 long
