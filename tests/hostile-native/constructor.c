// A library that leaves a mark as soon as it is opened, before anyone can ask what it is.
#include <stdio.h>
#include <stdlib.h>

__attribute__((constructor)) static void mark(void) {
    FILE *file = fopen(getenv("POTSTILL_TEST_MARK"), "w");
    if (file) fclose(file);
}
