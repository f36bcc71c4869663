/*
 * store.c
 *	  Archive stores: finds the driver for a store's base, and checks every path
 *	  before a driver sees it.
 *
 * A base may hold more than its place (a signature, say), so messages name its
 * scheme at most.  No locks, no memory of its own; see store.h for what the
 * drivers promise.
 */
#include "steward.h"

#include "store.h"

static const StoreDriver *const drivers[] = {
	&store_file_driver,
};

static const StoreDriver *
driver_of(const char *base)
{
	size_t		scheme = strcspn(base, ":");
	int			i;

	for (i = 0; base[scheme] != '\0' && i < lengthof(drivers); i++)
	{
		if (strlen(drivers[i]->scheme) == scheme &&
			strncmp(drivers[i]->scheme, base, scheme) == 0)
			return drivers[i];
	}
	ereport(ERROR,
			errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			errmsg("no driver for this archive store"),
			errdetail("Its name must begin with the scheme of a driver and a colon."),
			errhint("Use file:/absolute/path, or file:path for one below the data directory."));
	return NULL;
}

/* Every component is a plain name: the path leads nowhere but below the base */
static bool
path_is_plain(const char *path)
{
	const char *c = path;

	for (;;)
	{
		size_t		length = strcspn(c, "/");
		size_t		i;

		if (length == 0 || length > 255 ||
			(length <= 2 && strncmp(c, "..", length) == 0))
			return false;
		for (i = 0; i < length; i++)
		{
			if ((unsigned char) c[i] < ' ' || c[i] == '\\' || c[i] == 0x7f)
				return false;
		}
		if (c[length] == '\0')
			return true;
		c += length + 1;
	}
}

static void
check_path(const char *path)
{
	if (!path_is_plain(path))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("not a path in an archive store"),
				errdetail("It must be relative and hold neither an empty component, nor \".\", \"..\", a backslash or a control character."));
}

void
store_check_base(const char *base)
{
	driver_of(base)->check_base(base);
}

void
store_probe(const char *base)
{
	driver_of(base)->probe(base);
}

void
store_put(const char *base, const char *path, const char *file)
{
	check_path(path);
	driver_of(base)->put(base, path, file);
}

StoreObject *
store_open(const char *base, const char *path)
{
	check_path(path);
	return driver_of(base)->open(base, path);
}

size_t
store_read(StoreObject *object, uint64 offset, void *buffer, size_t len)
{
	return object->driver->read(object, offset, buffer, len);
}

uint64
store_size(StoreObject *object)
{
	return object->driver->size(object);
}

void
store_close(StoreObject *object)
{
	object->driver->close(object);
}

bool
store_remove(const char *base, const char *path)
{
	check_path(path);
	return driver_of(base)->remove(base, path);
}
