-- The reference types: what they take, what they refuse, how they compare, and
-- that a refusal never repeats what it refused.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_steward;
SET search_path = steward, public;

-- judge(type, value): the canonical text, or why there is none.  A canonical
-- text that is not its own canonical text is called out.
CREATE FUNCTION pg_temp.judge(type text, value text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	once text;
	twice text;
	why text;
BEGIN
	EXECUTE format('SELECT ($1::steward.%I)::text', type) INTO once USING value;
	EXECUTE format('SELECT ($1::steward.%I)::text', type) INTO twice USING once;
	RETURN CASE WHEN once = twice THEN once ELSE 'UNSTABLE: ' || twice END;
EXCEPTION WHEN invalid_text_representation THEN
	GET STACKED DIAGNOSTICS why = PG_EXCEPTION_DETAIL;
	RETURN '! ' || why;
END $$;

-- Does the plan of the query have a line like this?
CREATE FUNCTION pg_temp.plan_has(query text, pattern text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	line text;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
		IF line ~ pattern THEN
			RETURN true;
		END IF;
	END LOOP;
	RETURN false;
END $$;

-- ---- the catalog ---------------------------------------------------------

SELECT t.typname, t.typlen, t.typalign, t.typstorage, t.typcategory, t.typcollation,
	t.typinput::regproc, t.typoutput::regproc, t.typreceive::regproc, t.typsend::regproc
FROM pg_type t
WHERE t.typnamespace = 'steward'::regnamespace
	AND t.typname IN ('secret_ref', 'blob_ref', 'fingerprint')
ORDER BY 1;

-- every function that touches the types: its marks, and no mark missing
SELECT p.proname, l.lanname, p.provolatile, p.proisstrict, p.proparallel, p.proleakproof,
	obj_description(p.oid, 'pg_proc') IS NOT NULL AS commented
FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
WHERE p.pronamespace = 'steward'::regnamespace
	AND (p.proname ~ ('^(secret_ref|blob_ref|fingerprint)_'
			|| '(in|out|recv|send|eq|ne|lt|le|gt|ge|cmp|sortsupport|hash|hash_extended|algorithm|digest)$')
		OR p.proname IN ('vault_name', 'vault_host', 'secret_name', 'secret_version',
			'unversioned', 'blob_account', 'blob_container', 'blob_name'))
ORDER BY p.proname COLLATE "C";

SELECT c.opcname, a.amname, c.opcdefault, amvalidate(c.oid)
FROM pg_opclass c JOIN pg_am a ON a.oid = c.opcmethod
WHERE c.opcname IN ('secret_ref_ops', 'blob_ref_ops', 'fingerprint_ops')
ORDER BY 1, 2;

SELECT o.oprleft::regtype, o.oprname, o.oprcanmerge, o.oprcanhash,
	c.oprname AS commutator, n.oprname AS negator, o.oprrest, o.oprjoin
FROM pg_operator o
	LEFT JOIN pg_operator c ON c.oid = o.oprcom
	LEFT JOIN pg_operator n ON n.oid = o.oprnegate
WHERE o.oprleft IN ('secret_ref'::regtype, 'blob_ref'::regtype, 'fingerprint'::regtype)
ORDER BY o.oprleft::regtype::text COLLATE "C", o.oprname COLLATE "C";

SELECT c.castsource::regtype, c.casttarget::regtype, c.castcontext, c.castmethod
FROM pg_cast c
WHERE c.castsource IN ('secret_ref'::regtype, 'blob_ref'::regtype, 'fingerprint'::regtype)
	OR c.casttarget IN ('secret_ref'::regtype, 'blob_ref'::regtype, 'fingerprint'::regtype)
ORDER BY c.castsource::regtype::text COLLATE "C", c.casttarget::regtype::text COLLATE "C";

SELECT typname, obj_description(oid, 'pg_type') FROM pg_type
WHERE oid IN ('secret_ref'::regtype, 'blob_ref'::regtype, 'fingerprint'::regtype) ORDER BY 1;

-- ---- secret_ref: the grammar -----------------------------------------------

CREATE TEMP TABLE given (nr int GENERATED ALWAYS AS IDENTITY, what text, value text);

INSERT INTO given (what, value) VALUES
	('plain', 'https://acme-kv.vault.azure.net/secrets/db-main'),
	('one trailing slash', 'https://acme-kv.vault.azure.net/secrets/db-main/'),
	('version', 'https://acme-kv.vault.azure.net/secrets/db-main/' || repeat('a1', 16)),
	('port', 'https://acme-kv.vault.azure.net:443/secrets/db-main'),
	('port and version', 'https://acme-kv.vault.azure.net:443/secrets/db-main/' || repeat('a1', 16)),
	('upper case', 'HTTPS://ACME-KV.VAULT.AZURE.NET/SECRETS/DB-MAIN/' || repeat('A1', 16)),
	('China', 'https://acme-kv.vault.azure.cn/secrets/n'),
	('US government', 'https://acme-kv.vault.usgovcloudapi.net/secrets/n'),
	('shortest vault', 'https://abc.vault.azure.net/secrets/n'),
	('longest vault', 'https://a' || repeat('b', 23) || '.vault.azure.net/secrets/n'),
	('hyphens in the vault', 'https://a-1-b.vault.azure.net/secrets/n'),
	('longest name', 'https://abc.vault.azure.net/secrets/' || repeat('n', 127)),
	('hyphens in the name', 'https://abc.vault.azure.net/secrets/-1--a-'),
	('longest of all', '@Microsoft.KeyVault(SecretUri=https://a' || repeat('b', 23)
		|| '.vault.usgovcloudapi.net:443/secrets/' || repeat('n', 127) || '/' || repeat('a1', 16) || ')'),
	('App Service uri', '@Microsoft.KeyVault(SecretUri=https://acme-kv.vault.azure.net/secrets/db-main)'),
	('App Service uri, slash', '@Microsoft.KeyVault(SecretUri=https://acme-kv.vault.azure.net/secrets/db-main/)'),
	('App Service uri, version', '@Microsoft.KeyVault(SecretUri=https://acme-kv.vault.azure.net/secrets/db-main/' || repeat('a1', 16) || ')'),
	('App Service uri, key in lower case', '@Microsoft.KeyVault(secreturi=https://acme-kv.vault.azure.net/secrets/db-main)'),
	('App Service names', '@Microsoft.KeyVault(VaultName=acme-kv;SecretName=db-main)'),
	('App Service names, version', '@Microsoft.KeyVault(VaultName=acme-kv;SecretName=db-main;SecretVersion=' || repeat('A1', 16) || ')'),
	('App Service names, other order', '@Microsoft.KeyVault(SecretVersion=' || repeat('a1', 16) || ';SecretName=db-main;VaultName=acme-kv)'),
	('App Service names, other case', '@Microsoft.KeyVault(VAULTNAME=Acme-KV;secretname=DB-Main)');
SELECT what, pg_temp.judge('secret_ref', value) FROM given ORDER BY nr;

-- eight spellings of one secret
SELECT count(*), count(DISTINCT value::secret_ref)
FROM given WHERE what IN ('plain', 'one trailing slash', 'port', 'App Service uri', 'App Service uri, slash',
	'App Service uri, key in lower case', 'App Service names', 'App Service names, other case');

TRUNCATE given RESTART IDENTITY;
INSERT INTO given (what, value) VALUES
	('empty', ''),
	('a bare word', 'hunter2'),
	('space before', ' https://abc.vault.azure.net/secrets/n'),
	('newline after', E'https://abc.vault.azure.net/secrets/n\n'),
	('space within', 'https://abc.vault.azure.net/secrets/n n'),
	('space within App Service', '@Microsoft.KeyVault( VaultName=abc;SecretName=n)'),
	('http', 'http://abc.vault.azure.net/secrets/n'),
	('no scheme', 'abc.vault.azure.net/secrets/n'),
	('scheme only', 'https://'),
	('user name', 'https://u:p@abc.vault.azure.net/secrets/n'),
	('query', 'https://abc.vault.azure.net/secrets/n?api-version=7.4'),
	('fragment', 'https://abc.vault.azure.net/secrets/n#f'),
	('managed HSM', 'https://abc.managedhsm.azure.net/secrets/n'),
	('another host', 'https://vault.example.org/secrets/n'),
	('suffix only', 'https://.vault.azure.net/secrets/n'),
	('longer host', 'https://abc.vault.azure.net.example.org/secrets/n'),
	('host as a label', 'https://abc.vault.azure.netx/secrets/n'),
	('private link host', 'https://abc.privatelink.vault.azure.net/secrets/n'),
	('Germany, closed', 'https://abc.vault.microsoftazure.de/secrets/n'),
	('another port', 'https://abc.vault.azure.net:8443/secrets/n'),
	('a longer port', 'https://abc.vault.azure.net:4430/secrets/n'),
	('an empty port', 'https://abc.vault.azure.net:/secrets/n'),
	('host only', 'https://abc.vault.azure.net'),
	('short vault', 'https://ab.vault.azure.net/secrets/n'),
	('long vault', 'https://a' || repeat('b', 24) || '.vault.azure.net/secrets/n'),
	('vault with a digit first', 'https://1bc.vault.azure.net/secrets/n'),
	('vault with a hyphen first', 'https://-bc.vault.azure.net/secrets/n'),
	('vault with a hyphen last', 'https://ab-.vault.azure.net/secrets/n'),
	('vault with two hyphens', 'https://a--b.vault.azure.net/secrets/n'),
	('vault with an underscore', 'https://a_b.vault.azure.net/secrets/n'),
	('a key', 'https://abc.vault.azure.net/keys/n'),
	('no collection', 'https://abc.vault.azure.net/n'),
	('no name', 'https://abc.vault.azure.net/secrets/'),
	('no name, no slash', 'https://abc.vault.azure.net/secrets'),
	('empty name', 'https://abc.vault.azure.net/secrets//' || repeat('a1', 16)),
	('long name', 'https://abc.vault.azure.net/secrets/' || repeat('n', 128)),
	('name with a dot', 'https://abc.vault.azure.net/secrets/a.b'),
	('name with an escape', 'https://abc.vault.azure.net/secrets/a%2Db'),
	('name that is not ASCII', 'https://abc.vault.azure.net/secrets/a' || chr(233)),
	('two slashes', 'https://abc.vault.azure.net/secrets/n//'),
	('short version', 'https://abc.vault.azure.net/secrets/n/' || repeat('a', 31)),
	('long version', 'https://abc.vault.azure.net/secrets/n/' || repeat('a', 33)),
	('version that is not hexadecimal', 'https://abc.vault.azure.net/secrets/n/' || repeat('g', 32)),
	('slash after the version', 'https://abc.vault.azure.net/secrets/n/' || repeat('a1', 16) || '/'),
	('a word after the version', 'https://abc.vault.azure.net/secrets/n/' || repeat('a1', 16) || ' w'),
	('the word versions', 'https://abc.vault.azure.net/secrets/n/versions'),
	('a reference and more', 'https://abc.vault.azure.net/secrets/n;x=y'),
	('too long', 'https://abc.vault.azure.net/secrets/' || repeat('n', 100000)),
	('App Service, not closed', '@Microsoft.KeyVault(VaultName=abc;SecretName=n'),
	('App Service, more after it', '@Microsoft.KeyVault(VaultName=abc;SecretName=n)x'),
	('App Service, nothing in it', '@Microsoft.KeyVault()'),
	('App Service, not even that', '@Microsoft.KeyVault('),
	('App Service, other word', '@Microsoft.AppConfig(VaultName=abc;SecretName=n)'),
	('App Service, no vault', '@Microsoft.KeyVault(SecretName=n)'),
	('App Service, no name', '@Microsoft.KeyVault(VaultName=abc)'),
	('App Service, vault twice', '@Microsoft.KeyVault(VaultName=abc;VaultName=abc;SecretName=n)'),
	('App Service, empty vault twice', '@Microsoft.KeyVault(VaultName=;VaultName=abc;SecretName=n)'),
	('App Service, unknown key', '@Microsoft.KeyVault(VaultName=abc;SecretName=n;Value=v)'),
	('App Service, both spellings', '@Microsoft.KeyVault(VaultName=abc;SecretUri=https://abc.vault.azure.net/secrets/n)'),
	('App Service, both the other way', '@Microsoft.KeyVault(SecretUri=https://abc.vault.azure.net/secrets/n;VaultName=abc)'),
	('App Service, semicolon last', '@Microsoft.KeyVault(VaultName=abc;SecretName=n;)'),
	('App Service, bad vault', '@Microsoft.KeyVault(VaultName=a--b;SecretName=n)'),
	('App Service, host for a vault', '@Microsoft.KeyVault(VaultName=abc.vault.azure.net;SecretName=n)'),
	('App Service, bad name', '@Microsoft.KeyVault(VaultName=abc;SecretName=a_b)'),
	('App Service, empty name', '@Microsoft.KeyVault(VaultName=abc;SecretName=)'),
	('App Service, bad version', '@Microsoft.KeyVault(VaultName=abc;SecretName=n;SecretVersion=1)'),
	('App Service, version not hexadecimal', '@Microsoft.KeyVault(VaultName=abc;SecretName=n;SecretVersion=' || repeat('g-', 16) || ')'),
	('App Service, empty version', '@Microsoft.KeyVault(VaultName=abc;SecretName=n;SecretVersion=)'),
	('App Service, bad uri', '@Microsoft.KeyVault(SecretUri=https://abc.example.org/secrets/n)'),
	('App Service within App Service', '@Microsoft.KeyVault(SecretUri=@Microsoft.KeyVault(VaultName=abc;SecretName=n))');
SELECT what, pg_temp.judge('secret_ref', value) FROM given ORDER BY nr;

SELECT r.given, vault_name(r.given), vault_host(r.given), secret_name(r.given), secret_version(r.given),
	unversioned(r.given)
FROM (VALUES ('https://Acme-KV.vault.azure.net/secrets/Db-Main'::secret_ref),
	(('https://acme-kv.vault.usgovcloudapi.net/secrets/n/' || repeat('A1', 16))::secret_ref),
	(NULL)) AS r (given);

-- ---- blob_ref: the grammar -------------------------------------------------

TRUNCATE given RESTART IDENTITY;
INSERT INTO given (what, value) VALUES
	('plain', 'https://acme01.blob.core.windows.net/payloads/2025/11/a.json'),
	('port', 'https://acme01.blob.core.windows.net:443/payloads/a'),
	('upper case', 'HTTPS://ACME01.BLOB.CORE.WINDOWS.NET/payloads/Upper/Lower'),
	('China', 'https://acme01.blob.core.chinacloudapi.cn/payloads/a'),
	('US government', 'https://acme01.blob.core.usgovcloudapi.net/payloads/a'),
	('digits first', 'https://1ab.blob.core.windows.net/1ab/a'),
	('longest account', 'https://' || repeat('a', 24) || '.blob.core.windows.net/payloads/a'),
	('longest container', 'https://abc.blob.core.windows.net/' || repeat('c', 63) || '/a'),
	('hyphens in the container', 'https://abc.blob.core.windows.net/a-1-b/a'),
	('$root', 'https://abc.blob.core.windows.net/$root/a'),
	('$web', 'https://abc.blob.core.windows.net/$web/index.html'),
	('$logs', 'https://abc.blob.core.windows.net/$logs/a'),
	('every pchar', 'https://abc.blob.core.windows.net/ccc/aZ09-._~!$&''()*+,;=:@'),
	('escapes kept', 'https://abc.blob.core.windows.net/ccc/%20%22%23%25%3f%5b%c3%a9%ff'),
	('escapes undone', 'https://abc.blob.core.windows.net/ccc/%61%5A%30%2d%2E%5f%7e'),
	('escaped percent', 'https://abc.blob.core.windows.net/ccc/%2541'),
	('sub-delims stay escaped', 'https://abc.blob.core.windows.net/ccc/%21%24%26%2b%3A%40'),
	('dots', 'https://abc.blob.core.windows.net/ccc/.../.a/a./..a'),
	('escaped slash', 'https://abc.blob.core.windows.net/ccc/a%2fb');
SELECT what, pg_temp.judge('blob_ref', value) FROM given ORDER BY nr;

SELECT pg_temp.judge('blob_ref', 'https://abc.blob.core.windows.net/ccc/' || repeat('b', 1024))
	= 'https://abc.blob.core.windows.net/ccc/' || repeat('b', 1024) AS longest_name,
	pg_temp.judge('blob_ref', 'https://abc.blob.core.windows.net/ccc/' || repeat('%c3', 1024))
	= 'https://abc.blob.core.windows.net/ccc/' || repeat('%C3', 1024) AS longest_escaped_name,
	length(pg_temp.judge('blob_ref', 'https://' || repeat('a', 24) || '.blob.core.usgovcloudapi.net:443/'
		|| repeat('c', 63) || '/' || repeat('%20', 1024))) AS longest_of_all;

TRUNCATE given RESTART IDENTITY;
INSERT INTO given (what, value) VALUES
	('empty', ''),
	('space before', ' https://abc.blob.core.windows.net/ccc/a'),
	('tab after', E'https://abc.blob.core.windows.net/ccc/a\t'),
	('http', 'http://abc.blob.core.windows.net/ccc/a'),
	('wasbs', 'wasbs://ccc@abc.blob.core.windows.net/a'),
	('query', 'https://abc.blob.core.windows.net/ccc/a?sv=2025-01-05&sig=x'),
	('empty query', 'https://abc.blob.core.windows.net/ccc/a?'),
	('query on the host', 'https://abc.blob.core.windows.net?sig=x'),
	('fragment', 'https://abc.blob.core.windows.net/ccc/a#f'),
	('user name', 'https://u:p@abc.blob.core.windows.net/ccc/a'),
	('user name before another host', 'https://abc.blob.core.windows.net@example.org/ccc/a'),
	('escaped query', 'https://abc.blob.core.windows.net/ccc/a%3Fsv=2025-01-05&sig=x'),
	('escaped all over', 'https://abc.blob.core.windows.net/ccc/a%3fsv%3d2025-01-05%26%53ig%3dx'),
	('escaped, signature first', 'https://abc.blob.core.windows.net/ccc/a%3FSIG%3Dx'),
	('another host', 'https://blob.example.org/ccc/a'),
	('longer host', 'https://abc.blob.core.windows.net.example.org/ccc/a'),
	('data lake host', 'https://abc.dfs.core.windows.net/ccc/a'),
	('another port', 'https://abc.blob.core.windows.net:10000/ccc/a'),
	('short account', 'https://ab.blob.core.windows.net/ccc/a'),
	('long account', 'https://' || repeat('a', 25) || '.blob.core.windows.net/ccc/a'),
	('account with a hyphen', 'https://a-b.blob.core.windows.net/ccc/a'),
	('account with an underscore', 'https://a_b.blob.core.windows.net/ccc/a'),
	('host only', 'https://abc.blob.core.windows.net'),
	('host and slash', 'https://abc.blob.core.windows.net/'),
	('empty container', 'https://abc.blob.core.windows.net//a'),
	('short container', 'https://abc.blob.core.windows.net/cc/a'),
	('long container', 'https://abc.blob.core.windows.net/' || repeat('c', 64) || '/a'),
	('container in upper case', 'https://abc.blob.core.windows.net/Ccc/a'),
	('container with a hyphen first', 'https://abc.blob.core.windows.net/-cc/a'),
	('container with a hyphen last', 'https://abc.blob.core.windows.net/cc-/a'),
	('container with two hyphens', 'https://abc.blob.core.windows.net/c--c/a'),
	('container with an escape', 'https://abc.blob.core.windows.net/%24root/a'),
	('another $container', 'https://abc.blob.core.windows.net/$ROOT/a'),
	('no blob', 'https://abc.blob.core.windows.net/ccc'),
	('empty blob', 'https://abc.blob.core.windows.net/ccc/'),
	('long blob', 'https://abc.blob.core.windows.net/ccc/' || repeat('b', 1025)),
	('long escaped blob', 'https://abc.blob.core.windows.net/ccc/' || repeat('%20', 1025)),
	('too long', 'https://abc.blob.core.windows.net/ccc/' || repeat('b', 100000)),
	('space', 'https://abc.blob.core.windows.net/ccc/a b'),
	('backslash', 'https://abc.blob.core.windows.net/ccc/a\b'),
	('quote', 'https://abc.blob.core.windows.net/ccc/a"b'),
	('not ASCII', 'https://abc.blob.core.windows.net/ccc/a' || chr(233)),
	('control', 'https://abc.blob.core.windows.net/ccc/a' || chr(1) || 'b'),
	('delete', 'https://abc.blob.core.windows.net/ccc/a' || chr(127) || 'b'),
	('escaped NUL', 'https://abc.blob.core.windows.net/ccc/a%00'),
	('escaped newline', 'https://abc.blob.core.windows.net/ccc/a%0A'),
	('escaped delete', 'https://abc.blob.core.windows.net/ccc/a%7f'),
	('half an escape', 'https://abc.blob.core.windows.net/ccc/a%2'),
	('a bare percent', 'https://abc.blob.core.windows.net/ccc/a%'),
	('no hexadecimal', 'https://abc.blob.core.windows.net/ccc/a%g0'),
	('trailing slash', 'https://abc.blob.core.windows.net/ccc/a/'),
	('empty segment', 'https://abc.blob.core.windows.net/ccc/a//b'),
	('empty first segment', 'https://abc.blob.core.windows.net/ccc//b'),
	('dot', 'https://abc.blob.core.windows.net/ccc/./b'),
	('dot dot', 'https://abc.blob.core.windows.net/ccc/a/../b'),
	('dot dot last', 'https://abc.blob.core.windows.net/ccc/a/..'),
	('escaped dots', 'https://abc.blob.core.windows.net/ccc/a/%2e%2E/b'),
	('dots between escaped slashes', 'https://abc.blob.core.windows.net/ccc/a%2f..%2fb'),
	('dots between escaped backslashes', 'https://abc.blob.core.windows.net/ccc/a%5c..%5Cb');
SELECT what, pg_temp.judge('blob_ref', value) FROM given ORDER BY nr;

SELECT r.given, blob_account(r.given), blob_container(r.given), blob_name(r.given)
FROM (VALUES ('https://ACME01.blob.core.windows.net/payloads/2025/%c3%a9.json'::blob_ref),
	('https://acme01.blob.core.chinacloudapi.cn/$root/%61'::blob_ref),
	(NULL)) AS r (given);

-- ---- fingerprint: the grammar ----------------------------------------------

TRUNCATE given RESTART IDENTITY;
INSERT INTO given (what, value) VALUES
	('sha256', 'sha256:' || repeat('0a', 32)),
	('sha384', 'sha384:' || repeat('0a', 48)),
	('sha512', 'sha512:' || repeat('0a', 64)),
	('upper case', 'SHA256:' || repeat('0A', 32)),
	('empty', ''),
	('no algorithm', repeat('0a', 32)),
	('other algorithm', 'sha1:' || repeat('0a', 20)),
	('no colon', 'sha256' || repeat('0a', 32)),
	('algorithm only', 'sha256:'),
	('short', 'sha256:' || repeat('0', 63)),
	('long', 'sha256:' || repeat('0', 65)),
	('short sha384', 'sha384:' || repeat('0', 95)),
	('short sha512', 'sha512:' || repeat('0', 127)),
	('long sha512', 'sha512:' || repeat('0', 129)),
	('length of another', 'sha384:' || repeat('0', 128)),
	('no hexadecimal', 'sha256:' || repeat('0g', 32)),
	('space', 'sha256: ' || repeat('0a', 32)),
	('space after', 'sha256:' || repeat('0a', 32) || ' ');
SELECT what, pg_temp.judge('fingerprint', value) FROM given ORDER BY nr;

SELECT fingerprint_algorithm(f), length(fingerprint_digest(f)),
	fingerprint_digest(f) = sha384('steward') AS digest
FROM (VALUES (('sha384:' || upper(encode(sha384('steward'), 'hex')))::fingerprint), (NULL)) AS v (f);

-- ---- casts -----------------------------------------------------------------

CREATE TEMP TABLE casts (secret secret_ref, blob blob_ref, print fingerprint, t text, v varchar);
INSERT INTO casts (secret, blob) SELECT s::text, b::varchar
FROM (VALUES ('https://ABC.vault.azure.net/secrets/n/', 'https://ABC.blob.core.windows.net/ccc/a')) AS g (s, b);
INSERT INTO casts (print) VALUES ('SHA256:' || repeat('0A', 32));
UPDATE casts SET t = secret, v = blob WHERE secret IS NOT NULL;
UPDATE casts SET t = print WHERE secret IS NULL;
SELECT * FROM casts;
-- nothing is implicit
DO $$
DECLARE
	command text;
BEGIN
	FOREACH command IN ARRAY ARRAY[
		$c$SELECT upper('https://abc.vault.azure.net/secrets/n'::secret_ref)$c$,
		$c$SELECT 'https://abc.vault.azure.net/secrets/n'::secret_ref = 'https://abc.vault.azure.net/secrets/n'::text$c$,
		$c$SELECT 'https://abc.vault.azure.net/secrets/n'::secret_ref = 'https://abc.blob.core.windows.net/ccc/a'::blob_ref$c$]
	LOOP
		BEGIN
			EXECUTE command;
			RAISE WARNING 'this should not work: %', command;
		EXCEPTION WHEN undefined_function THEN
			NULL;
		END;
	END LOOP;
END $$;
-- the layout is text's
SELECT pg_column_size('https://abc.vault.azure.net/secrets/n'::secret_ref)
	= pg_column_size('https://abc.vault.azure.net/secrets/n'::text) AS same_size,
	secret_ref_send('https://abc.vault.azure.net/secrets/n/') = 'https://abc.vault.azure.net/secrets/n'::bytea AS secret_wire,
	blob_ref_send('https://ABC.blob.core.windows.net/ccc/%61') = 'https://abc.blob.core.windows.net/ccc/a'::bytea AS blob_wire,
	fingerprint_send(('SHA256:' || repeat('0A', 32))::fingerprint) = ('sha256:' || repeat('0a', 32))::bytea AS print_wire;

-- ---- order, joins, indexes -------------------------------------------------

CREATE TEMP TABLE secrets (id int, ref secret_ref);
INSERT INTO secrets SELECT g, 'https://kv-' || g % 100 || '.vault.azure.net/secrets/name-' || g % 1000
FROM generate_series(1, 5000) g;
CREATE TEMP TABLE spellings (id int, ref secret_ref);
INSERT INTO spellings SELECT g, '@Microsoft.KeyVault(VaultName=KV-' || g % 100 || ';SecretName=Name-' || g % 1000 || ')'
FROM generate_series(1, 1000) g;
ANALYZE secrets, spellings;

SELECT count(*), count(DISTINCT ref) FROM secrets;
SELECT ref, count(*) FROM secrets GROUP BY ref ORDER BY ref DESC LIMIT 3;
SELECT a < b AS lt, a <= b AS le, a = b AS eq, a <> b AS ne, a >= b AS ge, a > b AS gt, secret_ref_cmp(a, b) < 0 AS cmp
FROM (VALUES ('https://abc.vault.azure.net/secrets/a'::secret_ref, 'https://abc.vault.azure.net/secrets/b'::secret_ref),
	('https://abc.vault.azure.net/secrets/a', 'https://ABC.vault.azure.net/secrets/A/'),
	('https://abc.vault.azure.net/secrets/ab', 'https://abc.vault.azure.net/secrets/a-b')) AS v (a, b);

-- order is byte order, sorted or not, whatever the database's collation
SELECT bool_and(before IS NULL OR (before::text COLLATE "C") <= (ref::text COLLATE "C")) AS byte_order
FROM (SELECT ref, lag(ref) OVER (ORDER BY ref) AS before FROM secrets) s;

SET enable_mergejoin = off; SET enable_nestloop = off;
SELECT pg_temp.plan_has('SELECT count(*) FROM secrets JOIN spellings USING (ref)', 'Hash Join');
SELECT count(*) FROM secrets JOIN spellings USING (ref);
RESET enable_mergejoin; SET enable_hashjoin = off;
SELECT pg_temp.plan_has('SELECT count(*) FROM secrets JOIN spellings USING (ref)', 'Merge Join');
SELECT count(*) FROM secrets JOIN spellings USING (ref);
RESET enable_hashjoin; RESET enable_nestloop;

SET enable_sort = off;
SELECT pg_temp.plan_has('SELECT ref FROM secrets GROUP BY ref', 'HashAggregate');
SELECT count(*) FROM (SELECT ref FROM secrets GROUP BY ref) g;
SELECT count(*) FROM (SELECT ref FROM secrets INTERSECT SELECT ref FROM spellings) i;
RESET enable_sort;

SET enable_seqscan = off; SET enable_bitmapscan = off;
CREATE INDEX secrets_btree ON secrets (ref);
SELECT pg_temp.plan_has($$SELECT count(*) FROM secrets WHERE ref = '@Microsoft.KeyVault(VaultName=kv-7;SecretName=name-7)'$$,
	'Index Only Scan using secrets_btree') AS node,
	pg_temp.plan_has($$SELECT count(*) FROM secrets WHERE ref = '@Microsoft.KeyVault(VaultName=kv-7;SecretName=name-7)'$$,
	'Index Cond: \(ref = ''https://kv-7.vault.azure.net/secrets/name-7''::secret_ref\)') AS condition;
SELECT count(*) FROM secrets WHERE ref = '@Microsoft.KeyVault(VaultName=kv-7;SecretName=name-7)';
SELECT count(*) FROM secrets WHERE ref >= 'https://kv-7.vault.azure.net/secrets/a' AND ref < 'https://kv-7.vault.azure.net/secrets/z';
SELECT count(*) FROM secrets WHERE ref IN ('https://KV-7.vault.azure.net/secrets/name-7', 'https://kv-8.vault.azure.net/secrets/name-8/');
DROP INDEX secrets_btree;
CREATE INDEX secrets_hash ON secrets USING hash (ref);
SELECT pg_temp.plan_has($$SELECT count(*) FROM secrets WHERE ref = 'https://kv-7.vault.azure.net/secrets/name-7'$$,
	'Index Scan using secrets_hash');
SELECT count(*) FROM secrets WHERE ref = 'https://kv-7.vault.azure.net/secrets/name-7';
RESET enable_seqscan; RESET enable_bitmapscan;

-- unique, partitioned by hash, long enough to be compressed
CREATE TEMP TABLE blobs (ref blob_ref PRIMARY KEY) PARTITION BY HASH (ref);
CREATE TEMP TABLE blobs_0 PARTITION OF blobs FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TEMP TABLE blobs_1 PARTITION OF blobs FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO blobs SELECT 'https://abc.blob.core.windows.net/ccc/' || g || repeat('x', 900) FROM generate_series(1, 100) g;
INSERT INTO blobs SELECT 'https://ABC.blob.core.windows.net/ccc/' || g || repeat('%78', 900) FROM generate_series(1, 101) g
ON CONFLICT DO NOTHING;
SELECT count(*), count(DISTINCT ref), max(length(ref::text)), min(blob_account(ref)) FROM blobs;
-- stored compressed and uncompressed, a value is the same
CREATE TEMP TABLE plain (ref blob_ref);
ALTER TABLE plain ALTER ref SET STORAGE external;
INSERT INTO plain SELECT ref FROM blobs;
SELECT count(*) FROM plain JOIN blobs USING (ref);
SELECT blob_ref_hash(p.ref) = blob_ref_hash(b.ref) AND blob_ref_hash_extended(p.ref, 7) = blob_ref_hash_extended(b.ref, 7) AS hash,
	count(*)
FROM plain p JOIN blobs b ON p.ref::text = b.ref::text GROUP BY 1;
CREATE TEMP TABLE prints (print fingerprint UNIQUE);
INSERT INTO prints SELECT ('sha256:' || encode(sha256(g::text::bytea), 'hex'))::fingerprint FROM generate_series(1, 500) g;
SELECT count(*) FROM prints p WHERE print = ('SHA256:' || upper(encode(sha256('77'), 'hex')))::fingerprint;
SELECT count(*), count(DISTINCT fingerprint_digest(print)) FROM prints;

-- ---- COPY --------------------------------------------------------------------

CREATE TEMP TABLE copied (secret secret_ref, blob blob_ref);
COPY copied FROM STDIN;
@Microsoft.KeyVault(VaultName=ABC;SecretName=N)	https://abc.blob.core.windows.net:443/ccc/%61%2f%20
\N	\N
\.
COPY copied TO STDOUT;
COPY copied TO STDOUT (FORMAT csv);

-- ---- a refusal never repeats what it refused ---------------------------------

-- As a client sees it: no LINE, no CONTEXT.
\set SHOW_CONTEXT always
SELECT 'canary-literal'::secret_ref;
SELECT 'https://abc.vault.azure.net/secrets/canary_literal'::secret_ref;
SELECT blob_ref 'https://abc.blob.core.windows.net/ccc/a?sig=canary';
SELECT fingerprint 'sha256:canary';
SELECT blob_ref_in('canary');
INSERT INTO copied (secret) VALUES ('canary');
PREPARE canary (secret_ref) AS SELECT $1;
EXECUTE canary ('canary');
COPY copied FROM STDIN;
canary	https://abc.blob.core.windows.net/ccc/a
\.
COPY copied FROM STDIN (FORMAT csv);
https://abc.vault.azure.net/secrets/n,https://abc.blob.core.windows.net/ccc/a?sig=canary
\.
DO $$ DECLARE r secret_ref; BEGIN r := 'canary'; END $$;
DO $$ BEGIN EXECUTE 'SELECT ' || quote_literal('canary') || '::steward.blob_ref'; END $$;
\unset SHOW_CONTEXT

-- Every field of the error, for every way a value can come, for every part that
-- can be wrong.
CREATE FUNCTION pg_temp.errors_of(command text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	state text; message text; detail text; hint text; context text;
	col text; con text; typ text; tab text; sch text;
BEGIN
	EXECUTE command;
	RETURN NULL;
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL,
		hint = PG_EXCEPTION_HINT, context = PG_EXCEPTION_CONTEXT, col = COLUMN_NAME, con = CONSTRAINT_NAME,
		typ = PG_DATATYPE_NAME, tab = TABLE_NAME, sch = SCHEMA_NAME;
	RETURN concat_ws('|', state, message, detail, hint, context, col, con, typ, tab, sch);
END $$;
CREATE FUNCTION pg_temp.assigns(type text, value text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	s steward.secret_ref;
	b steward.blob_ref;
	f steward.fingerprint;
BEGIN
	CASE type WHEN 'secret_ref' THEN s := value; WHEN 'blob_ref' THEN b := value; ELSE f := value; END CASE;
END $$;
DO $$
DECLARE
	refused text[];
	types text[] := ARRAY['secret_ref', 'blob_ref', 'fingerprint'];
	type text;
	value text;
	command text;
	errors text;
	tried int := 0;
BEGIN
	refused := ARRAY['CaNaRy', ' CaNaRy', 'https://CaNaRy', 'https://CaNaRy@abc.vault.azure.net/secrets/n',
		'https://CaNaRy.example.org/secrets/n', 'https://CaNaRy--1.vault.azure.net/secrets/n',
		'https://abc.vault.azure.net/CaNaRy/n', 'https://abc.vault.azure.net/secrets/CaNaRy_',
		'https://abc.vault.azure.net/secrets/n/CaNaRy', 'https://abc.vault.azure.net/secrets/n?CaNaRy',
		'@Microsoft.KeyVault(CaNaRy=n)', '@Microsoft.KeyVault(VaultName=CaNaRy--1;SecretName=n)',
		'@Microsoft.KeyVault(VaultName=abc;SecretName=CaNaRy_)',
		'https://CaNaRy@abc.blob.core.windows.net/ccc/a', 'https://CaNaRy-.blob.core.windows.net/ccc/a',
		'https://abc.blob.core.windows.net/CaNaRy/a', 'https://abc.blob.core.windows.net/ccc/CaNaRy/',
		'https://abc.blob.core.windows.net/ccc/CaNaRy%', 'https://abc.blob.core.windows.net/ccc/CaNaRy^',
		'https://abc.blob.core.windows.net/ccc/a?sig=CaNaRy', 'https://abc.blob.core.windows.net/ccc/a%3Fsig=CaNaRy',
		'sha256:CaNaRy', 'CaNaRy:' || repeat('0', 64), repeat('CaNaRy', 10000)];
	FOREACH type IN ARRAY types LOOP
		FOREACH value IN ARRAY refused LOOP
			FOREACH command IN ARRAY ARRAY[
				format('SELECT %L::steward.%s', value, type),
				format('SELECT %L::text::steward.%s', value, type),
				format('SELECT %L::varchar::steward.%s', value, type),
				format('SELECT CAST(v AS steward.%s) FROM (VALUES (%L::text)) AS g (v)', type, value),
				format('SELECT steward.%s_in(%L)', type, value),
				format('SELECT pg_temp.assigns(%L, %L)', type, value),
				format('DO %L', format('DECLARE x steward.%s; BEGIN x := %L; END', type, value)),
				format('SELECT * FROM json_to_record(json_build_object(''x'', %L::text)) AS j (x steward.%s)', value, type),
				format('SELECT ARRAY[%L]::steward.%s[]', value, type),
				format('CREATE TEMP TABLE never (x steward.%s DEFAULT %L)', type, value)]
			LOOP
				tried := tried + 1;
				errors := pg_temp.errors_of(command);
				IF errors IS NULL THEN
					RAISE WARNING 'a value was accepted: % %', type, command;
				ELSIF errors NOT LIKE '22P02|invalid input syntax for type steward.' || type || '|_%|_%||||||' THEN
					RAISE WARNING 'not the error that was expected: %', errors;
				ELSIF errors ~* 'canary' THEN
					RAISE WARNING 'the error repeats the value: %', errors;
				END IF;
			END LOOP;
		END LOOP;
	END LOOP;
	RAISE WARNING 'tried %', tried;
END $$;

-- Soft errors, where the server has them (16 and newer)
CREATE FUNCTION pg_temp.soft() RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	type text;
	valid boolean;
	said text;
BEGIN
	FOREACH type IN ARRAY ARRAY['secret_ref', 'blob_ref', 'fingerprint'] LOOP
		IF current_setting('server_version_num')::int >= 160000 THEN
			EXECUTE 'SELECT pg_input_is_valid($1, $2)' INTO valid USING 'canary', 'steward.' || type;
			EXECUTE 'SELECT e::text FROM pg_input_error_info($1, $2) e' INTO said USING 'canary', 'steward.' || type;
			IF valid OR said IS NULL OR said !~ '22P02' OR said ~ 'canary' THEN
				RETURN NEXT format('wrong: %s', said);
			END IF;
		END IF;
	END LOOP;
END $$;
SELECT * FROM pg_temp.soft();

-- ---- no input breaks it ------------------------------------------------------

-- Mutations of good values: each is refused in the one way, or taken and stable.
DO $$
DECLARE
	seeds text[] := ARRAY['https://acme-kv.vault.azure.net:443/secrets/db-main/' || repeat('a1', 16),
		'@Microsoft.KeyVault(VaultName=acme-kv;SecretName=db-main;SecretVersion=' || repeat('a1', 16) || ')',
		'https://acme01.blob.core.windows.net:443/payloads/2025/%c3%a9.json',
		'sha256:' || repeat('0a', 32)];
	types text[] := ARRAY['secret_ref', 'secret_ref', 'blob_ref', 'fingerprint'];
	letters text := '/%.-:?#@;=()$~ _aZ9' || chr(9) || chr(127);
	which int;
	spot int;
	value text;
	said text;
	taken int := 0;
BEGIN
	PERFORM setseed(0.25);
	FOR i IN 1 .. 8000 LOOP
		which := i % 4 + 1;
		value := seeds[which];
		FOR j IN 0 .. i % 3 LOOP
			spot := 1 + floor(random() * length(value));
			value := overlay(value PLACING substr(letters, 1 + floor(random() * length(letters))::int, (random() * 1.4)::int)
				FROM spot FOR (random() * 1.4)::int);
		END LOOP;
		said := pg_temp.judge(types[which], value);
		IF said LIKE 'UNSTABLE%' THEN
			RAISE WARNING 'not stable: %', value;
		ELSIF said NOT LIKE '! %' THEN
			taken := taken + 1;
		END IF;
	END LOOP;
	RAISE WARNING 'some were taken: %, some were not: %', taken > 100, taken < 7900;
END $$;
