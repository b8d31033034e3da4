// The two certificate authorities of a state folder, and how one takes another's place without anybody being cut off:
//
//   next     made; everybody comes to trust it
//   current  it issues
//   old      it issues no more, and what it has issued still holds
//   (then it is withdrawn: deleted)
//
//   ca/<kind>.crt          all that are trusted, in PEM: what clients, the guard and the bridge read
//   ca/<kind>.key          of the current one; ca/<kind>-next.key and ca/<kind>-old.key of the others. So it is the
//   keys
//                          that say which is which, and renaming one is the switch.
//   ca/trust/<kind>/       each of ca/<kind>.crt under the name by which OpenSSL finds it: the broker's capath
//
// OpenSSL asks the folder only for a subject that it does not know yet, so no two authorities have the same name.
#pragma once

#include "common/pki.h"
#include "tools/stack.h"

enum authority_kind { AUTHORITY_DEVICE, AUTHORITY_SERVICE };
enum authority_state { AUTHORITY_NEXT, AUTHORITY_CURRENT, AUTHORITY_OLD };

struct authority {
	enum authority_state state;
	struct pki_certificate_info info;
	char *pem; // owned
};

struct authority_list {
	struct authority items[PKI_BUNDLE_MAX];
	size_t count;
	char trust[SHA256_HEX_BYTES]; // of ca/<kind>.crt: what a device says in hello when it has this bundle
};

const char *authority_kind_name(enum authority_kind kind);    // "device"
const char *authority_state_name(enum authority_state state); // "next"
bool authority_kind_parse(const char *text, enum authority_kind *out) must_check;

// ERROR_NOT_FOUND before authority_init.
bool authority_list_load(const struct stack *stack, enum authority_kind kind, struct authority_list *out,
			 struct error *error) must_check;
void authority_list_done(struct authority_list *list);
#define auto_authority_list cleanup(authority_list_done)
// The first in this state; NULL when there is none.
const struct authority *authority_find(const struct authority_list *list, enum authority_state state);

// Makes the first authority if there is none, and puts ca/trust/<kind> right.
bool authority_init(const struct stack *stack, enum authority_kind kind, struct error *error) must_check;
// Makes the next one and has it trusted. ERROR_EXISTS when a rotation is under way.
bool authority_add(const struct stack *stack, enum authority_kind kind, struct error *error) must_check;
// The next becomes the current one, that one old. ERROR_NOT_FOUND without a next one.
bool authority_switch(const struct stack *stack, enum authority_kind kind, struct error *error) must_check;
// The old ones are trusted no more, and their key is deleted. ERROR_NOT_FOUND when there is none.
bool authority_withdraw(const struct stack *stack, enum authority_kind kind, struct error *error) must_check;

// Makes folder hold each authority of list under the name by which OpenSSL finds it, and nothing else: first what is
// new, then what is gone.
bool authority_publish(const struct authority_list *list, const char *folder, struct error *error) must_check;

// To issue with: state CURRENT; for a revocation list OLD; for a test of who trusts it, any.
struct pki_ca *authority_open(const struct stack *stack, enum authority_kind kind, enum authority_state state,
			      struct error *error) must_check;

// Makes the database's table "authority" say what the files say, for those who look there.
bool authority_record(const struct stack *stack, struct pg *pg, struct error *error) must_check;
