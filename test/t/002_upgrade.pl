# 002_upgrade.pl
#    pg_upgrade in place, from the server in PG_STEWARD_OLD_BINDIR.
use strict;
use warnings;

use File::Basename;
use FindBin;
use lib "$FindBin::RealBin/../lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StewardTest;
use Test::More;

my $old_bindir = $ENV{PG_STEWARD_OLD_BINDIR};
plan skip_all => 'PG_STEWARD_OLD_BINDIR does not say where an older server is' unless $old_bindir;

my $new_bindir = `pg_config --bindir`;
chomp $new_bindir;
my ($old_major) = `"$old_bindir/pg_config" --version` =~ /PostgreSQL (\d+)/ or die "no pg_config in $old_bindir";
my ($new_major) = `pg_config --version` =~ /PostgreSQL (\d+)/;
plan skip_all => "PG_STEWARD_OLD_BINDIR has version $old_major, which this is too" if $old_major == $new_major;

# Checksums became initdb's default in 18; both sides must have them
my @init = (init => [ extra => ['--data-checksums'] ]);
my $old = steward_node('old', install_path => dirname($old_bindir), @init);
build_sample($old, 'sample');
my @facts = sample_facts($old, 'sample');
my %fact = map { $_->[0] => $_->[1] } @facts;

is($fact{findings}, '', 'the sample has no findings');
is_lines($fact{verdicts}, StewardTest::expected_verdicts(), 'the sample gives the verdicts that it should');
$old->stop;

# a database made before the upgrade, with the library absent from the new server's settings until then
my $new = steward_node('new', start => 0, @init);
my $mode = $ENV{PG_TEST_PG_UPGRADE_MODE} || '--copy';

chdir PostgreSQL::Test::Utils::tempdir();
command_ok(
	[
		'pg_upgrade', '--no-sync', '-d', $old->data_dir, '-D', $new->data_dir,
		'-b', $old_bindir, '-B', $new_bindir, '-s', $new->host, '-p', $old->port, '-P', $new->port, $mode, '-j', '2' ],
	"pg_upgrade from $old_major to $new_major");
$new->start;
same_sample($new, 'sample', \@facts, "upgraded from $old_major to $new_major");

# what follows DDL and what applies manifests works there too
is($new->safe_psql('sample', 'SELECT count(*) FROM steward.apply(steward.manifest())'), '0', 'apply(manifest()) has nothing to do');
$new->safe_psql('sample', <<'SQL');
SET ROLE schema_owner;
CREATE TABLE app.events_04 PARTITION OF app.events FOR VALUES FROM ('2026-04-01') TO ('2026-05-01');
GRANT INSERT ON app.events_04 TO "hook gateway";
SQL
is($new->safe_psql('sample', "SELECT * FROM steward.check() $StewardTest::DRIFT"), '', 'a partition made after the upgrade is governed');
is(verdict($new, 'sample', "INSERT INTO app.events_04 VALUES ('$StewardTest::B', '2026-04-20', 'a', 99)", 'hook_app', $StewardTest::A),
	'42501', '... and admission holds there');

$new->stop;
done_testing();
