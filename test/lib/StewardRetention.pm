# StewardRetention.pm
#    Retention under test: a node with a directory for archives, the worker
#    stopped at a point of a segment's way (steward.fault), and what an archive
#    holds, read without pg_steward.
package StewardRetention;

use strict;
use warnings;

use Digest::SHA qw(sha256 sha256_hex);
use Exporter 'import';
use IO::Handle;
use IPC::Open2 qw(open2);
use JSON::PP ();
use PostgreSQL::Test::Utils;
use StewardTest;
use Test::More;
use Time::HiRes qw(usleep time);

our @EXPORT = qw(slurp spew zstd unzstd frames_of rewrite_frames read_manifest write_manifest);

my $json = JSON::PP->new->canonical;

# ---- a node ------------------------------------------------------------------

# conf, preload and the rest: steward_node's.  Gives an object with the node, a
# session in the database, and the archive store's directory.
sub new
{
	my ($class, $name, %args) = @_;
	my $dbname = delete $args{dbname} // 'postgres';
	my $conf = delete $args{conf} // '';
	my $node = steward_node($name, start => 0, %args);
	my $base = $node->basedir . '/archive_store';

	mkdir $base or die "$base: $!";
	chmod 0700, $base;
	$node->append_conf('postgresql.conf',
		"steward.archive_store = 'file:$base'\nsteward.worker_share = 1\nsteward.naptime = 1\nautovacuum = off\n$conf\n");
	$node->start;
	my $self = bless { node => $node, base => $base, dbname => $dbname }, $class;
	$node->safe_psql($dbname, "CREATE EXTENSION pg_steward; CREATE ROLE keeper; SELECT steward.create_service('Keeper', role => 'keeper')");
	$self->connect;
	return $self;
}

# A session of psql's that stays; quieter and quicker than background_psql,
# because it is asked thousands of times
sub connect
{
	my ($self) = @_;
	my ($out, $in);
	my $pid = open2($out, $in, 'sh', '-c', 'exec psql -XAtq -v VERBOSITY=terse -d "$0" 2>&1', $self->{node}->connstr($self->{dbname}));

	$in->autoflush(1);
	$self->{session} = { out => $out, in => $in, pid => $pid };
	return;
}

# Another session, of the same database unless one is named
sub another
{
	my ($self, $dbname) = @_;
	my $other = bless { %$self, dbname => $dbname // $self->{dbname} }, ref $self;
	$other->connect;
	return $other;
}

sub disconnect
{
	my ($self) = @_;
	my $session = delete $self->{session} or return;

	local $SIG{PIPE} = 'IGNORE';
	close $session->{in};
	close $session->{out};
	waitpid $session->{pid}, 0;
	return;
}

# What statements print, errors included
sub try
{
	my ($self, $sql) = @_;
	my $session = $self->{session};
	my @lines;

	local $SIG{PIPE} = 'IGNORE';
	print { $session->{in} } "$sql;\n\\echo :done:\n";
	while (defined(my $line = readline $session->{out}))
	{
		last if $line eq ":done:\n";
		push @lines, $line;
	}
	chomp(my $text = join '', @lines);
	return $text;
}

# ... and an error is one
sub sql
{
	my ($self, $sql) = @_;
	my $text = $self->try($sql);

	if ($text =~ /^(psql:.*)?(ERROR|FATAL): |^server closed the connection/m)
	{
		$self->try('ROLLBACK');
		die "$text\nin: " . substr($sql, 0, 1000) . "\n";
	}
	return $text;
}

# The rules bind superusers: past them, as one who is bent on it
sub past_the_rules
{
	my ($self, $sql) = @_;
	return $self->sql("BEGIN; ALTER EVENT TRIGGER steward_armed DISABLE; SET LOCAL session_replication_role = replica; $sql; "
		. "SET LOCAL session_replication_role = origin; ALTER EVENT TRIGGER steward_armed ENABLE ALWAYS; COMMIT");
}

# Where the worker is to die, fail or wait; undef: nowhere
sub fault
{
	my ($self, $fault) = @_;
	$self->sql(defined $fault ? "ALTER SYSTEM SET steward.fault = '$fault'" : 'ALTER SYSTEM RESET steward.fault');
	$self->sql('SELECT pg_reload_conf()');
	return;
}

# Ask until the answer is as expected (a string, or a regular expression)
sub await
{
	my ($self, $sql, $expected, $seconds) = @_;
	my $end = time + ($seconds // $PostgreSQL::Test::Utils::timeout_default);
	my $got;

	do
	{
		$got = ref $sql ? $sql->() : $self->sql($sql);
		return $got if ref $expected ? $got =~ $expected : $got eq $expected;
		usleep 10_000;
	} while (time < $end);
	diag "waited in vain for: $sql\nlast answer: $got\n"
	  . eval { $self->sql('SELECT id, kind, target, state, attempt, error FROM steward.task ORDER BY id; TABLE steward.progress') };
	return $got;
}

# What has failed is not to wait for its pause
sub hurry
{
	my ($self) = @_;
	$self->sql("UPDATE steward.task SET not_before = now() WHERE state = 'queued'; SELECT steward.wake_worker()");
	return;
}

# Until nothing is left that will be tried; false when that is not to be
sub converge
{
	my ($self, $seconds) = @_;
	my $end = time + ($seconds // $PostgreSQL::Test::Utils::timeout_default);

	do
	{
		return 1 if $self->sql("SELECT count(*) FROM steward.task WHERE state IN ('queued', 'running')") eq '0';
		$self->hurry;
		usleep 50_000;
	} while (time < $end);
	return 0;
}

# ---- stores, and where they have come to -------------------------------------------

# A governed table t.NAME with so many partitions of ten rows each that are due
# (t.NAME_1 and so on); fresh: and a DEFAULT partition with rows that are not.
# What its rows are is kept in {expected}{NAME}.
sub make
{
	my ($self, $name, %args) = @_;
	my $partitions = $args{partitions} // 1;
	my $rows = $args{rows} // 10;
	my $text = $args{text} // "'row ' || i";
	my $sql = "CREATE TABLE t.$name (id int, tenant_id uuid NOT NULL, at timestamptz NOT NULL, body text, extra int) PARTITION BY RANGE (at);";

	$sql .= "CREATE TABLE t.${name}_$_ PARTITION OF t.$name FOR VALUES FROM ('2020-01-0$_') TO ('2020-01-0@{[ $_ + 1 ]}');" foreach 1 .. $partitions;
	$sql .= "INSERT INTO t.$name SELECT p * 100000 + i, md5((i % 3)::text)::uuid, date '2019-12-31' + p, $text, i FROM generate_series(1, $partitions) p, generate_series(1, $rows) i;";
	$sql .= "CREATE TABLE t.${name}_@{[ $partitions + 1 ]} PARTITION OF t.$name FOR VALUES FROM ('2020-02-01') TO (MAXVALUE);" if $args{fresh};
	$self->sql($sql);
	$self->govern($name);
	return;
}

# ... of rows that are due one by one
sub make_rows
{
	my ($self, $name, $rows) = @_;
	$self->sql("CREATE TABLE t.$name (id int PRIMARY KEY, tenant_id uuid NOT NULL, at timestamptz NOT NULL, body text);"
		. "INSERT INTO t.$name SELECT i, md5((i % 3)::text)::uuid, timestamptz '2020-01-01' + i * interval '1 minute', 'row ' || i FROM generate_series(1, $rows) i;"
		. "CREATE INDEX ON t.$name (at)");
	$self->govern($name);
	return;
}

sub govern
{
	my ($self, $name) = @_;
	$self->sql("SELECT steward.govern('t.$name', owner => 'Keeper', name => '$name', retention => '{\"clock\": \"at\", \"hot\": \"90 days\", \"then\": \"archive\", \"keep\": \"10 years\"}')");
	$self->{expected}{$name} = { map { split /\|/, $_, 2 } split /\n/, $self->sql("SELECT id, body FROM t.$name") };
	return;
}

# A query for something of a store's first segment (g) and its task (t), or of
# that of one partition
sub of
{
	my ($self, $store, $what, $relation) = @_;
	return "SELECT $what FROM steward.segment g JOIN steward.task t ON t.id = g.task WHERE g.store = '$store'"
	  . (defined $relation ? " AND g.relation_name = 't.$relation'" : '') . ' ORDER BY g.id LIMIT 1';
}
sub of_now { my $self = shift; return $self->sql($self->of(@_)); }

# Enforce a store's retention, and make the worker wait at a point of its first segment
sub stop_at
{
	my ($self, $store, $stage) = @_;
	my %reached = (
		due => 't.state', detached => 'NOT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = g.relation)',
		exported => q{EXISTS (SELECT FROM steward.archive a WHERE a.segment = g.id AND a.state = 'exported')},
		uploaded => q{g.state = 'uploaded'}, verified => q{g.state = 'verified'}, purged => q{g.state = 'purged'});
	# what is not committed is seen by its phase
	my %phase = (exporting => 'exporting', uploading => 'uploading', purging => 'purging');

	$self->fault("wait:$stage");
	$self->sql("CALL steward.enforce_retention('$store')");
	if ($stage eq 'due') { $self->await($self->of($store, 't.state'), 'running'); }
	elsif (my $phase = $phase{$stage})
	{
		$self->await(q{SELECT coalesce((SELECT phase FROM steward.progress), '')}, $phase);
		usleep 200_000;
	}
	else { $self->await($self->of($store, $reached{$stage}), 't'); }
	return;
}

# No fault any more: all is done, by and by, and no row of the store is lost
sub ends_well
{
	my ($self, $store, $name, $relation, $expected) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	$self->fault(undef);
	$self->sql(qq{UPDATE steward.task SET not_before = now() WHERE state = 'queued'; SELECT steward.wake_worker()});
	ok($self->converge(20), "$name: comes to its end")
	  or diag $self->sql("SELECT id, store, target, state, attempt, error FROM steward.task WHERE state <> 'done'");
	is($self->sql("SELECT count(*) FROM steward.segment WHERE store = '$store' AND state <> 'purged' AND kind = 'partition'"), '0', "$name: all is purged that was due");
	return $self->exactly_once($store, $relation // "t.$store", $expected // $self->{expected}{$store});
}

sub findings
{
	my ($self, $rule) = @_;
	return $self->sql("SELECT string_agg(object || ': ' || detail, E'\\n') FROM steward.check() WHERE rule = '$rule'");
}

# ---- archives, read without pg_steward ------------------------------------------

# The directory of an archive of a segment that is not given up
sub archive_dir
{
	my ($self, $segment) = @_;
	my $path = $self->sql("SELECT path FROM steward.archive WHERE segment = $segment AND state IN ('exported', 'uploaded', 'verified') ORDER BY id DESC LIMIT 1");
	return $path eq '' ? undef : "$self->{base}/$path";
}

# Each row of a store's archives: [id, body], ...
sub archived_rows
{
	my ($self, $store) = @_;
	my @rows;

	foreach my $path (split /\n/, $self->sql("SELECT base || '/' || path FROM steward.archive WHERE store = '$store' AND state = 'verified' ORDER BY id"))
	{
		$path =~ s/^file://;
		foreach my $line (split /\n/, unzstd(slurp("$path/data.ndjson.zst")))
		{
			# (JSON::PP takes a second for a megabyte; these values hold nothing to unescape)
			my ($id) = $line =~ /"id":"(-?\d+)"/ or die "no id in a line of $path";
			my ($body) = $line =~ /"body":"([^"\\]*)"/ or die "no body in a line of $path";
			push @rows, [ $id, $body ];
		}
	}
	return @rows;
}

# Is each row of the expected ones (id => body) in the tables or in the archives, and once?
sub exactly_once
{
	my ($self, $store, $relation, $expected) = @_;
	my %left = %$expected;
	my @wrong;

	foreach my $row ((map { [ split /\|/, $_, 2 ] } split /\n/, $self->sql("SELECT id, body FROM $relation")), $self->archived_rows($store))
	{
		my ($id, $body) = @$row;
		if (!exists $left{$id}) { push @wrong, exists $expected->{$id} ? "$id is there twice" : "$id should not be there"; }
		elsif ($left{$id} ne $body) { push @wrong, "$id is another: " . substr($body, 0, 40); }
		delete $left{$id};
	}
	push @wrong, map { "$_ is lost" } sort keys %left;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return ok(!@wrong, "$store: each row is there or archived, once and as it was") || diag join("\n", splice(@wrong, 0, 20));
}

# ---- files ------------------------------------------------------------------------

sub slurp
{
	my ($file) = @_;
	open my $in, '<:raw', $file or die "$file: $!";
	local $/;
	my $text = <$in>;
	close $in;
	return $text // '';
}

# As a new file: the spool may have the old one by another name
sub spew
{
	my ($file, $text) = @_;
	unlink $file;
	open my $out, '>:raw', $file or die "$file: $!";
	print $out $text;
	close $out or die "$file: $!";
	return;
}

sub through
{
	my ($input, @command) = @_;
	my $output = '';
	IPC::Run::run(\@command, '<', \$input, '>', \$output) or die "@command failed";
	return $output;
}

sub zstd { return through($_[0], 'zstd', '-q', '-c'); }
sub unzstd { return length $_[0] ? through($_[0], 'zstd', '-q', '-d', '-c') : ''; }

sub read_manifest { return $json->decode(slurp("$_[0]/manifest.json")); }
sub write_manifest { spew("$_[0]/manifest.json", $json->encode($_[1])); return; }

# The frames of an archive, as they are stored
sub frames_of
{
	my ($dir) = @_;
	my $data = slurp("$dir/data.ndjson.zst");
	return map { substr $data, $_->{offset}, $_->{bytes} } @{ read_manifest($dir)->{frames} };
}

# Store other frames, and (unless "only_data") a manifest that proves them
sub rewrite_frames
{
	my ($dir, $frames, %how) = @_;
	my $manifest = read_manifest($dir);
	my ($offset, $raw, $rows, @list, @digests, @lines) = (0, 0, 0);

	spew("$dir/data.ndjson.zst", join('', @$frames));
	return if $how{only_data};
	foreach my $frame (@$frames)
	{
		my $text = unzstd($frame);
		my @these = split /(?<=\n)/, $text;
		push @lines, @these;
		push @list, { offset => $offset, bytes => length $frame, raw_bytes => length $text, rows => scalar @these,
			digest => sha256_hex($text), from => $manifest->{from}, to => $manifest->{to} };
		push @digests, sha256($text);
		$offset += length $frame;
		$raw += length $text;
		$rows += @these;
	}
	@$manifest{qw(frames bytes raw_bytes rows digest)} = (\@list, $offset, $raw, $rows, sha256_hex(join '', @digests));
	$manifest->{rows_digest} = sha256_hex(join '', sort map { sha256($_) } @lines) if defined $manifest->{rows_digest};
	write_manifest($dir, $manifest);
	return;
}

1;
