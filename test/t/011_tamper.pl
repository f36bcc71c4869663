# 011_tamper.pl
#    An archive that was tampered with proves nothing, and a table that was
#    tampered with is not what was archived: in every way and at every stage that
#    we could think of, nothing is purged, it is reported, no row's value is in
#    the report, and afterwards retention comes to its end by a fresh archive.
#
#    Way n is done to partition n, on which the worker has been made to wait.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use POSIX ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StewardRetention;
use StewardTest;
use Test::More;

plan skip_all => 'no zstd to forge archives with' if system('zstd --version >/dev/null 2>&1') != 0;

my $r = StewardRetention->new('tamper', conf => 'log_statement = none');
my $canary = 'kept4u';    # begins each row's text

# ---- what can be done ----------------------------------------------------------
#
# Each way: [name, stage at which the worker waits, what is done, expected words
# of the reported error, further: big => several frames; restart => the worker is
# ended, too; after => what is undone when it has been reported;
# not_blamed => the archive itself is in order and is used again].
#
# Stages: exported (spool written), uploading (data put, manifest not), uploaded,
# verified.

my @ways;

sub flip
{
	my ($file, $at) = @_;
	my $text = slurp($file);
	$at += length $text if $at < 0;
	substr($text, $at, 1) = chr(ord(substr $text, $at, 1) ^ 1);
	spew($file, $text);
	return;
}

sub edit
{
	my ($file, $what, $with) = @_;
	my $text = slurp($file);
	$text =~ s/$what/$with/ee or die "$what is not in $file";
	spew($file, $text);
	return;
}

# The lines of the first frame, changed, as a valid frame again
sub forge
{
	my ($w, $change, %how) = @_;
	my @frames = frames_of($w->{dir});
	my @lines = split /(?<=\n)/, unzstd($frames[0]);

	@lines = $change->(@lines);
	$frames[0] = zstd(join '', @lines);
	rewrite_frames($w->{dir}, \@frames, %how);
	return;
}
sub dropped { shift; return @_; }
sub reordered { @_[ 0, 1 ] = @_[ 1, 0 ]; return @_; }
sub duplicated { return ($_[0], @_); }
sub changed { $_[0] =~ s/$canary (\w)/"$canary " . ($1 eq 'x' ? 'y' : 'x')/e; return @_; }

sub impostor
{
	my ($w) = @_;
	$r->past_the_rules("ALTER TABLE $w->{relation} RENAME TO moved_$w->{n}; CREATE TABLE $w->{relation} AS TABLE t.moved_$w->{n}");
	return;
}

sub spool_file
{
	my ($kind) = @_;
	my ($file) = glob $r->{node}->data_dir . "/pgsql_tmp_steward/*/*.$kind";
	return $file;
}

my $proves = qr/does not prove its rows/;
my $differs = qr/The digest of manifest.json differs/;

# archives, flipped
@ways = (
	[ 'a byte of the first frame', 'uploaded', sub { flip($_[0]{data}, 60) }, qr/$proves.*Frame 1 of 3/, big => 1 ],
	[ 'a byte of the middle frame', 'uploaded', sub { flip($_[0]{data}, length((frames_of($_[0]{dir}))[0]) + 60) }, qr/$proves.*Frame 2 of 3/, big => 1 ],
	[ 'the last byte', 'uploaded', sub { flip($_[0]{data}, -1) }, qr/$proves.*Frame 3 of 3/, big => 1 ],
	[ 'a byte of a frame\'s magic number', 'uploaded', sub { flip($_[0]{data}, 0) }, qr/$proves.*Frame 1/ ],
	[ 'a byte of a frame\'s header', 'uploaded', sub { flip($_[0]{data}, 5) }, qr/$proves.*Frame 1/ ],
	[ 'the manifest: a digit of rows', 'uploaded', sub { edit($_[0]{manifest}, qr/"rows":(\d)/, '"\"rows\":" . ($1 == 9 ? 1 : $1 + 1)') }, qr/$proves.*$differs/ ],
	[ 'the manifest: a digit of a digest', 'uploaded', sub { edit($_[0]{manifest}, qr/"digest":"(.)/, '"\"digest\":\"" . ($1 eq "a" ? "b" : "a")') }, qr/$proves.*$differs/ ],
	[ 'the manifest: a digit of an offset', 'uploaded', sub { edit($_[0]{manifest}, qr/"offset":0/, '"\"offset\":1"') }, qr/$proves.*$differs/ ],
	[ 'the manifest: a space more', 'uploaded', sub { edit($_[0]{manifest}, qr/\n\}/, '" \n}"') }, qr/$proves.*$differs/ ],
	[ 'the manifest: a letter of the DDL', 'uploaded', sub { edit($_[0]{manifest}, qr/CREATE TABLE/, '"CREATE TABLe"') }, qr/$proves.*$differs/ ],
	[ 'the manifest: not JSON', 'uploaded', sub { spew($_[0]{manifest}, 'x') }, qr/$proves.*$differs/ ],

	# cut and added to
	[ 'the data without its last byte', 'uploaded', sub { spew($_[0]{data}, substr slurp($_[0]{data}), 0, -1) }, qr/$proves.*bytes/ ],
	[ 'the data empty', 'uploaded', sub { spew($_[0]{data}, '') }, qr/$proves.*has 0 bytes/ ],
	[ 'the data without its last frame', 'uploaded', sub { rewrite_frames($_[0]{dir}, [ (frames_of($_[0]{dir}))[ 0, 1 ] ], only_data => 1) }, qr/$proves.*which is more/, big => 1 ],
	[ 'the last frame dropped, the manifest made to match', 'uploaded', sub { rewrite_frames($_[0]{dir}, [ (frames_of($_[0]{dir}))[ 0, 1 ] ]) }, qr/$proves.*$differs/, big => 1 ],
	[ 'a byte appended to the data', 'uploaded', sub { spew($_[0]{data}, slurp($_[0]{data}) . "\0") }, qr/$proves.*which is less/ ],
	[ 'a whole frame appended to the data', 'uploaded', sub { spew($_[0]{data}, slurp($_[0]{data}) x 2) }, qr/$proves.*which is less/ ],
	[ 'a frame that is skipped appended to the data', 'uploaded', sub { spew($_[0]{data}, slurp($_[0]{data}) . pack('VV', 0x184D2A50, 4) . 'skip') }, qr/$proves.*which is less/ ],
	[ 'the manifest cut in half', 'uploaded', sub { my $t = slurp($_[0]{manifest}); spew($_[0]{manifest}, substr $t, 0, length($t) / 2) }, qr/$proves.*$differs/ ],
	[ 'the manifest empty', 'uploaded', sub { spew($_[0]{manifest}, '') }, qr/$proves.*$differs/ ],

	# forged: valid frames
	[ 'a row dropped', 'uploaded', sub { forge($_[0], \&dropped, only_data => 1) }, qr/$proves/ ],
	[ 'two rows reordered', 'uploaded', sub { forge($_[0], \&reordered, only_data => 1) }, qr/$proves/ ],
	[ 'a row twice', 'uploaded', sub { forge($_[0], \&duplicated, only_data => 1) }, qr/$proves/ ],
	[ 'a row dropped, the manifest made to match', 'uploaded', sub { forge($_[0], \&dropped) }, qr/$proves.*$differs/ ],
	[ 'two rows reordered, the manifest made to match', 'uploaded', sub { forge($_[0], \&reordered) }, qr/$proves.*$differs/ ],
	[ 'a character of a value changed, the manifest made to match', 'uploaded', sub { forge($_[0], \&changed) }, qr/$proves.*$differs/ ],
	[ 'two frames swapped', 'uploaded', sub { rewrite_frames($_[0]{dir}, [ (frames_of($_[0]{dir}))[ 1, 0, 2 ] ], only_data => 1) }, qr/$proves.*Frame 1/, big => 1 ],
	[ 'two frames swapped, the manifest made to match', 'uploaded', sub { rewrite_frames($_[0]{dir}, [ (frames_of($_[0]{dir}))[ 1, 0, 2 ] ]) }, qr/$proves.*$differs/, big => 1 ],

	# of another segment
	[ 'the data of another segment', 'uploaded', sub { spew($_[0]{data}, slurp("$_[0]{other}/data.ndjson.zst")) }, qr/$proves/ ],
	[ 'the manifest of another segment', 'uploaded', sub { spew($_[0]{manifest}, slurp("$_[0]{other}/manifest.json")) }, qr/$proves.*$differs/ ],
	[ 'the archive of another segment', 'uploaded',
		sub { spew($_[0]{data}, slurp("$_[0]{other}/data.ndjson.zst")); spew($_[0]{manifest}, slurp("$_[0]{other}/manifest.json")) }, qr/$proves.*$differs/ ],

	# not there, or no file
	[ 'the data deleted', 'uploaded', sub { unlink $_[0]{data} }, qr/could not open/ ],
	[ 'the manifest deleted', 'uploaded', sub { unlink $_[0]{manifest} }, qr/could not open/ ],
	[ 'the archive deleted', 'uploaded', sub { unlink $_[0]{data}, $_[0]{manifest}; rmdir $_[0]{dir} or die "rmdir: $!" }, qr/could not open/ ],
	[ 'the data a directory', 'uploaded', sub { unlink $_[0]{data}; mkdir $_[0]{data} }, qr/is not a file/ ],
	[ 'the manifest a directory with something in it', 'uploaded', sub { unlink $_[0]{manifest}; mkdir $_[0]{manifest}; spew("$_[0]{manifest}/x", 'x') }, qr/is not a file/ ],
	[ 'the data a symbolic link to itself elsewhere', 'uploaded',
		sub { rename $_[0]{data}, "$r->{base}/elsewhere.$_[0]{n}"; symlink "$r->{base}/elsewhere.$_[0]{n}", $_[0]{data} }, qr/could not open/ ],
	[ 'the archive a symbolic link to itself elsewhere', 'uploaded',
		sub { rename $_[0]{dir}, "$r->{base}/elsewhere.$_[0]{n}"; symlink "$r->{base}/elsewhere.$_[0]{n}", $_[0]{dir} }, qr/could not open/ ],
	[ 'the data a FIFO', 'uploaded', sub { unlink $_[0]{data}; POSIX::mkfifo($_[0]{data}, 0600) or die }, qr/is not a file/ ],
	[ 'the data unreadable', 'uploaded', sub { chmod 0, $_[0]{data} }, qr/could not open.*Permission denied/,
		not_blamed => 1, after => sub { chmod 0600, $_[0]{data} } ],

	# before it is in the store
	[ 'the data in the spool', 'exported', sub { flip(spool_file('data'), 60) }, qr/$proves.*Frame 1/ ],
	[ 'the manifest in the spool', 'exported', sub { flip(spool_file('manifest'), 40) }, qr/$proves.*$differs/ ],
	[ 'the data in the spool deleted', 'exported', sub { unlink spool_file('data') }, qr/could not open file/ ],
	[ 'the archive store read-only', 'exported', sub { chmod 0500, $r->{base}; chmod 0500, $_ foreach glob "$r->{base}/*/*/*" }, qr/Permission denied/,
		after => sub { chmod 0700, $r->{base}; chmod 0700, $_ foreach glob "$r->{base}/*/*/*" } ],
	[ 'the data while the manifest is put', 'uploading', sub { flip($_[0]{data}, 60) }, qr/$proves.*Frame 1/ ],
	[ 'a manifest of somebody\'s while the data is put', 'uploading', sub { spew($_[0]{manifest}, 'mine') }, qr/exists already/ ],
);

# what the catalog says of the archive, changed
push @ways, map {
	my ($what, $set) = @$_;
	map { [ "the catalog: $what, at $_", $_, sub { $r->past_the_rules("UPDATE steward.archive SET $set WHERE id = $_[0]{archive}") },
		qr/is not what was archived.*catalog/ ] } 'uploaded', 'verified'
} [ 'its digest', q{digest = sha256('x')} ], [ 'its manifest\'s digest', q{manifest_digest = sha256('x')} ],
  [ 'its number of rows', 'rows = rows + 1' ], [ 'its place', q{path = path || 'x'} ];
push @ways, [ 'the catalog: the archive forgotten', 'verified', sub { $r->past_the_rules("DELETE FROM steward.archive WHERE id = $_[0]{archive}") },
	qr/is not what was archived.*catalog/ ];

# the partition, changed by one whom no rule binds
my $rows = qr/is not what was archived.*Rows have changed/;
my $columns = qr/is not what was archived.*columns/;
foreach my $stage ('exported', 'uploaded', 'verified')
{
	push @ways,
	  [ "a row changed, at $stage", $stage, sub { $r->past_the_rules("UPDATE $_[0]{relation} SET body = '$canary changed' WHERE id = $_[0]{first}");
			$_[0]{expected}{ $_[0]{first} } = "$canary changed" }, $rows, table => 1 ],
	  [ "a row deleted, at $stage", $stage, sub { $r->past_the_rules("DELETE FROM $_[0]{relation} WHERE id = $_[0]{first}");
			delete $_[0]{expected}{ $_[0]{first} } }, qr/is not what was archived.*It has \d+ rows/, table => 1 ],
	  [ "a row added, at $stage", $stage, sub { my $id = 1_000_000 + $_[0]{n}; $r->past_the_rules("INSERT INTO $_[0]{relation} SELECT $id, tenant_id, at, '$canary added', 0 FROM $_[0]{relation} LIMIT 1");
			$_[0]{expected}{$id} = "$canary added" }, qr/is not what was archived.*It has \d+ rows/, table => 1 ];
}
push @ways,
  # after it was verified: it is read again if the run that verified it has ended.
  # (The next way is to be at the same stage, for the worker goes on to that.)
  [ 'a byte after verification, the worker ended', 'verified', sub { flip($_[0]{data}, 60) }, qr/$proves.*Frame 1/, restart => 1 ],
  [ 'deleted after verification, the worker ended', 'verified', sub { unlink $_[0]{data} }, qr/could not open/, restart => 1 ],
  [ 'a row deleted and another added', 'verified', sub { my $id = 1_000_000 + $_[0]{n};
		$r->past_the_rules("DELETE FROM $_[0]{relation} WHERE id = $_[0]{first}; INSERT INTO $_[0]{relation} SELECT $id, tenant_id, at, '$canary added', 0 FROM $_[0]{relation} LIMIT 1");
		delete $_[0]{expected}{ $_[0]{first} }; $_[0]{expected}{$id} = "$canary added" }, $rows, table => 1 ],
  [ 'a value changed to null', 'verified', sub { $r->past_the_rules("UPDATE $_[0]{relation} SET extra = NULL WHERE id = $_[0]{first}") }, $rows, table => 1 ],
  [ 'a long value changed', 'verified', sub { $r->past_the_rules("UPDATE $_[0]{relation} SET body = body || 'x' WHERE id = $_[0]{first}");
		$_[0]{expected}{ $_[0]{first} } .= 'x' }, $rows, table => 1, big => 1 ],
  [ 'a column added', 'verified', sub { $r->past_the_rules("ALTER TABLE $_[0]{relation} ADD more text") }, $columns, table => 1 ],
  [ 'a column dropped', 'verified', sub { $r->past_the_rules("ALTER TABLE $_[0]{relation} DROP extra") }, $columns, table => 1 ],
  [ 'a column renamed', 'verified', sub { $r->past_the_rules("ALTER TABLE $_[0]{relation} RENAME extra TO other") }, $columns, table => 1 ],
  [ 'a column\'s type changed', 'verified', sub { $r->past_the_rules("ALTER TABLE $_[0]{relation} ALTER extra TYPE bigint") }, $columns, table => 1 ],
  [ 'a column dropped and added again', 'verified', sub { $r->past_the_rules("ALTER TABLE $_[0]{relation} DROP extra, ADD extra integer DEFAULT 7") }, $columns, table => 1 ],
  [ 'attached again', 'verified', sub { $r->past_the_rules("ALTER TABLE t.d ATTACH PARTITION $_[0]{relation} $_[0]{bound}") }, qr/was attached again/, table => 1, attached => 1 ],
  # not tampering: it is followed by OID, and what has its name now is let alone
  [ 'renamed, and another has its name', 'uploaded', \&impostor, undef, follows => 1 ],
  [ 'renamed, and another has its name, at exported', 'exported', \&impostor, undef, follows => 1 ],
  [ 'renamed, and another has its name, at verified', 'verified', \&impostor, undef, follows => 1 ],
  [ 'a child that inherits from it', 'verified', sub { $r->past_the_rules("CREATE TABLE t.heir_$_[0]{n} () INHERITS ($_[0]{relation})") }, qr/cannot drop table/,
	not_blamed => 1, table => 1, after => sub { $r->past_the_rules("DROP TABLE t.heir_$_[0]{n}") } ];

# ---- many segments -----------------------------------------------------------------

my $n = @ways;
my @big = grep { my (undef, undef, undef, undef, %how) = @{ $ways[ $_ - 1 ] }; $how{big} } 1 .. $n;
$r->sql(<<"SQL");
CREATE SCHEMA t;
CREATE TABLE t.d (id int, tenant_id uuid NOT NULL, at timestamptz NOT NULL, body text, extra int) PARTITION BY RANGE (at);
DO \$\$ BEGIN
  FOR i IN 0 .. $n LOOP
    EXECUTE format('CREATE TABLE t.p_%s PARTITION OF t.d FOR VALUES FROM (%L) TO (%L)', lpad(i::text, 3, '0'), date '2020-01-01' + i, date '2020-01-02' + i);
  END LOOP;
END \$\$;
INSERT INTO t.d SELECT p * 1000 + i, md5((i % 3)::text)::uuid, timestamptz '2020-01-01 12:00Z' + p * interval '1 day', '$canary ' || md5(i::text), i
  FROM generate_series(0, $n) p, generate_series(1, 8) i;
INSERT INTO t.d SELECT p * 1000 + i, md5((i % 3)::text)::uuid, timestamptz '2020-01-01 12:00Z' + p * interval '1 day', '$canary ' || repeat(md5(i::text), 500), i
  FROM unnest(ARRAY[@{[ join ',', @big ]}]::int[]) p, generate_series(9, 150) i;
SELECT steward.govern('t.d', owner => 'Keeper', retention => '{"clock": "at", "hot": "90 days", "then": "archive", "keep": "10 years"}')
SQL
my %expected = map { split /\|/, $_, 2 } split /\n/, $r->sql('SELECT id, body FROM t.d');

# who listens, hears of each
my $listener = $r->another;
$listener->sql('LISTEN steward');

sub settled { return "SELECT state FROM steward.task WHERE id = $_[0]"; }

my %reached = (
	exported => sub { "SELECT EXISTS (SELECT FROM steward.archive WHERE segment = $_[0]{segment} AND state = 'exported')" },
	uploading => sub { my ($w) = @_; sub { my $dir = $r->archive_dir($w->{segment}); defined $dir && -e "$dir/data.ndjson.zst" ? 't' : 'f' } },
	uploaded => sub { "SELECT state = 'uploaded' FROM steward.segment WHERE id = $_[0]{segment}" },
	verified => sub { "SELECT state = 'verified' FROM steward.segment WHERE id = $_[0]{segment}" });

sub facts
{
	my ($task) = @_;
	my %fact;
	@fact{qw(segment relation_oid bound state task)} = split /\|/,
	  $r->sql("SELECT id, relation::oid, bound, state, task FROM steward.segment WHERE $task");
	return \%fact;
}

# the first one is left alone: it is the other segment
$r->fault('wait:due');
$r->sql('CALL steward.enforce_retention()');
is($r->sql("SELECT count(*) FROM steward.segment"), $n + 1, "$n segments to tamper with, and one to take from");
my $other = facts("relation_name = 't.p_000'");
$r->await("SELECT state FROM steward.task WHERE id = $other->{task}", 'running');
$r->fault('wait:exported');
$r->await("SELECT EXISTS (SELECT FROM steward.archive WHERE segment = $other->{segment})", 't');
$r->fault('wait:due');
is($r->await(settled($other->{task}), qr/done|failed/), 'done', 'what nobody tampers with is purged');
my $other_dir = $r->archive_dir($other->{segment});

foreach my $i (1 .. $n)
{
	my ($name, $stage, $action, $words, %how) = @{ $ways[ $i - 1 ] };
	my $relation = sprintf 't.p_%03d', $i;
	my $w = { %{ facts("relation_name = '$relation'") }, n => $i, relation => $relation, other => $other_dir, first => $i * 1000 + 1, expected => \%expected };

	$w->{rows} = $r->sql("SELECT count(*) FROM $relation");
	$r->fault("wait:$stage");
	if ($r->await($reached{$stage}->($w), 't') ne 't')
	{
		fail("$name: the worker comes to $stage");
		last;
	}
	$w->{dir} = $r->archive_dir($w->{segment});
	$w->{data} = "$w->{dir}/data.ndjson.zst";
	$w->{manifest} = "$w->{dir}/manifest.json";
	$w->{archive} = $r->sql("SELECT id FROM steward.archive WHERE segment = $w->{segment} ORDER BY id DESC LIMIT 1");
	$action->($w);
	if ($how{restart})
	{
		my $pid = $r->sql('SELECT pid FROM steward.progress');
		$r->sql("SELECT pg_terminate_backend($pid)");
		# another begins the same segment again
		$r->await("SELECT attempt > 1 AND state <> 'running' FROM steward.task WHERE id = $w->{task}", 't');
	}
	else
	{
		$r->fault('wait:due');
		$r->await("SELECT state <> 'running' FROM steward.task WHERE id = $w->{task}", 't');
	}

	if ($how{follows})
	{
		is($r->sql("SELECT t.state, to_regclass('t.moved_$i') IS NULL, (SELECT count(*) FROM $relation) FROM steward.task t WHERE t.id = $w->{task}"),
			"done|t|$w->{rows}", "$name: followed by OID");
		$r->past_the_rules("DROP TABLE $relation");
		next;
	}
	my ($state, $error, $sqlstate) = split /\|/, $r->sql("SELECT state, error, sqlstate FROM steward.task WHERE id = $w->{task}");
	my ($now, $reason, $there) = split /\|/, $r->sql("SELECT state, error, to_regclass(relation_name) IS NOT NULL FROM steward.segment WHERE id = $w->{segment}");
	my $count = $there eq 't' ? $r->sql("SELECT count(*) FROM $relation") : 'no table';
	my @wrong;
	push @wrong, "the segment is $now" if $now eq 'purged';
	push @wrong, "the task is $state" if $state ne 'queued';
	push @wrong, "not the words expected" if ($error // '') !~ $words;
	push @wrong, "the segment's reason is another: $reason" if ($reason // '') ne ($error // '');
	push @wrong, "no SQLSTATE" if ($sqlstate // '') !~ /^\w{5}$/;
	push @wrong, "rows are gone: $count" if $count eq 'no table' || (!$how{table} && $count != $w->{rows});
	push @wrong, "a value is in it" if ($error // '') =~ /$canary/;
	push @wrong, "the archive is used again" if !$how{not_blamed} && $now !~ /exporting|purged/;
	ok(!@wrong, "$name: not purged, and reported") or diag join("\n", @wrong, 'error: ' . ($error // ''), "segment: $now");
	$how{after}->($w) if $how{after};
	$w->{name} = $name;
	$ways[ $i - 1 ] = $w;
}

# ---- and then ---------------------------------------------------------------------

$r->fault(undef);
ok($r->converge(60), 'all of it comes to its end')
  or diag $r->sql("SELECT t.id, g.relation_name, t.state, t.attempt, t.error FROM steward.task t JOIN steward.segment g ON g.task = t.id WHERE t.state <> 'done'");
is($r->sql("SELECT count(*) FROM steward.segment WHERE state = 'purged'"), $n + 1, 'every segment is purged');
$r->exactly_once('d', 't.d', \%expected);
is($r->sql("SELECT count(*) FROM steward.archive a WHERE a.state = 'verified' AND steward.verify_archive(a.id)"), $n + 1, 'every archive is what it is said to be');
is($r->sql("SELECT count(*) FROM steward.archive WHERE state NOT IN ('verified', 'discarded')"), '0', 'no other is left but those that were given up');

# ---- batches of rows ----------------------------------------------------------------
# One partition of a hash a way: its rows are due, and it is not

my $gone = qr/is not what was archived/;
my @batch_ways = (
	[ 'a byte', 'uploaded', sub { flip($_[0]{data}, 60) }, qr/$proves/ ],
	[ 'a character of a value changed, the manifest made to match', 'uploaded', sub { forge($_[0], \&changed) }, qr/$proves.*$differs/ ],
	[ 'the archive deleted', 'uploaded', sub { unlink $_[0]{data}, $_[0]{manifest} }, qr/could not open/ ],
	[ 'the data of another segment', 'uploaded', sub { spew($_[0]{data}, slurp("$_[0]{other}/data.ndjson.zst")) }, qr/$proves/ ],
	[ 'the data in the spool', 'exported', sub { flip(spool_file('data'), 60) }, qr/$proves/ ],
	[ 'the catalog: the digest of the rows', 'verified', sub { $r->past_the_rules("UPDATE steward.archive SET rows_digest = sha256('x') WHERE id = $_[0]{archive}") }, qr/$gone.*catalog/ ],
	[ 'a column added', 'verified', sub { $r->past_the_rules('ALTER TABLE t.r ADD more text') }, qr/$gone.*columns/ ],
);
foreach my $stage ('exported', 'uploaded', 'verified')
{
	push @batch_ways,
	  [ "a row changed, at $stage", $stage, sub { $r->past_the_rules("UPDATE $_[0]{relation} SET body = '$canary changed' WHERE id = $_[0]{first}");
			$_[0]{expected}{ $_[0]{first} } = "$canary changed" }, qr/$gone.*Rows have changed/ ],
	  [ "a row deleted, at $stage", $stage, sub { $r->past_the_rules("DELETE FROM $_[0]{relation} WHERE id = $_[0]{first}");
			delete $_[0]{expected}{ $_[0]{first} } }, qr/$gone.*It has/ ],
	  # before the batch's last key
	  [ "a row added, at $stage", $stage, sub { my $id = $r->sql("SELECT i FROM generate_series(-1, -9999, -1) i WHERE satisfies_hash_partition('t.r'::regclass, $_[0]{modulus}, $_[0]{n}, i) LIMIT 1"); $r->past_the_rules("INSERT INTO $_[0]{relation} SELECT $id, tenant_id, at, '$canary added' FROM $_[0]{relation} LIMIT 1");
			$_[0]{expected}{$id} = "$canary added" }, qr/$gone.*It has/ ],
	  [ "a row's clock set forward, at $stage", $stage, sub { $r->past_the_rules("UPDATE $_[0]{relation} SET at = now() WHERE id = $_[0]{first}") }, qr/$gone.*It has/ ];
}
my $m = @batch_ways;
$r->sql(<<"SQL");
CREATE TABLE t.r (id int PRIMARY KEY, tenant_id uuid NOT NULL, at timestamptz NOT NULL, body text) PARTITION BY HASH (id);
DO \$\$ BEGIN
  FOR i IN 0 .. $m LOOP
    EXECUTE format('CREATE TABLE t.r_%s PARTITION OF t.r FOR VALUES WITH (MODULUS %s, REMAINDER %s)', lpad(i::text, 3, '0'), $m + 1, i);
  END LOOP;
END \$\$;
INSERT INTO t.r SELECT i, md5((i % 3)::text)::uuid, timestamptz '2020-01-01 12:00Z' + i * interval '1 minute', '$canary ' || md5(i::text)
  FROM generate_series(1, ($m + 1) * 30) i;
CREATE INDEX ON t.r (at);
SELECT steward.govern('t.r', owner => 'Keeper', retention => '{"clock": "at", "hot": "90 days", "then": "archive", "keep": "10 years"}')
SQL
my %batch_expected = map { split /\|/, $_, 2 } split /\n/, $r->sql('SELECT id, body FROM t.r');
$r->fault('wait:due');
$r->sql('CALL steward.enforce_retention()');
is($r->sql("SELECT count(*) FROM steward.task WHERE kind = 'rows'"), $m + 1, "$m batches to tamper with, and one to take from");
my $task = $r->sql(q{SELECT id FROM steward.task WHERE target = 'r:t.r_000'});
$r->await("SELECT EXISTS (SELECT FROM steward.segment WHERE task = $task)", 't');
$r->fault('wait:exported');
$r->await("SELECT EXISTS (SELECT FROM steward.archive a JOIN steward.segment g ON g.id = a.segment WHERE g.task = $task)", 't');
$other_dir = $r->archive_dir($r->sql("SELECT id FROM steward.segment WHERE task = $task"));
$r->fault('wait:due');
is($r->await(settled($task), qr/done|failed/), 'done', 'the batch that nobody tampers with is purged');

foreach my $i (1 .. $m)
{
	my ($name, $stage, $action, $words) = @{ $batch_ways[ $i - 1 ] };
	my $relation = sprintf 't.r_%03d', $i;
	my $w = { n => $i, relation => $relation, other => $other_dir, expected => \%batch_expected, modulus => $m + 1 };

	$w->{task} = $r->sql("SELECT id FROM steward.task WHERE target = 'r:$relation'");
	$w->{first} = $r->sql("SELECT min(id) FROM $relation");
	$r->await("SELECT EXISTS (SELECT FROM steward.segment WHERE task = $w->{task})", 't');
	$w->{segment} = $r->sql("SELECT id FROM steward.segment WHERE task = $w->{task}");
	$r->fault("wait:$stage");
	$r->await($reached{$stage}->($w), 't');
	$w->{dir} = $r->archive_dir($w->{segment});
	$w->{data} = "$w->{dir}/data.ndjson.zst";
	$w->{manifest} = "$w->{dir}/manifest.json";
	$w->{archive} = $r->sql("SELECT id FROM steward.archive WHERE segment = $w->{segment} ORDER BY id DESC LIMIT 1");
	$action->($w);
	$w->{rows} = $r->sql("SELECT count(*) FROM $relation");
	$r->fault('wait:due');
	$r->await("SELECT state <> 'running' FROM steward.task WHERE id = $w->{task}", 't');

	my ($state, $error) = split /\|/, $r->sql("SELECT state, error FROM steward.task WHERE id = $w->{task}");
	my ($now, $reason) = split /\|/, $r->sql("SELECT state, error FROM steward.segment WHERE id = $w->{segment}");
	my $count = $r->sql("SELECT count(*) FROM $relation");
	my @wrong;
	push @wrong, "the segment is $now" if $now eq 'purged';
	push @wrong, "the task is $state" if $state ne 'queued';
	push @wrong, "not the words expected" if ($error // '') !~ $words;
	push @wrong, "the segment's reason is another: $reason" if ($reason // '') ne ($error // '');
	push @wrong, "rows are gone: $count of $w->{rows}" if $count != $w->{rows};
	push @wrong, "a value is in it" if ($error // '') =~ /$canary/;
	ok(!@wrong, "batch: $name: not purged, and reported") or diag join("\n", @wrong, 'error: ' . ($error // ''), "segment: $now");
	$w->{name} = "batch: $name";
	$batch_ways[ $i - 1 ] = $w;
}
$r->fault(undef);
ok($r->converge(60), 'batches: all of it comes to its end')
  or diag $r->sql("SELECT id, target, state, attempt, error FROM steward.task WHERE state <> 'done'");
$r->exactly_once('r', 't.r', \%batch_expected);
is($r->sql(q{SELECT count(*) FROM t.r WHERE at < now() - interval '90 days'}), '0', 'batches: what was due is purged');

# ---- how it was reported ----------------------------------------------------------------

my $log = slurp($r->{node}->logfile);
my $heard = $listener->sql('SELECT 1');
my @tampered = grep { ref eq 'HASH' } @ways, @batch_ways;
is(join(', ', map { $_->{name} } grep { $log !~ /LOG:  task $_->{task} \(\w+ of store "\w"\) failed, attempt \d/ } @tampered), '', 'the server\'s log has each of them');
is(join(', ', map { $_->{name} } grep { $heard !~ /"steward" with payload ".*"task": $_->{task},/ } @tampered), '', 'who listens hears of each of them');
unlike($heard, qr/$canary/, '... and of no value');
unlike(join('', grep { !/STATEMENT/ } split /(?<=\n)/, $log), qr/$canary/, 'no row\'s value is in the server\'s log');

$listener->disconnect;
$r->disconnect;
$r->{node}->stop;
done_testing();
