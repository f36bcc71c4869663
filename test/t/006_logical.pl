# 006_logical.pl
#    Logical replication into a governed table is judged like any write, and a
#    hot standby keeps the rules without writing.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StewardTest;
use Test::More;

my $A = $StewardTest::A;
my $B = $StewardTest::B;
my $wait = "wal_retrieve_retry_interval = 100ms\nlog_statement = none";

# ---- logical replication -----------------------------------------------------

# The publisher knows nothing of the extension.
my $publisher = steward_node('publisher', preload => '', init => [ allows_streaming => 'logical' ], conf => $wait);
my $subscriber = steward_node('subscriber', init => [ allows_streaming => 'logical' ], conf => $wait);
my $table = 'CREATE TABLE item (tenant_id uuid, id int, v text, PRIMARY KEY (id)); CREATE TABLE trail (tenant_id uuid, id int, PRIMARY KEY (id));';

$publisher->safe_psql('postgres', "$table CREATE PUBLICATION items FOR TABLE item; CREATE PUBLICATION trails FOR TABLE trail;"
	  . "INSERT INTO item SELECT t::uuid, row_number() OVER (), 'first' FROM unnest(ARRAY['$A', '$B']) t, generate_series(1, 3)");

# The applier is a superuser that owns the tables too: whichever of the two a
# version applies as, it is he.
$subscriber->safe_psql('postgres', <<"SQL");
CREATE EXTENSION pg_steward;
CREATE ROLE app;
CREATE ROLE applier SUPERUSER LOGIN;
SELECT steward.create_service('App', role => 'app');
SET ROLE applier;
$table
RESET ROLE;
SELECT steward.govern('item', owner => 'App', retention => '{"until": "lifetime"}');
SELECT steward.govern('trail', owner => 'App', append_only => true, retention => '{"until": "lifetime"}');
SQL
my $from = $publisher->connstr . ' dbname=postgres';
$subscriber->safe_psql('postgres', "SET ROLE applier; CREATE SUBSCRIPTION items CONNECTION '$from' PUBLICATION items");

my $seen = 0;

sub refusal_ok
{
	my ($pattern, $name) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok($subscriber->wait_for_log($pattern, $seen), $name);
	$seen = -s $subscriber->logfile;
	return;
}

sub rows_are
{
	my ($name) = @_;
	my $rows = "SELECT string_agg(id || v || tenant_id, ',' ORDER BY id) FROM item";

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$publisher->wait_for_catchup('items');
	is($subscriber->safe_psql('postgres', $rows), $publisher->safe_psql('postgres', $rows), $name);
	return;
}

refusal_ok(qr/ERROR: .*only service "App" may write store "item"/, 'initial copy by a superuser: refused');
is($subscriber->safe_psql('postgres', 'SELECT count(*) FROM item'), '0', '... no row came');
$subscriber->safe_psql('postgres', 'GRANT app TO applier');
refusal_ok(qr/ERROR: .*no tenant is set in this transaction/, 'initial copy by a member of the service: refused');
is($subscriber->safe_psql('postgres', 'SELECT count(*) FROM item'), '0', '... no row came');
$subscriber->safe_psql('postgres', 'GRANT steward_cross_tenant TO applier');
$subscriber->wait_for_subscription_sync($publisher, 'items');
rows_are('initial copy by a member of steward_cross_tenant too: the rows came');

$publisher->safe_psql('postgres', <<"SQL");
INSERT INTO item VALUES ('$A', 10, 'a'), ('$B', 11, 'b');
UPDATE item SET v = 'changed' WHERE id IN (1, 4);
UPDATE item SET tenant_id = '$B' WHERE id = 2;
DELETE FROM item WHERE id IN (3, 5);
SQL
rows_are('inserts, updates and deletes are applied');

# revoked while the worker runs
my %change = (insert => "INSERT INTO item VALUES ('$A', 20, 'x')", update => "UPDATE item SET v = 'y' WHERE id = 1", delete => 'DELETE FROM item WHERE id = 10');
foreach my $kind ('insert', 'update', 'delete')
{
	my $before = $subscriber->safe_psql('postgres', 'SELECT md5(string_agg(t::text, $$,$$ ORDER BY id)) FROM item t');

	$subscriber->safe_psql('postgres', 'REVOKE steward_cross_tenant FROM applier');
	$seen = -s $subscriber->logfile;
	$publisher->safe_psql('postgres', $change{$kind});
	refusal_ok(qr/ERROR: .*no tenant is set in this transaction/, "$kind, the membership revoked meanwhile: refused");
	is($subscriber->safe_psql('postgres', 'SELECT md5(string_agg(t::text, $$,$$ ORDER BY id)) FROM item t'), $before, '... nothing changed');
	$subscriber->safe_psql('postgres', 'GRANT steward_cross_tenant TO applier');
	rows_are('... and granted again: applied');
}
$publisher->safe_psql('postgres', "INSERT INTO item VALUES (NULL, 30, 'x')");
refusal_ok(qr/ERROR: .*row belongs to no tenant/, 'a row of no tenant: refused, whoever applies it');
$publisher->safe_psql('postgres', "BEGIN; DELETE FROM item WHERE id = 30; COMMIT");
$subscriber->safe_psql('postgres', 'ALTER SUBSCRIPTION items DISABLE; DROP SUBSCRIPTION items');

# an append-only store takes inserts and nothing else
$subscriber->safe_psql('postgres', "SET ROLE applier; CREATE SUBSCRIPTION trails CONNECTION '$from' PUBLICATION trails");
$subscriber->wait_for_subscription_sync($publisher, 'trails');
$publisher->safe_psql('postgres', "INSERT INTO trail VALUES ('$A', 1), ('$B', 2)");
$publisher->wait_for_catchup('trails');
is($subscriber->safe_psql('postgres', 'SELECT count(*) FROM trail'), '2', 'append-only: inserts are applied');
$seen = -s $subscriber->logfile;
$publisher->safe_psql('postgres', 'DELETE FROM trail');
refusal_ok(qr/ERROR: .*store "trail" is append-only/, 'append-only: a delete is refused');
is($subscriber->safe_psql('postgres', 'SELECT count(*) FROM trail'), '2', '... the rows stay');
$subscriber->safe_psql('postgres', 'ALTER SUBSCRIPTION trails DISABLE; DROP SUBSCRIPTION trails');
$_->stop foreach $publisher, $subscriber;

# ---- a hot standby -------------------------------------------------------------

my $primary = steward_node('primary', init => [ allows_streaming => 1 ], conf => $wait);
build_sample($primary, 'sample');
my @facts = sample_facts($primary, 'sample');
$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->start;
$primary->wait_for_catchup($standby);

my %fact = map { $_->[0] => $_->[1] } @facts;
is($standby->safe_psql('sample', 'SELECT steward.armed()'), 't', 'standby: armed');
is($standby->safe_psql('sample', "SELECT * FROM steward.check() $StewardTest::DRIFT"), '', 'standby: no findings');
is($standby->safe_psql('sample', 'SELECT steward.manifest()'), $fact{manifest}, 'standby: the map');
is($standby->safe_psql('sample', 'SELECT count(*) FROM steward.plan(steward.manifest())'), '0', 'standby: plan');
# reads come to the same as on the primary; writes are refused by one or the other
my @reads = grep { $_->[1] =~ /^SELECT/ } StewardTest::sample_battery();
my @writes = grep { $_->[1] !~ /^SELECT/ } StewardTest::sample_battery();
cmp_ok(scalar @reads, '>=', 15, 'standby: there are reads to try');
is_lines(verdicts($standby, 'sample', \@reads), join('', map { "$_->[0]: $_->[4]\n" } @reads), 'standby: reads are judged as on the primary');
my @unexpected = grep { !/: (25006|42501|22P02)$/ } split /\n/, verdicts($standby, 'sample', \@writes);
is("@unexpected", '', 'standby: writes are refused');
is(verdict($standby, 'sample', q{SELECT steward.govern('app.jobs', notes => 'x')}), '25006', 'standby: govern is refused as what it is, a write');

# a change of the rules arrives in a session that is already there
my $session = $standby->background_psql('sample', on_error_stop => 0);
$session->query('SET ROLE stranger');
$session->query('SELECT count(*) FROM app.jobs');
like($session->{stderr}, qr/only service "Billing" may read/, 'standby: a running session is refused');
$session->{stderr} = '';
$primary->safe_psql('sample', q{SELECT steward.release('jobs')});
$primary->wait_for_catchup($standby);
is($session->query('SELECT count(*) FROM app.jobs'), '1', 'standby: ... until the store was released on the primary');
$primary->safe_psql('sample', q{SELECT steward.govern('app.jobs', owner => 'Billing', scope => 'service', retention => '{"until": "lifetime"}')});
$primary->wait_for_catchup($standby);
$session->query('SELECT count(*) FROM app.jobs');
like($session->{stderr}, qr/only service "Billing" may read/, 'standby: ... and again, governed anew');
$session->{stderr} = '';
$session->quit;

$primary->stop;
$standby->promote;
is_lines(StewardTest::run_battery($standby, 'sample'), $fact{verdicts}, 'promoted: every verdict is the primary\'s');
$standby->stop;
done_testing();
