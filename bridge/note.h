// What is only written into the history, on nobody's behalf who waits for it.
#pragma once

struct server;

// An address was limited: an enrollment_event.
void note_limit(struct server *server, const char *peer, const char *request_id, const char *reason);
// Tokens whose time has passed unused.
void note_expired_tokens(struct server *server);
