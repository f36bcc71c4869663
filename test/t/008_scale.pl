# 008_scale.pl
#    A thousand tables in one manifest.  How long it took is printed, and never
#    judged: the only bound is the test's own timeout.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StewardTest;
use Test::More;
use Time::HiRes qw(time);

my $tables = 1000;
my $node = steward_node('scale', conf => "max_locks_per_transaction = 400\nlog_statement = none");

sub timed
{
	my ($what, $sql) = @_;
	my $begin = time;
	my $out = $node->safe_psql('postgres', $sql);

	note sprintf('%-45s %6.2f s', $what, time - $begin);
	return $out;
}

timed('CREATE EXTENSION', 'CREATE EXTENSION pg_steward');
timed("$tables tables", <<"SQL");
CREATE ROLE app_a; CREATE ROLE app_b;
CREATE SCHEMA a; CREATE SCHEMA b;
DO \$\$
BEGIN
    FOR i IN 1..$tables LOOP
        EXECUTE format('CREATE TABLE %s.t_%s (tenant_id %s NOT NULL, id bigint, at timestamptz, PRIMARY KEY (tenant_id, id)) %s',
                       CASE WHEN i % 2 = 0 THEN 'a' ELSE 'b' END, i,
                       (ARRAY['uuid', 'text', 'bigint'])[i % 3 + 1],
                       CASE WHEN i % 100 = 0 THEN 'PARTITION BY HASH (tenant_id)' ELSE '' END);
        EXECUTE format('CREATE INDEX ON %s.t_%s (at)', CASE WHEN i % 2 = 0 THEN 'a' ELSE 'b' END, i);
        IF i % 100 = 0 THEN
            FOR p IN 0..3 LOOP
                EXECUTE format('CREATE TABLE a.t_%s_%s PARTITION OF a.t_%s FOR VALUES WITH (modulus 4, remainder %s)', i, p, i, p);
            END LOOP;
        END IF;
    END LOOP;
END
\$\$;
SELECT steward.create_service('A', role => 'app_a');
SELECT steward.create_service('B', role => 'app_b');
CREATE TABLE public.manifest AS
SELECT jsonb_build_object('stores', jsonb_agg(jsonb_build_object(
           'name', 't_' || i, 'relation', CASE WHEN i % 2 = 0 THEN 'a' ELSE 'b' END || '.t_' || i,
           'owner', CASE WHEN i % 2 = 0 THEN 'A' ELSE 'B' END, 'keys', '[["id"]]'::jsonb,
           'retention', '{"clock": "at", "hot": "30 days", "then": "purge"}'::jsonb) ORDER BY i)) AS j
  FROM generate_series(1, $tables) i;
SQL

my $steps = timed('plan', 'SELECT count(*) FROM public.manifest, steward.plan(j)');
cmp_ok($steps, '>=', 6 * $tables, "plan: $steps steps");
is(timed('apply', 'SELECT count(*) FROM public.manifest, steward.apply(j)'), $steps, 'apply does what plan said');
is(timed('plan again', 'SELECT count(*) FROM public.manifest, steward.plan(j)'), '0', 'plan again: nothing');
is(timed('apply again', 'SELECT count(*) FROM public.manifest, steward.apply(j)'), '0', 'apply again: nothing');
is(timed('manifest', 'SELECT jsonb_array_length(steward.manifest() -> \'stores\')'), $tables, 'manifest has every store');
is(timed('apply(manifest())', 'SELECT count(*) FROM steward.apply(steward.manifest())'), '0', 'apply(manifest()): nothing');
timed('the list of tables goes', 'DROP TABLE public.manifest');
is(timed('check', "SELECT rule, count(*) FROM steward.check() $StewardTest::DRIFT GROUP BY 1"), '', 'check finds nothing');
is(timed('storage_map', 'SELECT count(*) FROM steward.storage_map'), $tables, 'the map has every store');
is(timed('one more partition',
		"CREATE TABLE a.t_100_x (LIKE a.t_100); DROP TABLE a.t_100_x; SELECT count(*) FROM steward.check() $StewardTest::DRIFT"), '0', 'DDL beside them');
is(timed('govern of one more', q{CREATE TABLE a.more (tenant_id uuid NOT NULL, at timestamptz); SELECT steward.govern('a.more', owner => 'A', retention => '{"until": "lifetime"}')}),
	'more', 'one more is governed');
is(timed('release of one', q{SELECT steward.release('t_1'); SELECT count(*) FROM steward.store}), "\n$tables", 'one is released');
my $seen = join(' + ', map { "(SELECT count(*) FROM a.t_" . ($_ * 6 + 2) . ')' } 1 .. 50);
is(timed('one row in each of 50 stores', <<"SQL"), '50', 'one session writes and reads many stores');
GRANT app_a TO CURRENT_USER;
BEGIN;
SET LOCAL ROLE app_a;
SELECT FROM steward.set_tenant('7');
DO \$\$
BEGIN
    FOR i IN 1..50 LOOP
        EXECUTE format('INSERT INTO a.t_%s VALUES (7, 1)', i * 6 + 2);
    END LOOP;
END
\$\$;
SELECT $seen;
COMMIT;
SQL

$node->stop;
done_testing();
