-- conformance.sql
--	  What test/pgtap/*.sql share.  Opens a transaction, which they roll back.
--
-- Each rule is tested by attacking it twice with the same statement: first on
-- an ungoverned twin of the table (same columns, references as plain text, no
-- rules), where it must succeed, then on the store, where it must not.  One
-- test holds both outcomes, so an attack that no longer attacks is red too.
-- Everyone has been granted everything, so that no refusal is a mere GRANT's.

\set QUIET 1
\set VERBOSITY terse
SET client_min_messages = warning;

BEGIN;
CREATE EXTENSION IF NOT EXISTS pgtap;
CREATE EXTENSION pg_steward;
CREATE SCHEMA conform;
CREATE SCHEMA twin;
GRANT USAGE ON SCHEMA conform, twin TO PUBLIC;

-- Two tenants, and ids for their rows
CREATE FUNCTION conform.a() RETURNS text LANGUAGE sql IMMUTABLE AS
	$$ SELECT 'aaaaaaaa-0000-4000-8000-000000000001' $$;
CREATE FUNCTION conform.b() RETURNS text LANGUAGE sql IMMUTABLE AS
	$$ SELECT 'bbbbbbbb-0000-4000-8000-000000000002' $$;
CREATE FUNCTION conform.id(n integer) RETURNS text LANGUAGE sql IMMUTABLE AS
	$$ SELECT format('00000000-0000-4000-8000-%s', lpad(n::text, 12, '0')) $$;

-- A role tries a statement for a tenant; whatever it did is undone.  {a} and
-- {b} are the tenants.
CREATE FUNCTION conform.attempt(actor name, tenant text, statement text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
	outcome text;
	answer text;
	state text;
	rule text;
	n bigint;
BEGIN
	statement := replace(replace(statement, '{a}', quote_literal(conform.a())), '{b}', quote_literal(conform.b()));
	PERFORM steward.set_tenant(tenant);
	PERFORM set_config('role', actor, true);
	IF statement ~* '^\s*(SELECT|TABLE|WITH)' THEN
		EXECUTE statement INTO answer;
		outcome := 'sees ' || coalesce(answer, 'nothing');
	ELSE
		EXECUTE statement;
		GET DIAGNOSTICS n = ROW_COUNT;
		outcome := 'does ' || n;
	END IF;
	RAISE EXCEPTION USING ERRCODE = 'UNDO0';
EXCEPTION
	WHEN SQLSTATE 'UNDO0' THEN
		RETURN outcome;
	WHEN OTHERS THEN
		GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, rule = CONSTRAINT_NAME;
		RETURN concat_ws(' ', 'refused', state, nullif(rule, ''));
END
$$;

CREATE FUNCTION conform.twin_of(relation regclass) RETURNS text LANGUAGE sql STABLE AS $$
	SELECT format('twin.%I', n.nspname || '.' || c.relname)
	  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = relation
$$;

-- An attack on the twin and on the store, as one test
CREATE FUNCTION conform.attack(actor name, tenant text, relation regclass, statement text,
							   on_twin text, on_store text, description text) RETURNS text
LANGUAGE sql AS $$
	SELECT is('twin: ' || conform.attempt(actor, tenant, replace(statement, '{t}', conform.twin_of(relation)))
			  || '; store: ' || conform.attempt(actor, tenant, replace(statement, '{t}', relation::text)),
			  'twin: ' || on_twin || '; store: ' || on_store, description)
$$;

-- Install a template, a login role for each of its services (conform_<role>),
-- a role of no service, a worker, the twins; and grant everything to everyone
CREATE FUNCTION conform.install(template text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	r record;
BEGIN
	PERFORM steward.install_template(install.template);
	FOR r IN SELECT role FROM steward.service LOOP
		EXECUTE format('CREATE ROLE %I LOGIN IN ROLE %I', 'conform_' || r.role, r.role);
	END LOOP;
	CREATE ROLE conform_stranger LOGIN;
	CREATE ROLE conform_worker LOGIN IN ROLE steward_cross_tenant;
	FOR r IN SELECT relation FROM steward.store WHERE kind = 'table' LOOP
		EXECUTE format('CREATE TABLE %s (LIKE %s INCLUDING DEFAULTS INCLUDING GENERATED INCLUDING IDENTITY)',
					   conform.twin_of(r.relation), r.relation);
		EXECUTE (SELECT coalesce(string_agg(format('ALTER TABLE %s ALTER %I TYPE text', conform.twin_of(r.relation), attname), '; '), 'SELECT')
				   FROM pg_attribute
				  WHERE attrelid = r.relation AND attnum > 0
					AND atttypid IN ('steward.secret_ref'::regtype, 'steward.blob_ref'::regtype, 'steward.fingerprint'::regtype));
	END LOOP;
	GRANT ALL ON ALL TABLES IN SCHEMA twin TO PUBLIC;
	SET LOCAL ROLE steward_pipeline;
	FOR r IN SELECT DISTINCT nspname FROM steward.store JOIN pg_class c ON c.oid = relation
							  JOIN pg_namespace n ON n.oid = relnamespace LOOP
		EXECUTE format('GRANT USAGE ON SCHEMA %1$I TO PUBLIC; GRANT ALL ON ALL TABLES IN SCHEMA %1$I TO PUBLIC', r.nspname);
	END LOOP;
	RESET ROLE;
END
$$;

CREATE FUNCTION conform.insert_sql(target text, fields jsonb) RETURNS text LANGUAGE sql STABLE AS $$
	SELECT format('INSERT INTO %1$s (%2$s) SELECT %2$s FROM jsonb_populate_record(NULL::%1$s, %3$L)',
				  target, string_agg(quote_ident(k), ', '), fields)
	  FROM jsonb_object_keys(fields) k
$$;

-- Rows that stay, in store and twin: what the service is there to do
CREATE FUNCTION conform.seed(data text, relation regclass, actor name, tenant text, sample jsonb) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
	fields jsonb := sample || CASE WHEN tenant IS NULL THEN '{}' ELSE jsonb_build_object('tenant_id', tenant) END;
	problem text;
BEGIN
	BEGIN
		PERFORM steward.set_tenant(tenant);
		PERFORM set_config('role', actor, true);
		EXECUTE conform.insert_sql(relation::text, fields);
		EXECUTE conform.insert_sql(conform.twin_of(relation), fields);
	EXCEPTION WHEN OTHERS THEN
		problem := SQLERRM;
	END;
	PERFORM set_config('role', 'none', true);
	PERFORM steward.set_tenant(NULL::text);
	RETURN is(problem, NULL, format('%s: %s is written by its owner, %s', data, relation, actor));
END
$$;

-- The row of the map, word for word, and nothing else under this Data
CREATE FUNCTION conform.row_is(data text, store text, owner_service text, access_pattern text,
							   retention text, notes text) RETURNS SETOF text
LANGUAGE plpgsql AS $$
BEGIN
	RETURN NEXT results_eq(format('SELECT * FROM steward.storage_map m WHERE m.data = %L', row_is.data),
						   format('VALUES (%L, %L, %L, %L, %L, %L)', row_is.data, row_is.store, row_is.owner_service,
								  row_is.access_pattern, row_is.retention, row_is.notes),
						   data || ': the storage map shows the row word for word');
END
$$;

-- A tenant store: its owner writes it, nobody else touches it, and one tenant
-- never meets another.  frozen: the store is append-only.
CREATE FUNCTION conform.tenant_store(data text, relation regclass, owner name, other name, sample jsonb,
									 frozen boolean DEFAULT false) RETURNS SETOF text
LANGUAGE plpgsql AS $$
DECLARE
	own name := 'conform_' || owner;
	stranger name := 'conform_' || other;
	-- a store whose rows have owners refuses by row
	by_row boolean := (SELECT s.row_owner IS NOT NULL FROM steward.store s WHERE s.relation = tenant_store.relation);
	sample_a jsonb := replace(sample::text, '{tenant}', 'a')::jsonb || jsonb_build_object('tenant_id', conform.a());
	sample_b jsonb := replace(sample::text, '{tenant}', 'b')::jsonb || jsonb_build_object('tenant_id', conform.b());
	ins_a text := conform.insert_sql('{t}', sample_a);
	ins_b text := conform.insert_sql('{t}', sample_b);
	owner_rule text := 'refused 42501 ' || CASE WHEN by_row THEN 'steward_row_owner' ELSE 'steward_owner' END;
	change_rule text := CASE WHEN frozen THEN 'refused 42501 steward_append_only' ELSE 'refused 42501 steward_tenant' END;
	of text := format('%s: %s ', data, relation);
BEGIN
	RETURN NEXT conform.seed(data, relation, own, conform.a(), sample_a);
	RETURN NEXT conform.seed(data, relation, own, conform.b(), sample_b);

	-- Owner Service
	RETURN NEXT conform.attack(stranger, conform.a(), relation, ins_a, 'does 1', owner_rule,
		of || 'is not written by another service, ' || other);
	RETURN NEXT conform.attack('conform_stranger', conform.a(), relation, ins_a, 'does 1', 'refused 42501 steward_owner',
		of || 'is not written by a role of no service');
	RETURN NEXT conform.attack('conform_stranger', conform.a(), relation, 'SELECT count(*) FROM {t}', 'sees 2', 'refused 42501 steward_owner',
		of || 'is not read by a role of no service');
	IF NOT by_row THEN
		RETURN NEXT conform.attack(stranger, conform.a(), relation, 'SELECT count(*) FROM {t}', 'sees 2', 'refused 42501 steward_owner',
			of || 'is not read by another service, ' || other);
	END IF;
	RETURN NEXT conform.attack(current_user, conform.a(), relation, ins_a, 'does 1', 'refused 42501 steward_owner',
		of || 'is not written by a superuser');
	RETURN NEXT conform.attack('steward_pipeline', conform.a(), relation, ins_a, 'does 1', 'refused 42501 steward_owner',
		of || 'is not written by the owner of the table');

	-- the tenant
	RETURN NEXT conform.attack(own, conform.a(), relation, ins_b, 'does 1', 'refused 42501 steward_tenant',
		of || 'takes no row of another tenant');
	RETURN NEXT conform.attack(own, NULL, relation, ins_a, 'does 1', 'refused 42501 steward_tenant',
		of || 'takes no row without a tenant context');
	RETURN NEXT conform.attack(own, conform.a(), relation, 'SELECT count(*) FROM {t}', 'sees 2', 'sees 1',
		of || 'shows a tenant its own rows only');
	RETURN NEXT conform.attack(own, NULL, relation, 'SELECT count(*) FROM {t}', 'sees 2', 'sees 0',
		of || 'shows nothing without a tenant context');
	RETURN NEXT conform.attack(own, conform.a(), relation,
		'UPDATE {t} SET tenant_id = {b} WHERE tenant_id = {a}', 'does 1', change_rule,
		of || 'has no row that moves to another tenant');
	RETURN NEXT conform.attack(own, conform.a(), relation,
		'DELETE FROM {t} WHERE tenant_id = {b}', 'does 1',
		CASE WHEN frozen THEN change_rule ELSE 'does 0' END,
		of || 'has no row that another tenant deletes');
	RETURN NEXT conform.attack(own, conform.a(), relation, 'TRUNCATE {t} CASCADE', 'does 0',
		CASE WHEN frozen THEN 'refused 42501 steward_append_only' ELSE 'refused 42501 steward_tenant' END,
		of || 'is not truncated for every tenant');
	RETURN NEXT is((SELECT a.attname::text FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
					 WHERE i.indrelid = tenant_store.relation AND i.indisprimary), 'tenant_id',
		of || 'has the tenant first in its primary key');
	RETURN NEXT is_empty(format($q$
		SELECT c.oid::regclass FROM pg_partition_tree(%L) p JOIN pg_class c ON c.oid = p.relid
		 WHERE NOT (c.relrowsecurity AND c.relforcerowsecurity)
			OR NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conrelid = c.oid AND k.conname = 'steward_tenant')$q$, relation),
		of || 'and each of its partitions are under row security and admission');
END
$$;

-- A global store: everyone reads it, only its owner writes it
CREATE FUNCTION conform.global_store(data text, relation regclass, owner name, other name, sample jsonb)
	RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	own name := 'conform_' || owner;
	stranger name := 'conform_' || other;
	key text := (SELECT a.attname FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
				  WHERE i.indrelid = relation AND i.indisprimary);
	of text := format('%s: %s ', data, relation);
	actor name;
BEGIN
	RETURN NEXT conform.seed(data, relation, own, NULL, sample);
	RETURN NEXT conform.attack(stranger, conform.a(), relation, 'SELECT count(*) FROM {t}', 'sees 1', 'sees 1',
		of || 'is read across tenants and services');
	FOREACH actor IN ARRAY ARRAY[stranger, 'conform_stranger', current_user, 'steward_pipeline'] LOOP
		RETURN NEXT conform.attack(actor, conform.a(), relation, conform.insert_sql('{t}', sample), 'does 1', 'refused 42501 steward_owner',
			of || 'takes no row of ' || actor);
		RETURN NEXT conform.attack(actor, conform.a(), relation, format('UPDATE {t} SET %1$I = %1$I', key), 'does 1', 'refused 42501 steward_owner',
			of || 'is not changed by ' || actor);
		RETURN NEXT conform.attack(actor, conform.a(), relation, 'DELETE FROM {t}', 'does 1', 'refused 42501 steward_owner',
			of || 'is not deleted from by ' || actor);
	END LOOP;
END
$$;

-- Columns that hold references and nothing else ('column type', ...)
CREATE FUNCTION conform.references_only(data text, relation regclass, owner name, variadic columns text[])
	RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	c text[];
	plain text := 'S3cret' || substr(md5('sample'), 1, 20);	-- made here: none stands in a file
BEGIN
	FOR c IN SELECT string_to_array(x, ' ') FROM unnest(columns) x LOOP
		RETURN NEXT is((SELECT format_type(a.atttypid, a.atttypmod) FROM pg_attribute a
						 WHERE a.attrelid = references_only.relation AND a.attname = c[1]), 'steward.' || c[2],
			format('%s: %s.%s is of type steward.%s', data, relation, c[1], c[2]));
		RETURN NEXT conform.attack('conform_' || owner, conform.a(), relation,
			format('UPDATE {t} SET %I = %L WHERE tenant_id = {a}', c[1], plain), 'does 1', 'refused 22P02',
			format('%s: %s.%s takes no plaintext', data, relation, c[1]));
	END LOOP;
END
$$;

-- An index serves the lookup, tenant first
CREATE FUNCTION conform.key_is_indexed(data text, relation regclass, variadic key text[]) RETURNS text
LANGUAGE sql AS $$
	SELECT ok(EXISTS (
		SELECT FROM pg_index i,
			   LATERAL (SELECT array_agg(a.attname::text ORDER BY k.n) AS names
						  FROM unnest(i.indkey::int2[]) WITH ORDINALITY k (attnum, n)
						  JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum) x
		 WHERE i.indrelid = relation AND i.indisvalid AND i.indpred IS NULL AND x.names[1 : cardinality(key)] = key),
		format('%s: %s has an index on (%s)', data, relation, array_to_string(key, ', ')))
$$;

CREATE FUNCTION conform.partitioned_by(data text, relation regclass, clock text) RETURNS text
LANGUAGE sql AS $$
	SELECT is(pg_get_partkeydef(relation), format('RANGE (%s)', clock),
			  format('%s: %s is partitioned by its retention clock, %s', data, relation, clock))
$$;

-- A store that is no table: declared, owned, and never one of record
CREATE FUNCTION conform.outside_store(data text, name text, kind text, owner text, in_location text)
	RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	s steward.store;
	entry jsonb;
BEGIN
	SELECT * INTO s FROM steward.store x WHERE x.name = outside_store.name;
	RETURN NEXT is(s.kind, kind, data || ': is a store of kind ' || kind);
	RETURN NEXT is(s.owner, owner, data || ': is owned by ' || owner);
	RETURN NEXT ok(strpos(s.location, in_location) > 0, format('%s: its location holds %s', data, in_location));
	-- it cannot become a table: the same entry as a store of kind table is accepted
	CREATE TABLE conform.record (tenant_id uuid NOT NULL);
	entry := jsonb_build_object('name', 'conform_record', 'kind', 'table', 'relation', 'conform.record', 'owner', s.owner);
	RETURN NEXT is('table: ' || conform.attempt(current_user, NULL, format('SELECT count(*) > 0 FROM steward.apply(%L)',
						jsonb_build_object('stores', jsonb_build_array(entry))))
				   || '; ' || kind || ': ' || conform.attempt(current_user, NULL, format('SELECT count(*) > 0 FROM steward.apply(%L)',
						jsonb_build_object('stores', jsonb_build_array(entry || jsonb_build_object('kind', kind))))),
				   'table: sees true; ' || kind || ': refused 22023',
				   data || ': cannot be given a table');
	DROP TABLE conform.record;
END
$$;

-- What retention would do after somebody did something; all of it is undone
CREATE FUNCTION conform.due_after(store text, actor name, statement text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
	outcome text;
	s steward.store;
BEGIN
	SELECT * INTO s FROM steward.store x WHERE x.name = due_after.store;
	IF (SELECT relkind FROM pg_class WHERE oid = s.relation) = 'p' THEN
		PERFORM steward.make_months(s.relation, 20, 0);
	END IF;
	PERFORM steward.set_tenant(conform.a());
	PERFORM set_config('role', actor, true);
	EXECUTE statement;
	PERFORM set_config('role', 'none', true);
	outcome := (SELECT string_agg(format('%s %s of %s', d.action, d.rows, d.store), ', ' ORDER BY d.store)
				  FROM steward.due(due_after.store) d WHERE d.rows > 0);
	RAISE EXCEPTION USING ERRCODE = 'UNDO0';
EXCEPTION
	WHEN SQLSTATE 'UNDO0' THEN
		RETURN coalesce(outcome, 'nothing');
	WHEN OTHERS THEN
		RETURN SQLERRM;
END
$$;

-- A row of the store whose clock stands at this time, beside those that are there
CREATE FUNCTION conform.aged_sql(store text, clock_at timestamptz) RETURNS text
LANGUAGE plpgsql STABLE AS $$
DECLARE
	s steward.store;
	clock text;
	columns text;
BEGIN
	SELECT * INTO s FROM steward.store x WHERE x.name = aged_sql.store;
	clock := s.retention ->> 'clock';
	IF (SELECT relkind FROM pg_class WHERE oid = s.relation) = 'r' THEN
		RETURN format('UPDATE %s SET %I = %L WHERE %I = %L', s.relation, clock, clock_at, s.tenant, conform.a());
	END IF;
	columns := (SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) FROM pg_attribute a
				 WHERE a.attrelid = s.relation AND a.attnum > 0 AND NOT a.attisdropped AND a.attname <> clock
				   AND a.attgenerated = '' AND a.attidentity = '');
	RETURN format('INSERT INTO %1$s (%2$s, %3$I) SELECT %2$s, %4$L FROM %1$s WHERE %5$I = %6$L LIMIT 1',
				  s.relation, columns, clock, clock_at, s.tenant, conform.a());
END
$$;

-- The row that is old enough is due, and no other; the one that is not is kept
CREATE FUNCTION conform.retention(data text, store text, owner name, action text, old interval, young interval, words text)
	RETURNS text LANGUAGE sql AS $$
	SELECT is(format('old: %s; young: %s',
					 conform.due_after(store, 'conform_' || owner, conform.aged_sql(store, now() - old)),
					 conform.due_after(store, 'conform_' || owner, conform.aged_sql(store, now() - young))),
			  format('old: %s 1 of %s; young: nothing', action, store),
			  format('%s: %s', data, words))
$$;

-- The same by the life of the tenant: its rows are due in the store and its
-- parts, no other tenant's are, and none while it lives
CREATE FUNCTION conform.tenant_retention(data text, store text, old interval, young interval, words text)
	RETURNS text LANGUAGE sql AS $$
	SELECT is(format('ended: %s; not long ago: %s; alive: %s',
					 conform.due_after(store, 'conform_tenant_management', conform.aged_sql('tenant_registry', now() - old)),
					 conform.due_after(store, 'conform_tenant_management', conform.aged_sql('tenant_registry', now() - young)),
					 conform.due_after(store, 'conform_tenant_management', 'SELECT')),
			  format('ended: %s; not long ago: nothing; alive: nothing',
					 (SELECT string_agg('purge 1 of ' || s.name, ', ' ORDER BY s.name) FROM steward.store s
					   WHERE store IN (s.name, s.part_of) AND s.scope = 'tenant' AND s.retention IS NOT DISTINCT FROM
							 CASE s.name WHEN store THEN s.retention END)),
			  format('%s: %s', data, words))
$$;
