// The work of one turn, in transactions.
#pragma once

struct commander;

// Does what is due until nothing is, or for so many transactions that the broker gets its turn. After a failure nothing
// of the last transaction has happened; commander->failed is set and everything stays due.
void turn_work(struct commander *commander);
