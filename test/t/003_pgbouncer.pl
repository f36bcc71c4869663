# 003_pgbouncer.pl
#    A real PgBouncer in transaction mode with one server connection: tenants
#    that share it never see each other's context.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use IO::Socket::UNIX;
use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StewardTest;
use Test::More;

my ($pgbouncer) = grep { -x } map { "$_/pgbouncer" } split(/:/, $ENV{PATH}), '/usr/sbin';
die 'pgbouncer is not installed (test/provision installs it)' unless $pgbouncer;

my $node = steward_node('pooled', conf => 'max_prepared_transactions = 5');
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION pg_steward;
CREATE ROLE app LOGIN;
SELECT steward.create_service('App', role => 'app');
CREATE TABLE item (tenant_id bigint NOT NULL, n int, PRIMARY KEY (tenant_id, n));
INSERT INTO item SELECT t, n FROM generate_series(1, 2) t, generate_series(1, 3) n;
SELECT steward.govern('item', owner => 'App', retention => '{"until": "lifetime"}');
SQL
my $socket_dir = PostgreSQL::Test::Utils::tempdir_short();

# A PgBouncer; returns its process and the address of the database through it
sub bouncer
{
	my ($name, $settings) = @_;
	my $port = PostgreSQL::Test::Cluster::get_free_port();
	my $ini = "$socket_dir/$name.ini";
	my ($host, $server_port) = ($node->host, $node->port);

	PostgreSQL::Test::Utils::append_to_file("$socket_dir/users", qq("app" ""\n"stat" ""\n)) unless -e "$socket_dir/users";
	PostgreSQL::Test::Utils::append_to_file($ini, <<"INI");
[databases]
postgres = host=$host port=$server_port
[pgbouncer]
listen_addr =
listen_port = $port
unix_socket_dir = $socket_dir
auth_type = trust
auth_file = $socket_dir/users
pool_mode = transaction
default_pool_size = 1
min_pool_size = 0
reserve_pool_size = 0
max_client_conn = 50
query_wait_timeout = 60
logfile = $socket_dir/$name.log
pidfile = $socket_dir/$name.pid
$settings
INI
	my $process = IPC::Run::start([ $pgbouncer, $ini ], '>', '/dev/null', '2>', '/dev/null');
	my $conninfo = "host=$socket_dir port=$port dbname=postgres user=app";
	foreach my $try (1 .. 100)
	{
		return ($process, $conninfo, "$socket_dir/.s.PGSQL.$port") if (psql_at($conninfo, 'SELECT 1'))[0] == 0;
		select undef, undef, undef, 0.1;
	}
	die 'PgBouncer does not answer: ' . PostgreSQL::Test::Utils::slurp_file("$socket_dir/$name.log");
}

my ($bouncer, $pooled, $pooled_socket) = bouncer('plain', '');

sub client
{
	return $node->background_psql('postgres', on_error_stop => 0, extra_params => [ '-d', $pooled ]);
}

# What every transaction must begin with: nobody's context, and no rows
my $who = q{SELECT coalesce(steward.tenant(), 'none') || ' ' || (SELECT count(*) FROM item)};
my $pid = (psql_at($pooled, 'SELECT pg_backend_pid()'))[1];

# ---- two clients, one server connection ------------------------------------

my ($one, $two) = (client(), client());

is($one->query('BEGIN; SELECT pg_backend_pid()'), $pid, 'the first client has the server connection');
is($one->query($who), 'none 0', '... and begins with no tenant');
is($one->query("SELECT steward.set_tenant(1); $who"), "1\n1 3", '... then acts for tenant 1');

# the second has to wait for the connection
$two->{stdin} .= "BEGIN;\nSELECT pg_backend_pid();\n$who;\n\\echo served\n";
$two->{run}->pump_nb;
is($one->query('INSERT INTO item VALUES (1, 4) RETURNING n'), '4', 'the first works on while the second waits');
is($two->{stdout}, '', 'the second still waits');
$one->query('COMMIT');
my $served = $two->query_until(qr/served/, '');
like($served, qr/^$pid\nnone 0\nserved/, 'the second gets the same connection, no tenant, and no rows');
is($two->query("SELECT steward.set_tenant(2); $who"), "2\n2 3", '... then acts for tenant 2, and sees its rows only');
$two->query('INSERT INTO item VALUES (1, 5)');
like($two->{stderr}, qr/does not belong to the tenant/, '... and writes its rows only');
$two->{stderr} = '';
$two->query('ROLLBACK');

my %seen;
foreach my $round (1 .. 10)
{
	foreach my $c ([ $one, 1 ], [ $two, 2 ])
	{
		my ($client, $tenant) = @$c;
		my $end = $round % 3 == 0 ? 'ROLLBACK' : 'COMMIT';
		$seen{ $client->query("BEGIN; $who") }++;
		$seen{ 'as ' . $client->query("SELECT steward.set_tenant($tenant); SELECT DISTINCT tenant_id FROM item; SELECT pg_backend_pid(); $end") =~ s/\n/,/gr }++;
		$seen{ $client->query($who) }++;
	}
}
is_deeply(\%seen, { 'none 0' => 40, "as 1,1,$pid" => 10, "as 2,2,$pid" => 10 },
	'in turns, ten times: each its own tenant, none before and none after, one connection');

# ---- how a transaction may end ----------------------------------------------

foreach my $end (
	[ 'a statement of its own', 'SELECT steward.set_tenant(1)' ],
	[ 'COMMIT', 'BEGIN; SELECT steward.set_tenant(1); COMMIT' ],
	[ 'ROLLBACK', 'BEGIN; SELECT steward.set_tenant(1); ROLLBACK' ],
	[ 'an error', 'BEGIN; SELECT steward.set_tenant(1); SELECT 1/0; COMMIT' ],
	[ 'a released savepoint', 'BEGIN; SAVEPOINT s; SELECT steward.set_tenant(1); RELEASE s; COMMIT' ],
	[ 'COMMIT AND CHAIN', 'BEGIN; SELECT steward.set_tenant(1); COMMIT AND CHAIN; ROLLBACK' ],
	[ 'PREPARE TRANSACTION', q{BEGIN; SELECT steward.set_tenant(1); PREPARE TRANSACTION 'p'} ],
	[ 'DISCARD ALL', 'SELECT steward.set_tenant(1); DISCARD ALL' ],
	[ 'RESET ALL', 'BEGIN; SELECT steward.set_tenant(1); RESET ALL; COMMIT' ])
{
	$one->query($end->[1]);
	$one->{stderr} = '';
	is($two->query("$who; SELECT pg_backend_pid()"), "none 0\n$pid", "no tenant left after: $end->[0]");
}
$node->safe_psql('postgres', q{ROLLBACK PREPARED 'p'});
is($one->query("BEGIN; SELECT steward.set_tenant(1); COMMIT AND CHAIN; $who; ROLLBACK"), "1\nnone 0", 'a chained transaction begins with none');
is($one->query("BEGIN; SELECT steward.set_tenant(1); RESET ALL; $who; ROLLBACK"), "1\n1 4", 'RESET ALL inside leaves it');

# several statements in one simple query are one transaction
is((psql_at($pooled, '', '-c', "SELECT FROM steward.set_tenant(1); INSERT INTO item VALUES (1, 9); $who"))[1], '1 5',
	'several statements in one message share the context');
is($two->query($who), 'none 0', '... and nobody after them');

# ---- attempts to set it another way ------------------------------------------

foreach my $attempt (
	q{SET steward.tenant = '1'}, q{SET LOCAL steward.tenant = '1'}, q{SET SESSION steward.tenant TO 1},
	q{RESET steward.tenant}, q{SET steward.tenant TO DEFAULT}, q{SELECT set_config('steward.tenant', '1', false)},
	q{SELECT set_config('steward.tenant', '1', true)}, q{SELECT set_config('steward.tenant', NULL, false)},
	q{UPDATE pg_settings SET setting = '1' WHERE name = 'steward.tenant'},
	q{ALTER ROLE app SET steward.tenant = '1'}, q{CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql SET steward.tenant = '1' AS 'SELECT 1'})
{
	$one->query("BEGIN; SELECT steward.set_tenant(2)");
	$one->query($attempt);
	like($one->{stderr}, qr/ERROR:.*(cannot be changed now|permission denied|cannot be set)/, "refused: $attempt");
	$one->{stderr} = '';
	$one->query('ROLLBACK');
	is($two->query($who), 'none 0', '... and nobody has a tenant');
}
$one->quit;

# ---- a client that dies in the middle ----------------------------------------

my $dying = IPC::Run::start([ 'psql', '-XAtq', '-d', $pooled ], '<', \my $stdin, '>', \my $stdout, '2>', \my $stderr);
$stdin = "BEGIN;\nSELECT steward.set_tenant(1);\nINSERT INTO item VALUES (1, 77);\n\\echo in the middle\n";
$dying->pump until $stdout =~ /in the middle/;
$two->{stdin} .= "$who;\n\\echo served\n";
$two->{run}->pump_nb;
$dying->kill_kill(grace => 0.01);
like($two->query_until(qr/served/, ''), qr/^none 0\nserved/, 'after a client died in its transaction: no tenant for the next');
is($node->safe_psql('postgres', 'SELECT count(*) FROM item WHERE n = 77'), '0', '... and its row is gone');
is($two->query("BEGIN; SELECT steward.set_tenant(2); $who; COMMIT"), "2\n2 3", '... and the next works on');
$two->quit;

# ---- the way in --------------------------------------------------------------

{
	local $ENV{PGOPTIONS} = '-c steward.tenant=1';
	my ($rc, $out, $err) = psql_at($pooled, $who);
	isnt($rc, 0, 'PGOPTIONS through PgBouncer: refused');
	like($err, qr/startup parameter/, '... by it');
	($rc, $out, $err) = psql_at($node->connstr('postgres') . ' user=app', $who);
	isnt($rc, 0, 'PGOPTIONS straight to PostgreSQL: refused');
	like($err, qr/FATAL:.*steward\.tenant/, '... by it');
	my ($ignoring, $there) = bouncer('ignoring', 'ignore_startup_parameters = options');
	is((psql_at($there, $who))[1], 'none 0', 'PGOPTIONS that PgBouncer ignores: no tenant');
	$ignoring->signal('INT');
	$ignoring->finish;
}

# The startup packet itself, which libpq would not write
sub startup
{
	my ($path, %parameter) = @_;
	my $socket = IO::Socket::UNIX->new(Type => SOCK_STREAM, Peer => $path) or die "$path: $!";
	my $body = pack('N', 196608) . join('', map { "$_\0$parameter{$_}\0" } sort keys %parameter) . "\0";
	my $answer = '';

	$socket->send(pack('N', 4 + length $body) . $body);
	# up to an error or ReadyForQuery
	while ($answer !~ /E....S|Z\0\0\0\x05/s)
	{
		last unless sysread $socket, my $more, 8192;
		$answer .= $more;
	}
	return $answer;
}
my $direct = $node->host . '/.s.PGSQL.' . $node->port;
like(startup($direct, user => 'app', database => 'postgres'), qr/Z\0\0\0\x05I\z/s, 'a startup packet of our own gets in');
like(startup($direct, user => 'app', database => 'postgres', 'steward.tenant' => '1'), qr/FATAL.*steward\.tenant/s,
	'with a tenant in it: refused by PostgreSQL');
unlike(startup($pooled_socket, user => 'app', database => 'postgres', 'steward.tenant' => '1'), qr/Z\0\0\0\x05/,
	'with a tenant in it: refused by PgBouncer');
is((psql_at($pooled, $who))[1], 'none 0', '... and nobody has a tenant');

# ---- many clients --------------------------------------------------------------

# Division by zero stops pgbench when anything is not as it must be.
my $script = "$socket_dir/tenants.sql";
PostgreSQL::Test::Utils::append_to_file($script, <<'SQL');
\set t random(1, 2)
BEGIN;
SELECT 1 / (CASE WHEN steward.tenant() IS NULL AND NOT EXISTS (SELECT FROM item) THEN 1 ELSE 0 END);
SELECT steward.set_tenant(:t);
UPDATE item SET n = n WHERE tenant_id = :t;
SELECT 1 / (CASE WHEN count(*) > 0 AND count(*) = count(*) FILTER (WHERE tenant_id = :t) THEN 1 ELSE 0 END) FROM item;
COMMIT;
SELECT 1 / (CASE WHEN steward.tenant() IS NULL THEN 1 ELSE 0 END);
SQL
foreach my $protocol ('simple', 'extended')
{
	my ($out, $err) = ('', '');
	IPC::Run::run([ 'pgbench', '-n', '-M', $protocol, '-c', 8, '-j', 2, '-t', 40, '-f', $script, $pooled ], '>', \$out, '2>', \$err);
	like($out, qr{number of transactions actually processed: 320/320}, "eight clients, $protocol protocol: each its own tenant") or diag $err;
}
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE usename = 'app'}), '1', 'over one server connection');

$bouncer->signal('INT');
$bouncer->finish;
$node->stop;
done_testing();
