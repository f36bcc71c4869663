/*
 * store.h
 *	  An archive store: where archives are kept, behind one interface.
 *
 * A store is named by a URL, its base ("file:/var/lib/archive").  store.c
 * finds the driver for the scheme; nobody else knows the drivers.  Paths are
 * relative to the base, use '/' and hold no "..".
 *
 * All of these raise an error that says what the store did wrong, with a
 * SQLSTATE of class 58 (58030 where nothing better fits), or 58P01 where an
 * object is not there.  None is called with a buffer lock or spinlock held; a
 * driver that uses the network must be called outside every transaction.
 */
#ifndef STEWARD_STORE_H
#define STEWARD_STORE_H

#include "postgres.h"

typedef struct StoreObject StoreObject;

typedef struct StoreDriver
{
	const char *scheme;
	/* is this a base that the driver understands?  ERROR, 22023, if not */
	void		(*check_base) (const char *base);
	/* can it be written and read now? */
	void		(*probe) (const char *base);

	/*
	 * a local file becomes the object, whole or not at all, never over
	 * another
	 */
	void		(*put) (const char *base, const char *path, const char *file);
	StoreObject *(*open) (const char *base, const char *path);
	/* read at most len bytes at an offset; fewer only at the object's end */
	size_t		(*read) (StoreObject *object, uint64 offset, void *buffer, size_t len);
	uint64		(*size) (StoreObject *object);
	void		(*close) (StoreObject *object);
	/* remove a directory with all objects in it; false when it is not there */
	bool		(*remove) (const char *base, const char *path);
} StoreDriver;

/* What every driver's object begins with */
struct StoreObject
{
	const StoreDriver *driver;
};

extern void store_check_base(const char *base);
extern void store_probe(const char *base);
extern void store_put(const char *base, const char *path, const char *file);
extern StoreObject *store_open(const char *base, const char *path);
extern size_t store_read(StoreObject *object, uint64 offset, void *buffer,
						 size_t len);
extern uint64 store_size(StoreObject *object);
extern void store_close(StoreObject *object);
extern bool store_remove(const char *base, const char *path);

/* ---- the drivers, for store.c only -------------------------------------- */

extern const StoreDriver store_file_driver;

#endif							/* STEWARD_STORE_H */
