# retention.sh
#
# What retention costs: sourced by bench/run, with its functions and variables.
#
# Times of the worker's own steps, as steward.segment and steward.task have them,
# beside the time of what one would do by hand.  A ratio is time by time, so here
# less is better; "target" is what the project asks of itself.
#
#   archive               a partition exported and put into the archive store, against
#                         COPY (SELECT …) TO STDOUT piped to zstd -3
#                         archive_one_thread: with steward.archive_threads = 1
#                         verify: it is read back in full, against the same COPY
#   restore               its rows restored into a table, against COPY FROM of a file
#   proven_delete         batches deleted only if they are what was archived, against
#                         the same batches deleted from an ungoverned twin
#   purge                 purge_lock: the longest that a session waits for a lock on the parent
#                         while a partition goes: a large one against a small one
#                         purge_seconds: proof and DROP of the large one;
#                         worker_memory: the worker's private memory meanwhile
#   purge_beside          purge_tps, purge_p99: pgbench (its own TPC-B) while batches
#                         are archived and purged at the default
#                         steward.worker_share, against without
#   plan_1000             1,000 due partitions in 100 stores planned and enqueued
#   peers                 one partition of the past retained by pg_steward (archived,
#                         verified, purged), dropped by pg_partman, deleted by a loop
#                         over ctid
#
# The server is not pinned here: an archive is written by two threads.

event_rows=$(scaled 2000000)
tick_rows=$(scaled 10000000)
note_rows=$(scaled 200000)
mark_rows=$(scaled 2000000)
peer_rows=$(scaled 500000)
retention_rounds=$(((rounds + 1) / 2))

retain() { sql bench_retention "$@"; }

# set_worker SETTING VALUE: for workers that start later
set_worker() {
	retain -c "ALTER DATABASE bench_retention SET steward.$1 = '$2'"
}

# fault ACTION:POINT: heard by a worker that runs, too
fault() {
	retain -c "ALTER SYSTEM SET steward.fault = '$1'" -c 'SELECT pg_reload_conf()' >/dev/null
	sleep 0.1
}

# until_true QUERY [COMMAND]: asked again and again in one session, without a
# transaction that a DETACH CONCURRENTLY would have to wait for; COMMAND runs
# between
until_true() {
	local answer tries=0
	coproc ASK { sql bench_retention; }
	while :; do
		# psql flushes what goes through a pipe of its own
		echo "$1 \\g |cat" >&"${ASK[1]}"
		read -r -t 60 answer <&"${ASK[0]}" || fail "the server is gone"
		[ "$answer" != t ] || break
		if [ $((tries += 1)) -gt 6000 ]; then
			fail "waited in vain: $1"
		fi
		${2:-true}
		sleep 0.1
	done
	eval "exec ${ASK[1]}>&-"
	wait "$ASK_PID" || true
}

idle="SELECT NOT EXISTS (SELECT FROM steward.task WHERE state IN ('queued', 'running'))"

enforce() { retain -c "CALL steward.enforce_retention('$1')"; }

# now: seconds, with a fraction
now() { echo "$EPOCHREALTIME"; }
since() { awk -v a="$1" -v b="$EPOCHREALTIME" 'BEGIN { print b - a }'; }

# sample NAME ROUND PLAIN STEWARD
sample() {
	[ -n "$4" ] || fail "$1: no figure"
	echo "$*" >>"$dir/retention_samples"
}

# retention_row NAME UNIT TARGET [PLAIN]: what the rounds come to.  Without a
# plain figure there is no ratio, and the target is the figure's own.
retention_row() {
	awk "$statistics"'
		$1 == name { n++; plain[n] = $3; steward[n] = $4; ratio[n] = $3 ? $4 / $3 : 0 }
		END {
			if (!n) exit 1
			sort(plain, n); sort(steward, n); sort(ratio, n)
			p = middle(plain, n); s = middle(steward, n); r = middle(ratio, n)
			if (p) {
				printf "%-20s %-8s %11.3f %11.3f   %.3f (%.3f to %.3f)   %s\n", name, unit, p, s, r, ratio[1], ratio[n], target
				printf "  \"%s\": {\"unit\": \"%s\", \"plain\": %.4f, \"steward\": %.4f, \"ratio\": %.4f, \"ratio_min\": %.4f, \"ratio_max\": %.4f, \"rounds\": %d, \"target\": \"%s\"}\n", \
					name, unit, p, s, r, ratio[1], ratio[n], n, target >> file
			} else
				printf "%-20s %-8s %11s %11.3f   %-24s %s\n", name, unit, "–", s, "", target
			fflush()
		}' name="$1" unit="$2" target="$3" file="$dir/retention_json" "$dir/retention_samples" ||
		fail "$1: nothing was measured"
}

retention_manifest() {
	local t clock
	printf '{"services": [{"name": "BenchService", "role": "bench_service"}], "stores": ['
	for t in event tick note mark peer; do
		clock=received_at
		[ $t != tick ] || clock=at
		[ $t = event ] || printf ', '
		printf '{"name": "%s", "relation": "public.%s", "owner": "BenchService", "keys": [["id"]], "retention": {"clock": "%s", "hot": "90 days", "then": "archive", "keep": "7 years"}}' \
			$t $t $clock
	done
	printf ']}'
}

prepare_retention() {
	# what is not wanted need not be made
	if ! wanted archive restore; then
		event_rows=$((note_rows > peer_rows ? note_rows : peer_rows))
	fi
	if ! wanted purge; then
		tick_rows=100
	fi
	sql postgres -c 'CREATE DATABASE bench_retention' &&
		retain -c 'CREATE EXTENSION pg_steward' &&
		retain -v event_rows="$event_rows" -v tick_rows="$tick_rows" -v note_rows="$note_rows" \
			-v peer_rows="$peer_rows" -f bench/retention.sql || fail "bench/retention.sql failed"
	echo "SELECT count(*) FROM steward.apply('$(retention_manifest)')" | retain >/dev/null ||
		fail "the manifest was refused"
	# what fails here, fails on purpose
	set_worker max_attempts 1
	set_worker worker_share 1
	mkdir "$dir/archives"
	set_worker archive_store "file:$dir/archives"
}

# ---- archive, verify, restore ------------------------------------------------

slice_copy_zstd() {
	local start
	start=$(now)
	sql bench_retention -c 'COPY (SELECT * FROM event_old) TO STDOUT' | zstd -3 -q -f -o "$dir/event.zst"
	since "$start"
}

# slice_archive THREADS: seconds to archive, seconds to verify.  The task fails
# then, before the purge, so that the next round finds the rows.
slice_archive() {
	set_worker archive_threads "$1"
	enforce event
	until_true "$idle"
	retain -F ' ' -c "SELECT extract(epoch FROM g.uploaded_at - t.started_at), extract(epoch FROM g.verified_at - g.uploaded_at)
		  FROM steward.segment g JOIN steward.task t ON t.id = g.task
		 WHERE g.store = 'event' AND t.error LIKE 'fault%verified%'"
}

bench_archive() {
	local round copy one two
	fault error:verified
	slice_archive 2 >/dev/null
	for ((round = 1; round <= retention_rounds; round++)); do
		copy=$(slice_copy_zstd)
		two=$(slice_archive 2)
		one=$(slice_archive 1)
		[ -n "$one" ] && [ -n "$two" ] || fail "archive: the worker did not archive"
		sample archive "$round" "$copy" "${two% *}"
		sample verify "$round" "$copy" "${two#* }"
		sample archive_one_thread "$round" "$copy" "${one% *}"
	done
	set_worker archive_threads 2
	fault ''
	retention_row archive seconds '<= 0.5'
	retention_row archive_one_thread seconds '<= 0.75'
	retention_row verify seconds '<= 0.25'
}

# seconds_of_statement SQL
seconds_of_statement() {
	printf '%s\n' '\timing on' "$1" | retain | awk '/^Time: / { print $2 / 1000 }'
}

bench_restore() {
	local round copy restore archive
	archive=$(retain -c "SELECT max(id) FROM steward.archive WHERE store = 'event' AND state = 'verified'")
	retain -c "COPY event_old TO '$dir/event.tsv'"
	for ((round = 0; round <= retention_rounds; round++)); do
		copy=$(seconds_of_statement "COPY event_back FROM '$dir/event.tsv';")
		retain -c 'TRUNCATE event_back'
		restore=$(seconds_of_statement "CALL steward.restore($archive, \"into\" => 'event_back');")
		retain -c 'TRUNCATE event_back'
		[ "$round" = 0 ] || sample restore "$round" "$copy" "$restore"
	done
	rm -f "$dir/event.tsv" "$dir/event.zst"
	retention_row restore seconds '<= 1.2'
}

# ---- batches -----------------------------------------------------------------

fill_note() {
	sql bench_retention -U bench_truncate -c 'TRUNCATE note' -c "INSERT INTO note SELECT * FROM event_old LIMIT $note_rows"
	retain -c 'TRUNCATE plain_note' -c "INSERT INTO plain_note SELECT * FROM event_old LIMIT $note_rows" \
		-c 'VACUUM (FREEZE, ANALYZE) note' -c 'VACUUM (FREEZE, ANALYZE) plain_note'
}

bench_proven_delete() {
	local round plain steward since
	for ((round = 0; round <= retention_rounds; round++)); do
		fill_note
		since=$(retain -c 'SELECT coalesce(max(id), 0) FROM steward.segment')
		enforce note
		until_true "$idle"
		steward=$(retain -c "SELECT extract(epoch FROM sum(purged_at - verified_at)) FROM steward.segment WHERE id > $since AND store = 'note'")
		plain=$({
			echo '\timing on'
			retain -c "SELECT format('DELETE FROM plain_note WHERE %s;', concat_ws(' AND ',
				      steward.key_compare('plain_note', key, '>', key_from), steward.key_compare('plain_note', key, '<=', key_to)))
				  FROM steward.segment WHERE id > $since AND store = 'note' ORDER BY id"
		} | retain | awk '/^Time: / { ms += $2 } END { print ms / 1000 }')
		[ "$round" = 0 ] || sample proven_delete "$round" "$plain" "$steward"
	done
	retention_row proven_delete seconds '<= 1.2'
}

# ---- a large partition ---------------------------------------------------------

# The worker's private memory.  What it alone has touched of shared memory counts
# as private to the kernel, so mappings are looked at one by one.
note_memory() {
	if [ -z "$worker" ]; then
		worker=$(retain -c 'SELECT pid FROM steward.progress')
	fi
	awk '/^[0-9a-f]+-[0-9a-f]+ / { private = $2 ~ /p$/ } /^Private_/ && private { kb += $2 } END { if (kb) print kb / 1024 }' \
		"/proc/$worker/smaps" >>"$dir/memory" 2>/dev/null || true
}

# The probe asks for a lock on the parent again and again; the longest wait, in
# ms, is in $longest
start_probe() {
	printf '%s\n' 'BEGIN;' 'LOCK TABLE ONLY tick IN ROW EXCLUSIVE MODE;' 'COMMIT;' >"$dir/probe.pgbench"
	rm -f "$dir"/probe_log.*
	"$bindir/pgbench" -n -c 1 -T "$1" -l --log-prefix="$dir/probe_log" -f "$dir/probe.pgbench" bench_retention >/dev/null 2>"$dir/pgbench.err" &
	probe=$!
	sleep 0.5
}
end_probe() {
	wait "$probe" || fail "the probe failed: $(cat "$dir/pgbench.err")"
	longest=$(awk '$3 > max { max = $3 } END { print max / 1000 }' "$dir"/probe_log.*)
}

# walk_partition NAME: a due partition of tick, step by step; leaves the longest
# wait while it is detached and while it is purged in $waited, the seconds of the
# purge in $purge_took
walk_partition() {
	local part=tick_$1 detaching purging released longest
	enforce tick
	until_true "SELECT EXISTS (SELECT FROM steward.segment WHERE relation = '$part'::regclass AND state = 'exporting')"
	start_probe 2
	fault wait:detached
	until_true "SELECT NOT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = '$part'::regclass)"
	end_probe
	detaching=$longest
	fault wait:verified
	until_true "SELECT EXISTS (SELECT FROM steward.segment WHERE relation = '$part'::regclass AND state = 'verified')" note_memory
	start_probe 4
	released=$(retain -c 'SELECT clock_timestamp()')
	fault wait:purged
	until_true "SELECT to_regclass('$part') IS NULL" note_memory
	end_probe
	purging=$longest
	waited=$(awk -v a="$detaching" -v b="$purging" 'BEGIN { print (a > b ? a : b) }')
	purge_took=$(retain -c "SELECT extract(epoch FROM purged_at - '$released') FROM steward.segment WHERE relation_name = 'public.$part'")
	# the worker goes on to the next
	fault wait:due
}

bench_purge() {
	local large
	: >"$dir/memory"
	worker=
	fault wait:due
	# the older one, which is the large one, is first
	walk_partition large
	large=$waited
	sample purge_seconds 1 0 "$purge_took"
	sample worker_memory 1 0 "$(sort -g "$dir/memory" | tail -n 1)"
	walk_partition small
	fault ''
	until_true "$idle"
	sample purge_lock 1 "$waited" "$large"
	retention_row purge_lock ms '<= 1, but for what the machine itself adds'
	retention_row purge_seconds seconds '< 3'
	retention_row worker_memory MB '<= 32'
}

# ---- beside other work ---------------------------------------------------------

# slice_beside: pgbench for two seconds: transactions a second, 99th percentile in ms
slice_beside() {
	rm -f "$dir"/beside_log.*
	"$bindir/pgbench" -n -c 4 -j 1 -T 2 -M prepared -l --log-prefix="$dir/beside_log" bench_retention \
		>"$dir/beside" 2>"$dir/pgbench.err" || fail "pgbench: $(cat "$dir/pgbench.err")"
	awk '{ print $3 }' "$dir"/beside_log.* | sort -n | awk -v tps="$(awk '/^tps = / { print $3 }' "$dir/beside")" \
		'{ t[NR] = $1 } END { print tps, t[int(NR * 0.99)] / 1000 }'
}

bench_beside() {
	local round alone busy again last
	"$bindir/pgbench" -q -i -s 10 bench_retention 2>"$dir/pgbench.err" || fail "pgbench -i: $(cat "$dir/pgbench.err")"
	sql bench_retention -U bench_truncate -c "INSERT INTO mark SELECT i, tenant(i % 1000), '2020-01-01Z', 'kind', '{}', 1, '' FROM generate_series(1, $mark_rows) i"
	retain -c 'VACUUM (FREEZE, ANALYZE) mark' -c 'ALTER DATABASE bench_retention RESET steward.worker_share'
	fault wait:purged
	enforce mark
	until_true "SELECT EXISTS (SELECT FROM steward.segment WHERE store = 'mark' AND state = 'purged')"
	slice_beside >/dev/null
	last=0
	for ((round = 1; round <= 2 * rounds; round++)); do
		alone=$(slice_beside)
		fault ''
		busy=$(slice_beside)
		fault wait:purged
		sample purge_tps "$round" "${alone% *}" "${busy% *}"
		sample purge_p99 "$round" "${alone#* }" "${busy#* }"
	done
	mark_left=$(retain -c 'SELECT count(*) FROM mark')
	[ "$mark_left" -gt 0 ] || echo "# all rows were purged before the last round: raise BENCH_ROWS" >&2
	# the rest is of no interest
	retain -c "UPDATE steward.task SET state = 'failed', token = NULL WHERE store = 'mark' AND state IN ('queued', 'running')"
	fault ''
	until_true "SELECT NOT EXISTS (SELECT FROM steward.progress)"
	set_worker worker_share 1
	retention_row purge_tps tps '>= 0.90'
	retention_row purge_p99 ms '<= 1.5'
}

# ---- planning ------------------------------------------------------------------

bench_plan() {
	local names round
	names=$(seq -f 'store%03.0f' 1 100)
	sql postgres -c 'CREATE DATABASE bench_plan' &&
		sql bench_plan -c 'CREATE EXTENSION pg_steward' &&
		sql bench_plan <<-'END' || fail "no database of 1,000 partitions"
			SELECT format('CREATE TABLE store%s (tenant_id uuid, id bigint, received_at timestamptz NOT NULL, PRIMARY KEY (tenant_id, id, received_at)) PARTITION BY RANGE (received_at)', to_char(i, 'FM000'))
			  FROM generate_series(1, 100) i
			\gexec
			SELECT format('CREATE TABLE store%1$s_%2$s PARTITION OF store%1$s FOR VALUES FROM (%3$L) TO (%4$L)', to_char(i, 'FM000'), m,
			              '2020-01-01Z'::timestamptz + m * interval '1 month', '2020-02-01Z'::timestamptz + m * interval '1 month')
			  FROM generate_series(1, 100) i, generate_series(1, 10) m
			\gexec
			VACUUM ANALYZE;
		END
	echo "SELECT count(*) FROM steward.apply(\$m\$$(manifest public $names)\$m\$)" | sql bench_plan >/dev/null ||
		fail "the manifest of 100 stores was refused"
	for ((round = 0; round <= retention_rounds; round++)); do
		printf '%s\n' 'BEGIN;' '\timing on' 'CALL steward.enforce_retention();' '\timing off' \
			"SELECT 'segments ' || count(*) FROM steward.segment;" 'ROLLBACK;' | sql bench_plan >"$dir/slice" ||
			fail "plan_1000 failed"
		grep -q '^segments 1000$' "$dir/slice" || fail "plan_1000: not 1,000 segments"
		[ "$round" = 0 ] || sample plan_1000 "$round" 0 "$(awk '/^Time: / { print $2 / 1000 }' "$dir/slice")"
	done
	retention_row plan_1000 seconds '< 2'
}

# ---- what else one could do ------------------------------------------------------

bench_peers() {
	local steward partman loop
	enforce peer
	until_true "$idle"
	steward=$(retain -c "SELECT extract(epoch FROM t.finished_at - t.started_at) FROM steward.task t JOIN steward.segment g ON g.task = t.id
		 WHERE g.store = 'peer' AND g.state = 'purged'")
	[ -n "$steward" ] || fail "peers: nothing was purged"
	loop=$(seconds_of_statement "DO \$\$ DECLARE n bigint; BEGIN LOOP
		DELETE FROM peer_loop WHERE ctid IN (SELECT ctid FROM peer_loop WHERE received_at < now() - interval '90 days' LIMIT 10000);
		GET DIAGNOSTICS n = ROW_COUNT; COMMIT; EXIT WHEN n = 0; END LOOP; END \$\$;")
	partman='–'
	if [ "$(retain -c "SELECT count(*) FROM pg_available_extensions WHERE name = 'pg_partman'")" = 1 ]; then
		retain -c 'CREATE EXTENSION pg_partman SCHEMA partman' \
			-c "SELECT partman.create_parent('public.peer_partman', 'received_at', 'native', 'yearly', p_start_partition => '2020-01-01')" \
			-c "INSERT INTO peer_partman SELECT * FROM event_old LIMIT $peer_rows" \
			-c "UPDATE partman.part_config SET retention = '90 days', retention_keep_table = false" >/dev/null ||
			fail "peers: pg_partman refused"
		partman=$(seconds_of_statement "SELECT partman.run_maintenance('public.peer_partman');")
	fi
	printf '%-20s %-8s %s\n' peers seconds "$steward archived, verified and purged; $loop deleted in a loop over ctid; $partman dropped by pg_partman"
	[ "$partman" != '–' ] || echo "# pg_partman is not installed for this server: left out"
}

# ---------------------------------------------------------------------------------

bench_retention() {
	wanted archive restore proven_delete purge purge_beside plan_1000 peers || return 0
	taskset -cp "0-$(($(nproc --all) - 1))" "$(head -n 1 "$dir/data/postmaster.pid")" >/dev/null 2>&1 || true
	printf '\n# retention, not pinned; ratio = time / time of the plain way: less is better\n'
	printf '%-20s %-8s %11s %11s   %-24s %s\n' benchmark unit plain steward ratio target
	if wanted archive restore proven_delete purge purge_beside peers; then
		prepare_retention
	fi
	! wanted archive restore || bench_archive
	! wanted restore || bench_restore
	! wanted proven_delete || bench_proven_delete
	! wanted purge || bench_purge
	! wanted purge_beside || bench_beside
	! wanted peers || bench_peers
	! wanted plan_1000 || bench_plan
}
