/* Qpid Proton: its C library, through the proactor, up to a window of deliveries without an outcome.
 *
 *     proton PORT EVENT_LEN EVENTS WARM_UP BATCHES WINDOW [again]
 *
 * Each batch is packed by plain copies; with `again`, one that was packed beforehand is sent every time. Proton has no way
 * to say another message-format than 0: the batches are marked as single messages, and are the same bytes otherwise.
 */
#define _GNU_SOURCE
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include <proton/condition.h>
#include <proton/connection.h>
#include <proton/delivery.h>
#include <proton/event.h>
#include <proton/link.h>
#include <proton/proactor.h>
#include <proton/sasl.h>
#include <proton/session.h>
#include <proton/transport.h>

enum phase { FIRST, WARM_UP, SPAN, OVER };

static size_t event_len, events, warm_up, batches, window;
static bool again;
static char *body, *message;
static size_t message_len;
static enum phase phase = FIRST;
static size_t sent, settled, goal = 1;
static double began, cpu_before;

static double clock_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec + now.tv_nsec / 1e9;
}

static double cpu_now(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_utime.tv_sec + usage.ru_stime.tv_sec + (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

/* Not ru_maxrss: that would be of the one who started this program, if that was larger. */
static long peak_kib(void) {
    FILE *status = fopen("/proc/self/status", "r");
    char line[256];
    long kib = 0;
    while (status && fgets(line, sizeof line, status)) sscanf(line, "VmHWM: %ld", &kib);
    if (status) fclose(status);
    return kib;
}

/* A data section's start. */
static size_t put_section(char *to, size_t len) {
    memcpy(to, "\0\x53\x75", 3);
    if (len < 256) {
        to[3] = (char)0xa0;
        to[4] = (char)len;
        return 5;
    }
    to[3] = (char)0xb0;
    for (int at = 0; at < 4; at++) to[4 + at] = (char)(len >> (24 - 8 * at));
    return 8;
}

static void pack(void) {
    char inner[8];
    size_t inner_len = put_section(inner, event_len), at = 0;
    for (size_t event = 0; event < events; event++) {
        at += put_section(message + at, inner_len + event_len);
        memcpy(message + at, inner, inner_len);
        memcpy(message + at + inner_len, body, event_len);
        at += inner_len + event_len;
    }
    message_len = at;
}

static void send_more(pn_link_t *link) {
    while (sent < goal && sent - settled < window && pn_link_credit(link) > 0) {
        static uint64_t number;
        number++;
        if (!again) pack();
        pn_delivery(link, pn_dtag((const char *)&number, sizeof number));
        pn_link_send(link, message, message_len);
        pn_link_advance(link);
        sent++;
    }
}

static void next_phase(pn_connection_t *connection) {
    while (phase != OVER && settled == goal) {
        sent = settled = 0;
        switch (phase) {
        case FIRST:
            puts("first");
            fflush(stdout);
            phase = WARM_UP;
            goal = warm_up;
            break;
        case WARM_UP:
            phase = SPAN;
            goal = batches;
            began = clock_now();
            cpu_before = cpu_now();
            break;
        default:
            printf("{\"events\": %zu, \"seconds\": %f, \"cpu_seconds\": %f, \"peak_kib\": %ld}\n", batches * events,
                   clock_now() - began, cpu_now() - cpu_before, peak_kib());
            phase = OVER;
            goal = 0;
            pn_connection_close(connection);
        }
    }
}

static void fail(const char *what, pn_condition_t *condition) {
    const char *why = condition ? pn_condition_get_description(condition) : NULL;
    fprintf(stderr, "proton: %s: %s\n", what, why ? why : "no reason told");
    exit(1);
}

static void on_event(pn_event_t *event) {
    pn_delivery_t *delivery;
    switch (pn_event_type(event)) {
    case PN_LINK_FLOW:
        send_more(pn_event_link(event));
        break;
    case PN_DELIVERY:
        delivery = pn_event_delivery(event);
        if (pn_delivery_remote_state(delivery) != PN_ACCEPTED) fail("not accepted", NULL);
        pn_delivery_settle(delivery);
        settled++;
        next_phase(pn_event_connection(event));
        send_more(pn_event_link(event));
        break;
    case PN_CONNECTION_REMOTE_CLOSE:
        if (phase == OVER) exit(0);
        fail("closed", pn_connection_remote_condition(pn_event_connection(event)));
        break;
    case PN_TRANSPORT_ERROR:
        fail("connection", pn_transport_condition(pn_event_transport(event)));
        break;
    case PN_TRANSPORT_CLOSED:
        exit(phase == OVER ? 0 : 1);
    default:
        break;
    }
}

int main(int argc, char **argv) {
    if (argc < 7) return 2;
    size_t *numbers[] = {&event_len, &events, &warm_up, &batches, &window};
    for (int at = 0; at < 5; at++) *numbers[at] = strtoul(argv[2 + at], NULL, 10);
    again = argc > 7 && !strcmp(argv[7], "again");
    body = malloc(event_len);
    memset(body, 7, event_len);
    message = malloc(events * (event_len + 16));
    pack();

    char address[64];
    snprintf(address, sizeof address, "127.0.0.1:%s", argv[1]);
    pn_proactor_t *proactor = pn_proactor();
    pn_connection_t *connection = pn_connection();
    pn_connection_set_container(connection, "field");
    pn_connection_set_hostname(connection, "localhost");
    pn_connection_set_user(connection, "any");
    pn_connection_set_password(connection, "a2V5");
    pn_transport_t *transport = pn_transport();
    pn_transport_set_max_frame(transport, 65536);
    pn_sasl_allowed_mechs(pn_sasl(transport), "PLAIN");
    pn_sasl_set_allow_insecure_mechs(pn_sasl(transport), true);
    pn_connection_open(connection);
    pn_session_t *session = pn_session(connection);
    pn_session_open(session);
    pn_link_t *link = pn_sender(session, "events");
    pn_terminus_set_address(pn_link_target(link), "telemetry");
    pn_link_open(link);
    pn_proactor_connect2(proactor, connection, transport, address);
    for (;;) {
        pn_event_batch_t *arrived = pn_proactor_wait(proactor);
        pn_event_t *event;
        while ((event = pn_event_batch_next(arrived))) on_event(event);
        pn_proactor_done(proactor, arrived);
    }
}
