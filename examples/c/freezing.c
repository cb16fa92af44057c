/*
 * A handler as serverless hosts have them: one request at a time, a connection that is kept, and a process that is frozen in
 * between, for as long as the host likes. Here a request is a line of standard input, and each is an event.
 */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>

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
    char *line = NULL, why[512];
    size_t room = 0;
    ssize_t len;

    /* However long it is: a line is one event. */
    while ((len = getline(&line, &room, stdin)) > 0) {
        size_t body_len = (size_t)len - (line[len - 1] == '\n');
        hubwire_result result = handle(line, body_len);
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
    free(line);
    return ferror(stdin) ? EXIT_FAILURE : EXIT_SUCCESS;
}
