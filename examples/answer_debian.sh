#!/bin/bash
# answer_debian.sh - measures examples/answer on Debian's own documentation: the share of answers in which everything
# that is cited stands where it should, bound and free.
#
#     answer_debian.sh ANSWER [MODEL.gguf]      ANSWER: the program. Without a model: the one that comes with the library
set -eu
answer=$(realpath "$1")
model=${2:+$(realpath "$2")}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir "$folder/docs"

# Manual pages as text, and what /usr/share/doc has of it.
for page in ls cp mv rm grep sed sort uniq tar find xargs chmod chown mount df du ps kill ssh ssh-keygen scp dpkg apt-get; do
    MANWIDTH=90 man -P cat $page 2> /dev/null | col -b > "$folder/docs/$page.1" || rm -f "$folder/docs/$page.1"
done
find /usr/share/doc \( -name 'README*' -o -name 'FAQ*' -o -name 'NEWS*' \) -type f -size -200k | head -n 300 |
    while read -r file; do
        name=$(tr / _ <<< "${file#/usr/share/doc/}")
        case $file in
        *.gz) zcat "$file" > "$folder/docs/${name%.gz}" ;;
        *)    cp "$file" "$folder/docs/$name" ;;
        esac
    done

cat > "$folder/questions" << 'END'
Which option of ls shows hidden files whose names start with a dot?
How does ls print sizes in human readable form?
Which option makes cp copy directories recursively?
How can mv be kept from overwriting an existing file?
Which option of rm asks before every removal?
How does grep ignore case distinctions?
Which option of grep prints only a count of matching lines?
What does the option -i of sed do?
Which option of sort reverses the result of comparisons?
How does sort compare according to string numerical value?
Which option of uniq prefixes lines by the number of occurrences?
How does tar extract files from an archive?
Which option of tar filters the archive through gzip?
How does find select files by their size?
Which test of find is true if the file is empty?
How many arguments per command line does xargs use at most?
Which option of chmod changes files recursively?
What does the sticky bit of a directory prevent?
How does chown follow symbolic links?
Which option of mount mounts the file system read-only?
Which option of df prints the file system type?
How does du display only a total for each argument?
Which option of ps selects all processes?
Which signal does kill send by default?
Which option of ssh specifies the port to connect to on the remote host?
Which file does ssh-keygen write the public key to?
Which option of scp copies entire directories?
How does dpkg list the files that a package installed?
How does apt-get download packages without installing them?
What does apt-get autoremove do?
END
"$answer" index "$folder/index" "$folder/docs"
"$answer" measure ${model:+-m "$model"} "$folder/index" "$folder/questions"
