# 013_round_trip.pl
#    What was archived comes back: a table with a column of every type, two
#    dozen awkward values in each, archived and purged as partitions and as
#    batches of rows, under settings and in encodings that would change a text
#    that depended on them.  Restored, it equals the original in both directions,
#    by text and by binary form; and DuckDB reads the same values from the files.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use AwkwardValues;
use IPC::Run ();
use JSON::PP ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StewardTest;
use Test::More;

use constant ROWS => 24;

$ENV{PGCLIENTENCODING} = 'UTF8';
my $node = steward_node('roundtrip', init => [ extra => [ '--no-locale', '-E', 'UTF8' ] ],
	conf => "steward.batch_rows = 7\nsteward.worker_share = 1\nsteward.naptime = 1\nsteward.max_attempts = 1\nmax_worker_processes = 16\nlog_statement = none\nlog_min_error_statement = panic");
$node->safe_psql('postgres', 'CREATE ROLE app LOGIN; CREATE ROLE table_owner; CREATE ROLE reader');
my $store = $node->data_dir . '/steward_archive';

# What would show in a text that was written or read under it
my @hostile = ([ 'DateStyle', 'German, DMY' ], [ 'IntervalStyle', 'iso_8601' ], [ 'TimeZone', 'Asia/Kathmandu' ], [ 'bytea_output', 'escape' ],
	[ 'extra_float_digits', -15 ], [ 'quote_all_identifiers', 'on' ], [ 'xmloption', 'document' ], [ 'xmlbinary', 'hex' ],
	[ 'array_nulls', 'off' ], [ 'search_path', 'public' ], [ 'lc_numeric', 'C' ], [ 'default_transaction_isolation', 'repeatable read' ]);
# What is compared is written under these
my $plain = join('', map { "SET $_;\n" } "DateStyle = 'ISO, YMD'", 'IntervalStyle = postgres', "TimeZone = 'UTC'", 'bytea_output = hex', 'extra_float_digits = 1',
	'quote_all_identifiers = off', 'xmloption = content', 'xmlbinary = base64', 'array_nulls = on', 'search_path = pg_catalog', 'client_min_messages = warning');

sub plainly
{
	my ($dbname, $sql) = @_;
	return $node->safe_psql($dbname, $plain . $sql);
}

# Statements that must succeed, and that are too long to be shown
sub run_quietly
{
	my ($dbname, @statements) = @_;
	my $file = PostgreSQL::Test::Utils::tempdir_short() . '/statements.sql';
	my ($out, $err) = ('', '');

	PostgreSQL::Test::Utils::append_to_file($file, join(";\n", @statements) . ';');
	IPC::Run::run([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr($dbname), '-f', $file ], '>', \$out, '2>', \$err)
	  or die substr($err, 0, 1000);
	return;
}

# A statement's outcome: its rows, or SQLSTATE, message, detail and hint
sub outcome
{
	my ($dbname, $sql) = @_;
	my (undef, $out, $err) = $node->psql($dbname, "\\set VERBOSITY verbose\n\\set SHOW_CONTEXT never\nSET client_min_messages = warning;\n$sql", on_error_stop => 1);

	return $out if $err eq '';
	$err =~ s/^psql:<stdin>:\d+: //mg;
	$err =~ s/^LOCATION:.*\n?//mg;
	return $err;
}

# ---- comparison ------------------------------------------------------------

# Does the type, with all that it is made of, have a binary form?
sub sendable
{
	my ($dbname) = @_;
	return map { /^(.*)\|t$/ ? (pack('H*', $1) => 1) : () } split /\n/, $node->safe_psql($dbname, <<'SQL');
SELECT encode(convert_to(a.attname, 'UTF8'), 'hex'), t.typsend <> 0 AND coalesce(e.typsend <> 0, true)
  FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_type e ON e.oid = t.typelem
 WHERE a.attrelid = 'public.kept'::regclass AND a.attnum > 0
SQL
}

# A query for one digest of each column's texts, and one of its binary forms, in
# the columns' order
sub digest_query
{
	my ($sends, $rows, @columns) = @_;
	my $all = q{encode(sha256(string_agg(coalesce(sha256(%s), '-'), '')), 'hex')};
	my @each;

	foreach my $name (@columns)
	{
		my $column = ident($name);

		push @each, sprintf $all, "convert_to($column\::text, getdatabaseencoding())";
		push @each, $sends->{$name} ? sprintf $all, "CASE num_nulls($column) WHEN 0 THEN record_send(ROW($column)) END" : "'no binary form'";
	}
	return 'SELECT count(*), ' . join(', ', @each) . " FROM (SELECT * FROM $rows r ORDER BY id, at) r";
}

# ... and what it says, one line a column
sub digests
{
	my ($line, @columns) = @_;
	my ($rows, @digests) = split /\|/, $line;

	return "$rows rows\n" . join('', map { s/\n/\\n/gr . ": " . join(' ', splice @digests, 0, 2) . "\n" } @columns);
}

# EXCEPT sorts: columns whose type has an order are compared as they are, the
# others as text
sub comparable
{
	my ($dbname, @columns) = @_;
	my $script = join('', map { "\\echo " . unpack('H*', $_) . "\nSELECT count(*) < 0 FROM (SELECT FROM public.kept WHERE false ORDER BY " . ident($_) . ") x;\n" } @columns);
	my (undef, $out) = $node->psql($dbname, $script, on_error_stop => 0);
	my %is = map { /^([0-9a-f]+)\nf/ ? (pack('H*', $1) => 1) : () } split /(?<=f)\n|\n(?=[0-9a-f]{2,}(?:\n|$))/, $out;

	return map { $is{$_} ? ident($_) : ident($_) . '::text' } @columns;
}

# Are the rows of "from", which is SQL that FROM takes, those of public.kept?
sub same_rows
{
	my ($dbname, $from, $name, @columns) = @_;
	my $list = join(', ', comparable($dbname, @columns));
	my %sends = sendable($dbname);
	my ($more, $less, $got, $wanted) = split /\n/, plainly($dbname, join(";\n",
			"CREATE TEMP TABLE side AS SELECT * FROM $from r",
			"SELECT count(*) FROM (SELECT $list FROM pg_temp.side EXCEPT ALL SELECT $list FROM public.kept) x",
			"SELECT count(*) FROM (SELECT $list FROM public.kept EXCEPT ALL SELECT $list FROM pg_temp.side) x",
			digest_query(\%sends, 'pg_temp.side', @columns), digest_query(\%sends, 'public.kept', @columns)) . ';');

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	subtest $name => sub {
		is("$more $less", '0 0', 'EXCEPT ALL, both ways');
		is_lines(digests($got, @columns), digests($wanted, @columns), 'digests of text and of binary form, column by column');
	};
	return;
}

# What an archive says of a value: the output function's text.  (A cast to text
# says "true" for a boolean, drops the blanks of a char, and writes /32 behind an
# address.)  xml is as it is stored; the overloaded, which a name does not tell
# apart, are numbers.
sub as_archived
{
	my ($name) = @_;
	my $column = ident($name);
	my $text = $name eq 'c_xml' ? "$column\::text" : "format('%s', $column)";

	$text = "CASE WHEN $column\::oid IN ('abs(integer)'::regprocedure::oid, '+(integer,integer)'::regoperator::oid) THEN $column\::oid::text ELSE $text END"
	  if $name =~ /^c_reg(proc|oper)$/;
	return "CASE num_nulls($column) WHEN 0 THEN $text END";
}

# ---- the table ---------------------------------------------------------------

my $awkward = ident("T \"q\" \n it's \\ ") =~ s/ "$/ \xf0\x9f\x99\x82"/r;

# Enqueue what is due, and wait until the worker has done it
sub retain
{
	my ($dbname) = @_;

	$node->safe_psql($dbname, 'CALL steward.enforce_retention()');
	$node->poll_query_until($dbname, "SELECT NOT EXISTS (SELECT FROM steward.task WHERE state IN ('queued', 'running'))")
	  or die 'the worker did not finish';
	my $errors = $node->safe_psql($dbname, q{SELECT kind, target, sqlstate, error FROM steward.task WHERE state = 'failed'});
	return $errors;
}

# The database and its table: kept holds a copy that nobody governs
sub build
{
	my ($dbname, $encoding, $kind) = @_;
	my $table = 'public.' . ($encoding eq 'UTF8' ? $awkward : ident("T \"q\" \n it's \\"));

	$node->safe_psql('postgres', "CREATE DATABASE $dbname TEMPLATE template0 ENCODING '$encoding' LC_COLLATE 'C' LC_CTYPE 'C'");
	$node->safe_psql('postgres', "ALTER DATABASE $dbname SET $_->[0] = " . quoted($_->[1])) foreach @hostile;
	$node->safe_psql($dbname, 'CREATE EXTENSION pg_steward');
	$node->safe_psql($dbname, "GRANT CREATE, USAGE ON SCHEMA public TO table_owner, app; SELECT steward.create_service('App', role => 'app');");
	my @extensions = awkward_setup($node, $dbname, $encoding);
	my @columns = awkward_columns($encoding, @extensions);
	my @names = ('id', 'at', 'twice', 'lowered', map { $_->[0] } @columns);
	my $list = join(', ', map { ident($_->[0]) } @columns);
	my $definition = join(",\n", 'id bigint GENERATED ALWAYS AS IDENTITY', 'at timestamptz NOT NULL', 'twice numeric GENERATED ALWAYS AS (c_int4::numeric * 2) STORED',
		'lowered text GENERATED ALWAYS AS (lower(c_text)) STORED', map { ident($_->[0]) . " $_->[1]" } @columns);
	my @keys = $kind eq 'partition' ? ('PRIMARY KEY (id, at)', 'PARTITION BY RANGE (at)') : ('PRIMARY KEY (id)', '');

	$node->safe_psql($dbname, "CREATE TABLE $table ($definition, $keys[0]) $keys[1]; ALTER TABLE $table OWNER TO table_owner; GRANT SELECT ON $table TO reader WITH GRANT OPTION; GRANT INSERT ON $table TO app;");
	if ($kind eq 'partition')
	{
		$node->safe_psql($dbname, "CREATE TABLE public.\"P \"\"1\"\"\" PARTITION OF $table FOR VALUES FROM ('2001-01-01 UTC') TO ('2001-02-01 UTC');
			CREATE TABLE public.p_2 PARTITION OF $table FOR VALUES FROM ('2001-02-01 UTC') TO ('2001-03-01 UTC');
			ALTER TABLE public.\"P \"\"1\"\"\" OWNER TO table_owner; ALTER TABLE public.p_2 OWNER TO table_owner;
			GRANT SELECT ON public.\"P \"\"1\"\"\", public.p_2 TO reader WITH GRANT OPTION; GRANT INSERT ON public.\"P \"\"1\"\"\", public.p_2 TO app;");
	}
	my @rows = awkward_rows(ROWS, @columns);
	foreach my $month ('2001-01-01', '2001-02-01')
	{
		my $i = 0;

		run_quietly($dbname, 'SET array_nulls = on', 'SET xmloption = content',
			map { "INSERT INTO $table (at, $list) VALUES ('$month UTC'::timestamptz + " . $i++ . " * interval '04:00:00.123457', " . join(', ', @$_) . ')' } @rows);
	}
	$node->safe_psql($dbname, "CREATE TABLE public.kept AS TABLE $table");
	return { dbname => $dbname, table => $table, names => \@names, columns => \@columns, encoding => $encoding, kind => $kind, rows => 2 * @rows };
}

sub govern
{
	my ($t) = @_;
	$node->safe_psql($t->{dbname}, 'SELECT steward.govern(' . quoted($t->{table}) . qq{::regclass, owner => 'App', scope => 'service', name => '$t->{dbname}',
		retention => '{"clock": "at", "hot": "1 day", "then": "archive", "keep": "7 years"}')});
	return;
}

# The partitions: names, bounds, owners, and what hangs on them
sub attached
{
	my ($t) = @_;
	return plainly($t->{dbname}, <<"SQL");
SELECT quote_literal(c.relname), pg_get_userbyid(c.relowner), pg_get_expr(c.relpartbound, c.oid), c.relrowsecurity, c.relforcerowsecurity,
       (SELECT string_agg(pg_get_indexdef(i.indexrelid), ';' ORDER BY i.indexrelid) FROM pg_index i WHERE i.indrelid = c.oid),
       (SELECT string_agg(conname || pg_get_constraintdef(k.oid), ';' ORDER BY conname) FROM pg_constraint k WHERE k.conrelid = c.oid),
       (SELECT string_agg(tgname || tgenabled::text, ';' ORDER BY tgname) FROM pg_trigger g WHERE g.tgrelid = c.oid)
  FROM pg_class c JOIN pg_inherits h ON h.inhrelid = c.oid WHERE h.inhparent = ${\ quoted($t->{table})}::regclass ORDER BY 1;
SQL
}

sub archives { my ($t) = @_; return split /\n/, $node->safe_psql($t->{dbname}, q{SELECT id FROM steward.archive WHERE state = 'verified' ORDER BY id}); }

sub manifest_of
{
	my ($t, $archive) = @_;
	my $path = $node->safe_psql($t->{dbname}, "SELECT path FROM steward.archive WHERE id = $archive");
	return JSON::PP->new->utf8->decode(slurp_file("$store/$path/manifest.json"));
}

# ---- DuckDB ----------------------------------------------------------------------

# Where npm has put it, and why not, if it has not
sub duckdb
{
	my $dir = $ENV{PG_STEWARD_NODE_MODULES};
	my $log = '';

	return ($dir, undef) if $dir;
	return (undef, 'no node or no npm here') unless grep({ -x "$_/node" } split /:/, $ENV{PATH}) && grep { -x "$_/npm" } split /:/, $ENV{PATH};
	$dir = PostgreSQL::Test::Utils::tempdir();
	my $done = eval {
		IPC::Run::run([ 'npm', 'install', '--no-audit', '--no-fund', '--ignore-scripts', '--silent', '--fetch-retries=1', '--prefix', $dir, '@duckdb/node-api@1.5.6-r.1' ],
			'<', \'', '>&', \$log, IPC::Run::timeout(240));
	};
	return $done ? ("$dir/node_modules", undef) : (undef, 'npm could not fetch @duckdb/node-api');
}

# Casts of DuckDB's, and what PostgreSQL says for the rows where both know the value
my %casts = (
	bool => [ 'c_bool::BOOLEAN', 'c_bool::text' ],
	int8 => [ 'c_int8::BIGINT', 'c_int8::text' ],
	uuid => [ 'c_uuid::UUID', 'c_uuid::text' ],
	oid => [ 'c_oid::UBIGINT', 'c_oid::text' ],
	bytea => [ 'sha256(unhex(c_bytea[3:]))', q{encode(sha256(c_bytea), 'hex')} ],
	decimal => [ 'TRY_CAST(c_numeric AS DECIMAL(38, 10))', q{CASE WHEN abs(c_numeric) < 1e27 THEN c_numeric::numeric(38, 10)::text END} ],
	date => [ q{datediff('day', DATE '1970-01-01', TRY_CAST(c_date AS DATE))}, q{CASE WHEN isfinite(c_date) AND c_date BETWEEN '0001-01-01' AND '290000-01-01' THEN (c_date - '1970-01-01'::date)::text END} ],
	timestamp => [ 'epoch_us(TRY_CAST(c_timestamp AS TIMESTAMP))', q{CASE WHEN c_timestamp BETWEEN '0001-01-01' AND '290000-01-01' THEN (extract(epoch FROM c_timestamp) * 1000000)::bigint::text END} ],
	timestamptz => [ 'epoch_us(TRY_CAST(c_timestamptz AS TIMESTAMPTZ))', q{CASE WHEN c_timestamptz BETWEEN '0001-01-01' AND '290000-01-01' THEN (extract(epoch FROM c_timestamptz) * 1000000)::bigint::text END} ],
	infinity => [ q{isinf(TRY_CAST(c_timestamptz AS TIMESTAMPTZ))}, q{CASE WHEN NOT isfinite(c_timestamptz) THEN 'true' END} ],
	time => [ q{datediff('microsecond', TIME '00:00:00', c_time::TIME)}, q{(extract(epoch FROM c_time) * 1000000)::bigint::text} ]);

sub in_duckdb
{
	my ($t, $modules) = @_;
	my ($dbname, @names) = ($t->{dbname}, @{ $t->{names} });
	my %question = (files => "$store/App/$dbname/**/data.ndjson.zst", columns => [ map { my $n = $_; utf8::decode($n); $n } @names ],
		casts => { map { $_ => $casts{$_}[0] } keys %casts });
	my $question = JSON::PP->new->utf8->encode(\%question);
	my ($out, $err) = ('', '');

	IPC::Run::run([ 'node', "$FindBin::RealBin/../lib/duckdb.mjs", $modules ], '<', \$question, '>', \$out, '2>', \$err);
	is($err, '', "$dbname: DuckDB reads the archives") or return;

	my $i = 0;
	my $cells = join("\nUNION ALL ", map { "SELECT concat_ws(' ', 'c', id, " . $i++ . ", coalesce(encode(sha256(convert_to(" . as_archived($_) . ", 'UTF8')), 'hex'), 'null')) FROM public.kept" } @names);
	my $casts = join("\nUNION ALL ", map { "SELECT concat_ws(' ', 'x', id, '$_', $casts{$_}[1]) FROM public.kept WHERE $casts{$_}[1] IS NOT NULL" } sort keys %casts);
	my %there = map { $_ => 1 } split /\n/, $out;
	my @cells = split /\n/, plainly($dbname, $cells);
	my @lost = map { s/^c (\d+) (\d+) .*/row $1, $names[$2]/r } grep { !$there{$_} } @cells;

	is(scalar(grep { /^c / } keys %there), scalar @cells, '... all cells');
	is(join("\n", @lost), '', '... each with the text of the original');
	my @casts = split /\n/, plainly($dbname, $casts);
	cmp_ok(scalar @casts, '>', 500, '... and casts them');
	is(join("\n", grep { !$there{$_} } @casts), '', '... to the same values');
	is(join("\n", grep { /^d / } keys %there), '', '... floating-point numbers bit by bit');
	return;
}

my ($modules, $no_duckdb) = duckdb();

# ---- every type of the catalog is here, or known to have no input -----------------

is($node->safe_psql('postgres', q{SELECT string_agg(quote_literal(typname), ',' ORDER BY typname COLLATE "C") FROM pg_type
    WHERE typnamespace = 'pg_catalog'::regnamespace AND typtype IN ('b', 'r', 'm') AND (typcategory <> 'A' OR typname ~ 'vector')
      AND typname !~ '^_'}),
	join(',', map { "'$_'" } sort(awkward_types(), unreadable_types())), 'the generator knows every type of the catalog');

# ---- archive, purge, restore ---------------------------------------------------------

foreach my $case ([ 'utf8_parts', 'UTF8', 'partition' ], [ 'utf8_rows', 'UTF8', 'rows' ], [ 'latin1_rows', 'LATIN1', 'rows' ], [ 'ascii_parts', 'SQL_ASCII', 'partition' ], [ 'eucjp_rows', 'EUC_JP', 'rows' ])
{
	local $ENV{PGCLIENTENCODING} = $case->[1] eq 'SQL_ASCII' ? 'SQL_ASCII' : 'UTF8';
	my $t = build(@$case);
	my ($dbname, $table, @names) = ($t->{dbname}, $t->{table}, @{ $t->{names} });

	note scalar(@names) . " columns in $dbname";
	is($node->safe_psql($dbname, "SELECT count(*) FROM $table"), $t->{rows}, "$dbname: rows to archive");
	govern($t);
	my $attached = attached($t);
	is(retain($dbname), '', "$dbname: archived and purged");
	is(attached($t), '', '... the partitions are gone') if $t->{kind} eq 'partition';
	is($node->safe_psql($dbname, "SELECT count(*) FROM $table"), '0', '... every row');
	my @archives = archives($t);
	cmp_ok(scalar @archives, '>=', 2, '... into several archives');

	# read in place
	same_rows($dbname, "steward.read_archive_as(NULL::$table, '$dbname')", "$dbname: read in place, typed", @names);
	my $as_text = join(', ', map { as_archived($_) . ' AS ' . ident($_) } @names);
	is(plainly($dbname, <<"SQL"), '', '... and as JSON: the texts of the original');
CREATE TEMP TABLE side AS SELECT r FROM steward.read_archive('$dbname') r;
SELECT key, bool_and(jsonb_typeof(value) IN ('string', 'null')), count(*)
  FROM (SELECT id, e.* FROM (SELECT r ->> 'id' AS id, r FROM pg_temp.side OFFSET 0) s, jsonb_each(r) e
        EXCEPT ALL SELECT id, e.* FROM (SELECT x.id, to_jsonb(x) AS r FROM (SELECT $as_text FROM public.kept) x OFFSET 0) y, jsonb_each(r) e) z
 GROUP BY key ORDER BY key;
SELECT 'columns', (SELECT count(*) FROM pg_temp.side, jsonb_each(r)) WHERE (SELECT count(*) FROM pg_temp.side, jsonb_each(r)) <> $t->{rows} * ${\ scalar @names};
SQL
	SKIP:
	{
		skip $no_duckdb, 6 if $no_duckdb;
		# (nothing says how DuckDB should read bytes in no encoding)
		in_duckdb($t, $modules) if $t->{encoding} ne 'SQL_ASCII';
	}
	is(plainly($dbname, "SELECT bool_and(steward.verify_archive(id)) FROM steward.archive WHERE state = 'verified'"), 't', '... and verified');

	# into another table, made by the manifest's DDL
	{
		my $ddl = manifest_of($t, $archives[0])->{ddl};
		utf8::encode($ddl);
		my $into = 'public.again';
		my $relation = $t->{kind} eq 'partition' ? undef : $table;

		$ddl =~ s/\ACREATE TABLE (?:(?:"(?:[^"]|"")*"|[^" .(]+)\.?)+/CREATE TABLE $into/;
		is(outcome($dbname, "$ddl;"), '', "$dbname: the manifest's DDL makes a table");
		like(outcome($dbname, "CALL steward.restore($_, '$into')"), qr/^\d+$/, "... archive $_ goes into it") foreach @archives;
		same_rows($dbname, $into, '... and the rows are those of the original', @names);
		$node->safe_psql($dbname, "DROP TABLE $into");
	}

	# back home
	foreach my $archive (@archives)
	{
		my $got = outcome($dbname, "CALL steward.restore($archive)");
		like($got, qr/^\d+$/, "$dbname: archive $archive is restored");
	}
	same_rows($dbname, $table, '... and the rows are those of the original', @names);
	is(attached($t), $attached, '... in partitions as they were') if $t->{kind} eq 'partition';
	is(plainly($dbname, "SELECT count(*) FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid JOIN pg_class p ON p.oid = inhparent WHERE p.oid = ${\ quoted($table)}::regclass
			AND ARRAY(SELECT aclexplode(c.relacl)::text ORDER BY 1) <> ARRAY(SELECT aclexplode(p.relacl)::text ORDER BY 1)"), '0', '... with its privileges');
	like(outcome($dbname, "CALL steward.restore($archives[0])"), qr/^ERROR:  23505/, '... not twice');
	is($node->safe_psql($dbname, "SELECT count(*) FROM $table"), $t->{rows}, '... nothing half done');

	# held, and archived again only when it is released
	is(retain($dbname), '', "$dbname: what was restored is held");
	is($node->safe_psql($dbname, "SELECT count(*) FROM $table"), $t->{rows}, '... and stays');
	is($node->safe_psql($dbname, q{SELECT count(*) FROM steward.legal_hold WHERE released_at IS NULL}), scalar @archives, '... by a hold for each archive');
	$node->safe_psql($dbname, q{SELECT steward.release_hold(id, 'done') FROM steward.legal_hold});
	is(retain($dbname), '', '... released, it is archived again');
	is($node->safe_psql($dbname, "SELECT count(*) FROM $table"), '0', '... and purged');
	my @later = grep { my $a = $_; !grep { $_ == $a } @archives } archives($t);
	outcome($dbname, "CALL steward.restore($_, keep => NULL)") foreach @later;
	same_rows($dbname, $table, '... and comes back a second time', @names);
}

# ---- a part of an archive -------------------------------------------------------------

my $db = 'parts_of_it';
$node->safe_psql('postgres', "CREATE DATABASE $db TEMPLATE template0");
$node->safe_psql('postgres', "ALTER DATABASE $db SET $_->[0] = " . quoted($_->[1])) foreach grep { $_->[0] ne 'search_path' } @hostile;
$node->safe_psql($db, q{CREATE EXTENSION pg_steward; GRANT CREATE, USAGE ON SCHEMA public TO table_owner, app; SELECT steward.create_service('App', role => 'app')});

# A governed table with rows of the past, archived, purged, and what it was kept
sub archived_table
{
	my ($name, $definition, $rows, $clock) = @_;

	$node->safe_psql($db, "SET timezone = 'UTC'; CREATE TABLE $name ($definition); ALTER TABLE $name OWNER TO table_owner; INSERT INTO $name $rows; CREATE TABLE kept_$name AS TABLE $name;
		SELECT steward.govern('$name', owner => 'App', scope => 'service', name => '$name', retention => '{\"clock\": \"$clock\", \"hot\": \"1 day\", \"then\": \"archive\"}')");
	is(retain($db), '', "$name: archived and purged");
	is($node->safe_psql($db, "SELECT count(*) FROM $name"), '0', '... every row');
	return split /\n/, $node->safe_psql($db, "SELECT id FROM steward.archive WHERE store = '$name' ORDER BY id");
}

sub part_is
{
	my ($table, $call, $where, $name) = @_;
	my $got = outcome($db, "BEGIN;\nSET timezone = 'UTC';\nCALL steward.restore($call);\n(SELECT * FROM $table EXCEPT ALL SELECT * FROM kept_$table WHERE $where) UNION ALL (SELECT * FROM kept_$table WHERE $where EXCEPT ALL SELECT * FROM $table);\nROLLBACK;");
	my $wanted = $node->safe_psql($db, "SET timezone = 'UTC'; SELECT count(*) FROM kept_$table WHERE $where");

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is($got, $wanted, "$name ($wanted rows)");
	return;
}

$node->append_conf('postgresql.conf', 'steward.batch_rows = 100000');
$node->reload;
my ($big) = archived_table('big', 'id int, word text, at timestamptz, body text, PRIMARY KEY (word, id)',
	q{SELECT g, chr(97 + g % 3), '2001-01-01'::timestamptz + g * interval '1 minute', repeat(md5(g::text), 60) FROM generate_series(1, 3000) g}, 'at');
my $path = $node->safe_psql($db, "SELECT path FROM steward.archive WHERE id = $big");
my $frames = @{ JSON::PP->new->decode(slurp_file("$store/$path/manifest.json"))->{frames} };

cmp_ok($frames, '>', 4, 'an archive of several frames');
part_is('big', "$big", 'true', 'the whole');
part_is('big', qq{$big, "from" => '2001-01-01 10:00'}, q{at >= '2001-01-01 10:00'}, 'from a time, which is included');
part_is('big', qq{$big, "to" => '2001-01-01 10:00'}, q{at < '2001-01-01 10:00'}, 'to a time, which is not');
part_is('big', qq{$big, "from" => '2001-01-01 10:00', "to" => '2001-01-01 10:01'}, 'id = 600', 'one row');
part_is('big', qq{$big, "from" => '2001-01-01 10:00', "to" => '2001-01-01 10:00'}, 'false', 'no row');
part_is('big', qq{$big, "from" => '2002-01-01'}, 'false', 'after the last');
part_is('big', qq{$big, "from" => '-infinity', "to" => 'infinity'}, 'true', 'without bounds');
part_is('big', qq{$big, key_from => '{b,500}'}, q{(word, id) >= ('b', 500)}, 'from a key, which is included');
part_is('big', qq{$big, key_to => '{b,500}'}, q{(word, id) <= ('b', 500)}, 'to a key, which is included, too');
part_is('big', qq{$big, key_from => '{a,9}', key_to => '{a,12}', "to" => '2001-01-01 00:12'}, q{(word, id) BETWEEN ('a', 9) AND ('a', 12) AND at < '2001-01-01 00:12'}, 'by key and by time');
is(plainly($db, q{SELECT count(*), min(id), max(id) FROM steward.read_archive_as(NULL::public.big, 'big', '2001-01-01 10:00', '2001-01-01 11:00')}), '60|600|659', 'read by time');

# what is not asked for is not read: a frame that is spoilt does not matter then
my $file = "$store/$path/data.ndjson.zst";
my $data = PostgreSQL::Test::Utils::slurp_file($file);
my $spoilt = $data;
substr($spoilt, length($data) - 1000, 1) ^= "\x01";
sub overwrite { my ($bytes) = @_; chmod 0600, $file; open my $f, '>:raw', $file or die $!; print $f $bytes; close $f; return; }
overwrite($spoilt);
my $last = (sort { $a->{rows} <=> $b->{rows} } @{ JSON::PP->new->decode(slurp_file("$store/$path/manifest.json"))->{frames} })[0];
my $before_last = quoted($last->{from});
like(outcome($db, "CALL steward.restore($big)"), qr/^ERROR:  XX001: archive ".*" does not prove its rows/, 'a spoilt archive is not restored');
is($node->safe_psql($db, 'SELECT count(*) FROM big'), '0', '... not in part either');
like(outcome($db, "SELECT steward.verify_archive($big)"), qr/^ERROR:  XX001/, '... nor verified');
overwrite($data);
is($node->safe_psql($db, "SELECT steward.verify_archive($big)"), 't', '... mended, it is');

# ---- a table that has changed since -------------------------------------------------

my ($changed) = archived_table('changed', 'id int PRIMARY KEY, at timestamptz, "Gone ""col""" text, twice int GENERATED ALWAYS AS (id * 2) STORED',
	q{SELECT g, '2001-01-01', 'value ' || g FROM generate_series(1, 9) g}, 'at');
$node->safe_psql($db, q{ALTER TABLE changed ADD added int NOT NULL DEFAULT 7, ADD later text, DROP twice});
is(outcome($db, "BEGIN; CALL steward.restore($changed); SELECT count(*), min(added), max(added), count(later) FROM changed; ROLLBACK;"), "9\n9|7|7|0", 'a column that came since has its default');
$node->safe_psql($db, q{ALTER TABLE changed DROP "Gone ""col"""});
my $refused = outcome($db, "CALL steward.restore($changed)");
like($refused, qr/^ERROR:  42703: table "changed" lacks columns of archive $changed\nDETAIL:  It has no: "Gone ""col"""\.\nHINT:  Make a table by the manifest's "ddl", and restore into it: CALL steward\.restore\($changed, "into" => '...'\);/m, 'one that went since is missed');
unlike($refused, qr/value/, '... without a value of the archive');
$node->safe_psql($db, q{ALTER TABLE changed ADD "Gone ""col""" int});
like($refused = outcome($db, "CALL steward.restore($changed)"), qr/^ERROR:  22P02: a row of the archive is not taken\n/, 'a type that does not take the text');
unlike($refused, qr/value \d/, '... is not told of the value');
$node->safe_psql($db, q{ALTER TABLE changed DROP "Gone ""col""", ADD "Gone ""col""" text CHECK ("Gone ""col""" <> 'value 3')});
like($refused = outcome($db, "CALL steward.restore($changed)"), qr/^ERROR:  23514: .*violates check constraint/, 'nor is a constraint\'s message');
unlike($refused, qr/value \d/, '... with the row');

# ---- what could not come back is not purged ---------------------------------------------

my %odd = (overloaded => [ 'regproc[]', q{ARRAY['abs(integer)'::regprocedure::oid::regproc]} ], tree => [ 'pg_node_tree', q{(SELECT adbin FROM pg_attrdef LIMIT 1)} ]);
foreach my $name (sort keys %odd)
{
	$node->safe_psql($db, "CREATE TABLE $name (id int PRIMARY KEY, at timestamptz, \"Odd\" $odd{$name}[0]); INSERT INTO $name VALUES (1, '2001-01-01', NULL), (2, '2001-01-01', $odd{$name}[1]);
		SELECT steward.govern('$name', owner => 'App', scope => 'service', name => '$name', retention => '{\"clock\": \"at\", \"hot\": \"1 day\", \"then\": \"archive\"}')");
	like(retain($db), qr/^rows\|$name:.*\|0A000\|a value of column "Odd" cannot be archived: Its type writes a text that it does not read\. The value could not be restored\.$/, "$name: what its type does not read back is not archived");
	is($node->safe_psql($db, "SELECT count(*) FROM $name"), '2', '... and stays');
	$node->safe_psql($db, "SELECT steward.release('$name'); DELETE FROM steward.task WHERE state = 'failed'");
}

# ---- batches cut by every sort of key -------------------------------------------------

{
	my %is_key = map { $_ => 1 } qw(bool int2 int8 oid xid8 tid float4 float8 numeric money text varchar bpchar name char bytea uuid date timestamp timestamptz time timetz
	  interval jsonb inet cidr macaddr macaddr8 bit varbit pg_lsn oidvector tsvector regclass int4range tstzrange nummultirange);
	my @keys = grep { ($_->[0] =~ /^c_(.*)/ && $is_key{$1}) || $_->[0] =~ /^o_(enum|domain|inner|char_5|fingerprint|secret|textrange|numeric_10_3|interval)$/ || $_->[0] =~ /^a_(text|int4|numeric)$/ }
	  awkward_columns('UTF8');

	$node->append_conf('postgresql.conf', 'steward.batch_rows = 5');
	$node->reload;
	awkward_setup($node, $db, 'UTF8');
	foreach my $column (@keys)
	{
		my ($name, $type, $values) = @$column;
		my $i = 0;

		run_quietly($db, 'SET array_nulls = on', "CREATE TABLE k$name (k $type, id int, at timestamptz, PRIMARY KEY (k, id))",
			(map { "INSERT INTO k$name SELECT k, " . $i++ . ", '2001-01-01' FROM (SELECT ($_)::$type AS k) x WHERE octet_length(k::text) < 2000" } @$values),
			"CREATE TABLE kept_k$name AS TABLE k$name", "SELECT steward.govern('k$name', owner => 'App', scope => 'service', name => 'k$name', retention => '{\"clock\": \"at\", \"hot\": \"1 day\", \"then\": \"archive\"}')");
	}
	is(retain($db), '', 'batches by ' . @keys . ' sorts of keys');
	my (@left, @wrong);
	foreach my $name (map { "k$_->[0]" } @keys)
	{
		push @left, $name if $node->safe_psql($db, "SELECT count(*) FROM $name") ne '0';
		my $calls = join('', map { "CALL steward.restore($_, keep => NULL);\n" } split /\n/, $node->safe_psql($db, "SELECT id FROM steward.archive WHERE store = '$name' AND state = 'verified'"));
		my $equal = outcome($db, "\\o /dev/null\n$calls\\o\nSELECT (SELECT array_agg(t::text ORDER BY id) FROM $name t) = (SELECT array_agg(t::text ORDER BY id) FROM kept_$name t)");
		push @wrong, "$name: $equal" if $equal ne 't';
	}
	is("@left", '', '... all purged');
	is(join("\n", @wrong), '', '... all restored');
	cmp_ok($node->safe_psql($db, q{SELECT count(*) FROM steward.archive WHERE store LIKE 'k%' AND state = 'verified'}), '>', 3 * @keys, '... in several batches each');
}

# Two characters of EUC_JP are one of UTF-8's: 0x8FA2F1 would come back as 0xADE2
{
	my $double = q{convert_from('\x8fa2f1'::bytea, 'EUC_JP')};

	$db = 'eucjp_rows';
	$node->safe_psql($db, "CREATE TABLE double (id int PRIMARY KEY, at timestamptz, \"Odd\" text); INSERT INTO double VALUES (1, '2001-01-01', $double);
		SELECT steward.govern('double', owner => 'App', scope => 'service', name => 'double', retention => '{\"clock\": \"at\", \"hot\": \"1 day\", \"then\": \"archive\"}')");
	like(retain($db), qr/^rows\|double:.*\|0A000\|a value of column "Odd" cannot be archived: A character of it is another one after conversion/, 'a character that would come back as another is not archived');
	is($node->safe_psql($db, "SELECT count(*) FROM double WHERE \"Odd\" = $double"), '1', '... and stays');
}

$node->stop;
done_testing();
