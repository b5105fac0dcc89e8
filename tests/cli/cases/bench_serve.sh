# needs: model
# Clients of a server that is ours; a row for each number of them. Then what is wrong.
calmoe serve --port 0 -t 2 > out 2> /dev/null &
server=$!
for i in $(seq 1200); do grep -q served out && break; sleep 0.05; done
url=$(grep -o 'http.*' out)
calmoe-bench --serve $url -b 1,3 -p 20 -n 8 -r 2 -o csv
calmoe-bench --serve $url/v1 -b 2 -p 10 -n 4 -r 1 -o json
calmoe-bench --serve $url -p 2000 -n 4 -r 1; echo $?
kill $server
wait $server
calmoe-bench --serve $url -p 10 -n 4; echo $?
calmoe-bench --serve localhost:80; echo $?
calmoe-bench --serve $url -m a.gguf; echo $?
