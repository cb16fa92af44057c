/*
 * Publish three events, and tell what became of them.
 *
 * CONNECTION_STR='Endpoint=sb://...' EVENTHUB_NAME=telemetry ./publish
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hubwire.h"

static int complain(void)
{
    char why[512];
    hubwire_last_error(why, sizeof why);
    fprintf(stderr, "%s\n", why);
    return EXIT_FAILURE;
}

int main(void)
{
    const char *events[] = {"first event", "second event", "..."};
    const char *connection_string = getenv("CONNECTION_STR");
    hubwire_sender *sender;
    hubwire_batch *batch;
    hubwire_result sent;
    size_t number;

    if (connection_string == NULL) {
        fprintf(stderr, "set CONNECTION_STR\n");
        return EXIT_FAILURE;
    }
    if (hubwire_open(connection_string, getenv("EVENTHUB_NAME"), NULL, &sender) != HUBWIRE_OK) {
        return complain();
    }
    if (hubwire_batch_new(sender, NULL, &batch) != HUBWIRE_OK) {
        return complain();
    }
    for (number = 0; number < sizeof events / sizeof *events; number++) {
        /* Three short events fit any batch; HUBWIRE_FULL says that one does not. */
        if (hubwire_batch_add(batch, events[number], strlen(events[number])) != HUBWIRE_OK) {
            return complain();
        }
    }
    sent = hubwire_send_batch(sender, batch);
    if (sent == HUBWIRE_OK) {
        printf("accepted %zu events\n", number);
    } else {
        complain();
        puts(sent == HUBWIRE_NOT_SENT  ? "safe to send again"
             : sent == HUBWIRE_UNKNOWN ? "to send again may duplicate"
                                       : "refused");
    }
    hubwire_batch_free(batch);
    hubwire_close(sender);
    return sent == HUBWIRE_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
