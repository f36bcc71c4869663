# unprivileged.sh
#
# Sourced by scripts that start servers of their own: test/run, demo/run.  A
# server does not run as root, so such a script copies the tree below a
# temporary directory and starts itself again there, as the user postgres (or
# $PG_TEST_USER) when root called it.  Each function returns 2 when it cannot,
# having said why in the name of $script (which make $goal runs).

# Settle on $PG_CONFIG, and see that the extension is installed for it.
find_server() {
	local f
	PG_CONFIG=${PG_CONFIG:-$(make -s print-PG_CONFIG)}
	"$PG_CONFIG" --version >/dev/null 2>&1 || {
		echo "$script: $PG_CONFIG does not run: make provision, or set PG_CONFIG" >&2
		return 2
	}
	PG_CONFIG=$(command -v "$PG_CONFIG")
	export PG_CONFIG
	sharedir=$("$PG_CONFIG" --sharedir)
	pkglibdir=$("$PG_CONFIG" --pkglibdir)
	for f in "$sharedir/extension/pg_steward.control" "$pkglibdir/pg_steward.so"; do
		[ -e "$f" ] || {
			echo "$script: $f is not there: make install first (make $goal does both)" >&2
			return 2
		}
	done
}

# copy_tree TREE DIR: the working tree, without what tests and builds leave
copy_tree() {
	mkdir "$2" &&
		tar -C "$1" --exclude=./.git --exclude=node_modules --exclude=./results --exclude=./output \
			--exclude=./tmp_check --exclude=./log --exclude=./output_iso -cf - . |
		tar -C "$2" --no-same-owner -xf - || return 2
}

# give_away DIR: to the user who will run the server; $become starts a command
# as him
give_away() {
	local user=${PG_TEST_USER:-postgres}
	become=()
	[ "$(id -u)" -eq 0 ] || return 0
	id "$user" >/dev/null 2>&1 || {
		echo "$script: PostgreSQL does not run as root, and there is no user $user (set PG_TEST_USER)" >&2
		return 2
	}
	chown -R "$user:" "$1" || return 2
	become=(setpriv --reuid "$user" --regid "$(id -g "$user")" --init-groups)
}
