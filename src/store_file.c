/*
 * store_file.c
 *	  The archive store that needs no cloud: a directory of the server's.
 *
 * "file:/absolute/path", or "file:path" below the data directory.  The base
 * itself is the administrator's word; below it every component of a path is
 * opened by itself and never through a symbolic link, so that nothing planted
 * there leads a read, a write or a removal elsewhere.  Directories have mode
 * 0700, files 0600.
 *
 * What has been put is on disk, directories included, before put returns: the
 * caller deletes rows on the strength of it.
 *
 * An object must appear whole or not at all.  On the file system of the local
 * file that is one link(2); elsewhere a copy under a temporary name, linked to
 * its own.  link(2) refuses a name that is taken, which is what keeps an object
 * from being overwritten, whoever races.
 *
 * Works without a transaction, so descriptors are plain ones, closed by PG_TRY,
 * or, an open object's, with its memory context.  Functions that return -1 with
 * errno raise nothing and leave no descriptor open.  No locks.
 */
#include "steward.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "port.h"
#include "storage/fd.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "archive.h"
#include "store.h"

#define SCHEME_LENGTH	5		/* file: */
#define COPY_BYTES		(256 * 1024)

typedef struct FileObject
{
	StoreObject object;
	MemoryContext context;		/* the object's own; closes it when it goes */
	MemoryContextCallback closer;
	int			fd;
	uint64		size;
	char	   *name;			/* for messages */
} FileObject;

/* The descriptors of an operation, on the heap, where PG_FINALLY finds them */
typedef struct Descriptors
{
	int			dir;			/* the object's directory */
	int			local;			/* the local file */
	int			object;
} Descriptors;

/* ---- errors ------------------------------------------------------------- */

static int
errcode_for_store(void)
{
	/* those that core does not know; ELOOP: it is a symbolic link */
	if (errno == ELOOP)
		return errcode(ERRCODE_WRONG_OBJECT_TYPE);
	if (errno == ENAMETOOLONG)
		return errcode(ERRCODE_IO_ERROR);
	return errcode_for_file_access();
}

static int
errhint_for_store(int error)
{
	switch (error)
	{
		case ENOSPC:
		case EDQUOT:
			return errhint("Make room there, then try again.");
		case EROFS:
		case EACCES:
		case EPERM:
			return errhint("The server's operating system user must be able to write there.");
		case ELOOP:
			return errhint("A symbolic link stands in the way: below an archive store's base none is followed.");
		default:
			return 0;
	}
}

pg_noreturn static void store_error(const char *what, const char *base,
									const char *path);

/* what is "read" or the like; path may be NULL when it is the base itself */
static void
store_error(const char *what, const char *base, const char *path)
{
	int			error = errno;

	ereport(ERROR,
			errcode_for_store(),
			errmsg("could not %s \"%s%s%s\" of an archive store: %m", what,
				   base + SCHEME_LENGTH, path ? "/" : "", path ? path : ""),
			errhint_for_store(error));
}

/* ---- descriptors -------------------------------------------------------- */

static void
close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* close, keeping errno */
static void
close_quietly(int fd)
{
	int			error = errno;

	close(fd);
	errno = error;
}

static Descriptors *
no_descriptors(void)
{
	Descriptors *d = palloc(sizeof(Descriptors));

	d->dir = d->local = d->object = -1;
	return d;
}

static void
close_descriptors(Descriptors *d)
{
	close_fd(&d->dir);
	close_fd(&d->local);
	close_fd(&d->object);
	pfree(d);
}

static int
sync_fd(int fd)
{
	int			result;

	pgstat_report_wait_start(PG_WAIT_EXTENSION);
	result = pg_fsync(fd);
	pgstat_report_wait_end();
	return result;
}

/* ---- directories -------------------------------------------------------- */

/*
 * One step down.  Linux says ENOTDIR of a symbolic link here; ELOOP is what is
 * meant.
 */
static int
step_down(int parent, const char *name)
{
	int			fd = openat(parent, name,
							O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (fd < 0 && errno == ENOTDIR &&
		fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		errno = S_ISLNK(st.st_mode) ? ELOOP : ENOTDIR;
	return fd;
}

/* The same, making the directory where there is none, on disk */
static int
make_step_down(int parent, const char *name)
{
	int			fd = step_down(parent, name);

	if (fd >= 0 || errno != ENOENT)
		return fd;
	if (mkdirat(parent, name, S_IRWXU) < 0 && errno != EEXIST)
		return -1;
	if (sync_fd(parent) < 0)
		return -1;
	return step_down(parent, name);
}

/*
 * Descend from a directory, which is closed, along the first "length" bytes of
 * a path.  Returns the last directory, or -1.
 */
static int
descend(int dir, const char *path, size_t length, bool make)
{
	char		name[256];
	size_t		at = 0;

	while (dir >= 0 && at < length)
	{
		size_t		n = strcspn(path + at, "/");
		int			next;

		if (n >= sizeof(name))
		{
			errno = ENAMETOOLONG;
			next = -1;
		}
		else
		{
			memcpy(name, path + at, n);
			name[n] = '\0';
			next = make ? make_step_down(dir, name) : step_down(dir, name);
		}
		close_quietly(dir);
		dir = next;
		at += n + 1;
	}
	return dir;
}

static int
open_base(const char *base, bool make)
{
	const char *place = base + SCHEME_LENGTH;
	bool		absolute = is_absolute_path(place);
	int			fd = open(absolute ? place : DataDir,
						  O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return absolute ? fd : descend(fd, place, strlen(place), make);
}

/* Length of what stands before the last component, without its slash */
static size_t
directory_length(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash - path : 0;
}

static const char *
last_component(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* ---- the base ----------------------------------------------------------- */

/* The server's own directories are no place for an archive */
static bool
is_servers_own(const char *place)
{
	size_t		n = strcspn(place, "/");

	return strncmp(place, "pg_", 3) == 0 ||
		(n == 4 && strncmp(place, "base", n) == 0) ||
		(n == 6 && strncmp(place, "global", n) == 0);
}

static bool
base_is_plain(const char *place)
{
	const char *c;

	for (c = is_absolute_path(place) ? place + 1 : place;; c++)
	{
		size_t		n = strcspn(c, "/");

		if (n == 0 || n > 255 || (n <= 2 && strncmp(c, "..", n) == 0))
			return false;
		c += n;
		if (*c == '\0')
			return true;
	}
}

static void
file_check_base(const char *base)
{
	const char *place = base + SCHEME_LENGTH;

	if (strlen(place) >= MAXPGPATH || !base_is_plain(place))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("not a directory for an archive store: \"%s\"", base),
				errdetail("It must be a path without empty components, \".\", \"..\" and a slash at the end."),
				errhint("Use file:/absolute/path, or file:path for one below the data directory."));
	if (is_absolute_path(place)
		? path_is_prefix_of_path(DataDir, place) : is_servers_own(place))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("not a directory for an archive store: \"%s\"", base),
				errdetail("The server keeps its own files there."),
				errhint("Use file:archive, which lies below the data directory, or a directory outside it."));
}

static void
base_error(const char *base)
{
	const char *place = base + SCHEME_LENGTH;

	if (errno == ENOENT && is_absolute_path(place))
		ereport(ERROR,
				errcode_for_file_access(),
				errmsg("could not open directory \"%s\" of an archive store: %m", place),
				errhint("Make it, owned by the server's operating system user: mkdir -p -m 700 %s", place));
	store_error("open directory", base, NULL);
}

/*
 * Write and read back a small file.  It loses its name as soon as it has one, so
 * that nothing of it stays when the process is killed; and the name is always the
 * same, so that the next probe takes what a kill just between has left.
 */
static void
probe_directory(Descriptors *d, const char *base)
{
	static const char word[] = "pg_steward";
	static const char name[] = ".probe";
	char		back[sizeof(word)];
	int			error = 0;

	d->object = openat(d->dir, name,
					   O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC,
					   S_IRUSR | S_IWUSR);
	if (d->object < 0)
		store_error("create a file in", base, NULL);
	/* somebody else who probes may have removed it already */
	if (unlinkat(d->dir, name, 0) < 0 && errno != ENOENT)
		store_error("remove a file from", base, NULL);
	errno = 0;
	if (pwrite(d->object, word, sizeof(word), 0) != sizeof(word))
		error = errno ? errno : ENOSPC;
	else if (sync_fd(d->object) < 0)
		error = errno;
	else if (pread(d->object, back, sizeof(back), 0) != sizeof(back) ||
			 memcmp(word, back, sizeof(word)) != 0)
		error = errno ? errno : EIO;
	errno = error;
	if (error != 0)
		store_error("write and read a file in", base, NULL);
}

static void
file_probe(const char *base)
{
	Descriptors *d = no_descriptors();

	file_check_base(base);
	PG_TRY();
	{
		d->dir = open_base(base, true);
		if (d->dir < 0)
			base_error(base);
		probe_directory(d, base);
	}
	PG_FINALLY();
	{
		close_descriptors(d);
	}
	PG_END_TRY();
}

/* ---- put ---------------------------------------------------------------- */

/* Read until the buffer is full or the file ends; -1 on an error */
static ssize_t
read_fully(int fd, char *buffer, size_t length, uint64 offset)
{
	size_t		done = 0;

	while (done < length)
	{
		ssize_t		n;

		pgstat_report_wait_start(PG_WAIT_EXTENSION);
		n = pread(fd, buffer + done, length - done, offset + done);
		pgstat_report_wait_end();
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (n == 0)
			break;
		done += n;
	}
	return done;
}

static int
write_fully(int fd, const char *buffer, size_t length)
{
	while (length > 0)
	{
		ssize_t		n;

		errno = 0;
		pgstat_report_wait_start(PG_WAIT_EXTENSION);
		n = write(fd, buffer, length);
		pgstat_report_wait_end();
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
		{
			if (errno == 0)
				errno = ENOSPC;
			return -1;
		}
		buffer += n;
		length -= n;
	}
	return 0;
}

static void
copy_local(Descriptors *d, const char *base, const char *path,
		   const char *file)
{
	char	   *buffer = palloc(COPY_BYTES);
	uint64		offset = 0;

	for (;;)
	{
		ssize_t		n = read_fully(d->local, buffer, COPY_BYTES, offset);

		CHECK_FOR_INTERRUPTS();
		if (n < 0)
			ereport(ERROR,
					errcode_for_file_access(),
					errmsg("could not read file \"%s\": %m", file));
		if (n == 0)
			break;
		if (write_fully(d->object, buffer, n) < 0)
			store_error("write", base, path);
		offset += n;
	}
	pfree(buffer);
}

/* Is the object that is there the local file already? */
static bool
same_content(Descriptors *d, const char *base, const char *path,
			 const char *file)
{
	struct stat local;
	struct stat object;
	char	   *mine;
	char	   *theirs;
	uint64		offset = 0;
	bool		same = true;

	if (fstat(d->local, &local) < 0)
		ereport(ERROR,
				errcode_for_file_access(),
				errmsg("could not stat file \"%s\": %m", file));
	if (fstat(d->object, &object) < 0)
		store_error("stat", base, path);
	if (!S_ISREG(object.st_mode) || local.st_size != object.st_size)
		return false;
	if (local.st_dev == object.st_dev && local.st_ino == object.st_ino)
		return true;

	mine = palloc(COPY_BYTES);
	theirs = palloc(COPY_BYTES);
	while (same && offset < local.st_size)
	{
		ssize_t		n = read_fully(d->local, mine, COPY_BYTES, offset);
		ssize_t		m = read_fully(d->object, theirs, COPY_BYTES, offset);

		CHECK_FOR_INTERRUPTS();
		if (m < 0)
			store_error("read", base, path);
		same = n > 0 && n == m && memcmp(mine, theirs, n) == 0;
		offset += COPY_BYTES;
	}
	pfree(mine);
	pfree(theirs);
	return same;
}

/* The name is taken: by this very object, when an earlier put was cut short */
static void
accept_existing(Descriptors *d, const char *base, const char *path,
				const char *file)
{
	d->object = openat(d->dir, last_component(path),
					   O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (d->object < 0)
		store_error("open", base, path);
	if (!same_content(d, base, path, file))
		ereport(ERROR,
				errcode(ERRCODE_DUPLICATE_FILE),
				errmsg("object \"%s/%s\" of an archive store exists already",
					   base + SCHEME_LENGTH, path),
				errdetail("Its content is another, and an object is never overwritten."));
	if (sync_fd(d->object) < 0)
		store_error("sync", base, path);
}

/* errno of a link(2) that another way may do what it could not */
static bool
link_is_impossible(int error)
{
	return error == EXDEV || error == EPERM || error == EMLINK ||
		error == EOPNOTSUPP || error == ENOSYS;
}

/* Copy under a temporary name, then link that to the object's */
static void
put_copy(Descriptors *d, const char *base, const char *path, const char *file)
{
	const char *name = last_component(path);
	char		temporary[64];

	snprintf(temporary, sizeof(temporary), ".put.%d." UINT64_FORMAT, MyProcPid,
			 (uint64) GetCurrentTimestamp());
	d->object = openat(d->dir, temporary,
					   O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
					   S_IRUSR | S_IWUSR);
	if (d->object < 0)
		store_error("create", base, path);
	PG_TRY();
	{
		copy_local(d, base, path, file);
		if (sync_fd(d->object) < 0)
			store_error("sync", base, path);
		close_fd(&d->object);
		if (linkat(d->dir, temporary, d->dir, name, 0) < 0)
		{
			if (errno != EEXIST)
				store_error("create", base, path);
			accept_existing(d, base, path, file);
		}
	}
	PG_FINALLY();
	{
		unlinkat(d->dir, temporary, 0);
	}
	PG_END_TRY();
}

static void
put_object(Descriptors *d, const char *base, const char *path,
		   const char *file)
{
	d->local = open(file, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	if (d->local < 0)
		ereport(ERROR,
				errcode_for_file_access(),
				errmsg("could not open file \"%s\": %m", file));
	if (sync_fd(d->local) < 0)
		ereport(ERROR,
				errcode_for_file_access(),
				errmsg("could not fsync file \"%s\": %m", file));

	d->dir = open_base(base, true);
	if (d->dir < 0)
		base_error(base);
	d->dir = descend(d->dir, path, directory_length(path), true);
	if (d->dir < 0)
		store_error("make the directory of", base, path);

	if (linkat(AT_FDCWD, file, d->dir, last_component(path), 0) < 0)
	{
		if (errno == EEXIST)
			accept_existing(d, base, path, file);
		else if (link_is_impossible(errno))
			put_copy(d, base, path, file);
		else
			store_error("create", base, path);
	}
	if (sync_fd(d->dir) < 0)
		store_error("sync the directory of", base, path);
}

static void
file_put(const char *base, const char *path, const char *file)
{
	Descriptors *d = no_descriptors();

	file_check_base(base);
	PG_TRY();
	{
		put_object(d, base, path, file);
	}
	PG_FINALLY();
	{
		close_descriptors(d);
	}
	PG_END_TRY();
}

/* ---- open, read --------------------------------------------------------- */

static void
release_object(void *arg)
{
	FileObject *object = arg;

	if (object->fd >= 0)
	{
		close(object->fd);
		ReleaseExternalFD();
	}
	object->fd = -1;
}

static int
open_object(const char *base, const char *path)
{
	int			dir = open_base(base, false);
	int			fd;

	dir = descend(dir, path, directory_length(path), false);
	if (dir < 0)
		return -1;
	/* O_NONBLOCK: whatever was put there, opening it does not wait */
	fd = openat(dir, last_component(path),
				O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	close_quietly(dir);
	return fd;
}

static StoreObject *
file_open(const char *base, const char *path)
{
	MemoryContext context;
	FileObject *object;
	struct stat st;

	file_check_base(base);
	context = AllocSetContextCreate(CurrentMemoryContext, "pg_steward object",
									ALLOCSET_SMALL_SIZES);
	object = MemoryContextAllocZero(context, sizeof(FileObject));
	object->object.driver = &store_file_driver;
	object->context = context;
	object->fd = -1;
	object->name = MemoryContextStrdup(context, psprintf("%s/%s", base + SCHEME_LENGTH, path));
	object->closer.func = release_object;
	object->closer.arg = object;
	MemoryContextRegisterResetCallback(context, &object->closer);

	if (!AcquireExternalFD())
		store_error("open", base, path);
	object->fd = open_object(base, path);
	if (object->fd < 0)
	{
		ReleaseExternalFD();
		store_error("open", base, path);
	}
	if (fstat(object->fd, &st) < 0)
		store_error("stat", base, path);
	if (!S_ISREG(st.st_mode))
		ereport(ERROR,
				errcode(ERRCODE_WRONG_OBJECT_TYPE),
				errmsg("\"%s\" of an archive store is not a file", object->name));
	object->size = st.st_size;
	return &object->object;
}

static size_t
file_read(StoreObject *store_object, uint64 offset, void *buffer, size_t len)
{
	FileObject *object = (FileObject *) store_object;
	ssize_t		n = read_fully(object->fd, buffer, len, offset);

	if (n < 0)
		ereport(ERROR,
				errcode_for_file_access(),
				errmsg("could not read \"%s\" of an archive store: %m",
					   object->name));
	return n;
}

static uint64
file_size(StoreObject *object)
{
	return ((FileObject *) object)->size;
}

static void
file_close(StoreObject *object)
{
	MemoryContextDelete(((FileObject *) object)->context);
}

/* ---- remove ------------------------------------------------------------- */

static void
remove_object(Descriptors *d, const char *name, const char *base,
			  const char *path)
{
	if (unlinkat(d->dir, name, 0) < 0 && errno != ENOENT)
		store_error("remove an object of", base, path);
}

/* The rest: temporary files that a crash has left */
static void
remove_leftovers(Descriptors *d, const char *base, const char *path)
{
	int			fd = openat(d->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR		   *listing = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	if (!listing)
	{
		if (fd >= 0)
			close_quietly(fd);
		store_error("list", base, path);
	}
	PG_TRY();
	{
		while ((entry = readdir(listing)) != NULL)
		{
			if (strcmp(entry->d_name, ".") != 0 &&
				strcmp(entry->d_name, "..") != 0)
				remove_object(d, entry->d_name, base, path);
		}
	}
	PG_FINALLY();
	{
		closedir(listing);
	}
	PG_END_TRY();
}

/*
 * The manifest goes first, and is gone on disk before anything else goes: it
 * is what says that the rest is there.
 */
static bool
remove_directory(Descriptors *d, const char *base, const char *path)
{
	const char *name = last_component(path);

	/* d->object: the directory above */
	d->object = open_base(base, false);
	if (d->object < 0)
		base_error(base);
	d->object = descend(d->object, path, directory_length(path), false);
	d->dir = d->object < 0 ? -1 : step_down(d->object, name);
	if (d->dir < 0 && errno == ENOENT)
		return false;
	if (d->dir < 0)
		store_error("open", base, path);

	remove_object(d, ARCHIVE_MANIFEST_FILE, base, path);
	if (sync_fd(d->dir) < 0)
		store_error("sync", base, path);
	remove_object(d, ARCHIVE_DATA_FILE, base, path);
	remove_leftovers(d, base, path);
	if (unlinkat(d->object, name, AT_REMOVEDIR) < 0)
		store_error("remove", base, path);
	if (sync_fd(d->object) < 0)
		store_error("sync the directory above", base, path);
	return true;
}

static bool
file_remove(const char *base, const char *path)
{
	Descriptors *d = no_descriptors();
	bool		found = false;

	file_check_base(base);
	PG_TRY();
	{
		found = remove_directory(d, base, path);
	}
	PG_FINALLY();
	{
		close_descriptors(d);
	}
	PG_END_TRY();
	return found;
}

const StoreDriver store_file_driver = {
	.scheme = "file",
	.check_base = file_check_base,
	.probe = file_probe,
	.put = file_put,
	.open = file_open,
	.read = file_read,
	.size = file_size,
	.close = file_close,
	.remove = file_remove,
};
