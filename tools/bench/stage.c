#include "tools/bench/stage.h"

#include "common/buf.h"
#include "common/clock.h"
#include "common/file.h"
#include "common/key.h"
#include "common/pki.h"
#include "tools/bench/load.h"
#include "tools/bench/process.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define START_TIMEOUT_MS 60000
#define STOP_TIMEOUT_MS 60000
#define POLL_MS 20
#define CONFIG_MAX_BYTES ((size_t)64 * 1024)
#define BROKER_PROGRAM "/usr/sbin/mosquitto"
#define CERTIFICATE_S 86400

// Ports of the stack that no part of this one uses otherwise.
enum { PLAIN_PORT = STACK_BRIDGE, SINK_PORT = STACK_DASHBOARD };

struct stage {
	struct stack stack;
	struct process_keeper keeper;
	pid_t postgres, broker, commander, bridge, dashboard, peer; // 0: none
	pid_t ingests[STAGE_INGESTS_MAX];
	struct pg *pg;
	struct peer_board *board;
	struct wire_tls *tls;
	char **certificates; // PEM by device; NULL without TLS
	size_t devices, ingest_count;
	bool with_tls; // what the running broker speaks
};

// ---- waiting for something to come up ----

static bool connects(int port)
{
	const struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	auto_close int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	return fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0;
}

static bool healthy(int port)
{
	static const char request[] = "GET /health HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n";
	const struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	char answer[16] = "";
	auto_close int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	return fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0 &&
	       send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL) > 0 &&
	       recv(fd, answer, sizeof(answer) - 1, 0) > 12 && strncmp(answer + 9, "200", 3) == 0;
}

static bool database_answers(struct stage *stage)
{
	struct error ignored;
	return pg_ready(stage->pg, &ignored);
}

// Until test is true; fails when the process ends.
static bool wait_until(struct stage *stage, pid_t *pid, const char *name, bool (*test)(struct stage *stage),
		       struct error *error)
{
	int64_t deadline_ms = clock_mono_ms() + START_TIMEOUT_MS;
	while (!test(stage)) {
		if (waitpid(*pid, NULL, WNOHANG) == *pid) {
			*pid = 0;
			return process_failed(&stage->stack, name, error);
		}
		if (clock_mono_ms() > deadline_ms)
			return error_set(error, ERROR_TIMEOUT, "%s is not ready after %d s", name,
					 START_TIMEOUT_MS / 1000);
		(void)poll(NULL, 0, POLL_MS);
	}
	return true;
}

// ---- database ----

static bool make_cluster(struct stage *stage, struct error *error)
{
	char **argv = stack_initdb_argv(&stage->stack);
	pid_t initdb = process_start(&stage->stack, "initdb", argv, SIGKILL, error);
	int status = -1;
	stack_argv_free(argv);
	if (initdb == 0)
		return false;
	while (waitpid(initdb, &status, 0) < 0 && errno == EINTR)
		;
	return status == 0 ? stack_database_adopt(&stage->stack, error)
			   : process_failed(&stage->stack, "initdb", error);
}

// Far from its end: an alert about each device's certificate would be raised while something else is measured.
static const char sql_certificate[] =
	"insert into certificate (serial, device, key_sha256, sha256, not_before, not_after, pem)"
	" values ($1, $2, $3, $4, now(), now() + interval '1 year', $5)";

static bool note_certificates(struct stage *stage, struct error *error)
{
	if (!pg_begin(stage->pg, error))
		return false;
	for (size_t i = 0; i < stage->devices; i++) {
		struct pki_certificate_info info;
		char name[LOAD_DEVICE_BYTES];
		(void)snprintf(name, sizeof(name), LOAD_DEVICE_FORMAT, i);
		if (!pki_certificate_info(stage->certificates[i], &info, error) ||
		    !PG_QUERY(stage->pg, NULL, error, sql_certificate, info.serial, name, info.key_sha256, info.sha256,
			      stage->certificates[i]))
			return false;
	}
	return pg_commit(stage->pg, error) && pg_exec(stage->pg, "vacuum (analyze) certificate", error);
}

static bool start_database(struct stage *stage, struct error *error)
{
	if (!make_cluster(stage, error) || !stack_database_configure(&stage->stack, error))
		return false;
	char **argv = stack_postgres_argv(&stage->stack);
	stage->postgres = process_start(&stage->stack, "postgres", argv, SIGQUIT, error);
	stack_argv_free(argv);
	auto_free char *first = stack_conninfo(&stage->stack, "muster_owner", "postgres");
	stage->pg = stage->postgres > 0 ? pg_new(first, "muster-bench", error) : NULL;
	if (!stage->pg || !wait_until(stage, &stage->postgres, "postgres", database_answers, error) ||
	    !stack_database_migrate(&stage->stack, error))
		return false;
	pg_free(stage->pg);
	auto_free char *conninfo = stack_conninfo(&stage->stack, "muster_owner", "muster");
	stage->pg = pg_new(conninfo, "muster-bench", error);
	char count[24];
	(void)snprintf(count, sizeof(count), "%zu", stage->devices);
	return stage->pg && pg_ready(stage->pg, error) &&
	       PG_QUERY(stage->pg, NULL, error,
			"insert into device (device) select 'bench-' || lpad(i::text, 5, '0') "
			"from generate_series(0, $1::int - 1) i",
			count) &&
	       pg_exec(stage->pg, "vacuum (analyze) device", error);
}

bool stage_database_clear(struct stage *stage, struct error *error)
{
	return pg_ready(stage->pg, error) &&
	       pg_exec(stage->pg, "truncate telemetry, event, device_state, ledger, quarantine", error) &&
	       pg_exec(stage->pg, "checkpoint", error);
}

bool stage_database_rows(struct stage *stage, int64_t *rows, int64_t *bytes, int64_t *wal_bytes, struct error *error)
{
	auto_pg_result struct pg_result *result = NULL;
	if (!pg_ready(stage->pg, error) ||
	    !pg_query(stage->pg, &result, error,
		      "select (select count(*) from telemetry), pg_database_size(current_database()), "
		      "pg_current_wal_insert_lsn() - '0/0'::pg_lsn",
		      0, NULL))
		return false;
	*rows = pg_int(result, 0, 0);
	*bytes = pg_int(result, 0, 1);
	*wal_bytes = pg_int(result, 0, 2);
	return true;
}

// ---- broker ----

// Of the template's settings, two differ. A device may send as fast as it can, because so few devices stand for many.
// And the guard lets nobody in without a certificate, so a plain listener is a broker without it, to which devices are
// known by the user name they give; anonymous is ingest.
static void adapt_line(struct buf *out, const char *line, bool tls)
{
	static const char *const rates[] = {"plugin_opt_messages_per_s", "plugin_opt_bytes_per_s"};
	if (!tls && (strncmp(line, "plugin", 6) == 0 || strncmp(line, "allow_anonymous", 15) == 0))
		return;
	for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
		if (strncmp(line, rates[i], strlen(rates[i])) == 0) {
			buf_addf(out, "%s 0\n", rates[i]);
			return;
		}
	}
	buf_addf(out, "%s\n", line);
}

static bool adapt_config(const struct stage *stage, bool tls, struct error *error)
{
	auto_buf struct buf out = {0};
	struct stack_path path = stack_path(&stage->stack, "broker/mosquitto.conf");
	buf_init(&out, CONFIG_MAX_BYTES);
	auto_free char *config = file_read(path.text, CONFIG_MAX_BYTES, NULL, error);
	if (!config)
		return false;
	char *rest = NULL;
	for (char *line = strtok_r(config, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		if (!tls && strncmp(line, "listener ", 9) == 0)
			break; // they are the last
		adapt_line(&out, line, tls);
	}
	if (!tls)
		buf_addf(&out, "allow_anonymous true\nlistener %d " STACK_LISTEN "\nprotocol mqtt\n",
			 stage->stack.ports[PLAIN_PORT]);
	return file_write(path.text, out.data, out.len_bytes, 0600, error);
}

static bool open_rules(const struct stage *stage, struct error *error)
{
	auto_buf struct buf out = {0};
	struct stack_path acl = stack_path(&stage->stack, "broker/acl");
	auto_free char *rules = file_read(acl.text, CONFIG_MAX_BYTES, NULL, error);
	buf_init(&out, CONFIG_MAX_BYTES);
	buf_addf(&out, "topic readwrite fleet/v1/#\n%s", rules ? rules : "");
	return rules && file_write(acl.text, out.data, out.len_bytes, 0600, error);
}

static bool broker_answers(struct stage *stage)
{
	return connects(stage_device_port(stage, stage->with_tls));
}

bool stage_broker_start(struct stage *stage, bool tls, struct error *error)
{
	struct stack_path config = stack_path(&stage->stack, "broker/mosquitto.conf");
	char *argv[] = {(char *)BROKER_PROGRAM, (char *)"-c", config.text, NULL};
	(void)unlink(stack_path(&stage->stack, "broker/mosquitto.db").text);
	stage->with_tls = tls;
	if (!stack_broker_configure(&stage->stack, error) || !adapt_config(stage, tls, error) ||
	    (!tls && !open_rules(stage, error)))
		return false;
	stage->broker = process_start(&stage->stack, "broker", argv, SIGKILL, error);
	return stage->broker > 0 && wait_until(stage, &stage->broker, "broker", broker_answers, error);
}

void stage_broker_stop(struct stage *stage)
{
	process_stop(&stage->broker, SIGKILL, 0); // what it still holds is of no interest
}

// ---- ingest ----

struct ingest_name {
	char text[16];
};

static struct ingest_name ingest_name(size_t number)
{
	struct ingest_name name;
	(void)snprintf(name.text, sizeof(name.text), "ingest.%zu", number + 1);
	return name;
}

static int ingest_port(const struct stage *stage, size_t number)
{
	return stage->stack.ports[number == 0 ? STACK_INGEST_METRICS : STACK_COMMANDER_METRICS];
}

static bool write_ingest_config(const struct stage *stage, size_t number, bool tls, struct error *error)
{
	const struct stack *stack = &stage->stack;
	struct ingest_name name = ingest_name(number);
	auto_free char *conninfo = stack_conninfo(stack, "muster_ingest", "muster");
	auto_buf struct buf out = {0};
	buf_init(&out, CONFIG_MAX_BYTES);
	buf_addf(&out, "broker = { host = \"" STACK_LISTEN "\"; port = %d; client_id = \"svc.%s\"; ",
		 stack->ports[tls ? STACK_SERVICES : PLAIN_PORT], name.text);
	if (tls)
		buf_addf(&out, "ca_file = \"%s/ca/service.crt\"; cert_file = \"%s/certs/ingest.crt\"; "
			       "key_file = \"%s/certs/ingest.key\"; ",
			 stack->root, stack->root, stack->root);
	buf_addf(&out,
		 "};\ndatabase = { conninfo = \"%s\"; };\nhttp = { address = \"" STACK_LISTEN "\"; port = %d; };\n",
		 conninfo ? conninfo : "", ingest_port(stage, number));
	// Counted like anybody's, and never reached: few devices stand for many.
	buf_add_str(&out, "limit = { messages_per_s = 100000000; messages_burst = 100000000; "
			  "bytes_per_s = 1000000000; bytes_burst = 1000000000; };\n");
	if (stage->ingest_count > 1)
		buf_add_str(&out, "subscription = { group = \"bench\"; };\n");
	return file_write(stack_path(stack, "conf/%s.conf", name.text).text, out.data, out.len_bytes, 0600, error);
}

static bool ingest_answers(struct stage *stage)
{
	for (size_t i = 0; i < stage->ingest_count; i++)
		if (stage->ingests[i] > 0 && !healthy(ingest_port(stage, i)))
			return false;
	return true;
}

static bool start_ingest(struct stage *stage, size_t number, bool tls, struct error *error)
{
	struct ingest_name name = ingest_name(number);
	struct stack_path config = stack_path(&stage->stack, "conf/%s.conf", name.text);
	char program[STACK_PATH_MAX + 16];
	char *argv[] = {program, (char *)"--config", config.text, NULL};
	(void)snprintf(program, sizeof(program), "%s/muster-ingest", stage->stack.bin);
	if (!write_ingest_config(stage, number, tls, error))
		return false;
	stage->ingests[number] = process_start(&stage->stack, name.text, argv, SIGKILL, error);
	return stage->ingests[number] > 0 &&
	       wait_until(stage, &stage->ingests[number], name.text, ingest_answers, error);
}

bool stage_ingest_start(struct stage *stage, bool tls, struct error *error)
{
	for (size_t i = 0; i < stage->ingest_count; i++)
		if (!start_ingest(stage, i, tls, error))
			return false;
	return true;
}

void stage_ingest_stop(struct stage *stage)
{
	for (size_t i = 0; i < stage->ingest_count; i++)
		process_stop(&stage->ingests[i], SIGTERM, STOP_TIMEOUT_MS);
}

// ---- commander ----

static bool commander_answers(struct stage *stage)
{
	return healthy(stage->stack.ports[STACK_COMMANDER_METRICS]);
}

static bool add_config(const struct stack_path *path, const char *more, struct error *error)
{
	auto_buf struct buf text = {0};
	auto_free char *config = file_read(path->text, CONFIG_MAX_BYTES, NULL, error);
	buf_init(&text, CONFIG_MAX_BYTES);
	buf_addf(&text, "%s%s", config ? config : "", more);
	return config && file_write(path->text, buf_str(&text), text.len_bytes, 0600, error);
}

bool stage_commander_start(struct stage *stage, const char *more, struct error *error)
{
	struct stack_path config = stack_path(&stage->stack, "conf/commander.conf");
	char program[STACK_PATH_MAX + 32];
	char *argv[] = {program, (char *)"--config", config.text, NULL};
	(void)snprintf(program, sizeof(program), "%s/muster-commander", stage->stack.bin);
	if (!stack_config_write(&stage->stack, error) || (more && !add_config(&config, more, error)))
		return false;
	stage->commander = process_start(&stage->stack, "commander", argv, SIGKILL, error);
	return stage->commander > 0 && wait_until(stage, &stage->commander, "commander", commander_answers, error);
}

void stage_commander_stop(struct stage *stage)
{
	process_stop(&stage->commander, SIGTERM, STOP_TIMEOUT_MS);
}

// ---- bridge ----

// It says so itself, when it is connected to the broker.
static bool bridge_answers(struct stage *stage)
{
	struct error ignored;
	auto_free char *log =
		file_read(stack_path(&stage->stack, "log/bridge.log").text, CONFIG_MAX_BYTES, NULL, &ignored);
	return log && strstr(log, "broker.connected") && connects(stage_bridge_port(stage));
}

bool stage_bridge_start(struct stage *stage, struct error *error)
{
	struct stack_path config = stack_path(&stage->stack, "conf/bridge.conf");
	char program[STACK_PATH_MAX + 16];
	char *argv[] = {program, (char *)"--config", config.text, NULL};
	(void)snprintf(program, sizeof(program), "%s/muster-bridge", stage->stack.bin);
	if (!stack_config_write(&stage->stack, error) || setenv("MUSTER_BRIDGE_LIMITS_DEVICE_PER_MIN", "0", 1) != 0)
		return false;
	stage->bridge = process_start(&stage->stack, "bridge", argv, SIGKILL, error);
	return stage->bridge > 0 && wait_until(stage, &stage->bridge, "bridge", bridge_answers, error);
}

void stage_bridge_stop(struct stage *stage)
{
	process_stop(&stage->bridge, SIGTERM, STOP_TIMEOUT_MS);
}

int stage_bridge_port(const struct stage *stage)
{
	return stage->stack.ports[STACK_BRIDGE];
}

char *stage_csr(const struct stage *stage, struct error *error)
{
	return pki_csr_create(stack_path(&stage->stack, "certs/devices.key").text, "bench", error);
}

// ---- dashboard ----

static bool dashboard_answers(struct stage *stage)
{
	return connects(stage_dashboard_port(stage));
}

bool stage_dashboard_start(struct stage *stage, struct error *error)
{
	struct stack_path config = stack_path(&stage->stack, "conf/dashboard.conf");
	char program[STACK_PATH_MAX + 32];
	char *argv[] = {program, (char *)"--config", config.text, NULL};
	(void)snprintf(program, sizeof(program), "%s/muster-dashboard", stage->stack.bin);
	if (!stack_config_write(&stage->stack, error))
		return false;
	stage->dashboard = process_start(&stage->stack, "dashboard", argv, SIGKILL, error);
	return stage->dashboard > 0 && wait_until(stage, &stage->dashboard, "dashboard", dashboard_answers, error);
}

int stage_dashboard_port(const struct stage *stage)
{
	return stage->stack.ports[STACK_DASHBOARD];
}

struct stack_path stage_dashboard_ca(const struct stage *stage)
{
	return stack_path(&stage->stack, "ca/service.crt");
}

int64_t stage_dashboard_peak(const struct stage *stage)
{
	return process_peak_bytes(stage->dashboard);
}

struct pg *stage_database(struct stage *stage)
{
	return stage->pg;
}

const struct stack *stage_stack(const struct stage *stage)
{
	return &stage->stack;
}

// ---- peers ----

static bool peer_is_ready(struct stage *stage)
{
	return atomic_load(&stage->board->ready);
}

static int peer_port(const struct stage *stage, stage_peer_fn *fn, bool tls)
{
	if (fn == peer_sink)
		return stage_sink_port(stage);
	return tls ? stage->stack.ports[STACK_SERVICES] : stage->stack.ports[PLAIN_PORT];
}

bool stage_peer_start(struct stage *stage, stage_peer_fn *fn, bool tls, struct error *error)
{
	bool server = fn == peer_sink;
	struct stack_path ca = stack_path(&stage->stack, "ca/service.crt");
	struct stack_path cert = stack_path(&stage->stack, server ? "certs/server.crt" : "certs/ingest.crt");
	struct stack_path key = stack_path(&stage->stack, server ? "certs/server.key" : "certs/ingest.key");
	struct peer_options options = {
		.board = stage->board,
		.port = peer_port(stage, fn, tls),
		.devices = stage->devices,
		.ca_file = tls ? ca.text : NULL,
		.cert_file = tls ? cert.text : NULL,
		.key_file = tls ? key.text : NULL,
	};
	for (size_t i = 0; i < stage->ingest_count; i++)
		options.watched[i] = ingest_port(stage, i);
	atomic_store(&stage->board->ready, false);
	atomic_store(&stage->board->delivered, 0);
	atomic_store(&stage->board->transactions, 0);
	stage->peer = process_fork(error);
	if (stage->peer < 0)
		return false;
	if (stage->peer == 0) {
		struct error failure = {0};
		fn(&options, &failure);
		(void)fprintf(stderr, "muster-bench: %s\n", failure.what);
		_exit(1);
	}
	return wait_until(stage, &stage->peer, "peer", peer_is_ready, error);
}

void stage_peer_stop(struct stage *stage)
{
	process_stop(&stage->peer, SIGKILL, 0);
}

const struct peer_board *stage_board(const struct stage *stage)
{
	return stage->board;
}

int stage_device_port(const struct stage *stage, bool tls)
{
	return stage->stack.ports[tls ? STACK_DEVICES : PLAIN_PORT];
}

int stage_sink_port(const struct stage *stage)
{
	return stage->stack.ports[SINK_PORT];
}

struct wire_tls *stage_tls(const struct stage *stage)
{
	return stage->tls;
}

const char *stage_certificate(void *user, size_t number)
{
	return ((const struct stage *)user)->certificates[number];
}

// ---- identities ----

// One key for all devices, so that making them takes seconds; each has a certificate of its own, as the guard demands.
static bool make_certificates(struct stage *stage, struct error *error)
{
	const struct stack *stack = &stage->stack;
	struct stack_path key = stack_path(stack, "certs/devices.key");
	struct pki_ca *ca cleanup(pki_ca_free_cleanup) =
		pki_ca_load(stack_path(stack, "ca/device.crt").text, stack_path(stack, "ca/device.key").text, error);
	if (!ca || !pki_key_create(key.text, error))
		return false;
	auto_free char *csr = pki_csr_create(key.text, "bench", error);
	stage->certificates = calloc(stage->devices, sizeof(char *));
	if (!csr || !stage->certificates)
		return false;
	for (size_t i = 0; i < stage->devices; i++) {
		char name[LOAD_DEVICE_BYTES];
		(void)snprintf(name, sizeof(name), LOAD_DEVICE_FORMAT, i);
		const struct pki_subject subject = {
			.profile = PKI_DEVICE, .name = name, .domain = "bench.invalid", .lifetime_s = CERTIFICATE_S};
		stage->certificates[i] = pki_issue(ca, csr, &subject, NULL, error);
		if (!stage->certificates[i])
			return false;
	}
	stage->tls = wire_tls_client(stack_path(stack, "ca/service.crt").text, key.text, error);
	return stage->tls;
}

// ---- all together ----

struct evp_pkey_st *stage_key(const struct stage *stage, struct error *error)
{
	return key_load(stack_path(&stage->stack, "certs/devices.key").text, error);
}

static bool build(struct stage *stage, const struct stage_options *options, struct error *error)
{
	if (!process_folder(&stage->stack, &stage->keeper, error) || !stack_prepare(&stage->stack, error) ||
	    !stack_ports_choose(&stage->stack, true, error) || !stack_identity_files(&stage->stack, error))
		return false;
	if (options->tls && !make_certificates(stage, error))
		return false;
	return start_database(stage, error) && (!options->known || note_certificates(stage, error));
}

struct stage *stage_new(const struct stage_options *options, struct error *error)
{
	struct stage *stage = calloc(1, sizeof(*stage));
	if (!stage) {
		error_errno(error, ENOMEM, "cannot begin");
		return NULL;
	}
	stage->keeper = (struct process_keeper){.alive = -1, .lock = -1};
	stage->devices = options->devices;
	stage->ingest_count = options->ingests;
	stage->board =
		mmap(NULL, sizeof(*stage->board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (stage->board == MAP_FAILED) {
		stage->board = NULL;
		error_errno(error, errno, "cannot share memory");
	} else if (build(stage, options, error)) {
		return stage;
	}
	stage_free(stage);
	return NULL;
}

void stage_free(struct stage *stage)
{
	if (!stage)
		return;
	process_stop(&stage->peer, SIGKILL, 0);
	process_stop(&stage->commander, SIGKILL, 0);
	process_stop(&stage->dashboard, SIGKILL, 0);
	process_stop(&stage->bridge, SIGKILL, 0);
	for (size_t i = 0; i < stage->ingest_count; i++)
		process_stop(&stage->ingests[i], SIGKILL, 0);
	process_stop(&stage->broker, SIGKILL, 0);
	pg_free(stage->pg);
	process_stop(&stage->postgres, SIGQUIT, STOP_TIMEOUT_MS);
	process_keeper_end(&stage->keeper);
	stack_ports_release(&stage->stack);
	wire_tls_free(stage->tls);
	for (size_t i = 0; stage->certificates && i < stage->devices; i++)
		free(stage->certificates[i]);
	free((void *)stage->certificates);
	if (stage->board)
		(void)munmap(stage->board, sizeof(*stage->board));
	free(stage);
}

void stage_usage(const struct stage *stage, struct stage_usage *out)
{
	*out = (struct stage_usage){
		.database_s = process_family_cpu_s(stage->postgres),
		.broker_s = process_cpu_s(stage->broker),
		.bridge_s = process_cpu_s(stage->bridge),
		.commander_s = process_cpu_s(stage->commander),
	};
	for (size_t i = 0; i < stage->ingest_count; i++) {
		int64_t rss_bytes = process_peak_bytes(stage->ingests[i]);
		out->ingest_s += process_cpu_s(stage->ingests[i]);
		if (rss_bytes > out->ingest_rss_bytes)
			out->ingest_rss_bytes = rss_bytes;
	}
}
