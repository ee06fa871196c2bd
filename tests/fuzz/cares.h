/* The c-ares that the engine uses, for a program without Python. */
#ifndef DNSBL_FUZZ_CARES_H
#define DNSBL_FUZZ_CARES_H

#include "fanout.h"

/* Fills in what reads messages and records; ends the program if something is missing. The library is the file
 * named by DNSBL_CARES, pycares' module as a rule; without it the program itself is searched, which was then
 * linked with a c-ares built for the fuzzer. */
void cares_table(dnsbl_cares *table);

#endif
