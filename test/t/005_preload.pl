# 005_preload.pl
#    With and without shared_preload_libraries; beside other extensions; and
#    coming and going: CREATE EXTENSION in two databases at once, DROP EXTENSION.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StewardTest;
use Test::More;

our $TODO;

my $A = $StewardTest::A;
my $node = steward_node('node');

sub preload
{
	my ($libraries) = @_;

	$node->adjust_conf('postgresql.conf', 'shared_preload_libraries', "'$libraries'");
	$node->restart;
	return;
}

# ---- CREATE EXTENSION in many databases at once: the roles do not clash -------

foreach my $round (1 .. 3)
{
	my (@run, @err);
	$node->safe_psql('postgres', "CREATE DATABASE many_${round}_$_") foreach 1 .. 6;
	foreach my $n (1 .. 6)
	{
		push @run, IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr("many_${round}_$n"), '-c', 'CREATE EXTENSION pg_steward' ],
			'<', '/dev/null', '>', '/dev/null', '2>', \$err[$n]);
	}
	$_->finish foreach @run;
	is(join('', map { $_ // '' } @err), '', "six databases create the extension at once, round $round");
	$node->safe_psql('postgres', "DROP DATABASE many_${round}_$_") foreach 1 .. 6;
	$node->safe_psql('postgres', 'DROP ROLE steward_admin, steward_pipeline, steward_operator, steward_auditor, steward_cross_tenant');
}

# ---- what CREATE EXTENSION does not check: the bodies of its functions ---------

$node->safe_psql('postgres', 'CREATE DATABASE bodies');
$node->safe_psql('bodies', 'CREATE EXTENSION pg_steward');
is($node->safe_psql('bodies', <<'SQL'), '', 'every function body makes sense to its language');
CREATE TEMP TABLE complaint (function regprocedure, message text);
DO $$
DECLARE
    f regprocedure;
BEGIN
    FOR f IN SELECT p.oid FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
              WHERE pronamespace = 'steward'::regnamespace AND lanname IN ('sql', 'plpgsql') LOOP
        BEGIN
            EXECUTE pg_get_functiondef(f);
        EXCEPTION WHEN OTHERS THEN
            INSERT INTO complaint VALUES (f, SQLERRM);
        END;
    END LOOP;
END
$$;
SELECT * FROM complaint;
SQL
$node->safe_psql('postgres', 'DROP DATABASE bodies; DROP ROLE steward_admin, steward_pipeline, steward_operator, steward_auditor, steward_cross_tenant');

# ---- with the library preloaded --------------------------------------------------

build_sample($node, 'sample');
my @facts = sample_facts($node, 'sample');
my %fact = map { $_->[0] => $_->[1] } @facts;
my $expected = StewardTest::expected_verdicts();

is($node->safe_psql('sample', 'SELECT steward.preloaded()'), 't', 'preloaded: it says so');
is($fact{findings}, '', 'preloaded: no findings');
is_lines($fact{verdicts}, $expected, 'preloaded: every verdict');

# ---- without ----------------------------------------------------------------------

preload('');
is($node->safe_psql('sample', 'SELECT steward.preloaded()'), 'f', 'not preloaded: it says so');
is($node->safe_psql('sample', "SELECT severity, rule FROM steward.check() $StewardTest::DRIFT"), 'warning|not_preloaded', 'not preloaded: a finding, and no other');
is($node->safe_psql('sample', 'SELECT steward.armed()'), 't', 'not preloaded: armed');
is($node->safe_psql('sample', 'SELECT steward.manifest()'), $fact{manifest}, 'not preloaded: the same map');

# What the finding says does not hold: reads by grantees that are no members,
# and COPY FROM by a role under row security.  Nothing else may differ.
my %without = (
	'own rows copied in' => '0A000',
	'of another: row copied in' => '0A000',
	'stranger reads' => '00000 [1]',
	'stranger reads a tenant store' => '00000 [0]');
my $unpreloaded = join('', map { my ($label) = /^(.*): /; exists $without{$label} ? "$label: $without{$label}\n" : "$_\n" } split /\n/, $expected);
my $now = StewardTest::run_battery($node, 'sample');
is_lines($now, $unpreloaded, 'not preloaded: exactly that does not hold');

# loading it oneself does not make a half of it
is(verdict($node, 'sample', q{LOAD 'pg_steward'}, 'billing_app'), '42501', 'LOAD by a user: refused');
is($node->safe_psql('sample', q{LOAD 'pg_steward'; SELECT steward.preloaded()}), 'f', 'LOAD by a superuser: not preloaded for that');
$node->append_conf('postgresql.conf', "session_preload_libraries = 'pg_steward'");
$node->reload;
is($node->safe_psql('sample', 'SELECT steward.preloaded()'), 'f', 'session_preload_libraries: not preloaded for that');
is_lines(StewardTest::run_battery($node, 'sample'), $unpreloaded, 'session_preload_libraries: the same verdicts');
$node->adjust_conf('postgresql.conf', 'session_preload_libraries', "''");
$node->reload;

# ---- placeholders: a setting of our name, set before the library is there ---------

my $who = q{SELECT coalesce(steward.tenant(), 'none') || ' ' || (SELECT count(*) FROM app.orders)};
my $set = "SET steward.tenant = '$A'";
my $app = $node->connstr('sample') . ' user=billing_app';

# one connection each: the library must not be there when it begins
sub no_tenant
{
	my ($name, $sql, $conninfo, $rows) = @_;
	my (undef, $out, $err) = psql_at($conninfo // $app, "\\o /dev/null\n$sql;\n\\o\n$who;\n");

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is($out, 'none ' . ($rows // 0), "placeholder: $name") or diag $err;
	return;
}
is((psql_at($app, "$set; SHOW steward.tenant"))[1], $A, 'a placeholder of that name can be set where the library is not loaded');
no_tenant('SET', $set);
no_tenant('set_config', "SELECT set_config('steward.tenant', '$A', false)");
no_tenant('SET LOCAL', "BEGIN; SET LOCAL steward.tenant = '$A'");
no_tenant('SET and SET LOCAL, stacked', "$set; BEGIN; SET LOCAL steward.tenant = '$A'; SAVEPOINT s; SET LOCAL steward.tenant = 'x'");
no_tenant('a savepoint rolled back', "BEGIN; $set; SAVEPOINT s; SET steward.tenant = 'x'; SELECT steward.tenant(); ROLLBACK TO s");
no_tenant('rolled back after the library came', "$set; BEGIN; SET LOCAL steward.tenant = 'x'; SELECT steward.tenant(); ROLLBACK");
no_tenant('a function that sets it', "CREATE FUNCTION pg_temp.f() RETURNS text LANGUAGE plpgsql SET steward.tenant = '$A' AS 'BEGIN RETURN steward.tenant(); END'; SELECT pg_temp.f()");
no_tenant('set by a superuser, who then acts for the service', "$set; SET ROLE billing_app", $node->connstr('sample'));
{
	local $ENV{PGOPTIONS} = "-c steward.tenant=$A";
	no_tenant('PGOPTIONS', 'SELECT 1');
	no_tenant('PGOPTIONS of a superuser', 'SET ROLE billing_app', $node->connstr('sample'));
}
$node->safe_psql('sample', "ALTER ROLE billing_app SET steward.tenant = '$A'; ALTER DATABASE sample SET steward.tenant = '$A'");
no_tenant('ALTER ROLE and ALTER DATABASE', 'SELECT 1');
$node->safe_psql('sample', 'ALTER ROLE billing_app RESET ALL; ALTER DATABASE sample RESET ALL');
$node->append_conf('postgresql.conf', "steward.tenant = '$A'");
$node->reload;
no_tenant('postgresql.conf', 'SELECT 1');
no_tenant('postgresql.conf, the library loaded, read again', 'SELECT steward.tenant(); SELECT pg_reload_conf(); SELECT pg_sleep(0.2)', $app);
preload('pg_steward');
no_tenant('postgresql.conf, and preloaded', 'SELECT 1');
$node->adjust_conf('postgresql.conf', 'steward.tenant', undef);
preload('pg_steward');
# and a write, which needs no reading of the setting to be refused
is(verdict($node, 'sample', $set), '55P02', 'preloaded: it cannot be set at all');

# ---- preloaded again ----------------------------------------------------------------

same_sample($node, 'sample', \@facts, 'preloaded again: as before');

# ---- beside other libraries' hooks ----------------------------------------------------

foreach my $order ('pg_stat_statements,pg_steward', 'pg_steward,pg_stat_statements', 'auto_explain,pg_stat_statements,pg_steward')
{
	preload($order);
	$node->safe_psql('sample', 'CREATE EXTENSION IF NOT EXISTS pg_stat_statements; SELECT pg_stat_statements_reset()');
	is($node->safe_psql('sample', 'SELECT steward.preloaded()'), 't', "$order: preloaded");
	is_lines(StewardTest::run_battery($node, 'sample'), $expected, "$order: every verdict");
	cmp_ok($node->safe_psql('sample', q{SELECT sum(calls) FROM pg_stat_statements WHERE query ~ '(INSERT|COPY|SELECT).* app\.'}), '>', 10,
		"$order: the other one counts too");
	# Hooks are called from the last library to the first.  A COPY that we run
	# cannot be handed on, for core would refuse it.
	local $TODO = 'a COPY that pg_steward runs itself is not shown to libraries that are listed before it'
	  unless $order =~ /^pg_steward/;
	is($node->safe_psql('sample', q{SELECT count(*) FROM pg_stat_statements WHERE query LIKE 'COPY app.counters FROM STDIN%' AND rows = 1}), '1',
		"$order: ... a COPY that we run, with its rows");
}
$node->safe_psql('sample', 'DROP EXTENSION pg_stat_statements');

# ---- DROP EXTENSION ---------------------------------------------------------------------

preload('pg_steward');
is(verdict($node, 'sample', 'DROP EXTENSION pg_steward', 'billing_app'), '42501', 'DROP EXTENSION by a service: refused');
is(verdict($node, 'sample', 'DROP EXTENSION pg_steward'), '2BP01', 'DROP EXTENSION while it governs: refused');
# in one go: it fails closed, for the policies go and row security stays
$node->safe_psql('postgres', 'CREATE DATABASE dropped TEMPLATE sample');
$node->safe_psql('dropped', 'SET client_min_messages = warning; ALTER TABLE app.orders DROP credential, DROP payload, DROP digest; DROP EXTENSION pg_steward CASCADE');
my $left = $node->safe_psql('dropped', <<'SQL');
SELECT count(*) FROM pg_event_trigger WHERE evtname LIKE 'steward%';
SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'steward%';
SELECT count(*) FROM pg_constraint WHERE conname LIKE 'steward%';
SELECT count(*) FROM pg_policy WHERE polname = 'steward_tenant';
SELECT count(*) FROM pg_namespace WHERE nspname = 'steward' AND EXISTS (SELECT FROM pg_proc WHERE pronamespace = pg_namespace.oid);
SQL
is($left, "0\n0\n0\n0\n0", 'DROP EXTENSION CASCADE: no rule is left');
is((psql_at($node->connstr('dropped') . ' user=billing_app', 'SELECT count(*) FROM app.orders'))[1], '0', '... and no row is shown to a service for that');
is($node->safe_psql('dropped', 'SELECT count(*) FROM app.orders'), '20', '... while all of them are there');
is((psql_at($node->connstr('dropped'), "INSERT INTO app.jobs VALUES (77, 'x')"))[0], 0, '... and superusers write again');

# in order: everything released, and then dropped
$node->safe_psql('postgres', 'CREATE DATABASE released TEMPLATE sample');
$node->safe_psql('released', <<'SQL');
SELECT steward.release(name) FROM (SELECT name FROM steward.store WHERE part_of IS NULL ORDER BY name) s;
SQL
is($node->safe_psql('released', <<'SQL'), "0\n0\n0\n0\n0", 'released: nothing of the rules is left');
SELECT count(*) FROM steward.store;
SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'steward%';
SELECT count(*) FROM pg_constraint WHERE conname LIKE 'steward%';
SELECT count(*) FROM pg_policy;
SELECT count(*) FROM pg_class WHERE relrowsecurity OR relforcerowsecurity;
SQL
is((psql_at($node->connstr('released') . ' user=billing_app', 'SELECT count(*) FROM app.orders'))[1], '20', 'released: grants stay, and show every row');
$node->safe_psql('released', 'SET client_min_messages = warning; ALTER TABLE app.orders DROP credential, DROP payload, DROP digest; DROP EVENT TRIGGER steward_armed; DROP EXTENSION pg_steward');
$node->safe_psql('released', 'CREATE EXTENSION pg_steward');
is($node->safe_psql('released', 'SELECT count(*) FROM steward.apply($m$' . $fact{manifest} . '$m$) WHERE action = $$create store$$'), '17', 'created again: the manifest brings it all back');
# (the references' columns were dropped, so the rows are not compared)
is_lines(join('', grep { !/reference:/ } split /(?<=\n)/, StewardTest::run_battery($node, 'released')),
	join('', grep { !/reference:/ } split /(?<=\n)/, $expected), '... with every verdict');

$node->stop;
done_testing();
