// Progress and results of commands.
#pragma once

struct result {
	const char *command; // jti as sent; may be unknown here
	const char *state;
	const char *body; // JSON object of the other members
	const char *signed_text; // exactly what sig is to be a signature of; NULL: there is none
};
