# What is wrong is told before a model is loaded; a port that is taken, too.
serve() { calmoe serve "$@"; echo $?; }
serve --host 0.0.0.0
serve --api-key ''
serve --ping 200
serve --port 70000
serve --pin maybe
serve --api-key-file /nowhere/keys
: > empty
serve --api-key-file empty
serve --host 203.0.113.7 --open --port 0
serve -m /nowhere/model.gguf --port 0
