#!/bin/sh
# Does one task: the input comes on stdin, what is printed is the output. Both are JSON.
set -eu
input=$(cat)
field() { printf '%s' "$input" | sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p"; }

echo "making $(field images) thumbnails" >&2
printf '{"made":%d,"width":"%s"}\n' "$(field images)" "$(field size)"
