-- types.sql
--	  The reference types: steward.secret_ref, steward.blob_ref and
--	  steward.fingerprint.
--
-- Each is a varlena that holds its canonical text.  Only input, receive and the
-- accessors are ours (src/secret_ref.c, src/blob_ref.c, src/fingerprint.c);
-- output, comparison, sorting and hashing are PostgreSQL's own functions for
-- text and bytea, which see nothing but the bytes.  Order is byte order, in
-- every database.
--
-- The operators stand in pg_catalog, so that WHERE ref = '...' means the same
-- under every search_path: services do not have steward in theirs, and a
-- function with a fixed search_path cannot.
--
-- The three differ by their input alone, so what a type consists of is written
-- once: {n} stands for its name, {t} for the name with its schema.

DO $types$
DECLARE
	kind record;
	op record;
	stem text;
BEGIN
	FOR kind IN
		SELECT v.name, v.comment FROM (VALUES
			('secret_ref', 'the id of a secret in Azure Key Vault, never the secret itself'),
			('blob_ref', 'the address of a blob in Azure Blob Storage, without any right to read it'),
			('fingerprint', 'a digest that tells the versions of a secret apart without revealing it')) v (name, comment)
	LOOP
		stem := $sql$
CREATE TYPE {t};
CREATE FUNCTION {t}_in(pg_catalog.cstring) RETURNS {t}
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'steward_{n}_in';
CREATE FUNCTION {t}_out({t}) RETURNS pg_catalog.cstring
	LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE AS 'textout';
CREATE FUNCTION {t}_recv(pg_catalog.internal) RETURNS {t}
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'steward_{n}_recv';
CREATE FUNCTION {t}_send({t}) RETURNS pg_catalog.bytea
	LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE AS 'textsend';
COMMENT ON FUNCTION {t}_in(pg_catalog.cstring) IS 'text to {n}';
COMMENT ON FUNCTION {t}_out({t}) IS '{n} to text';
COMMENT ON FUNCTION {t}_recv(pg_catalog.internal) IS 'binary form to {n}';
COMMENT ON FUNCTION {t}_send({t}) IS '{n} to binary form';

CREATE TYPE {t} (
	INPUT = {t}_in, OUTPUT = {t}_out, RECEIVE = {t}_recv, SEND = {t}_send,
	INTERNALLENGTH = VARIABLE, ALIGNMENT = int4, STORAGE = extended
);
CREATE CAST (pg_catalog.text AS {t}) WITH INOUT AS ASSIGNMENT;
CREATE CAST (pg_catalog.varchar AS {t}) WITH INOUT AS ASSIGNMENT;
CREATE CAST ({t} AS pg_catalog.text) WITH INOUT AS ASSIGNMENT;

CREATE FUNCTION {t}_cmp({t}, {t}) RETURNS pg_catalog.int4
	LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE LEAKPROOF AS 'byteacmp';
CREATE FUNCTION {t}_sortsupport(pg_catalog.internal) RETURNS pg_catalog.void
	LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE AS 'bytea_sortsupport';
CREATE FUNCTION {t}_hash({t}) RETURNS pg_catalog.int4
	LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE AS 'hashvarlena';
CREATE FUNCTION {t}_hash_extended({t}, pg_catalog.int8) RETURNS pg_catalog.int8
	LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE AS 'hashvarlenaextended';
COMMENT ON FUNCTION {t}_cmp({t}, {t}) IS 'less than, equal to or greater than zero, byte by byte';
COMMENT ON FUNCTION {t}_sortsupport(pg_catalog.internal) IS 'sort support, with abbreviated keys';
COMMENT ON FUNCTION {t}_hash({t}) IS 'hash of 32 bits';
COMMENT ON FUNCTION {t}_hash_extended({t}, pg_catalog.int8) IS 'hash of 64 bits, with a seed';
$sql$;

		FOR op IN
			SELECT v.* FROM (VALUES
				('lt', '<', '>', '>=', 'scalarlt', '', 'is the first one less, byte by byte?'),
				('le', '<=', '>=', '>', 'scalarle', '', 'is the first one less or the same, byte by byte?'),
				('eq', '=', '=', '<>', 'eq', ', HASHES, MERGES', 'are both the same?'),
				('ne', '<>', '<>', '=', 'neq', '', 'do the two differ?'),
				('ge', '>=', '<=', '<', 'scalarge', '', 'is the first one greater or the same, byte by byte?'),
				('gt', '>', '<', '<=', 'scalargt', '', 'is the first one greater, byte by byte?'))
				v (name, symbol, commutator, negator, estimator, properties, comment)
		LOOP
			stem := stem || pg_catalog.format($sql$
CREATE FUNCTION {t}_%1$s({t}, {t}) RETURNS pg_catalog.bool
	LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE LEAKPROOF AS 'bytea%1$s';
COMMENT ON FUNCTION {t}_%1$s({t}, {t}) IS %7$L;
CREATE OPERATOR pg_catalog.%2$s (
	FUNCTION = {t}_%1$s, LEFTARG = {t}, RIGHTARG = {t},
	COMMUTATOR = OPERATOR(pg_catalog.%3$s), NEGATOR = OPERATOR(pg_catalog.%4$s),
	RESTRICT = pg_catalog.%5$ssel, JOIN = pg_catalog.%5$sjoinsel%6$s
);
COMMENT ON OPERATOR pg_catalog.%2$s ({t}, {t}) IS %7$L;
$sql$, op.name, op.symbol, op.commutator, op.negator, op.estimator, op.properties, op.comment);
		END LOOP;

		stem := stem || $sql$
CREATE OPERATOR CLASS {t}_ops DEFAULT FOR TYPE {t} USING btree AS
	OPERATOR 1 pg_catalog.<, OPERATOR 2 pg_catalog.<=, OPERATOR 3 pg_catalog.=,
	OPERATOR 4 pg_catalog.>=, OPERATOR 5 pg_catalog.>,
	FUNCTION 1 {t}_cmp({t}, {t}),
	FUNCTION 2 {t}_sortsupport(pg_catalog.internal),
	FUNCTION 4 pg_catalog.btequalimage(pg_catalog.oid);
CREATE OPERATOR CLASS {t}_ops DEFAULT FOR TYPE {t} USING hash AS
	OPERATOR 1 pg_catalog.=,
	FUNCTION 1 {t}_hash({t}),
	FUNCTION 2 {t}_hash_extended({t}, pg_catalog.int8);
$sql$;

		EXECUTE pg_catalog.replace(pg_catalog.replace(stem, '{t}', 'steward.' || kind.name), '{n}', kind.name);
		EXECUTE pg_catalog.format('COMMENT ON TYPE steward.%I IS %L', kind.name, kind.comment);
	END LOOP;

	-- what a value is made of
	FOR op IN
		SELECT v.* FROM (VALUES
			('vault_name', 'secret_ref', 'text', 'the name of the key vault'),
			('vault_host', 'secret_ref', 'text', 'the host name of the key vault'),
			('secret_name', 'secret_ref', 'text', 'the name of the secret'),
			('secret_version', 'secret_ref', 'text', 'the version of the secret; null when the reference names none'),
			('unversioned', 'secret_ref', 'steward.secret_ref', 'the same secret, whichever version is current'),
			('blob_account', 'blob_ref', 'text', 'the name of the storage account'),
			('blob_container', 'blob_ref', 'text', 'the name of the container'),
			('blob_name', 'blob_ref', 'text', 'the name of the blob, percent-encoded as it is stored'),
			('fingerprint_algorithm', 'fingerprint', 'text', 'the digest algorithm: sha256, sha384 or sha512'),
			('fingerprint_digest', 'fingerprint', 'bytea', 'the digest itself'))
			v (name, type, result, comment)
	LOOP
		EXECUTE pg_catalog.format(
			$sql$CREATE FUNCTION steward.%1$I(steward.%2$I) RETURNS %3$s
				LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'steward_%1$s'$sql$,
			op.name, op.type, op.result);
		EXECUTE pg_catalog.format('COMMENT ON FUNCTION steward.%I(steward.%I) IS %L', op.name, op.type, op.comment);
	END LOOP;
END
$types$;
