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


-- ---- steward.secret_ref ----------------------------------------------------

CREATE TYPE steward.secret_ref;

CREATE FUNCTION steward.secret_ref_in(pg_catalog.cstring) RETURNS steward.secret_ref
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'steward_secret_ref_in';
COMMENT ON FUNCTION steward.secret_ref_in(pg_catalog.cstring) IS
	'text to secret_ref';

CREATE FUNCTION steward.secret_ref_out(steward.secret_ref) RETURNS pg_catalog.cstring
	LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE
	AS 'textout';
COMMENT ON FUNCTION steward.secret_ref_out(steward.secret_ref) IS
	'secret_ref to text';

CREATE FUNCTION steward.secret_ref_recv(pg_catalog.internal) RETURNS steward.secret_ref
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'steward_secret_ref_recv';
COMMENT ON FUNCTION steward.secret_ref_recv(pg_catalog.internal) IS
	'binary form to secret_ref';

CREATE FUNCTION steward.secret_ref_send(steward.secret_ref) RETURNS pg_catalog.bytea
	LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE
	AS 'textsend';
COMMENT ON FUNCTION steward.secret_ref_send(steward.secret_ref) IS
	'secret_ref to binary form';

CREATE TYPE steward.secret_ref (
	INPUT = steward.secret_ref_in,
	OUTPUT = steward.secret_ref_out,
	RECEIVE = steward.secret_ref_recv,
	SEND = steward.secret_ref_send,
	INTERNALLENGTH = VARIABLE,
	ALIGNMENT = int4,
	STORAGE = extended
);
COMMENT ON TYPE steward.secret_ref IS
	'the id of a secret in Azure Key Vault, never the secret itself';

CREATE CAST (pg_catalog.text AS steward.secret_ref) WITH INOUT AS ASSIGNMENT;
CREATE CAST (pg_catalog.varchar AS steward.secret_ref) WITH INOUT AS ASSIGNMENT;
CREATE CAST (steward.secret_ref AS pg_catalog.text) WITH INOUT AS ASSIGNMENT;

CREATE FUNCTION steward.secret_ref_lt(steward.secret_ref, steward.secret_ref) RETURNS pg_catalog.bool
	LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE LEAKPROOF
	AS 'bytealt';
COMMENT ON FUNCTION steward.secret_ref_lt(steward.secret_ref, steward.secret_ref) IS
	'is the first one less, byte by byte?';

CREATE FUNCTION steward.secret_ref_le(steward.secret_ref, steward.secret_ref) RETURNS pg_catalog.bool
	LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE LEAKPROOF
	AS 'byteale';
COMMENT ON FUNCTION steward.secret_ref_le(steward.secret_ref, steward.secret_ref) IS
	'is the first one less or the same, byte by byte?';

CREATE FUNCTION steward.secret_ref_eq(steward.secret_ref, steward.secret_ref) RETURNS pg_catalog.bool
	LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE LEAKPROOF
	AS 'byteaeq';
COMMENT ON FUNCTION steward.secret_ref_eq(steward.secret_ref, steward.secret_ref) IS
	'are both the same?';

CREATE FUNCTION steward.secret_ref_ne(steward.secret_ref, steward.secret_ref) RETURNS pg_catalog.bool
	LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE LEAKPROOF
	AS 'byteane';
COMMENT ON FUNCTION steward.secret_ref_ne(steward.secret_ref, steward.secret_ref) IS
	'do the two differ?';

CREATE FUNCTION steward.secret_ref_ge(steward.secret_ref, steward.secret_ref) RETURNS pg_catalog.bool
	LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE LEAKPROOF
	AS 'byteage';
COMMENT ON FUNCTION steward.secret_ref_ge(steward.secret_ref, steward.secret_ref) IS
	'is the first one greater or the same, byte by byte?';

CREATE FUNCTION steward.secret_ref_gt(steward.secret_ref, steward.secret_ref) RETURNS pg_catalog.bool
	LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE LEAKPROOF
	AS 'byteagt';
COMMENT ON FUNCTION steward.secret_ref_gt(steward.secret_ref, steward.secret_ref) IS
	'is the first one greater, byte by byte?';

CREATE FUNCTION steward.secret_ref_cmp(steward.secret_ref, steward.secret_ref) RETURNS pg_catalog.int4
	LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE LEAKPROOF
	AS 'byteacmp';
COMMENT ON FUNCTION steward.secret_ref_cmp(steward.secret_ref, steward.secret_ref) IS
	'less than, equal to or greater than zero, byte by byte';

CREATE FUNCTION steward.secret_ref_sortsupport(pg_catalog.internal) RETURNS pg_catalog.void
	LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE
	AS 'bytea_sortsupport';
COMMENT ON FUNCTION steward.secret_ref_sortsupport(pg_catalog.internal) IS
	'sort support, with abbreviated keys';

CREATE FUNCTION steward.secret_ref_hash(steward.secret_ref) RETURNS pg_catalog.int4
	LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE
	AS 'hashvarlena';
COMMENT ON FUNCTION steward.secret_ref_hash(steward.secret_ref) IS
	'hash of 32 bits';

CREATE FUNCTION steward.secret_ref_hash_extended(steward.secret_ref, pg_catalog.int8) RETURNS pg_catalog.int8
	LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE
	AS 'hashvarlenaextended';
COMMENT ON FUNCTION steward.secret_ref_hash_extended(steward.secret_ref, pg_catalog.int8) IS
	'hash of 64 bits, with a seed';

CREATE OPERATOR pg_catalog.< (
	FUNCTION = steward.secret_ref_lt, LEFTARG = steward.secret_ref, RIGHTARG = steward.secret_ref,
	COMMUTATOR = OPERATOR(pg_catalog.>), NEGATOR = OPERATOR(pg_catalog.>=),
	RESTRICT = pg_catalog.scalarltsel, JOIN = pg_catalog.scalarltjoinsel
);

CREATE OPERATOR pg_catalog.<= (
	FUNCTION = steward.secret_ref_le, LEFTARG = steward.secret_ref, RIGHTARG = steward.secret_ref,
	COMMUTATOR = OPERATOR(pg_catalog.>=), NEGATOR = OPERATOR(pg_catalog.>),
	RESTRICT = pg_catalog.scalarlesel, JOIN = pg_catalog.scalarlejoinsel
);

CREATE OPERATOR pg_catalog.= (
	FUNCTION = steward.secret_ref_eq, LEFTARG = steward.secret_ref, RIGHTARG = steward.secret_ref,
	COMMUTATOR = OPERATOR(pg_catalog.=), NEGATOR = OPERATOR(pg_catalog.<>),
	RESTRICT = pg_catalog.eqsel, JOIN = pg_catalog.eqjoinsel, HASHES, MERGES
);

CREATE OPERATOR pg_catalog.<> (
	FUNCTION = steward.secret_ref_ne, LEFTARG = steward.secret_ref, RIGHTARG = steward.secret_ref,
	COMMUTATOR = OPERATOR(pg_catalog.<>), NEGATOR = OPERATOR(pg_catalog.=),
	RESTRICT = pg_catalog.neqsel, JOIN = pg_catalog.neqjoinsel
);

CREATE OPERATOR pg_catalog.>= (
	FUNCTION = steward.secret_ref_ge, LEFTARG = steward.secret_ref, RIGHTARG = steward.secret_ref,
	COMMUTATOR = OPERATOR(pg_catalog.<=), NEGATOR = OPERATOR(pg_catalog.<),
	RESTRICT = pg_catalog.scalargesel, JOIN = pg_catalog.scalargejoinsel
);

CREATE OPERATOR pg_catalog.> (
	FUNCTION = steward.secret_ref_gt, LEFTARG = steward.secret_ref, RIGHTARG = steward.secret_ref,
	COMMUTATOR = OPERATOR(pg_catalog.<), NEGATOR = OPERATOR(pg_catalog.<=),
	RESTRICT = pg_catalog.scalargtsel, JOIN = pg_catalog.scalargtjoinsel
);

CREATE OPERATOR CLASS steward.secret_ref_ops
	DEFAULT FOR TYPE steward.secret_ref USING btree AS
	OPERATOR 1 pg_catalog.<,
	OPERATOR 2 pg_catalog.<=,
	OPERATOR 3 pg_catalog.=,
	OPERATOR 4 pg_catalog.>=,
	OPERATOR 5 pg_catalog.>,
	FUNCTION 1 steward.secret_ref_cmp(steward.secret_ref, steward.secret_ref),
	FUNCTION 2 steward.secret_ref_sortsupport(pg_catalog.internal),
	FUNCTION 4 pg_catalog.btequalimage(pg_catalog.oid);

CREATE OPERATOR CLASS steward.secret_ref_ops
	DEFAULT FOR TYPE steward.secret_ref USING hash AS
	OPERATOR 1 pg_catalog.=,
	FUNCTION 1 steward.secret_ref_hash(steward.secret_ref),
	FUNCTION 2 steward.secret_ref_hash_extended(steward.secret_ref, pg_catalog.int8);

CREATE FUNCTION steward.vault_name(steward.secret_ref) RETURNS pg_catalog.text
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'steward_vault_name';
COMMENT ON FUNCTION steward.vault_name(steward.secret_ref) IS
	'the name of the key vault';

CREATE FUNCTION steward.vault_host(steward.secret_ref) RETURNS pg_catalog.text
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'steward_vault_host';
COMMENT ON FUNCTION steward.vault_host(steward.secret_ref) IS
	'the host name of the key vault';

CREATE FUNCTION steward.secret_name(steward.secret_ref) RETURNS pg_catalog.text
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'steward_secret_name';
COMMENT ON FUNCTION steward.secret_name(steward.secret_ref) IS
	'the name of the secret';

CREATE FUNCTION steward.secret_version(steward.secret_ref) RETURNS pg_catalog.text
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'steward_secret_version';
COMMENT ON FUNCTION steward.secret_version(steward.secret_ref) IS
	'the version of the secret; null when the reference names none';

CREATE FUNCTION steward.unversioned(steward.secret_ref) RETURNS steward.secret_ref
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'steward_unversioned';
COMMENT ON FUNCTION steward.unversioned(steward.secret_ref) IS
	'the same secret, whichever version is current';


-- ---- steward.blob_ref ------------------------------------------------------

CREATE TYPE steward.blob_ref;

CREATE FUNCTION steward.blob_ref_in(pg_catalog.cstring) RETURNS steward.blob_ref
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'steward_blob_ref_in';
COMMENT ON FUNCTION steward.blob_ref_in(pg_catalog.cstring) IS
	'text to blob_ref';

CREATE FUNCTION steward.blob_ref_out(steward.blob_ref) RETURNS pg_catalog.cstring
	LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE
	AS 'textout';
COMMENT ON FUNCTION steward.blob_ref_out(steward.blob_ref) IS
	'blob_ref to text';

CREATE FUNCTION steward.blob_ref_recv(pg_catalog.internal) RETURNS steward.blob_ref
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'steward_blob_ref_recv';
COMMENT ON FUNCTION steward.blob_ref_recv(pg_catalog.internal) IS
	'binary form to blob_ref';

CREATE FUNCTION steward.blob_ref_send(steward.blob_ref) RETURNS pg_catalog.bytea
	LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE
	AS 'textsend';
COMMENT ON FUNCTION steward.blob_ref_send(steward.blob_ref) IS
	'blob_ref to binary form';

CREATE TYPE steward.blob_ref (
	INPUT = steward.blob_ref_in,
	OUTPUT = steward.blob_ref_out,
	RECEIVE = steward.blob_ref_recv,
	SEND = steward.blob_ref_send,
	INTERNALLENGTH = VARIABLE,
	ALIGNMENT = int4,
	STORAGE = extended
);
COMMENT ON TYPE steward.blob_ref IS
	'the address of a blob in Azure Blob Storage, without any right to read it';

CREATE CAST (pg_catalog.text AS steward.blob_ref) WITH INOUT AS ASSIGNMENT;
CREATE CAST (pg_catalog.varchar AS steward.blob_ref) WITH INOUT AS ASSIGNMENT;
CREATE CAST (steward.blob_ref AS pg_catalog.text) WITH INOUT AS ASSIGNMENT;

CREATE FUNCTION steward.blob_ref_lt(steward.blob_ref, steward.blob_ref) RETURNS pg_catalog.bool
	LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE LEAKPROOF
	AS 'bytealt';
COMMENT ON FUNCTION steward.blob_ref_lt(steward.blob_ref, steward.blob_ref) IS
	'is the first one less, byte by byte?';

CREATE FUNCTION steward.blob_ref_le(steward.blob_ref, steward.blob_ref) RETURNS pg_catalog.bool
	LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE LEAKPROOF
	AS 'byteale';
COMMENT ON FUNCTION steward.blob_ref_le(steward.blob_ref, steward.blob_ref) IS
	'is the first one less or the same, byte by byte?';

CREATE FUNCTION steward.blob_ref_eq(steward.blob_ref, steward.blob_ref) RETURNS pg_catalog.bool
	LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE LEAKPROOF
	AS 'byteaeq';
COMMENT ON FUNCTION steward.blob_ref_eq(steward.blob_ref, steward.blob_ref) IS
	'are both the same?';

CREATE FUNCTION steward.blob_ref_ne(steward.blob_ref, steward.blob_ref) RETURNS pg_catalog.bool
	LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE LEAKPROOF
	AS 'byteane';
COMMENT ON FUNCTION steward.blob_ref_ne(steward.blob_ref, steward.blob_ref) IS
	'do the two differ?';

CREATE FUNCTION steward.blob_ref_ge(steward.blob_ref, steward.blob_ref) RETURNS pg_catalog.bool
	LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE LEAKPROOF
	AS 'byteage';
COMMENT ON FUNCTION steward.blob_ref_ge(steward.blob_ref, steward.blob_ref) IS
	'is the first one greater or the same, byte by byte?';

CREATE FUNCTION steward.blob_ref_gt(steward.blob_ref, steward.blob_ref) RETURNS pg_catalog.bool
	LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE LEAKPROOF
	AS 'byteagt';
COMMENT ON FUNCTION steward.blob_ref_gt(steward.blob_ref, steward.blob_ref) IS
	'is the first one greater, byte by byte?';

CREATE FUNCTION steward.blob_ref_cmp(steward.blob_ref, steward.blob_ref) RETURNS pg_catalog.int4
	LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE LEAKPROOF
	AS 'byteacmp';
COMMENT ON FUNCTION steward.blob_ref_cmp(steward.blob_ref, steward.blob_ref) IS
	'less than, equal to or greater than zero, byte by byte';

CREATE FUNCTION steward.blob_ref_sortsupport(pg_catalog.internal) RETURNS pg_catalog.void
	LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE
	AS 'bytea_sortsupport';
COMMENT ON FUNCTION steward.blob_ref_sortsupport(pg_catalog.internal) IS
	'sort support, with abbreviated keys';

CREATE FUNCTION steward.blob_ref_hash(steward.blob_ref) RETURNS pg_catalog.int4
	LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE
	AS 'hashvarlena';
COMMENT ON FUNCTION steward.blob_ref_hash(steward.blob_ref) IS
	'hash of 32 bits';

CREATE FUNCTION steward.blob_ref_hash_extended(steward.blob_ref, pg_catalog.int8) RETURNS pg_catalog.int8
	LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE
	AS 'hashvarlenaextended';
COMMENT ON FUNCTION steward.blob_ref_hash_extended(steward.blob_ref, pg_catalog.int8) IS
	'hash of 64 bits, with a seed';

CREATE OPERATOR pg_catalog.< (
	FUNCTION = steward.blob_ref_lt, LEFTARG = steward.blob_ref, RIGHTARG = steward.blob_ref,
	COMMUTATOR = OPERATOR(pg_catalog.>), NEGATOR = OPERATOR(pg_catalog.>=),
	RESTRICT = pg_catalog.scalarltsel, JOIN = pg_catalog.scalarltjoinsel
);

CREATE OPERATOR pg_catalog.<= (
	FUNCTION = steward.blob_ref_le, LEFTARG = steward.blob_ref, RIGHTARG = steward.blob_ref,
	COMMUTATOR = OPERATOR(pg_catalog.>=), NEGATOR = OPERATOR(pg_catalog.>),
	RESTRICT = pg_catalog.scalarlesel, JOIN = pg_catalog.scalarlejoinsel
);

CREATE OPERATOR pg_catalog.= (
	FUNCTION = steward.blob_ref_eq, LEFTARG = steward.blob_ref, RIGHTARG = steward.blob_ref,
	COMMUTATOR = OPERATOR(pg_catalog.=), NEGATOR = OPERATOR(pg_catalog.<>),
	RESTRICT = pg_catalog.eqsel, JOIN = pg_catalog.eqjoinsel, HASHES, MERGES
);

CREATE OPERATOR pg_catalog.<> (
	FUNCTION = steward.blob_ref_ne, LEFTARG = steward.blob_ref, RIGHTARG = steward.blob_ref,
	COMMUTATOR = OPERATOR(pg_catalog.<>), NEGATOR = OPERATOR(pg_catalog.=),
	RESTRICT = pg_catalog.neqsel, JOIN = pg_catalog.neqjoinsel
);

CREATE OPERATOR pg_catalog.>= (
	FUNCTION = steward.blob_ref_ge, LEFTARG = steward.blob_ref, RIGHTARG = steward.blob_ref,
	COMMUTATOR = OPERATOR(pg_catalog.<=), NEGATOR = OPERATOR(pg_catalog.<),
	RESTRICT = pg_catalog.scalargesel, JOIN = pg_catalog.scalargejoinsel
);

CREATE OPERATOR pg_catalog.> (
	FUNCTION = steward.blob_ref_gt, LEFTARG = steward.blob_ref, RIGHTARG = steward.blob_ref,
	COMMUTATOR = OPERATOR(pg_catalog.<), NEGATOR = OPERATOR(pg_catalog.<=),
	RESTRICT = pg_catalog.scalargtsel, JOIN = pg_catalog.scalargtjoinsel
);

CREATE OPERATOR CLASS steward.blob_ref_ops
	DEFAULT FOR TYPE steward.blob_ref USING btree AS
	OPERATOR 1 pg_catalog.<,
	OPERATOR 2 pg_catalog.<=,
	OPERATOR 3 pg_catalog.=,
	OPERATOR 4 pg_catalog.>=,
	OPERATOR 5 pg_catalog.>,
	FUNCTION 1 steward.blob_ref_cmp(steward.blob_ref, steward.blob_ref),
	FUNCTION 2 steward.blob_ref_sortsupport(pg_catalog.internal),
	FUNCTION 4 pg_catalog.btequalimage(pg_catalog.oid);

CREATE OPERATOR CLASS steward.blob_ref_ops
	DEFAULT FOR TYPE steward.blob_ref USING hash AS
	OPERATOR 1 pg_catalog.=,
	FUNCTION 1 steward.blob_ref_hash(steward.blob_ref),
	FUNCTION 2 steward.blob_ref_hash_extended(steward.blob_ref, pg_catalog.int8);

CREATE FUNCTION steward.blob_account(steward.blob_ref) RETURNS pg_catalog.text
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'steward_blob_account';
COMMENT ON FUNCTION steward.blob_account(steward.blob_ref) IS
	'the name of the storage account';

CREATE FUNCTION steward.blob_container(steward.blob_ref) RETURNS pg_catalog.text
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'steward_blob_container';
COMMENT ON FUNCTION steward.blob_container(steward.blob_ref) IS
	'the name of the container';

CREATE FUNCTION steward.blob_name(steward.blob_ref) RETURNS pg_catalog.text
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'steward_blob_name';
COMMENT ON FUNCTION steward.blob_name(steward.blob_ref) IS
	'the name of the blob, percent-encoded as it is stored';


-- ---- steward.fingerprint ---------------------------------------------------

CREATE TYPE steward.fingerprint;

CREATE FUNCTION steward.fingerprint_in(pg_catalog.cstring) RETURNS steward.fingerprint
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'steward_fingerprint_in';
COMMENT ON FUNCTION steward.fingerprint_in(pg_catalog.cstring) IS
	'text to fingerprint';

CREATE FUNCTION steward.fingerprint_out(steward.fingerprint) RETURNS pg_catalog.cstring
	LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE
	AS 'textout';
COMMENT ON FUNCTION steward.fingerprint_out(steward.fingerprint) IS
	'fingerprint to text';

CREATE FUNCTION steward.fingerprint_recv(pg_catalog.internal) RETURNS steward.fingerprint
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'steward_fingerprint_recv';
COMMENT ON FUNCTION steward.fingerprint_recv(pg_catalog.internal) IS
	'binary form to fingerprint';

CREATE FUNCTION steward.fingerprint_send(steward.fingerprint) RETURNS pg_catalog.bytea
	LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE
	AS 'textsend';
COMMENT ON FUNCTION steward.fingerprint_send(steward.fingerprint) IS
	'fingerprint to binary form';

CREATE TYPE steward.fingerprint (
	INPUT = steward.fingerprint_in,
	OUTPUT = steward.fingerprint_out,
	RECEIVE = steward.fingerprint_recv,
	SEND = steward.fingerprint_send,
	INTERNALLENGTH = VARIABLE,
	ALIGNMENT = int4,
	STORAGE = extended
);
COMMENT ON TYPE steward.fingerprint IS
	'a digest that tells the versions of a secret apart without revealing it';

CREATE CAST (pg_catalog.text AS steward.fingerprint) WITH INOUT AS ASSIGNMENT;
CREATE CAST (pg_catalog.varchar AS steward.fingerprint) WITH INOUT AS ASSIGNMENT;
CREATE CAST (steward.fingerprint AS pg_catalog.text) WITH INOUT AS ASSIGNMENT;

CREATE FUNCTION steward.fingerprint_lt(steward.fingerprint, steward.fingerprint) RETURNS pg_catalog.bool
	LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE LEAKPROOF
	AS 'bytealt';
COMMENT ON FUNCTION steward.fingerprint_lt(steward.fingerprint, steward.fingerprint) IS
	'is the first one less, byte by byte?';

CREATE FUNCTION steward.fingerprint_le(steward.fingerprint, steward.fingerprint) RETURNS pg_catalog.bool
	LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE LEAKPROOF
	AS 'byteale';
COMMENT ON FUNCTION steward.fingerprint_le(steward.fingerprint, steward.fingerprint) IS
	'is the first one less or the same, byte by byte?';

CREATE FUNCTION steward.fingerprint_eq(steward.fingerprint, steward.fingerprint) RETURNS pg_catalog.bool
	LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE LEAKPROOF
	AS 'byteaeq';
COMMENT ON FUNCTION steward.fingerprint_eq(steward.fingerprint, steward.fingerprint) IS
	'are both the same?';

CREATE FUNCTION steward.fingerprint_ne(steward.fingerprint, steward.fingerprint) RETURNS pg_catalog.bool
	LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE LEAKPROOF
	AS 'byteane';
COMMENT ON FUNCTION steward.fingerprint_ne(steward.fingerprint, steward.fingerprint) IS
	'do the two differ?';

CREATE FUNCTION steward.fingerprint_ge(steward.fingerprint, steward.fingerprint) RETURNS pg_catalog.bool
	LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE LEAKPROOF
	AS 'byteage';
COMMENT ON FUNCTION steward.fingerprint_ge(steward.fingerprint, steward.fingerprint) IS
	'is the first one greater or the same, byte by byte?';

CREATE FUNCTION steward.fingerprint_gt(steward.fingerprint, steward.fingerprint) RETURNS pg_catalog.bool
	LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE LEAKPROOF
	AS 'byteagt';
COMMENT ON FUNCTION steward.fingerprint_gt(steward.fingerprint, steward.fingerprint) IS
	'is the first one greater, byte by byte?';

CREATE FUNCTION steward.fingerprint_cmp(steward.fingerprint, steward.fingerprint) RETURNS pg_catalog.int4
	LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE LEAKPROOF
	AS 'byteacmp';
COMMENT ON FUNCTION steward.fingerprint_cmp(steward.fingerprint, steward.fingerprint) IS
	'less than, equal to or greater than zero, byte by byte';

CREATE FUNCTION steward.fingerprint_sortsupport(pg_catalog.internal) RETURNS pg_catalog.void
	LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE
	AS 'bytea_sortsupport';
COMMENT ON FUNCTION steward.fingerprint_sortsupport(pg_catalog.internal) IS
	'sort support, with abbreviated keys';

CREATE FUNCTION steward.fingerprint_hash(steward.fingerprint) RETURNS pg_catalog.int4
	LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE
	AS 'hashvarlena';
COMMENT ON FUNCTION steward.fingerprint_hash(steward.fingerprint) IS
	'hash of 32 bits';

CREATE FUNCTION steward.fingerprint_hash_extended(steward.fingerprint, pg_catalog.int8) RETURNS pg_catalog.int8
	LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE
	AS 'hashvarlenaextended';
COMMENT ON FUNCTION steward.fingerprint_hash_extended(steward.fingerprint, pg_catalog.int8) IS
	'hash of 64 bits, with a seed';

CREATE OPERATOR pg_catalog.< (
	FUNCTION = steward.fingerprint_lt, LEFTARG = steward.fingerprint, RIGHTARG = steward.fingerprint,
	COMMUTATOR = OPERATOR(pg_catalog.>), NEGATOR = OPERATOR(pg_catalog.>=),
	RESTRICT = pg_catalog.scalarltsel, JOIN = pg_catalog.scalarltjoinsel
);

CREATE OPERATOR pg_catalog.<= (
	FUNCTION = steward.fingerprint_le, LEFTARG = steward.fingerprint, RIGHTARG = steward.fingerprint,
	COMMUTATOR = OPERATOR(pg_catalog.>=), NEGATOR = OPERATOR(pg_catalog.>),
	RESTRICT = pg_catalog.scalarlesel, JOIN = pg_catalog.scalarlejoinsel
);

CREATE OPERATOR pg_catalog.= (
	FUNCTION = steward.fingerprint_eq, LEFTARG = steward.fingerprint, RIGHTARG = steward.fingerprint,
	COMMUTATOR = OPERATOR(pg_catalog.=), NEGATOR = OPERATOR(pg_catalog.<>),
	RESTRICT = pg_catalog.eqsel, JOIN = pg_catalog.eqjoinsel, HASHES, MERGES
);

CREATE OPERATOR pg_catalog.<> (
	FUNCTION = steward.fingerprint_ne, LEFTARG = steward.fingerprint, RIGHTARG = steward.fingerprint,
	COMMUTATOR = OPERATOR(pg_catalog.<>), NEGATOR = OPERATOR(pg_catalog.=),
	RESTRICT = pg_catalog.neqsel, JOIN = pg_catalog.neqjoinsel
);

CREATE OPERATOR pg_catalog.>= (
	FUNCTION = steward.fingerprint_ge, LEFTARG = steward.fingerprint, RIGHTARG = steward.fingerprint,
	COMMUTATOR = OPERATOR(pg_catalog.<=), NEGATOR = OPERATOR(pg_catalog.<),
	RESTRICT = pg_catalog.scalargesel, JOIN = pg_catalog.scalargejoinsel
);

CREATE OPERATOR pg_catalog.> (
	FUNCTION = steward.fingerprint_gt, LEFTARG = steward.fingerprint, RIGHTARG = steward.fingerprint,
	COMMUTATOR = OPERATOR(pg_catalog.<), NEGATOR = OPERATOR(pg_catalog.<=),
	RESTRICT = pg_catalog.scalargtsel, JOIN = pg_catalog.scalargtjoinsel
);

CREATE OPERATOR CLASS steward.fingerprint_ops
	DEFAULT FOR TYPE steward.fingerprint USING btree AS
	OPERATOR 1 pg_catalog.<,
	OPERATOR 2 pg_catalog.<=,
	OPERATOR 3 pg_catalog.=,
	OPERATOR 4 pg_catalog.>=,
	OPERATOR 5 pg_catalog.>,
	FUNCTION 1 steward.fingerprint_cmp(steward.fingerprint, steward.fingerprint),
	FUNCTION 2 steward.fingerprint_sortsupport(pg_catalog.internal),
	FUNCTION 4 pg_catalog.btequalimage(pg_catalog.oid);

CREATE OPERATOR CLASS steward.fingerprint_ops
	DEFAULT FOR TYPE steward.fingerprint USING hash AS
	OPERATOR 1 pg_catalog.=,
	FUNCTION 1 steward.fingerprint_hash(steward.fingerprint),
	FUNCTION 2 steward.fingerprint_hash_extended(steward.fingerprint, pg_catalog.int8);

CREATE FUNCTION steward.fingerprint_algorithm(steward.fingerprint) RETURNS pg_catalog.text
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'steward_fingerprint_algorithm';
COMMENT ON FUNCTION steward.fingerprint_algorithm(steward.fingerprint) IS
	'the digest algorithm: sha256, sha384 or sha512';

CREATE FUNCTION steward.fingerprint_digest(steward.fingerprint) RETURNS pg_catalog.bytea
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'steward_fingerprint_digest';
COMMENT ON FUNCTION steward.fingerprint_digest(steward.fingerprint) IS
	'the digest itself';
