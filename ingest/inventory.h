// Inventories: the latest of each kind replaces what was known.
#pragma once

struct inventory {
	const char *kind; // hardware | network | services | software
	const char *body; // JSON object
};
