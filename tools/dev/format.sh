#!/bin/bash
# tools/dev/format.sh [--check]: brings all C sources into the form of .clang-format, or says which are not in it.
set -euo pipefail

case $#:${1-} in
0:) mode=(-i) ;;
1:--check) mode=(--dry-run -Werror --ferror-limit=1) ;;
*) echo "usage: tools/dev/format.sh [--check]" >&2 && exit 64 ;;
esac

# Another version has other ideas of the same .clang-format.
wanted=14
for format in "clang-format-$wanted" clang-format ''; do
	if [[ $("$format" --version 2>/dev/null) =~ version\ $wanted\. ]]; then break; fi
done
[[ $format ]] || { echo "format.sh: needs clang-format $wanted (package clang-format-$wanted)" >&2; exit 1; }

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
find fcgi tools tests -name '*.[ch]' ! -name '*.auto.[ch]' -print0 | xargs -0r "$format" --style=file "${mode[@]}"
