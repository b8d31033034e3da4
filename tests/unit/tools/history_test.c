#include "tools/history.h"

#include "tests/unit/scratch.h"

// Commands of one device that has answered none; what devices answer is in e2e.history.
struct place {
	struct jws_signer *signer;
	struct history_trust trust;
	struct buf text;
	char chain[COMMAND_CHAIN_BYTES];
	int64_t counter;
	size_t lines;
};

static void place_done(struct place *place)
{
	jws_signer_free(place->signer);
	history_trust_done(&place->trust);
	buf_done(&place->text);
}

static void begin(struct place *place)
{
	buf_done(&place->text);
	buf_init(&place->text, 1 << 20);
	place->chain[0] = '\0';
	place->counter = 0;
	place->lines = 1;
	assert_true(buf_add_str(&place->text, "{\"line\":\"history\",\"version\":1}\n"));
}

static void place_init(void **state, struct place *place)
{
	struct error error = {0};
	char *key auto_free = scratch_path(state, "key.pem");
	char *ca auto_free = scratch_path(state, "ca.crt");
	char *ca_key auto_free = scratch_path(state, "ca.key");
	assert_true(jws_signer_create(key, &error));
	place->signer = jws_signer_load(key, &error);
	assert_non_null(place->signer);
	assert_true(pki_ca_create(ca, ca_key, "CA", 30, &error));
	char *pem auto_free = file_read(ca, 1 << 16, NULL, &error);
	assert_true(history_trust_parse("{\"keys\":[]}", 11, pem, &place->trust, &error));
	place->trust.keys[0] = *jws_signer_key(place->signer);
	place->trust.key_count = 1;
	begin(place);
}

static void add(struct place *place, const char *id, bool shown)
{
	struct command command = {.issued_s = 1000,
				  .expires_s = 2000,
				  .counter = ++place->counter,
				  .device = "kiosk-7",
				  .action = "ping",
				  .by = "bob"};
	(void)snprintf(command.id, sizeof(command.id), "%s", id);
	(void)snprintf(command.prev, sizeof(command.prev), "%s", place->chain);
	char *jws auto_free = command_sign(place->signer, &command, NULL);
	assert_non_null(jws);
	command_chain(jws, strlen(jws), place->chain);
	if (!shown)
		return;
	place->lines++;
	assert_true(buf_addf(&place->text,
			     "{\"line\":\"command\",\"device\":\"kiosk-7\",\"id\":\"%s\",\"n\":%lld,\"action\":"
			     "\"ping\",\"params\":{},"
			     "\"requested_by\":\"bob\",\"state\":\"sent\",\"events\":[],\"jws\":\"%s\"}\n",
			     id, (long long)command.counter, jws));
}

static struct history_report verify(struct place *place)
{
	struct history_report report;
	history_verify(place->text.data, place->text.len_bytes, &place->trust, NULL, NULL, &report);
	return report;
}

static struct history_report sealed(struct place *place)
{
	struct error error = {0};
	char *end auto_free = history_end(place->signer, place->text.data, place->text.len_bytes, place->lines, &error);
	assert_non_null(end);
	assert_true(buf_addf(&place->text, "%s\n", end));
	return verify(place);
}

static void what_is_whole_holds(void **state)
{
	struct place place cleanup(place_done) = {0};
	place_init(state, &place);
	add(&place, "a", true);
	add(&place, "b", true);
	struct history_report report = sealed(&place);
	if (report.fault_count > 0)
		fail_msg("%s", report.faults[0].what);
	assert_int_equal(report.commands, 2);
	assert_int_equal(report.devices, 1);
	for (size_t bit = 0; bit < 8 * place.text.len_bytes; bit += 7) {
		place.text.data[bit / 8] = (char)(place.text.data[bit / 8] ^ 1 << bit % 8);
		assert_true(verify(&place).fault_count > 0);
		place.text.data[bit / 8] = (char)(place.text.data[bit / 8] ^ 1 << bit % 8);
	}
	place.trust.withdrawn_s[0] = 999;
	assert_true(verify(&place).fault_count >= 3); // both commands, and the seal
}

static void a_hole_shows_also_when_it_is_sealed(void **state)
{
	struct place place cleanup(place_done) = {0};
	place_init(state, &place);
	add(&place, "a", true);
	add(&place, "b", false);
	add(&place, "c", true);
	struct history_report report = sealed(&place);
	assert_int_equal(report.fault_count, 1);
	assert_int_equal(report.faults[0].line, 3);
	assert_non_null(strstr(report.faults[0].what, "is missing"));
	begin(&place);
	add(&place, "a", false);
	add(&place, "b", true);
	report = sealed(&place);
	assert_int_equal(report.fault_count, 0);
	assert_int_equal(report.partial, 1); // and says so
}

static void without_a_seal_nothing_holds(void **state)
{
	struct place place cleanup(place_done) = {0};
	place_init(state, &place);
	add(&place, "a", true);
	assert_int_equal(verify(&place).fault_count, 1);
	buf_clear(&place.text);
	assert_int_equal(verify(&place).fault_count, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_is_whole_holds, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(a_hole_shows_also_when_it_is_sealed, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(without_a_seal_nothing_holds, scratch_setup, scratch_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
