# docs/reference.md is what docs/reference.sql prints today.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('docs');
$node->init;
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'pg_steward'");
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION pg_steward');

my ($printed, $errors) =
  run_command([ 'psql', '-XAtq', '-f', 'docs/reference.sql', $node->connstr('postgres') ]);
is($errors, '', 'docs/reference.sql runs');
my $committed = slurp_file('docs/reference.md');
chomp($committed);
is($printed, $committed, 'docs/reference.md is up to date')
  or diag('psql -XAtq -f docs/reference.sql > docs/reference.md');

$node->stop;
done_testing();
