#include "tools/stack.h"

#include "common/buf.h"
#include "common/file.h"
#include "tools/migrate.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DATABASE "muster"
#define CONFIG_MAX_BYTES 8192
#define LOCK_FILE_MAX_BYTES 4096
#define INITDB_ENVIRONMENT_BIN "MUSTER_POSTGRES_BIN"
#define POSTGRES_BIN "/usr/lib/postgresql/15/bin"

static const char *const roles[] = {"muster_owner",  "muster_ingest",	 "muster_commander",
				    "muster_bridge", "muster_dashboard", "muster_canary", "muster_admin"};

// @RUN@ is the folder of the socket. fsync and synchronous_commit are named because `stored` means "on disk".
static const char settings[] =
	"# Written by `muster up` at each start; put your own settings into local.conf beside it.\n"
	"listen_addresses = ''\n"
	"unix_socket_directories = '\"@RUN@\"'\n"
	"unix_socket_permissions = 0700\n"
	"port = 5432\n"
	"cluster_name = 'muster'\n"
	"max_connections = 60\n"
	"shared_buffers = 128MB\n"
	"dynamic_shared_memory_type = posix\n"
	"fsync = on\n"
	"synchronous_commit = on\n"
	"full_page_writes = on\n"
	"wal_level = replica\n"
	"max_wal_size = 1GB\n"
	"timezone = 'UTC'\n"
	"log_timezone = 'UTC'\n"
	"log_destination = 'stderr'\n"
	"logging_collector = off\n"
	"log_line_prefix = '%m [%p] %q%u '\n"
	"log_checkpoints = off\n"
	"include_if_exists = 'local.conf'\n";

static const char hba[] =
	"# Written by `muster up`: the socket is the only way in, the operating system says who it is.\n"
	"local all all peer map=muster\n";

static const char sql_has_database[] = "select 1 from pg_database where datname = '" DATABASE "'";
static const char sql_create_database[] = "create database " DATABASE " owner muster_owner";

bool stack_database_exists(const struct stack *stack)
{
	return file_exists(stack_path(stack, "pg/PG_VERSION").text);
}

// libpq: a value in single quotes, with ' and \ escaped.
static void add_quoted(struct buf *out, const char *value)
{
	buf_add_str(out, "'");
	for (const char *c = value; *c; c++) {
		if (*c == '\'' || *c == '\\')
			buf_add_str(out, "\\");
		buf_add(out, c, 1);
	}
	buf_add_str(out, "'");
}

char *stack_conninfo(const struct stack *stack, const char *role, const char *dbname)
{
	auto_buf struct buf out = {0};
	buf_init(&out, CONFIG_MAX_BYTES);
	buf_add_str(&out, "host=");
	add_quoted(&out, stack_path(stack, "run").text);
	buf_addf(&out, " port=5432 dbname=%s user=%s", dbname, role);
	return strdup(buf_str(&out));
}

// ---- programs ----

static char *postgres_program(const char *name)
{
	const char *folder = getenv(INITDB_ENVIRONMENT_BIN);
	char *path = NULL;
	return asprintf(&path, "%s/%s", folder ? folder : POSTGRES_BIN, name) < 0 ? NULL : path;
}

// Copies the words, the last of which is NULL, behind the program.
static char **argv_new(char *program, const char *const *words)
{
	size_t count = 0;
	while (words[count])
		count++;
	char **argv = calloc(count + 2, sizeof(*argv));
	if (!argv)
		abort();
	argv[0] = program;
	for (size_t i = 0; i < count; i++)
		argv[i + 1] = strdup(words[i]);
	return argv;
}

void stack_argv_free(char **argv)
{
	for (char **word = argv; word && *word; word++)
		free(*word);
	free(argv);
}

char **stack_initdb_argv(const struct stack *stack)
{
	struct stack_path data = stack_path(stack, "pg.new");
	const char *const words[] = {"-D",
				     data.text,
				     "--data-checksums",
				     "--encoding=UTF8",
				     "--locale=C",
				     "--username=muster_owner",
				     "--auth-local=peer",
				     "--auth-host=reject",
				     "--no-instructions",
				     NULL};
	return argv_new(postgres_program("initdb"), words);
}

char **stack_postgres_argv(const struct stack *stack)
{
	struct stack_path data = stack_path(stack, "pg");
	const char *const words[] = {"-D", data.text, NULL};
	return argv_new(postgres_program("postgres"), words);
}

// ---- files ----

bool stack_database_adopt(const struct stack *stack, struct error *error)
{
	struct stack_path from = stack_path(stack, "pg.new");
	struct stack_path to = stack_path(stack, "pg");
	if (rename(from.text, to.text) != 0)
		return error_errno(error, errno, "cannot rename %s", from.text);
	return true;
}

static bool write_settings(const struct stack *stack, struct error *error)
{
	auto_buf struct buf text = {0};
	const char *mark = strstr(settings, "@RUN@");
	buf_init(&text, CONFIG_MAX_BYTES);
	buf_add(&text, settings, (size_t)(mark - settings));
	for (const char *c = stack_path(stack, "run").text; *c; c++)
		buf_addf(&text, *c == '\'' ? "''" : "%c", *c);
	buf_add_str(&text, mark + strlen("@RUN@"));
	return file_write(stack_path(stack, "pg/postgresql.conf").text, text.data, text.len_bytes, 0600, error);
}

// Root may be anybody, so it is let in too: no file of the stack becomes root's by that.
static bool write_ident(const struct stack *stack, struct error *error)
{
	auto_buf struct buf text = {0};
	const struct passwd *user = getpwuid(geteuid()); // NOLINT(concurrency-mt-unsafe): one thread
	if (!user)
		return error_set(error, ERROR_NOT_FOUND, "user %u has no name, which the database needs", geteuid());
	buf_init(&text, CONFIG_MAX_BYTES);
	buf_add_str(&text, "# Written by `muster up`: operating system user, database role.\n");
	for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++) {
		buf_addf(&text, "muster \"%s\" %s\n", user->pw_name, roles[i]);
		if (geteuid() != 0)
			buf_addf(&text, "muster root %s\n", roles[i]);
	}
	return file_write(stack_path(stack, "pg/pg_ident.conf").text, text.data, text.len_bytes, 0600, error);
}

bool stack_database_configure(const struct stack *stack, struct error *error)
{
	return write_settings(stack, error) && write_ident(stack, error) &&
	       file_write(stack_path(stack, "pg/pg_hba.conf").text, hba, sizeof(hba) - 1, 0600, error);
}

// PostgreSQL itself clears a lock whose process is gone, but takes any living process of that id for the server.
bool stack_database_cure(const struct stack *stack, struct error *error)
{
	struct stack_path lock = stack_path(stack, "pg/postmaster.pid");
	if (!file_exists(lock.text))
		return true;
	auto_free char *text = file_read(lock.text, LOCK_FILE_MAX_BYTES, NULL, error);
	if (!text)
		return false;
	char folder_link[64];
	char folder[PATH_MAX] = "";
	long pid = strtol(text, NULL, 10);
	(void)snprintf(folder_link, sizeof(folder_link), "/proc/%ld/cwd", pid);
	ssize_t length = pid > 0 ? readlink(folder_link, folder, sizeof(folder) - 1) : -1;
	if (length > 0)
		folder[length] = '\0';
	if (strcmp(folder, stack_path(stack, "pg").text) == 0)
		return error_set(error, ERROR_EXISTS, "a PostgreSQL server (process %ld) runs on %s already", pid,
				 folder);
	if (unlink(lock.text) != 0 && errno != ENOENT)
		return error_errno(error, errno, "cannot delete %s", lock.text);
	(void)unlink(stack_path(stack, "run/.s.PGSQL.5432").text);
	(void)unlink(stack_path(stack, "run/.s.PGSQL.5432.lock").text);
	return true;
}

// ---- contents ----

static bool make_database(const struct stack *stack, struct error *error)
{
	auto_free char *conninfo = stack_conninfo(stack, "muster_owner", "postgres");
	struct pg *pg cleanup(pg_free_cleanup) = pg_new(conninfo, "muster", error);
	auto_pg_result struct pg_result *found = NULL;
	if (!pg || !pg_ready(pg, error) || !pg_query(pg, &found, error, sql_has_database, 0, NULL))
		return false;
	return pg_rows(found) > 0 || pg_exec(pg, sql_create_database, error);
}

bool stack_database_migrate(const struct stack *stack, struct error *error)
{
	if (!make_database(stack, error))
		return error_prefix(error, "making the database");
	auto_free char *conninfo = stack_conninfo(stack, "muster_owner", DATABASE);
	struct pg *pg cleanup(pg_free_cleanup) = pg_new(conninfo, "muster", error);
	size_t count = 0;
	size_t applied = 0;
	const struct migration *list = migrations(&count);
	return pg && pg_ready(pg, error) && migrate(pg, list, count, &applied, error);
}
