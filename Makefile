# pg_steward
#
#   make, make install, make clean, make uninstall, make installcheck
#                    as in every PGXS extension
#   make check       install what is missing, build, install, run every test
#   make demo        the same, then demo/run
#   make bench       the same, then bench/run
#   make lint        house rules, indentation and static analysis
#   make provision   only install what is missing
#
# PG_CONFIG=...      the server to build for (default: the newest of 15 to 18
#                    below /usr/lib/postgresql that has PGXS, else pg_config)
# PGVER=17           the same, by major version
# WERROR=1           every warning is an error
#
# The version stands in pg_steward.control and nowhere else.

EXTENSION = pg_steward
# (not VERSION: PGXS has one, PostgreSQL's)
EXT_VERSION := $(shell sed -n "s/^default_version *= *'\([^']*\)'.*/\1/p" pg_steward.control)

ifndef PG_CONFIG
ifdef PGVER
PG_CONFIG := /usr/lib/postgresql/$(PGVER)/bin/pg_config
else
PG_CONFIG := $(firstword $(foreach v,18 17 16 15,$(if \
	$(wildcard /usr/lib/postgresql/$(v)/lib/pgxs/src/makefiles/pgxs.mk),\
	/usr/lib/postgresql/$(v)/bin/pg_config)) pg_config)
endif
endif

RUN_GOALS := check demo bench
HOUSE_GOALS := $(RUN_GOALS) lint provision

ifneq (,$(filter $(HOUSE_GOALS),$(MAKECMDGOALS)))

# ---- the goals that may have to install PGXS first ------------------------
#
# They do not read pgxs.mk themselves.  They install what is missing, then
# start make again, which finds the server that is there by then.

.NOTPARALLEL:
.PHONY: $(MAKECMDGOALS)

check: run_script = test/run
demo: run_script = demo/run
bench: run_script = bench/run

# a server chosen by the caller stays chosen; otherwise choose afresh
chosen := $(if $(filter command environment,$(firstword $(origin PG_CONFIG))),PG_CONFIG='$(PG_CONFIG)',$(if $(PGVER),PGVER='$(PGVER)'))

$(filter $(RUN_GOALS),$(MAKECMDGOALS)):
	@test -x $(run_script) || { echo "make $@: there is no $(run_script)" >&2; exit 1; }
	+@$(chosen) test/provision $@
	+@$(chosen) $(MAKE) --no-print-directory run-script SCRIPT='$(run_script)'

lint:
	@.ci/lint

provision:
	@$(chosen) test/provision check

# any other goal given beside them
$(filter-out $(HOUSE_GOALS),$(MAKECMDGOALS)):
	+@$(MAKE) --no-print-directory $@

else

# ---- the extension, by PGXS -----------------------------------------------

# The install script is these files, in this order: a file may use what the
# ones before it made.
SQL_LAYERS = \
	schema \
	types \
	registry \
	tenant \
	admit \
	guard \
	manifest \
	requirement \
	lifecycle \
	segment \
	archive \
	hold \
	retention \
	worker \
	erase \
	govern \
	events \
	storage_map \
	check \
	template \
	templates/integration_platform \
	templates/generated_saas \
	privileges

sql_files := $(SQL_LAYERS:%=sql/%.sql)
sql_missing := $(filter-out $(wildcard $(sql_files)),$(sql_files))
sql_present := $(filter-out $(sql_missing),$(sql_files))

MODULE_big = $(EXTENSION)
PGFILEDESC = "pg_steward - the storage map, enforced"
OBJS := $(sort $(patsubst %.c,%.o,$(wildcard src/*.c)))
DATA := $(wildcard sql/$(EXTENSION)--*--*.sql)
DATA_built = $(EXTENSION)--$(EXT_VERSION).sql
EXTRA_CLEAN = $(wildcard $(EXTENSION)--*.sql) .built_for output

PG_CPPFLAGS = -DPG_STEWARD_VERSION='"$(EXT_VERSION)"'
PG_CFLAGS = -Wall -Wextra -Wno-unused-parameter -Wno-sign-compare
ifneq (,$(WERROR))
PG_CFLAGS += -Werror
endif

# A library is linked when a source file includes its header.
uses = $(shell grep -ls '^ *\# *include *<$(1)' src/*.c src/*.h)
SHLIB_LINK := $(if $(call uses,curl/),-lcurl) $(if $(call uses,zstd),-lzstd) $(if $(call uses,openssl/),-lcrypto) \
	$(if $(call uses,hs),-lhs) $(if $(call uses,pcre2),-lpcre2-8)

# Tests whose names begin with nopreload_ need a server that does not preload
# the library; test/run gives them one.
REGRESS := $(filter-out nopreload_%,$(sort $(patsubst test/sql/%.sql,%,$(wildcard test/sql/*.sql))))
#
# Not --outputdir=., the default: pg_regress looks for sql/NAME.sql there first,
# and sql/ holds the sources of the install script.  PostgreSQL 15 looks for
# expected/ there too.
REGRESS_OPTS = --inputdir=test --outputdir=output
REGRESS_PREP = output
ISOLATION := $(sort $(patsubst test/specs/%.spec,%,$(wildcard test/specs/*.spec)))
ISOLATION_OPTS = --inputdir=test --outputdir=output

PGXS := $(shell $(PG_CONFIG) --pgxs 2>/dev/null)

ifneq (,$(wildcard $(PGXS)))
# No bitcode where the compiler that makes it is not installed.
bitcode_clang := $(shell sed -n 's/^CLANG *= *//p' '$(dir $(PGXS))../Makefile.global')
ifeq (,$(shell command -v $(bitcode_clang) 2>/dev/null))
override with_llvm = no
endif
include $(PGXS)
else
all install uninstall clean installcheck run-script:
	@echo "no PGXS found by $(PG_CONFIG): run make provision, or set PG_CONFIG" >&2
	@exit 1
endif

$(DATA_built): $(sql_present) $(EXTENSION).control Makefile
	@$(if $(sql_missing),echo 'missing: $(sql_missing)' >&2; $(if $(WERROR),exit 1))
	@{ printf '%s\n' '\echo Use "CREATE EXTENSION $(EXTENSION)" to load this file. \quit'; \
	  for f in $(sql_present); do printf '\n'; cat "$$f" || exit 1; done; } >$@.new
	@mv $@.new $@

output:
	@mkdir -p $@ && ln -sfn ../expected $@/expected

# Objects follow the headers, and whatever else decides what they hold.
built_for := $(shell $(PG_CONFIG) --version 2>/dev/null) $(EXT_VERSION) $(PG_CFLAGS) $(CFLAGS) $(SHLIB_LINK) $(OBJS)

.built_for: FORCE
	@printf '%s\n' '$(subst ','"'"',$(built_for))' | cmp -s - $@ || \
		printf '%s\n' '$(subst ','"'"',$(built_for))' >$@

$(OBJS) $(OBJS:.o=.bc): $(wildcard src/*.h) .built_for

# ---- build, install, run a script (make check, demo, bench) ---------------

.PHONY: FORCE run-script

run-script: all
	@sudo=; test -w '$(shell $(PG_CONFIG) --pkglibdir)' || sudo=sudo; \
	if test -n "$$sudo" && ! command -v sudo >/dev/null; then \
		echo "make install needs root, and there is no sudo" >&2; exit 1; fi; \
	$$sudo $(MAKE) --no-print-directory --silent install \
		PG_CONFIG='$(PG_CONFIG)' WERROR='$(WERROR)' >/dev/null
	@PG_CONFIG='$(PG_CONFIG)' $(SCRIPT)

print-%:
	@: $(info $($*))

endif
