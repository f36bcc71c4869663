# AwkwardValues.pm
#    For every type that a column can have: values at its edges, and columns
#    made of them.  What a value is, is an SQL expression.
package AwkwardValues;

use strict;
use warnings;

use Exporter 'import';
use List::Util 'max';

our @EXPORT = qw(quoted ident awkward_types awkward_columns awkward_setup awkward_rows unreadable_types);

# SQL literal
sub quoted
{
	my ($text) = @_;
	$text =~ s/'/''/g;
	return $text =~ /\\/ ? ' E' . "'" . ($text =~ s/\\/\\\\/gr) . "'" : "'$text'";
}

sub ident
{
	my ($name) = @_;
	$name =~ s/"/""/g;
	return qq{"$name"};
}

# literals, one a line
sub each_line { return map { quoted($_) } split /\n/, $_[0]; }

sub integers
{
	my ($min, $max) = @_;
	my @list = map { my $n = $_; ($n, "-$n") } grep { length $_ < length $max } map { ('9' x $_, '1' . ('0' x $_)) } 1 .. 9;
	return map { quoted($_) } ('0', $max, $min, '1', '-1', '7', '42', substr($max, 0, -1) . ($max % 10 - 1), @list, '-7', '-42', 11 .. 22);
}

my @floats = each_line(<<'END');
0
-0
NaN
Infinity
-Infinity
1
-1
0.1
0.2
0.3
1e-5
1e-4
123456.7
1e15
1e16
1e20
33554433
-1e-7
3.4028235e38
1.1754944e-38
1e-45
0.333333333
9.9999999e22
16777216
END

my @doubles = (@floats[0 .. 18], each_line(<<'END'));
1.7976931348623157e308
2.2250738585072014e-308
5e-324
0.30000000000000004
9007199254740993
1e22
1e23
-1.2345678901234567e-100
END

my @numerics = (each_line(<<'END'), map { quoted($_) } '9' x 1000, '-0.' . ('0' x 999) . '1', '1' . ('0' x 131000), '0.' . ('12345678' x 2000));
0
0.0
0.0000
-0
1
-1
NaN
Infinity
-Infinity
0.1
-0.0001
0.00001
10000
9999
99999
10000.0001
123456789.987654321
1000000000000000000000000
0.00000000000000000000000000000001
1.10
-12345678901234567890.1234567890
100000000
END

my @dates = each_line(<<'END');
infinity
-infinity
4713-01-01 BC
0044-03-15 BC
0001-12-31 BC
0001-01-01
0099-09-09
0999-12-31
1582-10-15
1900-02-28
1969-12-31
1970-01-01
1999-12-31
2000-01-01
2000-02-29
2024-02-29
2038-01-19
9999-12-31
10000-01-01
99999-12-31
294276-12-31
5874897-12-31
2026-07-14
1752-09-14
END

my @timestamps = each_line(<<'END');
infinity
-infinity
4713-01-01 00:00:00 BC
0044-03-15 23:59:59.999999 BC
0001-12-31 23:59:59.9 BC
0001-01-01 00:00:00
0999-12-31 01:02:03.4
1582-10-15 12:00:00
1899-12-31 23:59:59.999999
1969-12-31 23:59:59.999999
1970-01-01 00:00:00
1999-12-31 23:59:59.999999
2000-01-01 00:00:00
2000-01-01 00:00:00.000001
2000-01-01 00:00:00.1
2024-02-29 12:34:56.789012
2024-02-29 12:34:56.78901
2024-02-29 12:34:56.7890
2038-01-19 03:14:07
9999-12-31 23:59:59.999999
10000-01-01 00:00:00
99999-12-31 10:20:30
294276-12-31 23:59:59.999999
2025-03-30 02:30:00
END

my @times = each_line(<<'END');
00:00:00
24:00:00
23:59:59.999999
00:00:00.000001
12:34:56.7
12:34:56.78
12:34:56.789
12:34:56.7890
12:34:56.78901
12:34:56.789012
01:02:03
10:00:00
11:59:59.9
12:00:00
13:00:00
00:59:00
01:00:00
06:06:06.060606
20:20:20.2
21:21:21.000010
22:22:22.100000
23:00:00
23:59:59
09:09:09.09
END

my @zones = ('+00', '-00:00:01', '+05:45', '-03:30', '+14', '-12', '+15:59:59', '-15:59:59', '+05:30:17');

my @intervals = each_line(<<'END');
0
1 year
-1 year
1 mon -1 day
-1 mon +1 day -00:00:01
1 day -00:00:00.000001
-1 year +2 mons -3 days +04:05:06.789
178956970 years 7 mons
-178956970 years -8 mons
2147483647 days
-2147483648 days
2562047788:00:54.775807
-2562047788:00:54.775807
00:00:00.1
00:00:00.000001
-00:00:00.000001
100:00:00
-100:59:59.999999
1 year 2 mons 3 days 04:05:06
13 mons
400 days
25:00:00
-1 mon 30 days
1 day
END

my @texts = (
	map({ quoted($_) }
		'', ' ', '  both ends  ', "'", '"', '\\', '\\\\', '\\N', '\\.', "\n", "\r\n", "\t\x08\x0c\x0b",
		join('', map { chr } 1 .. 31, 127), 'NULL', 'null', '{"a": [1, null]}', '{}', '(a,"b c",)', '\\u0041\\x41\\101', '%s%n',
		"ends\\", "1234567\"", "12345678\\", "a,b;c|d\te", '--', '$1 $$', '@', '""', "''"),
	q{repeat('x', 4095) || '"' || repeat('y', 4096) || E'\\\n'}, q{repeat('0123456789"\\', 100000)});

my @short_texts = grep { !/^repeat/ } @texts;

my %texts_of = (
	UTF8 => [ map({ quoted($_) } "\xc3\xa9\xc3\xbc\xc3\x9f", "e\xcc\x81", "\xe6\xbc\xa2\xe5\xad\x97\xe3\x82\xab\xe3\x83\x8a",
			"\xf0\x9f\x99\x82\xf0\x9f\x91\xa8\xe2\x80\x8d\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x91\xa7", "\xd7\xa9\xd7\x9c\xd7\x95\xd7\x9d", "\xe2\x80\xae\xd9\x85\xd8\xb1\xd8\xad\xd8\xa8\xd8\xa7",
			"\xef\xbb\xbfBOM", "\xe2\x80\xa8\xe2\x80\xa9\xc2\x85\xc2\xa0", "\xef\xbf\xbf\xef\xb7\x90", "\xf4\x8f\xbf\xbf"),
		q{(SELECT string_agg(chr(g), '') FROM generate_series(1, 65535) g WHERE g NOT BETWEEN 55296 AND 57343)},
		q{(SELECT string_agg(chr(65536 + g * 257), '"') FROM generate_series(0, 4000) g)} ],
	LATIN1 => [ q{(SELECT string_agg(chr(g), '') FROM generate_series(1, 255) g)}, map { quoted($_) } "\xc3\xa9\xc3\xbc\xc3\x9f", "\xc2\x80\xc2\x85\xc2\xa0\xc3\xbf" ],
	EUC_JP => [ map { quoted($_) } "\xe6\xbc\xa2\xe5\xad\x97", "\xe3\x82\xab\xe3\x83\x8a\"\\", "\xef\xbd\xb1\xef\xbd\xb2", "\xe2\x84\x96\xe2\x91\xa0", "\xe9\xbb\x91\xe9\xab\x98" ],
	SQL_ASCII => [ q{(SELECT convert_from(decode(string_agg(lpad(to_hex(g), 2, '0'), ''), 'hex'), 'SQL_ASCII') FROM generate_series(1, 255) g)},
		q{convert_from('\xe9ff80'::bytea, 'SQL_ASCII')}, quoted("\xe6\xbc\xa2\xe5\xad\x97") ],
);

my @json = map({ quoted($_) }
	'{}', '[]', 'null', 'true', '""', '0', '-0', '1e400', '-1E-400', '1.0', '0.10', '{"a":1,"a":2,"A":3}', '{"b":1,"a":{"c":[{},[],[[]],null]}}',
	'{"":"","  ":" ","\\"":"\\\\","\\n\\t\\u0001":"\\b\\f\\r/"}', '["\\u00e9\\u20ac"]', " [1 ,\n 2 ]\t", '["<\\/script>"]',
	'{"' . ('k' x 300) . '":"' . ('v' x 900) . '"}', ('[' x 200) . (']' x 200), '[' . join(',', 1 .. 200) . ']',
	'{' . join(',', map { qq("k$_":[$_,"$_",null,true,{"x":$_.50}]) } 1 .. 40) . '}', '"\\u007f\\u0080"', '123456789012345678901234567890.123456789', '[false,[true,"\\"\\\\\\""]]');

my @networks = each_line(<<'END');
0.0.0.0/0
255.255.255.255
10.0.0.0/8
192.168.1.0/24
127.0.0.1
::/0
::1
ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff
2001:db8::/32
fe80::/10
::ffff:1.2.3.4
::1.2.3.4
2001:db8:0:0:1::
1:2:3:4:5:6:7:8
64:ff9b::/96
1.0.0.0/32
128.0.0.0/1
172.16.0.0/12
100.64.0.0/10
2002::/16
ff02::1
0:0:1::
10.1.2.3
fd00::/8
END

sub numbered
{
	my ($make) = @_;
	return map { quoted($make->($_)) } 0 .. 23;
}

sub points { return map { "($_->[0],$_->[1])" } ([ 0, 0 ], [ '-0', 1 ], [ 'Infinity', 'NaN' ], [ '1e300', '-1e-300' ], [ '0.1', '0.30000000000000004' ], map { [ $_ / 3, -$_ ] } 5 .. 23); }
my @points = points();

# the letters and digits that both ends of ranges are made of
sub ranges
{
	my ($low, $high, @more) = @_;
	return map { quoted($_) } ('empty', '(,)', "[$low,)", "(,$high)", "[$low,$high]", "($low,$high)", "[$low,$low]", "[$high,$high]", "(,$low]", "($high,)", @more);
}

my @bits = map({ quoted($_) } '', '0', '1', '01', '10', '1' x 7, '1' x 8, '1' x 9, '0' x 64, '1' x 65, '10' x 500, map { sprintf '%b', $_ } 3 .. 15);

my %values = (
	bool => [ map { quoted($_) } ('t', 'f') ],
	int2 => [ integers('-32768', '32767') ],
	int4 => [ integers('-2147483648', '2147483647') ],
	int8 => [ integers('-9223372036854775808', '9223372036854775807') ],
	oid => [ map { quoted($_) } 0, 1, 9, 10, 99, 2147483647, 2147483648, 4294967295, 4294967294, 100 .. 115 ],
	xid => [ map { quoted($_) } 0 .. 21, 4294967295, 2147483648 ],
	cid => [ map { quoted($_) } 0 .. 21, 4294967295, 2147483648 ],
	xid8 => [ map { quoted($_) } 0 .. 21, '18446744073709551615', '9223372036854775808' ],
	tid => [ numbered(sub { '(' . ($_[0] ? 4294967295 - $_[0] : 0) . ',' . ($_[0] * 2849) . ')' }) ],
	float4 => \@floats,
	float8 => \@doubles,
	numeric => \@numerics,
	money => [ each_line("0\n0.01\n-0.01\n92233720368547758.07\n-92233720368547758.08\n1.1\n-1.99\n1234567.89\n999.99\n1000\n-1000.5\n0.1\n" . join("\n", map { $_ * 137.03 } 12 .. 23)) ],
	text => \@texts,
	varchar => \@texts,
	bpchar => \@short_texts,
	refcursor => [ map { "($_)::refcursor" } @short_texts ],
	name => [ @short_texts, quoted('n' x 63) ],
	char => [ map { quoted($_) } '', ' ', '"', '\\', "'", "\n", "\r", "\t", "\x01", "\x1f", "\x7f", 'a', 'Z', '0', '{', '}', ',', '(', ')', '-', '.', '/', ':', 'N', '\\200', '\\351', '\\377' ],
	bytea => [ q{''::bytea}, q{'\x00'::bytea}, q{'\xff'::bytea}, q{'\x5c'::bytea}, q{'\x22'::bytea}, q{convert_to('\x41', 'UTF8')},
		(map { "substr(decode(repeat('00ff0a5c22', 3000), 'hex'), 1, $_)" } 7, 8, 9, 2047, 2048, 2049, 4095, 4096, 4097, 8192),
		q{(SELECT string_agg(set_byte('\x00', 0, g), '') FROM generate_series(0, 255) g)}, map { "sha256('$_')" } 1 .. 7 ],
	uuid => [ each_line("00000000-0000-0000-0000-000000000000\nffffffff-ffff-ffff-ffff-ffffffffffff\n01234567-89ab-cdef-fedc-ba9876543210\na0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"), map { "md5('$_')::uuid" } 5 .. 24 ],
	date => \@dates,
	timestamp => \@timestamps,
	timestamptz => [ (map { s/( BC|)'$/+00$1'/r =~ s/infinity\+00/infinity/r } @timestamps), quoted('2024-06-01 12:00:00 Europe/Paris') ],
	time => \@times,
	timetz => [ map { my $i = $_; $times[$i] =~ s/'$/$zones[$i % @zones]'/r } 0 .. $#times ],
	interval => \@intervals,
	json => \@json,
	jsonb => [ @json, map { "to_jsonb(($_)::text)" } grep { !/generate_series\(1, 255\)/ } @texts ],
	jsonpath => [ each_line(<<'END') ],
$
lax $
strict $.a
$.*
$[*]
$.**
$.**{2 to last}
$.a[1,2 to 4]
$[last - 1]
$.a ? (@.b == 1 && @.c != "x")
$ ? (exists (@.x))
$."quoted \"key\""
$.a + 1
-$.a
$.a * 2 / 3 % 4
$.a.type()
$.a.size().double()
$.a.keyvalue()
$ ? (@ like_regex "^a.*\\d" flag "i")
$ ? (@ starts with "x")
$ ? ((@.a == 1) is unknown)
$var
$ ? (@ > -1.5e10)
$.a.ceiling().floor().abs()
END
	xml => [ each_line(<<'END'), quoted("<a>\n\t<b/>\r</a>"), quoted('<a>' . ('x' x 3000) . '</a>') ],

text only
<a/>
<a b="c&quot;d"/>
<?xml version="1.0"?><a/>
<?xml version="1.0" encoding="UTF-8"?><a>1</a>
<?xml version="1.0" standalone="yes"?><a/>
<?xml version="1.0" encoding="ISO-8859-1" standalone="no"?><a/>
<a/><b/>
<!-- c --><a/>
<![CDATA[ <x> ]]>
<a>&lt;&amp;&gt;</a>
<?pi x?>
<a xmlns="urn:x"/>
<a xmlns:p="urn:x"><p:b/></a>
 <a/> 
<a>'"\</a>
<a b='1' c="2"/>
<a>{"j":1}</a>
&#65;&#x42;
<a><![CDATA[]]></a>
<!DOCTYPE a><a/>
END
	inet => [ @networks, map { quoted($_) } '10.1.2.3/8', '2001:db8::1/32' ],
	cidr => [ @networks ],
	macaddr => [ numbered(sub { sprintf '%02x:00:ff:%02x:5c:%02x', $_[0] * 11, $_[0], 255 - $_[0] }) ],
	macaddr8 => [ numbered(sub { sprintf '%02x:00:ff:%02x:5c:%02x:00:ff', $_[0] * 11, $_[0], 255 - $_[0] }) ],
	bit => \@bits,
	varbit => \@bits,
	point => [ map { quoted($_) } @points ],
	lseg => [ map { quoted("[$points[$_],$points[ 23 - $_ ]]") } 0 .. 23 ],
	box => [ map { quoted("$points[$_],$points[ 23 - $_ ]") } 0 .. 23 ],
	path => [ map { quoted($_ % 2 ? '[' . join(',', @points[ 0 .. $_ ]) . ']' : '(' . join(',', @points[ 0 .. $_ ]) . ')') } 0 .. 23 ],
	polygon => [ map { quoted('(' . join(',', @points[ 3 .. $_ ]) . ')') } 3 .. 23 ],
	circle => [ map { quoted("<$points[$_]," . ($_ / 7) . '>') } 0 .. 23 ],
	line => [ map { quoted('{' . ($_ - 12) . ',' . (1 / ($_ + 1)) . ',' . ($_ ? 'Infinity' : '-0') . '}') } 0 .. 23 ],
	pg_lsn => [ map { quoted($_) } '0/0', 'FFFFFFFF/FFFFFFFF', map { sprintf '%X/%X', $_, $_ * 123456789 } 1 .. 22 ],
	txid_snapshot => [ numbered(sub { join ':', 10, 20 + $_[0], join ',', grep { $_ < 20 + $_[0] } 10 .. 10 + $_[0] }) ],
	pg_snapshot => [ numbered(sub { join ':', 10, 20 + $_[0], join ',', grep { $_ < 20 + $_[0] } 10 .. 10 + $_[0] }) ],
	oidvector => [ numbered(sub { join ' ', 1 .. $_[0] }) ],
	int2vector => [ numbered(sub { join ' ', map { -$_ } 1 .. $_[0] }) ],
	tsvector => [ each_line(<<'END'), (map { "'w$_:" . $_ . "A'" } 1 .. 12) ],

a
a:1
a:1A,2B,3C,4
'a b':1 'c''d':2
'\\':3 '"':4
b:16383 a:16382A
'é':1
'{':1 '}':2 ',':3
a:1,2,3,4,5,6,7,8,9,10
''':'
'x:1':5D
END
	tsquery => [ each_line(<<'END'), (map { "'t$_ & !u$_'" } 1 .. 8) ],

a
!a
a & b
a | b & c
(a | b) & c
!(a & b)
a <-> b
a <2> b
(a <-> b) <-> c
a <-> (b <-> c)
a:*
a:AB
a:*ABCD
'a b' & 'c''d'
!!a
END
	regclass => [ map { quoted($_) } '-', 'pg_class', 'pg_catalog.pg_type', '4294967295', 'information_schema.tables', 'public."Awkward ""class"""' ],
	regcollation => [ map { quoted($_) } '-', '"C"', '"default"', '"POSIX"', '4294967295' ],
	regconfig => [ map { quoted($_) } '-', 'simple', 'english', '4294967295' ],
	regdictionary => [ map { quoted($_) } '-', 'simple', 'english_stem', '4294967295' ],
	regnamespace => [ map { quoted($_) } '-', 'pg_catalog', 'public', '"Awkward ""schema"""', '4294967295' ],
	regoper => [ map({ quoted($_) } '0', 'pg_catalog.||/', '4294967295'), "'+(integer,integer)'::regoperator::oid::regoper" ],
	regoperator => [ map { quoted($_) } '0', '+(integer,integer)', '-(NONE,integer)', '4294967295' ],
	regproc => [ map({ quoted($_) } '-', 'now', 'pg_catalog.pg_sleep', '4294967295'), "'abs(integer)'::regprocedure::oid::regproc" ],
	regprocedure => [ map { quoted($_) } '-', 'now()', 'abs(integer)', 'abs(bigint)', 'pg_catalog.format(text,"any")', '4294967295' ],
	regrole => [ map { quoted($_) } '-', 'postgres', '"Awkward ""role"""', '4294967295' ],
	regtype => [ map { quoted($_) } '-', 'integer', 'timestamp with time zone', 'text[]', '"char"', '4294967295', 'public."Awkward ""enum"""' ],
	aclitem => [ map { quoted($_) } 'postgres=r/postgres', '=r*w*/postgres', 'postgres=arwdDxt/postgres', '"Awkward ""role"""=r/postgres' ],
	int4range => [ ranges(1, 2147483646, '[-2147483648,0)') ],
	int8range => [ ranges(1, '9223372036854775806', '[-9223372036854775808,0)') ],
	numrange => [ ranges('-1.50', '1e50', '[0.0,0.00]', '[NaN,NaN]', '[-Infinity,Infinity]') ],
	daterange => [ ranges('2000-02-29', '5874897-12-30', '["4713-01-01 BC",infinity]', '[-infinity,infinity)') ],
	tsrange => [ ranges('"2000-02-29 00:00:00.000001"', '"294276-12-31 23:59:59"', '["0044-03-15 12:00:00 BC",infinity]') ],
	tstzrange => [ ranges('"2000-02-29 00:00:00.000001+05:45"', '"294276-12-31 23:59:59+00"', '["0044-03-15 12:00:00+00 BC",infinity]') ],
	int4multirange => [ map { quoted($_) } '{}', '{[1,2)}', '{(,1),[5,9),(100,)}', '{(,)}', '{[1,3),[2,5)}' ],
	int8multirange => [ map { quoted($_) } '{}', '{[1,2)}', '{(,1),[5,9),(9000000000,)}', '{(,)}' ],
	nummultirange => [ map { quoted($_) } '{}', '{[1.0,2.00)}', '{(,1),[5,9],(100,)}', '{[NaN,NaN]}' ],
	datemultirange => [ map { quoted($_) } '{}', '{[2000-01-01,2000-01-02)}', '{(,2000-01-01),[2001-01-01,infinity]}' ],
	tsmultirange => [ map { quoted($_) } '{}', '{["2000-01-01 00:00","2000-01-02 00:00"]}', '{(,"0044-01-01 BC"),[2001-01-01,infinity]}' ],
	tstzmultirange => [ map { quoted($_) } '{}', '{["2000-01-01 00:00+05:45","2000-01-02 00:00+00"]}', '{(,"0044-01-01 00:00+00 BC"),[2001-01-01,infinity]}' ],
);

# types of pg_catalog whose values come from the server alone: input refuses all
my @unreadable = qw(gtsvector pg_brin_bloom_summary pg_brin_minmax_multi_summary pg_dependencies pg_mcv_list pg_ndistinct pg_node_tree);

sub unreadable_types { return @unreadable; }

sub awkward_types { return sort keys %values; }

# contrib and the types that they bring
my %contrib = (
	hstore => { hstore => [ map { quoted($_) } '', 'a=>1', '"a b"=>"c,d"', 'k=>NULL', '"\\"q\\""=>"\\\\"', 'a=>"NULL"', '""=>""', "\"n\nl\"=>\"\t\"" ] },
	ltree => { ltree => [ map { quoted($_) } '', 'a', 'a.b.c', 'Top.1_2' ], lquery => [ map { quoted($_) } '*', 'a.*{1,3}.b', '!a|b@*.c%' ], ltxtquery => [ map { quoted($_) } 'a & !b', '(a | b@) & c*' ] },
	cube => { cube => [ map { quoted($_) } '(0)', '(1,2,3)', '(1,2),(3,4)', '(0.1,0.30000000000000004)', '(-0,1e300),(Infinity,NaN)', '()' ] },
	citext => { citext => \@short_texts },
	isn => { isbn13 => [ map { quoted($_) } '978-0-393-04002-9' ], ean13 => [ map { quoted($_) } '9780393040029' ], issn => [ map { quoted($_) } '1436-4522' ], upc => [ map { quoted($_) } '220356483481' ] },
	seg => { seg => [ map { quoted($_) } '1', '1.50', '1 .. 2', '~1.5', '> 1', '1e10 .. ', '.. 3.00', '6(+-)1', '<1.00 .. ~2.5e3' ] },
	intarray => { query_int => [ map { quoted($_) } '1', '1&2', '1&(2|!3)', '!1' ] },
);

# What the columns need, in the database: types, and things to refer to
sub awkward_setup
{
	my ($node, $dbname, $encoding) = @_;
	my @found = $node->safe_psql($dbname, 'SELECT name FROM pg_available_extensions') =~ /^(.*)$/mg;
	my %found = map { $_ => 1 } @found;
	my @extensions = grep { $found{$_} } sort keys %contrib;
	my $label = $encoding eq 'UTF8' ? quoted("\xf0\x9f\x99\x82") : quoted('plain');

	$node->safe_psql($dbname, join("\n", 'SET client_min_messages = warning;', map { "CREATE EXTENSION $_;" } @extensions) . <<"SQL");

DO \$do\$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'Awkward "role"') THEN CREATE ROLE "Awkward ""role"""; END IF; END \$do\$;
CREATE SCHEMA "Awkward ""schema""";
CREATE TABLE public."Awkward ""class""" ();
CREATE TYPE public."Awkward ""enum""" AS ENUM ('', 'a b', 'it''s', '"', E'\\\\', E'n\\nl', 'NULL', $label);
CREATE DOMAIN "Awkward ""schema""".positive AS numeric(20, 5) CHECK (VALUE > 0);
CREATE DOMAIN "Awkward ""schema""".words AS text[] CHECK (array_length(VALUE, 1) < 100);
CREATE TYPE "Awkward ""schema""".inner_type AS (n numeric, t text, e public."Awkward ""enum""");
CREATE TYPE "Awkward ""schema""".outer_type AS (i "Awkward ""schema""".inner_type, a "Awkward ""schema""".inner_type[], "the ""date""" date, b bytea);
CREATE DOMAIN "Awkward ""schema""".checked AS "Awkward ""schema""".inner_type CHECK ((VALUE).n IS DISTINCT FROM 13);
CREATE TYPE "Awkward ""schema""".textrange AS RANGE (subtype = text, collation = "C");
CREATE TYPE "Awkward ""schema""".floatrange AS RANGE (subtype = float8, subtype_diff = float8mi);
SQL
	return @extensions;
}

sub own_types
{
	my $s = '"Awkward ""schema"""';
	my $inner = "$s.inner_type";
	my @inner = map { "ROW($numerics[$_], $texts[$_], " . quoted([ '', 'a b', "it's", '"', '\\', "n\nl", 'NULL' ]->[ $_ % 7 ]) . ")::$inner" } 0 .. 23;
	my @label = map { quoted($_) } '', 'a b', "it's", '"', '\\', "n\nl", 'NULL';

	return (
		[ 'o_enum', 'public."Awkward ""enum"""', \@label ],
		[ 'o_enums', 'public."Awkward ""enum"""[]', [ "ARRAY[$label[1], NULL, $label[4]]::public.\"Awkward \"\"enum\"\"\"[]", "'{}'", "'[5:6]={NULL,\"NULL\"}'" ] ],
		[ 'o_domain', "$s.positive", [ map { quoted($_) } '0.00001', '1', '999999999999999.99999', 'NaN' ] ],
		[ 'o_words', "$s.words", [ map { quoted($_) } '{}', '{"a b",NULL,"NULL",""}', '[3:4]={"\\"","\\\\"}', '{{a,b},{c,d}}' ] ],
		[ 'o_inner', $inner, \@inner ],
		[ 'o_outer', "$s.outer_type", [ (map { "ROW($inner[$_], ARRAY[$inner[ 23 - $_ ], NULL, ROW(NULL, NULL, NULL)::$inner], $dates[$_], '\\x5c220a'::bytea)::$s.outer_type" } 0 .. 23), "ROW(NULL, NULL, NULL, NULL)" ] ],
		[ 'o_checked', "$s.checked", [ @inner[ 0 .. 5 ] ] ],
		[ 'o_inners', "$inner\[]", [ "ARRAY[$inner[0], $inner[5]]", "ARRAY[[$inner[7]], [NULL::$inner]]", "'{}'" ] ],
		[ 'o_textrange', "$s.textrange", [ "'empty'", "'(,)'", "$s.textrange('a\"c', 'a,b')", "$s.textrange('', E'\\\\', '[]')", "$s.textrange(' ', NULL, '()')" ] ],
		[ 'o_textmultirange', "$s.textmultirange", [ "'{}'", "$s.textmultirange($s.textrange('a\"c', 'a,b'), $s.textrange('b}', NULL))" ] ],
		[ 'o_floatrange', "$s.floatrange", [ map { quoted($_) } '[0.1,0.30000000000000004]', '[-Infinity,NaN)', '(-0,5e-324]', 'empty' ] ],
		[ 'o_secret', 'steward.secret_ref', [ "'https://vault1.vault.azure.net/secrets/name-1'", "'https://vault1.vault.azure.net/secrets/name-1/' || md5('x')" ] ],
		[ 'o_blob', 'steward.blob_ref', [ "'https://acct.blob.core.windows.net/box/a/b'", "'https://acct.blob.core.windows.net/box/a%20b'" ] ],
		[ 'o_fingerprint', 'steward.fingerprint', [ map { "'sha256:' || encode(sha256('$_'), 'hex')" } 1 .. 24 ] ],
		[ 'o_numeric_10_3', 'numeric(10,3)', [ map { quoted($_) } '0', '1.5', '-9999999.999', 'NaN', '0.001' ] ],
		[ 'o_varchar_5', 'varchar(5)', [ map { quoted($_) } '', '     ', 'abcde', '"\\' ] ],
		[ 'o_char_5', 'char(5)', [ map { quoted($_) } '', 'a', ' a', 'abcde' ] ],
		[ 'o_bit_9', 'bit(9)', [ map { quoted($_) } '000000000', '111111111', '101010101' ] ],
		[ 'o_time_2', 'time(2)', [ map { quoted($_) } '12:00:00.12', '24:00:00' ] ],
		[ 'o_interval', 'interval day to second(3)', [ map { quoted($_) } '1 day 00:00:00.123', '-1 day' ] ],
		[ 'o_collated', 'text COLLATE "C"', \@short_texts ],
		[ 'o_mb_text', 'text', [ q{repeat('x"\\' || chr(10), 300000)}, q{(SELECT string_agg(md5(g::text), '') FROM generate_series(1, 32768) g)}, (q{''}) x 30 ] ],
		[ 'o_mb_bytea', 'bytea', [ q{(SELECT string_agg(sha256(g::text::bytea), '') FROM generate_series(1, 32768) g)}, (q{''}) x 30 ] ],
		[ 'o_mb_jsonb', 'jsonb', [ q{(SELECT jsonb_object_agg(md5(g::text), jsonb_build_array(g, g / 7.0, repeat('"', g % 9))) FROM generate_series(1, 16384) g)}, (q{'{}'}) x 30 ] ]);
}

# Columns: [name, type, values].  Names are as a user would wish they were not.
sub awkward_columns
{
	my ($encoding, @extensions) = @_;
	my @columns;

	foreach my $type (awkward_types())
	{
		my @list = @{ $values{$type} };

		push @list, @{ $texts_of{$encoding} } if $type =~ /^(text|varchar|bpchar)$/;
		push @list, map { "to_jsonb(($_)::text)" } @{ $texts_of{$encoding} } if $type eq 'jsonb' && $encoding ne 'SQL_ASCII';
		@list = grep { !/\\\\u(00e9|0080)/ && !/\xc3/ } @list if $encoding ne 'UTF8' && $type =~ /^(json|jsonb|tsvector)$/;
		push @columns, [ "c_$type", $type eq 'bit' ? 'varbit' : "pg_catalog.\"$type\"", \@list ];
		$columns[-1][1] = 'pg_catalog."bit"' if $type eq 'bit';
	}
	push @columns, own_types();
	foreach my $extension (@extensions)
	{
		push @columns, map { [ "x_$_", $_, $contrib{$extension}{$_} ] } sort keys %{ $contrib{$extension} };
	}
	# arrays of the types of pg_catalog and of the contribs
	foreach my $column (grep { $_->[0] =~ /^[cx]_/ && $_->[0] !~ /vector$/ } @columns)
	{
		my ($name, $type, $list) = @$column;
		my $cast = $type eq 'pg_catalog."bit"' ? 'pg_catalog."bit"' : $type;
		my @v = map { "($_)::$cast" } grep { !/repeat|generate_series|::oid::/ && length $_ < 2000 } @$list;
		my @w = map { [ $v[ $_ % @v ], $v[ ($_ * 7 + 1) % @v ], $v[ ($_ * 5 + 2) % @v ] ] } 0 .. 23;

		push @columns, [ $name =~ s/^./a/r, "$type\[]",
			[ map { my ($a, $b, $c) = @{ $w[$_] };
					('\'{}\'', "ARRAY[$a]", "ARRAY[$a, NULL, $b]", "ARRAY[[$a, $b], [NULL, $c]]", "array_fill($a, ARRAY[2, 1, 2], ARRAY[-1, 0, 7])", "ARRAY[NULL, NULL]::$cast\[]")[ $_ % 6 ] } 0 .. 23 ] ];
	}
	my @names = ('quote"d', "new\nline", 'UPPER', 'back\\slash', 'select', "it's", "tab\there", ' ', '{"a":1}', 'n' x 63, '%s', '$1');
	push @names, "\xf0\x9f\x99\x82" x 15, "\xe2\x80\xaertl" if $encoding eq 'UTF8';
	push @names, "caf\xc3\xa9" if $encoding eq 'LATIN1';
	push @names, "\xe6\xbc\xa2" if $encoding eq 'EUC_JP';
	push @columns, map { [ $_, 'text', \@short_texts ] } @names;
	return @columns;
}

# VALUES: one list a row, until every column has had each of its values, and
# "rows" at least; the last row holds NULLs
sub awkward_rows
{
	my ($rows, @columns) = @_;

	$rows = max($rows, map { scalar @{ $_->[2] } } @columns);
	return map { my $i = $_; [ map { $i < $rows ? $_->[2][ $i % @{ $_->[2] } ] : 'NULL' } @columns ] } 0 .. $rows;
}

1;
