# An erasure that dies at any of its steps is done in the end: nothing of the
# tenant is left in tables or archive store, nothing of the others is missing,
# and the certificate counts each row once.
use strict;
use warnings;

use File::Find ();
use PostgreSQL::Test::Utils;
use StewardTest;
use Test::More;

my $node = steward_node('erase', conf => qq(
steward.worker_share = 1
steward.batch_rows = 40
steward.naptime = 1
steward.max_attempts = 100
restart_after_crash = on
autovacuum = off));
my ($erased, $other) = ('acme-to-be-forgotten', 'globex');

$node->safe_psql('postgres', q(
CREATE EXTENSION pg_steward;
CREATE ROLE svc;
SELECT steward.create_service('svc', role => 'svc');
CREATE TABLE notes (tenant_id text, id int PRIMARY KEY, at timestamptz, word text);
CREATE TABLE events (tenant_id text, id int, at timestamptz NOT NULL) PARTITION BY RANGE (at);
CREATE TABLE events_2001 PARTITION OF events FOR VALUES FROM ('2001-01-01') TO ('2002-01-01');
CREATE TABLE events_hot PARTITION OF events FOR VALUES FROM ('2900-01-01') TO ('2901-01-01');
SELECT steward.govern('notes', owner => 'svc', retention => '{"clock": "at", "hot": "1 year", "then": "archive", "keep": "700 years"}');
SELECT steward.govern('events', owner => 'svc', append_only => true, retention => '{"clock": "at", "hot": "1 year", "then": "archive", "keep": "700 years"}');
));

# until the queue is empty, or a task has failed for good
sub settle
{
	$node->poll_query_until('postgres', q(SELECT NOT EXISTS (SELECT FROM steward.task WHERE state IN ('queued', 'running'))))
	  or die 'the worker does not come to an end';
}

# everything that is there, of whom
sub rows_of
{
	my ($tenant) = @_;

	return $node->safe_psql('postgres', qq(
SELECT count(*), md5(coalesce(string_agg(line, '|' ORDER BY line), '')) FROM (
    SELECT n::text AS line, tenant_id FROM notes n UNION ALL SELECT e::text, tenant_id FROM events e
    UNION ALL SELECT r::text, r ->> 'tenant_id' FROM (VALUES ('notes'), ('events')) s (name), steward.read_archive(s.name) r) x
 WHERE tenant_id = '$tenant'));
}

# files of the archive store that hold a word, certificates apart
sub files_with
{
	my ($word) = @_;
	my @found;

	File::Find::find({no_chdir => 1, wanted => sub {
			return if !-f $_ || m{/certificates/};
			my $text = m{\.zst$} ? qx(zstd -dcq '$_') : slurp_file($_);
			push @found, $_ if index($text, $word) >= 0;
		}}, $node->data_dir . '/steward_archive');
	return @found;
}

# rows of both, hot and due; batches of one tenant and of both
sub fill
{
	my ($offset) = @_;

	$node->safe_psql('postgres', qq(
CREATE TABLE IF NOT EXISTS events_2001 PARTITION OF events FOR VALUES FROM ('2001-01-01') TO ('2002-01-01');
ALTER EVENT TRIGGER steward_armed DISABLE;
INSERT INTO notes SELECT t, $offset + 500 * o + n, CASE WHEN n <= 60 THEN '2001-01-01'::timestamptz + n * interval '1 hour' END, 'w' || n
  FROM unnest('{$erased,$other}'::text[]) WITH ORDINALITY u (t, o), generate_series(1, 100) n;
INSERT INTO events SELECT t, $offset + n, d FROM unnest('{$erased,$other}'::text[]) t, generate_series(1, 50) n, unnest('{2001-05-05,2900-05-05}'::timestamptz[]) d;
ALTER EVENT TRIGGER steward_armed ENABLE ALWAYS;
CALL steward.enforce_retention()));
	settle();
}

# without the fault from now on, whatever has become of the server
sub mend
{
	$node->append_conf('postgresql.auto.conf', "steward.fault = ''");
	return $node->reload if $_[0] !~ /^crash/;
	my $postmaster = (split /\n/, slurp_file($node->data_dir . '/postmaster.pid'))[0];
	foreach (1 .. 600)
	{
		last if !kill 0, $postmaster;
		select undef, undef, undef, 0.1;
	}
	$node->kill9;
	$node->start;
}

my $has_zstd = system('zstd --version >/dev/null 2>&1') == 0;
my $offset = 0;

foreach my $fault ('kill:erasing', 'kill:erased', 'kill:removed', 'kill:rewriting', 'kill:uploading',
	'crash:rewritten', 'kill:replaced', 'crash:certifying', 'kill:certified')
{
	fill($offset += 2000);
	my $others = rows_of($other);
	my ($before) = split /\|/, rows_of($erased);
	is($before, 200, "$fault: rows to be erased");
	cmp_ok(scalar(files_with($erased)), '>', 2, "$fault: archives, too") if $has_zstd;

	my $logged = -s $node->logfile;
	$node->safe_psql('postgres', "ALTER SYSTEM SET steward.fault = '$fault'");
	$node->reload;
	$node->psql('postgres', "CALL steward.erase_tenant('$erased', '$fault', wait => false)");
	$node->wait_for_log(qr/terminated by signal 9/, $logged) if $fault =~ /^kill/;
	mend($fault);
	settle();

	is($node->safe_psql('postgres', "SELECT state || ' ' || (certificate -> 'remaining')::text || ' ' ||
		((SELECT sum((x ->> 'rows')::int) FROM jsonb_array_elements(certificate -> 'stores') x)
		 + (SELECT sum((x ->> 'rows_removed')::int) FROM jsonb_array_elements(certificate -> 'archives') x))
		FROM steward.erasure ORDER BY id DESC LIMIT 1"),
		qq(done {"rows": 0, "archives": 0} $before), "$fault: certified, and each row counted once");
	is((split /\|/, rows_of($erased))[0], '0', "$fault: nothing of the tenant is left");
	is(rows_of($other), $others, "$fault: nothing of the others is missing");
	is($node->safe_psql('postgres', q(SELECT count(*) FROM steward.archive WHERE state IN ('exported', 'uploaded') OR state <> 'verified' AND removed_at IS NULL)),
		'0', "$fault: no archive is half done");
	is(join(' ', files_with($erased)), '', "$fault: no file holds the tenant") if $has_zstd;
}
is($node->safe_psql('postgres', q(SELECT count(*) FROM steward.task WHERE state <> 'done')), '0', 'every task is done');
$node->stop;
done_testing();
