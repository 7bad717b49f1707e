# The version that a package source has for a package that is installed.

# candidate PACKAGE WANT: prints what the engine functions would install, with the lists read anew;
# nothing where that cannot be told.
candidate() {
	(
		said='' version='' list='' limit=60
		if has dpkg-query; then
			apt_update "$limit"
			[ -z "${apt_update_said-}" ] || exit 0 # the lists are old
			apt_resolve "$1" "$2"
		elif has dnf || has yum; then
			dnf_run "$limit" makecache || exit 0
			case $said in *'Ignoring repositories'* | *'Failed to download'*) exit 0 ;; esac
			list=$(dnf_versions "$1")
		elif has zypper; then
			ZYPP_LOCK_TIMEOUT=$limit zypper -q -n refresh || exit 0
			list=$(zypper_versions "$1")
		elif has pacman; then
			pacman -Sy --noconfirm || exit 0
			list=$(pacman_versions "$1")
		elif has apk; then
			apk --wait "$limit" update || exit 0
			list=$(apk_versions "$1")
		fi >&2
		[ -n "$version" ] || resolve "$1" "$2" >&2 <<-END
			$list
		END
		printf '%s\n' "$version"
	) 2>/dev/null
}
