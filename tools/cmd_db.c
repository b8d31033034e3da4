// muster db migrate|status.
#include "common/clock.h"
#include "tools/cli.h"
#include "tools/migrate.h"
#include "tools/table.h"
#include "tools/text.h"

#include <stdio.h>
#include <stdlib.h>

static const char changed_next[] = "run the program version that fits this database, or restore a backup";

static int migrate_run(struct cli *cli)
{
	struct error error;
	size_t count = 0;
	size_t applied = 0;
	const struct migration *list = migrations(&count);
	if (!cli_open(cli, &error))
		return cli_fail(cli, &error, NULL);
	struct pg *pg cleanup(pg_free_cleanup) = cli_database(cli, "muster_owner", &error);
	if (!pg)
		return cli_fail(cli, &error, NULL);
	if (!migrate(pg, list, count, &applied, &error))
		return cli_fail(cli, &error, error.kind == ERROR_INVALID ? changed_next : NULL);
	(void)printf(cli->json ? "{\"applied\":%zu}\n" : "%zu applied\n", applied);
	return CLI_OK;
}

static int status_run(struct cli *cli)
{
	static const struct table_column columns[] = {{.name = "name"}, {.name = "state"}, {.name = "applied_at"}};
	struct error error;
	size_t count = 0;
	size_t known = 0;
	bool good = true;
	const struct migration *list = migrations(&count);
	auto_free struct migration_status *status = calloc(MIGRATIONS_MAX, sizeof(*status));
	if (!status)
		return CLI_FAILED;
	if (!cli_open(cli, &error))
		return cli_fail(cli, &error, NULL);
	struct pg *pg cleanup(pg_free_cleanup) = cli_database(cli, "muster_owner", &error);
	if (!pg || !migrate_status(pg, list, count, status, MIGRATIONS_MAX, &known, &error))
		return cli_fail(cli, &error, NULL);
	auto_table struct table *table = table_new("items", columns, sizeof(columns) / sizeof(columns[0]));
	for (size_t i = 0; i < known; i++) {
		const char *applied = status[i].applied_at;
		TABLE_ROW(table, status[i].name, migration_state_name(status[i].state),
			  cli->json || applied[0] == '\0' ? applied : text_time(applied, clock_wall_ms()).s);
		good = good && status[i].state == MIGRATION_APPLIED;
	}
	table_print(table, cli->json);
	return good ? CLI_OK : CLI_FAILED;
}

const struct cli_verb cmd_db[] = {
	{"db", "migrate", NULL, 0, 0, "apply pending migrations", NULL, migrate_run},
	{"db", "status", NULL, 0, 0, "which migrations are applied; exit 1 when not all are", NULL, status_run},
	{NULL, NULL, NULL, 0, 0, NULL, NULL, NULL},
};
