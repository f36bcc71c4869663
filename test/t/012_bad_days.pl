# 012_bad_days.pl
#    What happens to retention on a bad day: no room, no archive store, a clock
#    that jumps, tables and stores renamed under it, the server or the worker
#    ended at every stage, a failover, readers that do not end, objects that
#    depend on what is due.  Whatever it is: no row is lost, it is said, and when
#    the day is over retention comes to its end by itself.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StewardRetention;
use StewardTest;
use Test::More;
use Time::HiRes qw(time usleep);

chomp(my $library = `pg_config --pkglibdir`);
my $has_cron = -e "$library/pg_cron.so";
my $r = StewardRetention->new('bad_days', preload => $has_cron ? 'pg_cron,pg_steward' : 'pg_steward', conf => <<'CONF');
log_statement = none
log_min_duration_statement = -1
steward.lock_timeout = 300ms
max_worker_processes = 24
wal_level = logical
max_wal_senders = 5
CONF
$r->sql('CREATE SCHEMA t');

# ---- 1. the archive store ------------------------------------------------------

$r->make('away', partitions => 2);
rename $r->{base}, "$r->{base}.away" or die $!;
$r->sql('CALL steward.enforce_retention($$away$$)');
$r->await("SELECT count(*) FROM steward.task WHERE store = 'away' AND error ~ 'could not open directory'", '2');
like($r->findings('archive_store'), qr/could not open directory/, 'archive store away: a finding');
is($r->sql('SELECT count(*) FROM t.away_1') + $r->sql('SELECT count(*) FROM t.away_2'), 20, 'archive store away: no row has gone');
rename "$r->{base}.away", $r->{base} or die $!;
$r->ends_well('away', 'archive store away, and back');
is($r->findings('archive_store'), '', '... and no finding');

$r->make('away2');
$r->stop_at('away2', 'uploaded');
rename $r->{base}, "$r->{base}.away" or die $!;
$r->fault('wait:due');
$r->await($r->of('away2', 't.error'), qr/could not open/);
rename "$r->{base}.away", $r->{base} or die $!;
$r->ends_well('away2', 'archive store away while it is verified, and back');

# verified, and gone before the rows are: if the purge does not come through, it is read again
$r->make('vanished');
$r->stop_at('vanished', 'verified');
my $locker = $r->another;
$locker->sql('BEGIN; LOCK TABLE t.vanished_1 IN ACCESS SHARE MODE');
unlink $r->archive_dir($r->of_now('vanished', 'g.id')) . '/data.ndjson.zst';
$r->fault('wait:due');
like($r->await($r->of('vanished', 't.error'), qr/./), qr/lock timeout/, 'file vanishes after verification: the purge waits for a lock');
$r->fault(undef);
$locker->sql('COMMIT');
$r->hurry;
$r->await($r->of('vanished', "t.error ~ 'could not open' OR g.state = 'purged'"), 't');
like($r->of_now('vanished', 't.error'), qr/could not open/, '... and then it is found out');
$r->ends_well('vanished', 'file vanishes after verification');

# ---- 2. clocks -------------------------------------------------------------------

$r->make('clock');
$r->sql('CREATE TABLE kept_enforcement AS TABLE steward.enforcement');
foreach my $case ([ q{now() + interval '1 hour'}, qr/stands 60 minutes before/ ], [ q{now() - interval '100 days'}, qr/was 100 days ago/ ])
{
	my ($at, $words) = @$case;
	$r->sql("UPDATE steward.enforcement SET started_at = $at");
	my $said = $r->try("\\set VERBOSITY verbose\nCALL steward.enforce_retention('clock');\n\\set VERBOSITY terse\n");
	like($said, qr/55000: .*$words.*HINT:.*clock_checked => true/s, "the last enforcement at $at: refused, with a hint");
	like($r->findings('clock_jump'), $words, '... and a finding');
	is($r->sql("SELECT count(*) FROM steward.segment WHERE store = 'clock'"), '0', '... and nothing enqueued');
}
$r->sql('CALL steward.enforce_retention($$clock$$, clock_checked => true)');
$r->ends_well('clock', 'clock_checked');
is($r->findings('clock_jump'), '', '... and no finding');
$r->sql('UPDATE steward.enforcement SET started_at = now()');

# ---- 3. tables and stores that change under it --------------------------------------

$r->make('parent_columns', partitions => 2);
$r->stop_at('parent_columns', 'uploaded');
$r->sql('ALTER TABLE t.parent_columns ADD more text, DROP extra');
$r->ends_well('parent_columns', 'columns added and dropped on the parent');

foreach my $stage ('due', 'exported', 'uploaded', 'verified')
{
	$r->make("table_$stage", partitions => 2);
	$r->stop_at("table_$stage", $stage);
	$r->sql("ALTER TABLE t.table_$stage RENAME TO moved_$stage");
	$r->ends_well("table_$stage", "the table renamed at $stage", "t.moved_$stage");

	$r->make("store_$stage", partitions => 2);
	$r->stop_at("store_$stage", $stage);
	$r->sql("SELECT steward.alter_store('store_$stage', '{\"name\": \"renamed_$stage\"}')");
	$r->ends_well("renamed_$stage", "the store renamed at $stage", "t.store_$stage", $r->{expected}{"store_$stage"});
}
$r->make_rows('rows_renamed', 30);
$r->sql('ALTER SYSTEM SET steward.batch_rows = 10');
$r->stop_at('rows_renamed', 'uploaded');
$r->sql(q{ALTER TABLE t.rows_renamed RENAME TO rows_moved; SELECT steward.alter_store('rows_renamed', '{"name": "rows_other"}')});
# an impostor is let alone
$r->past_the_rules('CREATE TABLE t.rows_renamed AS TABLE t.rows_moved');
$r->fault(undef);
$r->await(q{SELECT count(*) FROM t.rows_moved WHERE at < now() - interval '90 days'}, '0', 20);
is($r->sql('SELECT count(*) FROM t.rows_renamed'), '30', 'table and store of batches renamed: a table that has the old name now is let alone');
$r->sql('DROP TABLE t.rows_renamed; CALL steward.enforce_retention($$rows_other$$)');
$r->ends_well('rows_other', 'table and store of batches renamed', 't.rows_moved', $r->{expected}{rows_renamed});

# a hold follows a store's new name
$r->make('held');
$r->sql("SELECT steward.hold('held', reason => 'court'); SELECT steward.alter_store('held', '{\"name\": \"held_still\"}'); CALL steward.enforce_retention('held_still')");
usleep 300_000;
is($r->sql('SELECT count(*) FROM t.held'), '10', 'a store under a legal hold, renamed: still held');
is($r->sql(q{SELECT sum(held) FROM steward.due('held_still')}), '10', '... and due() says so');

# released while a partition is on its way: its rows belong to the table, and it is not put back
foreach my $stage ('exported', 'uploaded', 'verified')
{
	$r->make("released_$stage");
	$r->stop_at("released_$stage", $stage);
	like($r->try("SELECT steward.release('released_$stage')"), qr/ERROR: .*cannot be released while retention works on it/, "released at $stage: refused");
	$r->ends_well("released_$stage", "released at $stage");
	unlike($r->try("SELECT steward.release('released_$stage')"), qr/ERROR/, '... and then it can be');
}
$r->fault(undef);
$r->sql("ALTER DATABASE postgres SET steward.worker = off");
$r->make('released_due');
$r->make_rows('released_rows', 10);
$r->sql('CALL steward.enforce_retention($$released_due$$); CALL steward.enforce_retention($$released_rows$$)');
unlike($r->try('SELECT steward.release($$released_due$$); SELECT steward.release($$released_rows$$)'), qr/ERROR/, 'released while it is only due: done');
is($r->sql(q{SELECT count(*) FROM steward.task WHERE store LIKE 'released%' AND state <> 'done'}), '0', '... and what was to be done is not');
is($r->sql('SELECT count(*) FROM t.released_due') . $r->sql('SELECT count(*) FROM t.released_rows'), '1010', '... and the rows stay');
$r->sql('ALTER DATABASE postgres RESET steward.worker');

# the extension is updated
$r->make('updated');
$r->stop_at('updated', 'uploaded');
unlike($r->try('ALTER EXTENSION pg_steward UPDATE'), qr/ERROR/, 'ALTER EXTENSION UPDATE while the worker is in the middle: not blocked');
$r->ends_well('updated', 'ALTER EXTENSION UPDATE in the middle');

# ---- 4. the worker, ended or cancelled -------------------------------------------------

foreach my $stage ('due', 'detached', 'exported', 'uploading', 'uploaded', 'verified')
{
	foreach my $how ('pg_cancel_backend', 'pg_terminate_backend')
	{
		my $store = "${how}_$stage";
		$r->make($store);
		$r->stop_at($store, $stage);
		$r->sql("SELECT $how(pid) FROM steward.progress");
		# (a reload would wake the launcher)
		is($r->await($r->of($store, 't.attempt > 1'), 't', 10), 't', "$how at $stage: another begins where it was") if $how eq 'pg_terminate_backend';
		$r->fault(undef);
		my $state = $r->await($r->of($store, 'g.state'), 'purged', 10);
		is($state, 'purged', "$how at $stage: comes to its end by itself");
		$r->exactly_once($store, "t.$store", $r->{expected}{$store});
	}
}

# ---- 5. readers, and what depends on a partition -----------------------------------------

$r->make('read', partitions => 2);
my $reader = $r->another;
$reader->sql('BEGIN; SELECT count(*) FROM t.read');
$r->sql('CALL steward.enforce_retention($$read$$)');
like($r->await($r->of('read', 't.error', 'read_1'), qr/./), qr/lock timeout/, 'a long-running reader: DETACH does not wait for long');
is($r->sql('SELECT count(*) FROM t.read'), '10', '... and new readers are let in, without what is being detached');
is($r->sql("SELECT t.attempt < 8 FROM steward.task t WHERE store = 'read' LIMIT 1"), 't', '... it will be tried again');
$reader->sql('COMMIT');
$r->ends_well('read', 'a long-running reader');

# somebody else's DETACH, broken off: of the partition that is due, and of another
foreach my $which (1, 3)
{
	my $store = "pending_$which";
	$r->make($store, partitions => 2, fresh => 1);
	$reader->sql("BEGIN; SELECT count(*) FROM t.$store");
	$r->sql("SET lock_timeout = '100ms'");
	$r->sql('ALTER EVENT TRIGGER steward_armed DISABLE');
	like($r->try("ALTER TABLE t.$store DETACH PARTITION t.${store}_$which CONCURRENTLY"), qr/lock timeout/, "a DETACH by somebody else is broken off");
	$r->sql('ALTER EVENT TRIGGER steward_armed ENABLE ALWAYS; RESET lock_timeout');
	$reader->sql('COMMIT');
	is($r->sql("SELECT count(*) FROM pg_inherits WHERE inhdetachpending AND inhparent = 't.$store'::regclass"), '1', '... and pending');
	$r->sql("CALL steward.enforce_retention('$store')");
	like($r->await($r->of($store, 't.error', "${store}_2"), qr/./), qr/pending/, "... which keeps others from being detached: reported");
	my $bound = $which == 1 ? q{FOR VALUES FROM ('2020-01-01') TO ('2020-01-02')} : q{FOR VALUES FROM ('2020-02-01') TO (MAXVALUE)};
	my $remedy = $r->sql("SELECT remedy FROM steward.check() WHERE rule = 'pending_detach' AND detail ~ '$store'");
	is($r->sql("SELECT count(*) FROM t.${store}_2"), '10', '... and nothing purged');
	$r->sql('ALTER EVENT TRIGGER steward_armed DISABLE');
	is($r->try($remedy), '', '... and a finding, whose remedy mends it');
	$r->sql("ALTER TABLE t.$store ATTACH PARTITION t.${store}_$which $bound");
	$r->sql('ALTER EVENT TRIGGER steward_armed ENABLE ALWAYS');
	$r->sql("CALL steward.enforce_retention('$store')");
	$r->ends_well($store, 'a pending detach of a partition that is ' . ($which == 1 ? 'due' : 'not'));
}

# a view on a partition
$r->sql('ALTER SYSTEM SET steward.max_attempts = 2');
$r->sql('SELECT pg_reload_conf()');
$r->make('viewed', partitions => 3);
$r->sql('CREATE VIEW t.seen WITH (security_invoker) AS SELECT id FROM t.viewed_1');
$r->sql('CALL steward.enforce_retention($$viewed$$)');
$r->await(q{SELECT count(*) FROM steward.segment WHERE store = 'viewed' AND state = 'purged'}, '2');
pass('a view on a partition: the others go on');
my $end = time + 20;
do { $r->hurry; usleep 50_000 } until time > $end || $r->of_now('viewed', 't.state', 'viewed_1') eq 'failed';
like($r->of_now('viewed', "t.state || ' ' || g.state || ' ' || t.error", 'viewed_1'), qr/^failed failed .*cannot drop table.*view t.seen depends on/, '... it rests, with the reason');
like($r->findings('failed_retention'), qr/after 2 attempts: cannot drop table/, '... and a finding');
is($r->sql('SELECT count(*) FROM t.viewed_1'), '10', '... and its rows are there');
like($r->try('DELETE FROM t.viewed_1'), qr/ERROR/, '... and sealed');
$r->sql('DROP VIEW t.seen; CALL steward.enforce_retention($$viewed$$)');
$r->ends_well('viewed', 'a view on a partition');
is($r->findings('failed_retention'), '', '... and no finding');
$r->sql('ALTER SYSTEM RESET steward.max_attempts');
$r->sql('SELECT pg_reload_conf()');

# foreign keys: children first; a child that stays keeps its parent
$r->make_rows('parents', 10);
$r->sql('CREATE TABLE t.children (id int PRIMARY KEY REFERENCES t.parents, tenant_id uuid NOT NULL, at timestamptz NOT NULL, body text); INSERT INTO t.children TABLE t.parents; CREATE INDEX ON t.children (at)');
$r->govern('children');
$r->sql('CALL steward.enforce_retention()');
$r->ends_well('children', 'a foreign key, both due');
$r->ends_well('parents', 'a foreign key, both due: the parents after the children');
is($r->sql(q{SELECT count(*) FROM steward.task WHERE store IN ('children', 'parents') AND attempt > 1}), '0', '... at the first attempt');

$r->make_rows('mothers', 30);
$r->sql(q{CREATE TABLE t.daughters (mother int REFERENCES t.mothers, tenant_id uuid NOT NULL); INSERT INTO t.daughters SELECT 12, tenant_id FROM t.mothers LIMIT 1});
$r->sql('CALL steward.enforce_retention($$mothers$$)');
my $error = $r->await(q{SELECT error FROM steward.task WHERE store = 'mothers'}, qr/./);
like($error, qr/violates foreign key constraint "daughters_mother_fkey"/, 'a child that stays: reported');
unlike($error, qr/\(12\)/, '... without the row\'s value');
is($r->sql('SELECT count(*) FROM t.mothers'), '20', '... what was before it is purged, the rest is there');
unlike(slurp($r->{node}->logfile), qr/Key \(id\)=\(12\)/, '... nor is the value in the log');
$r->sql('DROP TABLE t.daughters');
$r->ends_well('mothers', 'a child that stays, and then does not');

# publications
$r->make('published', partitions => 2);
$r->sql('CREATE PUBLICATION by_root FOR TABLE t.published WITH (publish_via_partition_root); CREATE PUBLICATION by_leaf FOR TABLE t.published; CREATE PUBLICATION of_leaf FOR TABLE t.published_1');
$r->sql('CALL steward.enforce_retention($$published$$)');
$r->ends_well('published', 'in publications');
is($r->sql(q{SELECT string_agg(p.pubname, ',' ORDER BY p.pubname) FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid WHERE r.prrelid = 't.published'::regclass}),
	'by_leaf,by_root', '... which keep the table');

# ---- 6. databases ---------------------------------------------------------------------------

$r->{node}->safe_psql('postgres', 'CREATE DATABASE other');
$r->{node}->safe_psql('other', q{CREATE EXTENSION pg_steward; CREATE SCHEMA t; SELECT steward.create_service('Keeper', role => 'keeper')});
my $other = $r->another('other');
$other->make('quick');
my $start = time;
$other->sql('CALL steward.enforce_retention()');
$other->await($other->of('quick', 'g.state'), 'purged', 10);
cmp_ok(time - $start, '<', 2, 'the worker is there at once when something is enqueued');
note sprintf 'enqueued to purged: %.0f ms', 1000 * (time - $start);
$other->exactly_once('quick', 't.quick', $other->{expected}{quick});

# DROP EXTENSION while it works
$other->make('dropped', partitions => 3);
$other->stop_at('dropped', 'uploaded');
my $pid = $other->sql('SELECT pid FROM steward.progress');
unlike($other->try('SET client_min_messages = warning; DROP EXTENSION pg_steward CASCADE'), qr/ERROR/, 'DROP EXTENSION CASCADE while the worker is in the middle: not blocked');
$r->fault(undef);
$r->await("SELECT count(*) FROM pg_stat_activity WHERE pid = $pid", '0', 20);
is($other->sql('SELECT count(*) FROM t.dropped_1') . ' ' . $other->sql('SELECT count(*) FROM t.dropped'), '10 20', '... it gives up, and no row is lost');
$other->sql('CREATE EXTENSION pg_steward');
$other->disconnect;
$start = time;
is(($r->{node}->psql('postgres', 'DROP DATABASE other'))[0], 0, 'DROP DATABASE is not kept waiting by a worker that has nothing to do');
cmp_ok(time - $start, '<', 2, '... at all');

# ---- 7. pg_cron ---------------------------------------------------------------------------------

like($r->try('SELECT steward.schedule()'), qr/pg_cron is not loaded/, 'schedule() without pg_cron: says so') if !$has_cron;
SKIP:
{
	skip 'no pg_cron for this server', 1 if !$has_cron;
	my $node = $r->{node};
	my $job = q{SELECT jobname, database, username, schedule, command FROM cron.job ORDER BY jobname, database};
	my $said = sub { $r->try("\\set VERBOSITY default\nSELECT steward.schedule();\n\\set VERBOSITY terse\n") };

	like($said->(), qr/extension pg_cron is not installed.*CREATE EXTENSION pg_cron/s, 'schedule() before CREATE EXTENSION pg_cron: says so');
	like($r->findings('no_scheduler'), qr/nobody calls/, '... and a finding');
	$r->sql('CREATE EXTENSION pg_cron');
	is($r->sql('SELECT steward.schedule()'), 'pg_steward retention of postgres', 'schedule() where pg_cron lives');
	is($r->sql($job), 'pg_steward retention of postgres|postgres|postgres|*/15 * * * *|CALL steward.enforce_retention()', '... a job');
	is($r->sql('SELECT steward.scheduler()'), 'pg_cron in database postgres: */15 * * * *', '... scheduler() says so');
	is($r->findings('no_scheduler'), '', '... and no finding');
	$r->sql(q{SELECT steward.schedule('7 * * * *')});
	is($r->sql('SELECT count(*), min(schedule) FROM cron.job'), '1|7 * * * *', '... again: another schedule of the same job');

	$node->safe_psql('postgres', 'CREATE DATABASE "else Where"');
	my $there = $r->another('else Where');
	$there->sql(q{CREATE EXTENSION pg_steward; CREATE SCHEMA t; SELECT steward.create_service('Keeper', role => 'keeper')});
	$there->make('cron');
	is($there->sql('SELECT steward.schedule()'), 'pg_steward retention of else Where', 'schedule() elsewhere');
	is($r->sql(q{SELECT database, schedule FROM cron.job WHERE jobname = 'pg_steward retention of else Where'}), 'else Where|*/15 * * * *', '... a job where pg_cron lives');
	is($there->sql('SELECT steward.scheduler()'), 'pg_cron in database postgres: */15 * * * *', '... scheduler() says so');
	$there->sql($r->sql(q{SELECT command FROM cron.job WHERE database = 'else Where'}));
	$there->ends_well('cron', 'the job\'s command');
	like($there->try(q{SELECT steward.schedule('no schedule')}), qr/ERROR:  pg_cron refused: invalid schedule/, '... a schedule that is none: refused');
	is($there->sql('SELECT steward.unschedule()') . $there->sql('SELECT steward.unschedule()'), 'tf', 'unschedule() elsewhere, and again');
	is($r->sql(q{SELECT count(*) FROM cron.job WHERE database = 'else Where'}), '0', '... no job');
	is($there->sql('SELECT steward.scheduler() IS NULL'), 't', '... scheduler() says so');

	# pg_cron goes
	$there->sql('SELECT steward.schedule()');
	$r->sql('DROP EXTENSION pg_cron CASCADE');
	like($there->try('SELECT steward.schedule()'), qr/pg_cron is not installed in database "postgres"/, 'pg_cron dropped: schedule() says so');
	unlike($there->try('SELECT steward.unschedule()'), qr/ERROR/, '... and unschedule() does not mind');
	unlike($r->try('SELECT steward.unschedule()'), qr/ERROR/, '... nor where it lived');
	$there->disconnect;

	# pg_cron's database is another, and is dropped
	$node->safe_psql('postgres', 'CREATE DATABASE cronbase');
	$r->disconnect;
	$node->append_conf('postgresql.conf', "cron.database_name = 'cronbase'\ncron.use_background_workers = on");
	$node->restart;
	$node->safe_psql('cronbase', 'CREATE EXTENSION pg_cron');
	$r->connect;
	is($r->sql('SELECT steward.schedule()'), 'pg_steward retention of postgres', 'pg_cron in a database of its own');
	is($node->safe_psql('cronbase', 'SELECT database FROM cron.job'), 'postgres', '... a job there');
	$node->safe_psql('postgres', 'DROP DATABASE cronbase WITH (FORCE)');
	is($r->sql('SELECT steward.scheduler() IS NULL'), 't', 'pg_cron\'s database dropped: scheduler() says so');
	like($r->findings('no_scheduler'), qr/nobody calls/, '... and a finding');
	like($r->try('SELECT steward.schedule()'), qr/ERROR:/, '... schedule() is refused');
	is($r->sql('SELECT steward.unschedule()'), 't', '... unschedule() does not mind');
	# without a database it would try for ever
	$r->disconnect;
	$node->adjust_conf('postgresql.conf', 'cron.database_name', "'postgres'");
	$node->restart;
	$r->connect;
}

# ---- 8. pg_partman ---------------------------------------------------------------------------------

SKIP:
{
	skip 'no pg_partman for this server', 1 if $r->sql(q{SELECT count(*) FROM pg_available_extensions WHERE name = 'pg_partman'}) eq '0';
	$r->sql('CREATE SCHEMA partman; CREATE EXTENSION pg_partman SCHEMA partman; CREATE TABLE t.parted (id int, tenant_id uuid NOT NULL, at timestamptz NOT NULL, body text, extra int) PARTITION BY RANGE (at)');
	my $old = $r->sql(q{SELECT extversion LIKE '4.%' FROM pg_extension WHERE extname = 'pg_partman'}) eq 't';
	$r->sql($old ? q{SELECT partman.create_parent('t.parted', 'at', 'native', 'monthly', p_start_partition := (now() - interval '12 months')::text)}
		: q{SELECT partman.create_parent('t.parted', 'at', '1 month', p_start_partition := (now() - interval '12 months')::text)});
	$r->sql(q{INSERT INTO t.parted SELECT i, md5('1')::uuid, now() - i * interval '1 month', 'row ' || i, i FROM generate_series(0, 10) i});
	$r->govern('parted');
	my $names = $r->sql(q{SELECT count(*) FROM pg_inherits WHERE inhparent = 't.parted'::regclass});
	$r->sql('CALL steward.enforce_retention($$parted$$)');
	$r->ends_well('parted', 'a set of pg_partman\'s');
	cmp_ok($r->sql(q{SELECT count(*) FROM steward.segment WHERE store = 'parted' AND kind = 'partition' AND state = 'purged'}), '>=', 7, '... partition by partition');
	is($r->findings('foreign_retention'), '', '... and no finding');
	$r->sql(q{SELECT partman.run_maintenance('t.parted')});
	is($r->sql(q{SELECT count(*) FROM t.parted WHERE at < now() - interval '5 months'}), '0', '... its maintenance goes on');
	$r->sql(q{UPDATE partman.part_config SET retention = '3 months' WHERE parent_table = 't.parted'});
	like($r->findings('foreign_retention'), qr/drops partitions of store parted after 3 months/, '... its own retention: a finding');
	my $remedy = $r->sql(q{SELECT remedy FROM steward.check() WHERE rule = 'foreign_retention'});
	$r->sql($remedy);
	is($r->findings('foreign_retention'), '', '... and the remedy mends it');
}

# ---- 9. no room in the archive store --------------------------------------------------------------

SKIP:
{
	my $node = $r->{node};
	my $place = $node->basedir . '/small';
	my ($uid, $gid) = ($>, (split / /, $))[0]);

	mkdir $place or die;
	skip 'no user namespace in which a small file system could be mounted', 1
	  if system("unshare -rm sh -c 'mount -t tmpfs -o size=1m tmpfs $place && exec unshare -U --map-user=$uid --map-group=$gid true' >/dev/null 2>&1") != 0;
	$r->disconnect;
	$node->stop;
	$node->append_conf('postgresql.conf', "steward.archive_store = 'file:$place'");
	system_or_bail('unshare', '-rm', 'sh', '-c',
		"mount -t tmpfs -o size=1m,mode=700 tmpfs $place && exec unshare -U --map-user=$uid --map-group=$gid pg_ctl -w -s -D " . $node->data_dir . ' -l ' . $node->logfile . ' start');
	$node->_update_pid(1);
	$r->connect;
	$r->sql("COPY (SELECT repeat('x', 8000) FROM generate_series(1, 120)) TO '$place/filler'");
	my $said = $r->findings('archive_store');
	$r->make('full', partitions => 2, text => q{encode(sha256(i::text::bytea), 'hex') || encode(sha256((i + 1)::text::bytea), 'hex') || repeat(md5(i::text), 2)}, rows => 1500);
	$r->sql('CALL steward.enforce_retention($$full$$)');
	like($r->await($r->of('full', 't.error', 'full_1'), qr/./), qr/No space left/, 'no room in the archive store: reported');
	is($r->sql('SELECT count(*) FROM t.full_1'), '1500', '... and nothing purged');
	$r->sql("COPY (SELECT WHERE false) TO '$place/filler'");
	$r->fault(undef);
	ok($r->converge(30), 'no room, and room again: it comes to its end') or diag $r->sql("SELECT target, error FROM steward.task WHERE state <> 'done'");
	is($r->sql(q{SELECT count(*), sum(a.rows) FROM steward.archive a WHERE store = 'full' AND CASE WHEN state = 'verified' THEN steward.verify_archive(a.id) END}), '2|3000', '... each row archived');
	is($r->sql(q{SELECT count(*) FROM steward.read_archive('full')}), '3000', '... once');
	$r->disconnect;
	$node->stop;
	$node->append_conf('postgresql.conf', "steward.archive_store = 'file:$r->{base}'");
	$node->start;
	$r->connect;
}

# ---- 10. the server stopped at every stage ---------------------------------------------------------

my @stages = ('due', 'detached', 'exporting', 'exported', 'uploading', 'uploaded', 'verified', 'purging', 'purged');
foreach my $stage (@stages)
{
	$r->make("stopped_$stage");
	$r->stop_at("stopped_$stage", $stage);
	$r->disconnect;
	$r->{node}->stop('immediate');
	$r->{node}->adjust_conf('postgresql.auto.conf', 'steward.fault', undef);
	$r->{node}->start;
	$r->connect;
	is($r->await($r->of("stopped_$stage", 'g.state'), 'purged', 20), 'purged', "stopped at $stage: goes on by itself");
	$r->exactly_once("stopped_$stage", "t.stopped_$stage", $r->{expected}{"stopped_$stage"});
}

# ---- 11. failover ------------------------------------------------------------------------------------

my $backup = $r->{node}->backup('b');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($r->{node}, 'b', has_streaming => 1);
$standby->start;
$r->make('failover', partitions => 3);
$r->make_rows('failover_rows', 30);
$r->stop_at('failover', 'uploaded');
$r->{node}->wait_for_catchup($standby);
is($standby->safe_psql('postgres', q{SELECT string_agg(state, ',' ORDER BY id) FROM steward.segment WHERE store = 'failover'}), 'uploaded,due,due', 'a standby knows how far it has come');
is($standby->safe_psql('postgres', 'SELECT count(*) FROM steward.worker_progress()'), '0', '... and has no worker');
$r->disconnect;
$r->{node}->stop('immediate');
$standby->adjust_conf('postgresql.auto.conf', 'steward.fault', undef);
$standby->reload;
$standby->promote;
$r->{node} = $standby;
$r->connect;
is($r->await(q{SELECT count(*) FROM steward.segment WHERE store = 'failover' AND state = 'purged'}, '3', 30), '3', 'failover: goes on by itself');
$r->exactly_once('failover', 't.failover', $r->{expected}{failover});
$r->sql('CALL steward.enforce_retention()');
$r->ends_well('failover_rows', 'failover: batches');

$r->disconnect;
$standby->stop;
done_testing();
