#!/usr/bin/env bash
# clients.sh: see to it that other people's clients of docker-machine are there, at
# the versions that e2e/testdata/clients names. Prints the folder that node finds its
# packages in.
set -euo pipefail
. "$(dirname "$0")/tools.sh"

need node nodejs
need npm npm
need ansible-inventory ansible

from=$root/e2e/testdata/clients
dir=$cache/clients-$(cksum <"$from/package-lock.json" | cut -d ' ' -f 1)
if [ ! -d "$dir/node_modules" ]; then
	mkdir -p "$cache"
	made=$(mktemp -d "$cache/clients-XXXXXX")
	cp "$from/package.json" "$from/package-lock.json" "$made"
	for try in 1 2 3; do
		if npm ci --prefix "$made" --ignore-scripts --no-audit --no-fund >"$cache/npm.log" 2>&1 </dev/null; then
			break
		fi
		say "npm ci: attempt $try of 3 went wrong"
		[ "$try" -lt 3 ] || { tail -n 20 "$cache/npm.log" >&2; die "cannot install the clients; the full log is $cache/npm.log"; }
	done
	if ! mv -T "$made" "$dir" 2>/dev/null; then
		[ -d "$dir/node_modules" ] || die "cannot move $made to $dir" # another was quicker
		rm -rf "$made"
	fi
fi
echo "$dir/node_modules"
