/*
 * A handler as serverless hosts have them: one request at a time, a connection that is kept, and a process that is frozen in
 * between, for as long as the host likes. Here a request is a line of standard input, and each is an event.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hubwire.h"

static hubwire_sender *kept;

static hubwire_result handle(const char *event, size_t len)
{
    hubwire_result result = HUBWIRE_OK;
    if (kept == NULL) {
        result = hubwire_open(getenv("CONNECTION_STR"), getenv("EVENTHUB_NAME"), NULL, &kept);
    }
    /* What became of the connection meanwhile is looked at first. */
    return result == HUBWIRE_OK ? hubwire_send(kept, event, len) : result;
}

int main(void)
{
    char line[4096], why[512];

    while (fgets(line, sizeof line, stdin) != NULL) {
        hubwire_result result = handle(line, strcspn(line, "\n"));
        hubwire_outcome outcome;
        hubwire_last_outcome(&outcome);
        hubwire_last_error(why, sizeof why);
        switch (result) {
        case HUBWIRE_OK:
            puts("accepted");
            break;
        case HUBWIRE_UNKNOWN:
            printf("unknown, sending again may duplicate: %s\n", why);
            break;
        default:
            printf("not stored: %s\n", why);
        }
        if (result != HUBWIRE_OK && !outcome.is_retryable) {
            /* The hub's no: the next request begins anew. */
            hubwire_close(kept);
            kept = NULL;
        }
        fflush(stdout);
    }
    hubwire_close(kept);
    return EXIT_SUCCESS;
}
