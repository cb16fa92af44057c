/*
 * A pipe from a log file: each line is an event, in batches, for as long as lines come.
 *
 * tail -n +1 -F app.log | CONNECTION_STR='Endpoint=sb://...' EVENTHUB_NAME=telemetry ./pipe
 */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hubwire.h"

static hubwire_sender *sender;
static hubwire_batch *batch;
static size_t accepted;

static void stop(void)
{
    char why[512];
    hubwire_last_error(why, sizeof why);
    fprintf(stderr, "accepted %zu events, then: %s\n", accepted, why);
    exit(EXIT_FAILURE);
}

static void send_batch(void)
{
    size_t count = hubwire_batch_count(batch);
    if (count == 0) {
        return;
    }
    if (hubwire_send_batch(sender, batch) != HUBWIRE_OK) {
        stop();
    }
    accepted += count;
}

static void add(const char *line, size_t len)
{
    hubwire_result added = hubwire_batch_add(batch, line, len);
    if (added == HUBWIRE_FULL) {
        send_batch();
        added = hubwire_batch_add(batch, line, len);
    }
    if (added != HUBWIRE_OK) {
        stop();
    }
}

/* Whether there is something to read, or the end of it. */
static int is_more_there(void)
{
    struct pollfd input = {STDIN_FILENO, POLLIN, 0};
    return poll(&input, 1, 0) > 0;
}

int main(void)
{
    const char *connection_string = getenv("CONNECTION_STR");
    char *buffer = NULL;
    size_t room = 0, held = 0;
    ssize_t read_len = 1;
    int failed = 0;

    if (connection_string == NULL) {
        fprintf(stderr, "set CONNECTION_STR\n");
        return EXIT_FAILURE;
    }
    if (hubwire_open(connection_string, getenv("EVENTHUB_NAME"), NULL, &sender) != HUBWIRE_OK ||
        hubwire_batch_new(sender, NULL, &batch) != HUBWIRE_OK) {
        stop();
    }
    while (read_len > 0) {
        char *line, *end;
        if (held == room) {
            room = room ? 2 * room : 65536;
            buffer = realloc(buffer, room);
            if (buffer == NULL) {
                abort();
            }
        }
        /* Nothing leaves between calls: what is there leaves before this waits. */
        if (!is_more_there()) {
            send_batch();
        }
        do {
            read_len = read(STDIN_FILENO, buffer + held, room - held);
        } while (read_len < 0 && errno == EINTR);
        if (read_len < 0) {
            /* No end: what comes after it is not known. What was read whole leaves. */
            perror("cannot read");
            failed = 1;
            held = 0;
        }
        held += read_len > 0 ? (size_t)read_len : 0;
        for (line = buffer; (end = memchr(line, '\n', held - (size_t)(line - buffer))) != NULL; line = end + 1) {
            add(line, (size_t)(end - line));
        }
        held -= (size_t)(line - buffer);
        memmove(buffer, line, held);
    }
    if (held > 0) {
        add(buffer, held);
    }
    send_batch();
    printf("accepted %zu events\n", accepted);
    free(buffer);
    hubwire_batch_free(batch);
    hubwire_close(sender);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
