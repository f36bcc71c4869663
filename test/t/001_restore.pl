# 001_restore.pl
#    A database with a store of every sort comes back from a dump with no flag
#    and no special step: same map, same rows, same verdicts, armed.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StewardTest;
use Test::More;

my $source = steward_node('source');
build_sample($source, 'sample');
my @facts = sample_facts($source, 'sample');
my %fact = map { $_->[0] => $_->[1] } @facts;

is($fact{armed}, 't', 'the sample is armed');
is($fact{findings}, '', 'the sample has no findings');
is($fact{'steps that apply(manifest()) would take'}, '', 'apply(manifest()) has nothing to do');
is_lines($fact{verdicts}, StewardTest::expected_verdicts(), 'the sample gives the verdicts that it should');

my $target = steward_node('target');
my $work = PostgreSQL::Test::Utils::tempdir();
my $from = $source->connstr('sample');

sub shell_ok
{
	my ($command, $name) = @_;
	my ($out, $err) = ('', '');

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	local $ENV{SOURCE} = $from;
	IPC::Run::run([ 'bash', '-o', 'pipefail', '-c', $command ], '>', \$out, '2>', \$err);
	my $rc = $?;
	is($rc, 0, "$name: exit code") or diag $out, $err;
	is($err, '', "$name: nothing on stderr");
	return;
}

# The cluster's roles first, as anyone would.  The bootstrap superuser is there
# already; nothing else may be refused.
sub restore_roles
{
	my ($node) = @_;
	my ($out, $err) = ('', '');
	my $script = "$work/roles.sql";

	local $ENV{PGOPTIONS} = '-c client_min_messages=warning';
	command_ok([ 'pg_dumpall', '--roles-only', '-d', $source->connstr('postgres'), '-f', $script ], 'pg_dumpall --roles-only');
	IPC::Run::run([ 'psql', '-Xq', '-d', $node->connstr('postgres'), '-f', $script ], '>', \$out, '2>', \$err);
	my @unexpected = grep { !/role "\Q$ENV{USER_OF_TEST}\E" already exists/ } split /\n/, $err;
	is("@unexpected", '', 'the roles are restored');
	return;
}
$ENV{USER_OF_TEST} = $source->safe_psql('postgres', 'SELECT rolname FROM pg_roles WHERE oid = 10');
restore_roles($target);

my %ways = (
	plain => 'pg_dump -d "$SOURCE" | psql -Xq -v ON_ERROR_STOP=1 -o /dev/null -d "$TARGET"',
	one_transaction => 'pg_dump -d "$SOURCE" | psql -Xq1 -v ON_ERROR_STOP=1 -o /dev/null -d "$TARGET"',
	inserts => 'pg_dump --inserts -d "$SOURCE" | psql -Xq -v ON_ERROR_STOP=1 -o /dev/null -d "$TARGET"',
	root => 'pg_dump --load-via-partition-root -d "$SOURCE" | psql -Xq -v ON_ERROR_STOP=1 -o /dev/null -d "$TARGET"',
	custom => 'pg_dump -Fc -f DIR/custom -d "$SOURCE" && pg_restore -e -d "$TARGET" DIR/custom',
	custom_j4 => 'pg_restore -e -j4 -d "$TARGET" DIR/custom',
	directory_j4 => 'pg_dump -Fd -j4 -f DIR/directory -d "$SOURCE" && pg_restore -e -j4 -d "$TARGET" DIR/directory',
	directory => 'pg_restore -e -d "$TARGET" DIR/directory',
	root_j4 => 'pg_dump -Fd -j4 --load-via-partition-root -f DIR/root -d "$SOURCE" && pg_restore -e -j4 -d "$TARGET" DIR/root',
	root_inserts_j4 => 'pg_dump -Fc --load-via-partition-root --inserts -f DIR/inserts -d "$SOURCE" && pg_restore -e -j4 -d "$TARGET" DIR/inserts',
	clean => 'pg_dump -Fc --clean --if-exists -f DIR/clean -d "$SOURCE" && pg_restore -e --clean --if-exists -d "$TARGET" DIR/clean',
);
foreach my $way (qw(plain one_transaction inserts root custom custom_j4 directory_j4 directory root_j4 root_inserts_j4 clean))
{
	(my $command = $ways{$way}) =~ s/DIR/$work/g;
	$target->safe_psql('postgres', "CREATE DATABASE $way TEMPLATE template0");
	$ENV{TARGET} = $target->connstr($way);
	shell_ok($command, $way);
	same_sample($target, $way, \@facts, "restored: $way");
}

# ---- where the extension is already --------------------------------------

# What psql and pg_restore say, told to go on
sub complaints
{
	my ($command) = @_;
	my ($out, $err) = ('', '');

	IPC::Run::run([ 'bash', '-c', $command ], '>', \$out, '2>', \$err);
	return join("\n", grep { /ERROR:/ } split /\n/, $err);
}

# The schema of an extension is no member of it, so core dumps it apart
$ENV{SOURCE} = $from;
foreach my $way ('pg_dump -d "$SOURCE" | psql -Xq -o /dev/null -d "$TARGET"', qq(pg_restore -j4 -d "\$TARGET" $work/directory))
{
	my ($name) = $way =~ /^(\w+)/;
	$target->safe_psql('postgres', "CREATE DATABASE there_$name");
	$target->safe_psql("there_$name", 'CREATE EXTENSION pg_steward');
	$ENV{TARGET} = $target->connstr("there_$name");
	like(complaints($way), qr/\A[^\n]*schema "steward" already exists\z/, "$name where the extension is: one complaint, of the schema");
	same_sample($target, "there_$name", \@facts, "restored where the extension is: $name");
}

# Over itself: everything is torn down, the marker first, and built again.
# (Core cannot drop a partition's index apart from its parent's.)
$ENV{TARGET} = $target->connstr('clean');
is(join("\n", grep { !/cannot drop inherited constraint/ } split /\n/, complaints(qq(pg_restore --clean --if-exists -d "\$TARGET" $work/clean))),
	'', 'restored over an armed copy: no complaint');
same_sample($target, 'clean', \@facts, 'restored over an armed copy');

# ---- rows alone, into an armed database: judged like any others ------------

$source->safe_psql('postgres', 'CREATE DATABASE armed_copy TEMPLATE sample');
my ($out, $err) = ('', '');
IPC::Run::run(
	[ 'bash', '-o', 'pipefail', '-c', "pg_dump --data-only -t app.counters -d '$from' | psql -Xq -v ON_ERROR_STOP=1 -o /dev/null -d '"
		  . $source->connstr('armed_copy') . "'" ], '>', \$out, '2>', \$err);
isnt($?, 0, 'rows alone are not restored into an armed database by whoever may not write there');
like($err, qr/only service "Billing" may write store "counters"/, '... which is said');

# ---- structure alone -------------------------------------------------------

$target->safe_psql('postgres', 'CREATE DATABASE bare');
$ENV{TARGET} = $target->connstr('bare');
shell_ok('pg_dump --schema-only -d "$SOURCE" | psql -Xq -v ON_ERROR_STOP=1 -o /dev/null -d "$TARGET"', '--schema-only');
is($target->safe_psql('bare', 'SELECT steward.armed()'), 't', '--schema-only: armed');
# the map is rows, and so did not come; nobody may take that for an empty map that is kept
isnt($target->safe_psql('bare', "SELECT count(*) FROM steward.check() WHERE severity IN ('critical', 'error')"), '0',
	'--schema-only: rules without a map are a finding');
is(verdict($target, 'bare', "INSERT INTO app.orders (tenant_id) VALUES ('$StewardTest::B')", 'billing_app', $StewardTest::A), '42501',
	'--schema-only: admission holds');
$target->safe_psql('bare', 'REFRESH MATERIALIZED VIEW app.totals');
$target->safe_psql('bare', 'SELECT * FROM steward.apply($m$' . $fact{manifest} . '$m$)');
foreach my $what ('manifest', 'armed', 'findings', 'storage map', 'objects')
{
	my ($fact) = grep { $_->[0] eq $what } sample_facts($target, 'bare');
	is_lines($fact->[1], $fact{$what}, "--schema-only and then the manifest: $what");
}

# ---- the whole cluster -----------------------------------------------------

$source->safe_psql('postgres', 'DROP DATABASE armed_copy');
my $whole = steward_node('whole');
my $dump = "$work/all.sql";
command_ok([ 'pg_dumpall', '-d', $source->connstr('postgres'), '-f', $dump ], 'pg_dumpall');
($out, $err) = ('', '');
IPC::Run::run([ 'psql', '-Xq', '-d', $whole->connstr('postgres'), '-f', $dump ], '>', \$out, '2>', \$err);
is(join("\n", grep { !/role "\Q$ENV{USER_OF_TEST}\E" already exists/ } split /\n/, $err), '', 'pg_dumpall | psql: nothing refused');
same_sample($whole, 'sample', \@facts, 'restored: pg_dumpall');

# ---- a cluster that does not preload the library ---------------------------

my $plain = steward_node('plain', preload => '');
restore_roles($plain);
$plain->safe_psql('postgres', 'CREATE DATABASE sample');
$ENV{TARGET} = $plain->connstr('sample');
shell_ok('pg_restore -e -j4 -d "$TARGET" ' . "$work/directory", 'not preloaded');
my @there = sample_facts($plain, 'sample');
is($there[0][1], $fact{manifest}, 'not preloaded: manifest');
is($there[1][1], 't', 'not preloaded: armed');
is($there[5][1], $fact{rows}, 'not preloaded: rows');
is($plain->safe_psql('sample', "SELECT rule FROM steward.check() $StewardTest::DRIFT"), 'not_preloaded', 'not preloaded: said, and nothing else');

$_->stop foreach $source, $target, $whole, $plain;
done_testing();
