# 010_crash.pl
#    Crash anywhere: processes are killed with SIGKILL while rows are archived
#    and purged and while services write.  Afterwards the run must finish by
#    itself, and what the services were told is committed must be there, once.
#
#       TESTS=010_crash test/run tap                         as the suite does
#       STEWARD_KILLS=2000 TESTS=010_crash test/run tap      a longer run
#       STEWARD_SEED=42 TESTS=010_crash test/run tap         with that seed
#
# STEWARD_KILLS: 200 by default on PostgreSQL 15, 30 on others.  The seed is
# printed; it repeats the choices, though not the instants.
#
# Two sorts of kills take turns.  steward.fault makes the worker die, or the
# postmaster with it, at a named state change; all of these points take turns.
# And after a random pause a random process is killed: the worker, the launcher,
# a service's backend, a process of the server's own, or the postmaster, now and
# then one more while the server still recovers.
#
# The oracle lies outside the server.  Each writer is a process with a journal
# of its own, to which it adds what it did once the server has said that it is
# committed, and what is in doubt because the connection died before it said
# anything.  Archives are read without the product: zstd and sha256 over the
# files.  The postmaster is this process's own child, so that its death is seen
# at once, and no zombie keeps its number taken.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use Digest::SHA ();
use File::Find ();
use IPC::Open2 qw(open2);
use JSON::PP ();
use List::Util qw(min max shuffle sum0);
use POSIX ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StewardTest;
use Test::More;
use Time::HiRes qw(sleep time);

plan skip_all => 'zstd is not installed' if system('zstd --version >/dev/null 2>&1') != 0;

chomp(my $bindir = `$ENV{PG_CONFIG} --bindir`);
my ($major) = `$ENV{PG_CONFIG} --version` =~ /(\d+)/;
my $kills = $ENV{STEWARD_KILLS} // ($major == 15 ? 200 : 30);
my $seed = $ENV{STEWARD_SEED} // int(rand(2**31));
my $writers = 3;
my @points = qw(due detached exporting exported uploading uploaded verified purging purged expired);
my $patience = $PostgreSQL::Test::Utils::timeout_default;

srand($seed);
note "$kills kills, STEWARD_SEED=$seed";

# ---- the server -----------------------------------------------------------------

my $base = PostgreSQL::Test::Utils::tempdir();
my $store = "$base/archives";
my $node = steward_node('crash', start => 0, conf => <<"CONF");
restart_after_crash = on
log_statement = none
log_replication_commands = off
wal_level = replica
checkpoint_timeout = 30s
checkpoint_completion_target = 0.1
steward.archive_store = 'file:$store'
steward.batch_rows = 50
steward.worker_share = 1
steward.retention_interval = 1s
steward.naptime = 1s
steward.max_attempts = 4
include 'fault.conf'
CONF
my $data = $node->data_dir;
my $log = $node->logfile;
my $postmaster = 0;
my %log = (fh => undef, ready => 0, killed => 0, rest => '');
mkdir $store or die "$store: $!";

# Read what came to the server's log since: how often was it ready, how many
# of its processes have died, and what must never be there
my @bad_lines;
my %complaints;

sub read_log
{
	my $fh = $log{fh};

	if (!$fh) { open $fh, '<', $log or return; $log{fh} = $fh; }
	seek $fh, 0, 1;
	local $/;
	my $text = $log{rest} . (<$fh> // '');
	$text =~ s/([^\n]*)\z//;
	$log{rest} = $1;
	foreach my $line (split /\n/, $text)
	{
		$log{ready}++ if $line =~ /database system is ready to accept connections/;
		$log{killed}++ if $line =~ /was terminated by signal 9/;
		push @bad_lines, $line
		  if $line =~ /PANIC:|TRAP:|was terminated by signal (?!9\b)|segmentation|assertion|corrupt|invalid page|missing chunk|could not open relation/i
		  && $line !~ /HINT:  This probably means that some data is corrupted/;	# said after a kill in recovery
		$complaints{$1 =~ s/\d+/N/gr}++ if $line =~ /(?:LOG|ERROR):  ((?:task \d+ \(|pg_steward worker will).*)/;
	}
	return;
}

# Wait until a condition holds; false if it did not come true in time
sub wait_until
{
	my ($condition, $seconds) = @_;
	my $end = time + ($seconds // $patience);

	until ($condition->())
	{
		return 0 if time > $end;
		sleep 0.01;
	}
	return 1;
}

sub postmaster_gone
{
	$postmaster = 0 if $postmaster && waitpid($postmaster, POSIX::WNOHANG()) != 0;
	return $postmaster == 0;
}

# Start it, again and again while processes of the dead one hold its memory
sub start_postmaster
{
	my $end = time + $patience;

	while (1)
	{
		read_log();
		my $before = $log{ready};

		$postmaster = fork // die "fork: $!";
		if ($postmaster == 0)
		{
			setpgrp;
			open STDIN, '<', '/dev/null';
			open STDOUT, '>>', $log or POSIX::_exit(1);
			open STDERR, '>&', \*STDOUT or POSIX::_exit(1);
			exec "$bindir/postgres", '-D', $data or POSIX::_exit(1);
		}
		while (!postmaster_gone())
		{
			read_log();
			if ($log{ready} > $before)
			{
				$node->_update_pid(1);
				return;
			}
			die 'the server does not become ready' if time > $end;
			sleep 0.01;
		}
		die 'the server does not start' if time > $end;
		sleep 0.05;
	}
}

sub set_fault
{
	my ($fault) = @_;

	open my $fh, '>', "$data/fault.new" or die "$data/fault.new: $!";
	print $fh "steward.fault = '$fault'\n";
	close $fh;
	rename "$data/fault.new", "$data/fault.conf" or die "fault.conf: $!";
	kill 'HUP', $postmaster if $postmaster;
	return;
}

# The postmaster's children, by title: [pid, title]
sub server_processes
{
	open my $fh, '<', "/proc/$postmaster/task/$postmaster/children" or return;
	my @found;

	foreach my $pid (split ' ', <$fh> // '')
	{
		open my $title, '<', "/proc/$pid/cmdline" or next;
		local $/;
		push @found, [ $pid, <$title> // '' ];
	}
	return @found;
}

sub sql
{
	my ($statement) = @_;
	return $node->safe_psql('app', $statement);
}

# ---- the stores -----------------------------------------------------------------

my @tenants = map { sprintf '%s0000000-0000-4000-8000-00000000000%s', $_, $_ } 1 .. 4;

# partitioned: a new partition each time; expires: its archives do so at once
my %table = (
	events => { partitioned => 1, archive => 1, retention => '"then": "archive", "keep": "9 years", "by_tenant": true' },
	audit => { partitioned => 1, archive => 1, retention => '"then": "archive", "keep": "9 years"' },
	metrics => { partitioned => 1, default => 1, archive => 1, retention => '"then": "archive", "keep": "9 years"' },
	traces => { partitioned => 1, retention => '"then": "purge"' },
	jobs => { archive => 1, retention => '"then": "archive", "keep": "9 years"' },
	tickets => { archive => 1, retention => '"then": "archive", "keep": "9 years", "by_tenant": true' },
	visits => { archive => 1, expires => 1, retention => '"then": "archive", "keep": "1 second", "by_tenant": true' },
	sessions => { retention => '"then": "purge"' },
	orders => { archive => 1, pair => 1, retention => '"then": "archive", "keep": "9 years"' },
	items => { archive => 1, pair => 1, retention => '"then": "archive", "keep": "9 years"' });
my @partitioned = grep { $table{$_}{partitioned} } sort keys %table;
my @plain = grep { !$table{$_}{partitioned} && !$table{$_}{pair} } sort keys %table;

my $columns = 'tenant_id uuid NOT NULL, id bigint NOT NULL, at timestamptz NOT NULL, payload text';

sub build
{
	my $ddl = '';
	my @stores;

	foreach my $name (sort { $b cmp $a } keys %table)	# orders before items
	{
		my $t = $table{$name};

		if ($t->{partitioned})
		{
			$ddl .= "CREATE TABLE app.$name ($columns, PRIMARY KEY (tenant_id, at, id)) PARTITION BY RANGE (at);\n"
			  . "CREATE TABLE app.${name}_now PARTITION OF app.$name FOR VALUES FROM ('2020-01-01+00') TO ('2200-01-01+00');\n";
			$ddl .= "CREATE TABLE app.${name}_rest PARTITION OF app.$name DEFAULT;\n" if $t->{default};
		}
		elsif ($name eq 'items')
		{
			$ddl .= "CREATE TABLE app.items ($columns, order_id bigint NOT NULL, PRIMARY KEY (tenant_id, id),"
			  . " FOREIGN KEY (tenant_id, order_id) REFERENCES app.orders);\n"
			  . "CREATE INDEX ON app.items (tenant_id, order_id);\n";
		}
		else
		{
			$ddl .= "CREATE TABLE app.$name ($columns, PRIMARY KEY (tenant_id, id));\n";
		}
		$ddl .= "CREATE INDEX ON app.$name (at);\n" if $name eq 'jobs' || $name eq 'sessions';
		push @stores, qq({"name": "$name", "relation": "app.$name", "owner": "App", "retention": {"clock": "at", "hot": "1 year", $t->{retention}}});
	}
	$node->safe_psql('postgres', 'CREATE DATABASE app');
	sql(<<"SQL");
CREATE ROLE service NOLOGIN;
CREATE ROLE schema_owner NOLOGIN;
CREATE EXTENSION pg_steward;
CREATE ROLE writer LOGIN IN ROLE service, schema_owner, steward_cross_tenant;
CREATE SCHEMA app AUTHORIZATION schema_owner;
GRANT USAGE ON SCHEMA app TO PUBLIC;
SET ROLE schema_owner;
$ddl
RESET ROLE;
SELECT steward.create_service('App', role => 'service');
SELECT count(*) FROM steward.apply(\$\$ {"stores": [@{[ join ",\n", @stores ]}]} \$\$);
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA app TO service;
SQL
	return;
}

# ---- a writer -------------------------------------------------------------------

my $stopping = 0;

# One psql for as long as it lives.  Each statement is answered by a line
# "@ ERROR ROW_COUNT SQLSTATE", and by no line when the connection died.
my %session;

sub disconnect
{
	return if !$session{pid};
	close $session{in};
	close $session{out};
	waitpid $session{pid}, 0;
	%session = ();
	return;
}

sub connected
{
	my ($conninfo) = @_;

	until ($session{pid} || $stopping)
	{
		$session{pid} = open2($session{out}, $session{in}, 'psql', '-XAtq', '-d', $conninfo);
		$session{in}->autoflush(1);
		if (!answered("SET lock_timeout = '3s'; SET timezone = 'UTC'"))
		{
			disconnect();
			sleep 0.05;
		}
	}
	return $session{pid};
}

# The rows that each statement touched, -1 for an error; fewer when it died
sub answered
{
	my @answers;

	foreach my $statement (@_)
	{
		my $in = $session{in};
		my $out = $session{out};
		my $line;

		print $in "$statement;\n\\echo \@ :ERROR :ROW_COUNT :SQLSTATE\n" or last;
		while (defined($line = <$out>)) { last if $line =~ /^\@ /; }
		last if !defined $line;
		my (undef, $error, $rows) = split ' ', $line;
		push @answers, $error eq 'false' ? $rows : -1;
	}
	return @answers;
}

# Run statements in a transaction: 'committed', 'refused', or 'doubt'
sub transaction
{
	my @statements = @_;
	my @answers = answered('BEGIN', @statements);

	if (@answers < @statements + 1)
	{
		disconnect();
		return 'refused';		# COMMIT was never sent
	}
	if (grep { $_ < 0 } @answers)
	{
		answered('ROLLBACK') or disconnect();
		return 'refused';
	}
	my ($commit) = answered('COMMIT');
	if (!defined $commit)
	{
		disconnect();
		return 'doubt';
	}
	return $commit < 0 ? 'refused' : 'committed';
}

sub utc { return POSIX::strftime('%Y-%m-%d %H:%M:%S+00', gmtime shift); }
sub one_of { return $_[ int rand @_ ]; }

sub writer
{
	my ($number, $journal) = @_;
	my $conninfo = $node->connstr('app') . ' user=writer';
	my $next_id = $number * 1_000_000_000;
	my $slot = $number * 200_000;
	my @slots;		# [table, time]: partitions that it made
	my @mine;		# rows to change: { table, id, tenant, at }

	my $note = sub {
		my ($status, $op, $table, $id, $value) = @_;
		print $journal join("\t", $status eq 'committed' ? 'c' : '?', $op, $table, $id, $value // ''), "\n";
	};
	my $new_row = sub {
		my ($table, $at) = @_;
		return { table => $table, id => ++$next_id, tenant => one_of(@tenants), at => utc($at),
			payload => join('', map { sprintf '%08x', rand 2**32 } 1 .. 1 + rand 6) };
	};
	my $value = sub { my ($r) = @_; return "$r->{tenant}|$r->{at}|$r->{payload}"; };
	my $insert = sub {
		my ($table, @rows) = @_;
		return "INSERT INTO app.$table VALUES "
		  . join(', ', map { "('$_->{tenant}', $_->{id}, '$_->{at}', '$_->{payload}'" . (defined $_->{order} ? ", $_->{order})" : ')') } @rows);
	};
	my $put = sub {
		my ($rows, @statements) = @_;
		my $status = transaction(@statements);

		return $status if $status eq 'refused';
		$note->($status, 'put', $_->{table}, $_->{id}, $value->($_)) foreach @$rows;
		push @mine, grep { !$table{ $_->{table} }{pair} } @$rows[ 0 .. min(4, $#$rows) ];
		splice @mine, 0, @mine - 60 if @mine > 60;
		return $status;
	};
	# (what is old is old by years, and what is fresh by days)
	my $old = sub { return 978307200 + int rand 3e8; };
	my $fresh = sub { return int(time) - int rand 1e6; };

	while (!$stopping)
	{
		my $dice = rand;

		last if !connected($conninfo);
		if ($dice < 0.25)
		{
			my $table = one_of(@partitioned);
			my $at = 978307200 + 600 * ++$slot;
			my @rows = map { $new_row->($table, $at + int rand 600) } 1 .. 1 + rand 40;
			my $name = "app.${table}_$slot";

			push @slots, [ $table, $at ]
			  if $put->(\@rows, 'SET LOCAL ROLE schema_owner',
				"CREATE TABLE $name PARTITION OF app.$table FOR VALUES FROM ('" . utc($at) . "') TO ('" . utc($at + 600) . "')",
				'RESET ROLE', $insert->($table, @rows)) ne 'refused';
			shift @slots if @slots > 4;
		}
		elsif ($dice < 0.40 && @slots)
		{
			my ($table, $at) = @{ one_of(@slots) };
			my @rows = map { $new_row->($table, $at + int rand 600) } 1 .. 1 + rand 10;

			$put->(\@rows, $insert->($table, @rows));
		}
		elsif ($dice < 0.58)
		{
			my $table = one_of(@plain);
			my @rows = map { $new_row->($table, $old->()) } 1 .. 1 + rand(rand() < 0.2 ? 160 : 20);

			$put->(\@rows, $insert->($table, @rows));
		}
		elsif ($dice < 0.63)
		{
			my @rows = map { $new_row->('metrics', 631152000 + int rand 1e8) } 1 .. 1 + rand 40;

			$put->(\@rows, $insert->('metrics', @rows));	# into DEFAULT
		}
		elsif ($dice < 0.70)
		{
			my @orders = map { $new_row->('orders', $old->()) } 1 .. 1 + rand 10;
			my @items;

			foreach my $order (@orders)
			{
				push @items, map { { %{ $new_row->('items', $old->()) }, tenant => $order->{tenant}, order => $order->{id} } } 1 .. rand 6;
			}
			$put->([ @orders, @items ], $insert->('orders', @orders), @items ? $insert->('items', @items) : ());
		}
		elsif ($dice < 0.77)
		{
			my $table = one_of(@plain, @partitioned);
			my @rows = map { $new_row->($table, $fresh->()) } 1 .. 1 + rand 10;

			$put->(\@rows, $insert->($table, @rows));
		}
		elsif (@mine)
		{
			my $at_of = int rand @mine;
			my $r = $mine[$at_of];
			my $where = "WHERE tenant_id = '$r->{tenant}' AND id = $r->{id} AND at = '$r->{at}'";
			my $drop = $dice > 0.95;
			my %new = (%$r, payload => $new_row->($r->{table}, 0)->{payload});

			# one that is due may be saved
			$new{at} = utc($fresh->()) if $dice > 0.90 && !$table{ $r->{table} }{partitioned};
			my ($rows) = answered($drop ? "DELETE FROM app.$r->{table} $where"
				: "UPDATE app.$r->{table} SET at = '$new{at}', payload = '$new{payload}' $where");
			disconnect() if !defined $rows;
			next if defined $rows && $rows < 0;
			$note->(defined $rows ? 'committed' : 'doubt', $drop ? 'cut' : 'set', $r->{table}, $r->{id}, $drop ? '' : $value->(\%new))
			  if !defined $rows || $rows > 0;
			# what is in doubt or gone is not touched again
			if (!$drop && defined $rows && $rows > 0) { $mine[$at_of] = \%new; }
			else { splice @mine, $at_of, 1; }
		}
		sleep 0.02 + rand 0.12;
	}
	disconnect();
	return;
}

my %writer;

sub start_writer
{
	my ($number) = @_;
	my $seed = int rand 2**31;
	my $pid = fork // die "fork: $!";

	if ($pid)
	{
		$writer{$pid} = "$base/journal.$number";
		return;
	}
	srand($seed);
	$SIG{TERM} = sub { $stopping = 1 };
	$SIG{PIPE} = 'IGNORE';
	$SIG{__DIE__} = sub { print STDERR "writer $number: @_"; POSIX::_exit(1); };
	open my $journal, '>', "$base/journal.$number" or die;
	$journal->autoflush(1);
	open STDERR, '>', "$base/writer.$number.log" or die;
	writer($number, $journal);
	close $journal;
	POSIX::_exit(0);
}

# ---- killing --------------------------------------------------------------------

my (%killed, %hit, %missed);

sub recovered
{
	my ($before) = @_;

	wait_until(sub { read_log(); postmaster_gone() || $log{ready} > $before }) or die 'the server does not recover';
	start_postmaster() if !$postmaster;
	return;
}

# Let it die at a point; false when it did not come there
sub kill_at
{
	my ($action, $point) = @_;

	read_log();
	my ($ready, $dead) = ($log{ready}, $log{killed});
	set_fault("$action:$point");
	my $fired = wait_until(sub { read_log(); postmaster_gone() || $log{killed} > $dead }, 20);
	set_fault('');
	if (!$fired)
	{
		$missed{$point}++;
		return 0;
	}
	$hit{$point}++;
	$killed{ $action eq 'crash' ? 'postmaster, at a point' : 'worker, at a point' }++;
	recovered($ready);
	return 1;
}

my @victims = (
	[ 40, 'worker', qr/pg_steward worker/ ],
	[ 10, 'launcher', qr/pg_steward launcher/ ],
	[ 15, 'backend', qr/writer app/ ],
	[ 10, 'auxiliary process', qr/checkpointer|background writer|walwriter|autovacuum launcher/ ],
	[ 25, 'postmaster', undef ]);

sub kill_random
{
	my $dice = rand sum0(map { $_->[0] } @victims);
	my ($who, $title);

	foreach my $victim (@victims)
	{
		(undef, $who, $title) = @$victim;
		last if ($dice -= $victim->[0]) < 0;
	}
	sleep rand 0.3;
	read_log();
	my $ready = $log{ready};

	if ($title)
	{
		my @found;

		# it may just not be there
		wait_until(sub { @found = grep { $_->[1] =~ $title } server_processes() }, 3) or return 0;
		kill 'KILL', one_of(@found)->[0] or return 0;
		$killed{$who}++;
		if (rand() < 0.1)
		{
			sleep rand 0.1;
			kill 'KILL', $postmaster;
			$killed{'postmaster, in recovery'}++;
			wait_until(\&postmaster_gone) or die 'the postmaster does not die';
		}
		recovered($ready);
	}
	else
	{
		kill 'KILL', $postmaster;
		$killed{$who}++;
		wait_until(\&postmaster_gone) or die 'the postmaster does not die';
		start_postmaster();
	}
	return 1;
}

# ---- the run --------------------------------------------------------------------

set_fault('');
start_postmaster();
build();
start_writer($_) foreach 1 .. $writers;

my $begin = time;
my (@next, $round);
while (sum0(values %killed) < $kills)
{
	if (rand() < 0.55 || %hit < @points)
	{
		@next = shuffle @points if !@next;
		kill_at($round++ > @points && rand() < 0.2 ? 'crash' : 'kill', shift @next);
	}
	else
	{
		kill_random();
	}
	if (my ($dead) = grep { waitpid($_, POSIX::WNOHANG()) != 0 } keys %writer) { die "a writer died; see $base"; }
}
my $took = time - $begin;
diag sprintf('%d kills in %.0f s, seed %d', sum0(values %killed), $took, $seed);
diag join(', ', map { "$_: $killed{$_}" } sort keys %killed);
diag 'at points: ' . join(', ', map { "$_: " . ($hit{$_} // 0) . ($missed{$_} ? " (missed $missed{$_})" : '') } @points);
cmp_ok(sum0(values %killed), '>=', $kills, 'so many kills');
is(scalar(grep { !$hit{$_} } @points), 0, 'every point was hit');

kill 'TERM', keys %writer;
waitpid $_, 0 foreach keys %writer;

# ---- it converges by itself -------------------------------------------------------

my $open = q{
SELECT 'task', t.kind, t.store, t.state, t.error, count(*) FROM steward.task t WHERE t.state IN ('queued', 'running') GROUP BY 1, 2, 3, 4, 5
UNION ALL
SELECT 'segment', g.kind, g.store, g.state, g.error, count(*) FROM steward.segment g
 WHERE g.state <> 'purged' AND NOT (g.kind = 'rows' AND g.state = 'failed') GROUP BY 1, 2, 3, 4, 5
UNION ALL
SELECT 'archive', NULL, a.store, a.state, 'not removed: ' || (a.removed_at IS NULL), count(*) FROM steward.archive a JOIN steward.segment g ON g.id = a.segment
 WHERE a.state IN ('exported', 'uploaded') OR a.state IN ('discarded', 'expired') AND a.removed_at IS NULL
    OR a.state = 'verified' AND (g.state <> 'purged' OR a.store = 'visits') GROUP BY 1, 2, 3, 4, 5
UNION ALL
SELECT 'due', d.action, d.store, d.segment, d.blocked, d.rows FROM steward.due() d};

$begin = time;
my $left;
my $quiet = wait_until(sub { sleep 0.3; $left = sql($open); $left eq '' }, 120 + $kills / 10);
ok($quiet, 'the run converges by itself') or diag "what is left:\n$left";
diag sprintf('converged in %.1f s', time - $begin);
read_log();
diag join("\n", 'what the worker complained of:', map { "$complaints{$_}x $_" } sort keys %complaints);

# ---- the oracle -------------------------------------------------------------------

# One table after the other, so that a long run fits into memory.  Values that
# one row may have, and places where it is, are lists in one string each.
my $year_ago = utc(time - 366 * 86400);
my (%count, %file, @bad_archives, @lost, @twice, @other, @early, @unknown, @read_otherwise);

# What the writers know of a table: id → what it may be; '' is no row
sub journals
{
	my ($name) = @_;
	my %may;

	foreach my $file (values %writer)
	{
		open my $fh, '<', $file or die "$file: $!";
		while (my $line = <$fh>)
		{
			chomp $line;
			my ($status, undef, $table, $id, $value) = split /\t/, $line, -1;

			next if $table ne $name;
			$may{$id} = $status eq 'c' ? $value : ($may{$id} // '') . "\n$value";
			$count{doubt}++ if $status ne 'c';
		}
	}
	return \%may;
}

# An archive, without the product: calls back with each row's id and value
sub read_archive
{
	my ($line, $row) = @_;
	my ($id, $path, $rows, $digest, $tenant) = split /\|/, $line, -1;
	my ($data_file, $manifest_file) = map { "$store/$path/$_" } 'data.ndjson.zst', 'manifest.json';
	my $n = 0;

	$file{$_} = 1 foreach $data_file, $manifest_file;
	if (!-f $data_file || !-f $manifest_file || Digest::SHA->new(256)->addfile($manifest_file)->hexdigest ne $digest)
	{
		push @bad_archives, "archive $id: its files are not there, or its manifest is another";
		return;
	}
	open my $fh, '-|', 'zstd', '-dcq', $data_file or die "zstd: $!";
	while (my $json = <$fh>)
	{
		my $r = JSON::PP::decode_json($json);

		$n++;
		push @bad_archives, "archive $id: a row of tenant $r->{tenant_id} among those of $tenant"
		  if $tenant ne '' && $tenant ne $r->{tenant_id};
		$row->($r->{id}, "$r->{tenant_id}|$r->{at}|$r->{payload}", "archive $id");
	}
	push @bad_archives, "archive $id: zstd fails" if !close $fh;
	push @bad_archives, "archive $id: $n rows, not $rows" if $n != $rows;
	$count{archives}++;
	return;
}

# One row: what it may be, and where it is
sub judge
{
	my ($t, $row, $may, @places) = @_;
	my %may = map { $_ => 1 } $may eq '' ? '' : split /\n/, $may, -1;
	my $due = grep { $_ ne '' && (split /\|/)[1] lt $year_ago } keys %may;

	push @twice, "$row: in " . join(', ', map { (split /\t/)[0] } @places) if @places > 1;
	if (!@places && !$may{''})
	{
		# purged for good, or else lost
		push @lost, $row if !$due || $t->{archive} && !$t->{expires};
		$count{purged}++;
	}
	foreach my $place (@places)
	{
		my ($where, $value) = split /\t/, $place;
		my $is_due = (split /\|/, $value)[1] lt $year_ago;

		push @other, "$row in $where: $value, not " . join(' or ', sort keys %may) if !$may{$value};
		push @other, "$row: due, and still hot" if $quiet && $where eq 'hot' && $is_due;
		push @early, "$row in $where: $value" if $where ne 'hot' && !$is_due;
		$count{ $where eq 'hot' ? 'hot' : 'archived' }++;
	}
	$count{rows}++;
	return;
}

foreach my $name (sort keys %table)
{
	my $t = $table{$name};
	my $may = journals($name);
	my (%at, %archived);
	my $place = sub {
		my ($id, $value, $where) = @_;
		push @unknown, "$name $id in $where" if !defined $may->{$id};
		$at{$id} = (defined $at{$id} ? "$at{$id}\n" : '') . "$where\t$value";
		$archived{$id}++ if $where ne 'hot';
	};

	$place->((split /\|/, $_, 2), 'hot')
	  foreach split /\n/, sql("SET timezone = 'UTC'; SELECT id, concat_ws('|', tenant_id, at, payload) FROM app.$name");
	read_archive($_, $place) foreach split /\n/, sql(<<"SQL");
SELECT a.id, a.path, a.rows, encode(a.manifest_digest, 'hex'), coalesce(a.tenant, '')
  FROM steward.archive a JOIN steward.segment g ON g.id = a.segment
 WHERE a.store = '$name' AND a.state = 'verified' AND g.state = 'purged' AND a.base = 'file:$store'
SQL
	judge($t, "$name $_", $may->{$_}, split /\n/, $at{$_} // '') foreach sort { $a <=> $b } keys %$may;

	# the product reads the same
	next if !$t->{archive} || $t->{expires};
	my %seen = %archived;
	$seen{$_}-- foreach split /\n/, sql("SELECT r ->> 'id' FROM steward.read_archive('$name') r");
	push @read_otherwise, map { "$name $_" } grep { $seen{$_} != 0 } sort keys %seen;
}

sub none
{
	my ($list, $name) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok(!@$list, $name) or diag scalar(@$list) . ": the first\n" . join("\n", @$list[ 0 .. min($#$list, 9) ]);
	return;
}
diag join(', ', map { ($count{$_} // 0) . " $_" } qw(rows hot archived purged doubt archives));
cmp_ok($count{archived} // 0, '>', $kills, 'rows were archived');
none(\@bad_archives, 'the archives of purged segments are whole, by zstd and sha256');
none(\@lost, 'no row is lost');
none(\@twice, 'none is in two places: hot and purged, or archived twice');
none(\@other, 'each is as it was committed last');
none(\@early, 'none was purged before its time');
none(\@unknown, 'none is where no writer put it');
none(\@read_otherwise, 'read_archive() reads the same rows');
none([ split /\n/, sql(<<'SQL') ], 'no segment is purged without its verified archives');
SELECT g.id, g.store, g.kind, g.rows, a.n, a.states
  FROM steward.segment g,
       LATERAL (SELECT coalesce(sum(x.rows), 0) AS n, string_agg(DISTINCT x.state, ',') AS states
                  FROM steward.archive x WHERE x.segment = g.id AND x.state <> 'discarded') a
 WHERE g.state = 'purged' AND g.action = 'archive'
   AND (a.n <> g.rows OR a.states !~ '^(expired,)?(verified)?$|^expired$'
        OR EXISTS (SELECT FROM steward.archive x WHERE x.segment = g.id AND x.state IN ('verified', 'expired') AND x.verified_at IS NULL))
SQL
none([ split /\n/, sql(<<"SQL") ], 'no table is left behind');
SELECT c.oid::regclass FROM pg_class c
 WHERE c.relnamespace = 'app'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
   AND c.relname NOT IN (@{[ join ', ', map { "'$_'" } sort keys %table ]})
UNION ALL
SELECT i.inhrelid::regclass FROM pg_inherits i WHERE i.inhdetachpending
SQL

none([ split /\n/, sql(<<'SQL') ], 'nothing of it is left to complain of');
SELECT c.rule, c.object, c.detail FROM steward.check() c
 WHERE c.rule IN ('failed_retention', 'overdue_retention', 'overdue_archive', 'pending_detach')
SQL

my @orphans;
File::Find::find({ no_chdir => 1, wanted => sub { push @orphans, $_ if !-d $_ && !$file{$_} } }, $store);
none(\@orphans, 'no file lies in the archive store that belongs to no archive');
my @spooled;
File::Find::find({ no_chdir => 1, wanted => sub { push @spooled, $_ if !-d $_ } }, "$data/pgsql_tmp_steward") if -d "$data/pgsql_tmp_steward";
none(\@spooled, 'nothing is left in the spool');

none(\@bad_lines, "the server's log knows no crash but ours");

# ---- the end --------------------------------------------------------------------------

kill 'INT', $postmaster;
wait_until(\&postmaster_gone);
$node->_update_pid(0);
done_testing();

END
{
	# as the test found it, when it dies half-way
	my $rc = $?;
	kill 'KILL', keys %writer if !$quiet;
	if ($postmaster && !postmaster_gone())
	{
		kill 'QUIT', $postmaster;
		waitpid $postmaster, 0;
		$node->_update_pid(0);
	}
	$? = $rc;
}
