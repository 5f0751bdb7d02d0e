/* libmodbus as a peer of the benchmarks: `libmodbus server`, or
 * `libmodbus client PORT CONNECTIONS MILLISECONDS`.
 *
 * The server is the select() loop that libmodbus leaves to its user, over the library's own
 * mapping; it ends when its standard input closes. The client has a thread for each connection,
 * since a context is one connection and one call. */
#include <arpa/inet.h>
#include <errno.h>
#include <modbus.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { REGISTERS = 65536, BLOCK = 10, SPAN = REGISTERS - 125, UNIT = 1 };

static uint16_t value_at(uint32_t address) { return (uint16_t)(address * 7 + 1); }

static void fail(const char *what)
{
    fprintf(stderr, "libmodbus peer: %s: %s\n", what, modbus_strerror(errno));
    exit(1);
}

static double seconds_of(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ---- server ---- */

static void accept_one(modbus_t *ctx, int listener, fd_set *open, int *highest)
{
    int fd = modbus_tcp_accept(ctx, &listener);
    if (fd < 0)
        return;
    if (fd >= FD_SETSIZE) { /* select() can't name it: what a user of this loop has to do */
        close(fd);
        return;
    }
    FD_SET(fd, open);
    if (fd > *highest)
        *highest = fd;
}

static void answer_one(modbus_t *ctx, int fd, modbus_mapping_t *map, fd_set *open)
{
    uint8_t query[MODBUS_TCP_MAX_ADU_LENGTH];
    modbus_set_socket(ctx, fd);
    int length = modbus_receive(ctx, query);
    if (length > 0)
        length = modbus_reply(ctx, query, length, map);
    if (length < 0) {
        close(fd);
        FD_CLR(fd, open);
    }
}

static int serve(void)
{
    modbus_t *ctx = modbus_new_tcp("127.0.0.1", 0);
    modbus_mapping_t *map = modbus_mapping_new(0, 0, REGISTERS, 0);
    if (!ctx || !map)
        fail("set-up");
    for (uint32_t address = 0; address < REGISTERS; address++)
        map->tab_registers[address] = value_at(address);

    int listener = modbus_tcp_listen(ctx, 128);
    struct sockaddr_in local;
    socklen_t size = sizeof local;
    if (listener < 0 || getsockname(listener, (struct sockaddr *)&local, &size) < 0)
        fail("listen");
    printf("ready %d\n", ntohs(local.sin_port));
    fflush(stdout);

    fd_set open;
    int highest = listener;
    FD_ZERO(&open);
    FD_SET(STDIN_FILENO, &open);
    FD_SET(listener, &open);
    for (;;) {
        fd_set ready = open;
        if (select(highest + 1, &ready, NULL, NULL, NULL) < 0)
            fail("select");
        for (int fd = 0; fd <= highest; fd++) {
            if (!FD_ISSET(fd, &ready))
                continue;
            if (fd == STDIN_FILENO) {
                char byte;
                if (read(fd, &byte, 1) <= 0)
                    return 0;
            } else if (fd == listener) {
                accept_one(ctx, listener, &open, &highest);
            } else {
                answer_one(ctx, fd, map, &open);
            }
        }
    }
}

/* ---- client ---- */

struct worker {
    pthread_t thread;
    modbus_t *ctx;
    uint32_t random;
    double deadline;
    uint64_t requests, errors;
};

static void read_once(struct worker *w)
{
    uint16_t values[BLOCK];
    w->random ^= w->random << 13;
    w->random ^= w->random >> 17;
    w->random ^= w->random << 5;
    uint32_t address = w->random % SPAN;
    if (modbus_read_registers(w->ctx, (int)address, BLOCK, values) != BLOCK) {
        w->errors++;
        return;
    }
    for (uint32_t i = 0; i < BLOCK; i++) {
        if (values[i] != value_at(address + i)) {
            w->errors++;
            return;
        }
    }
    w->requests++;
}

static void *work(void *argument)
{
    struct worker *w = argument;
    while (seconds_of(CLOCK_MONOTONIC) < w->deadline && w->errors == 0)
        read_once(w);
    return NULL;
}

static void run_all(struct worker *workers, int count, double seconds)
{
    double deadline = seconds_of(CLOCK_MONOTONIC) + seconds;
    for (int i = 0; i < count; i++) {
        workers[i].deadline = deadline;
        workers[i].requests = 0;
        if (pthread_create(&workers[i].thread, NULL, work, &workers[i]) != 0)
            fail("pthread_create");
    }
    for (int i = 0; i < count; i++)
        pthread_join(workers[i].thread, NULL);
}

static int call(int port, int connections, double seconds)
{
    struct worker *workers = calloc((size_t)connections, sizeof *workers);
    if (!workers)
        fail("calloc");
    for (int i = 0; i < connections; i++) {
        workers[i].random = 0x9e3779b9u + (uint32_t)i * 2654435761u;
        workers[i].ctx = modbus_new_tcp("127.0.0.1", port);
        if (!workers[i].ctx || modbus_set_slave(workers[i].ctx, UNIT) < 0 ||
            modbus_connect(workers[i].ctx) < 0)
            fail("connect");
    }
    run_all(workers, connections, 0.1); /* warm */

    double cpu = seconds_of(CLOCK_PROCESS_CPUTIME_ID), wall = seconds_of(CLOCK_MONOTONIC);
    run_all(workers, connections, seconds);
    cpu = seconds_of(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    wall = seconds_of(CLOCK_MONOTONIC) - wall;

    uint64_t requests = 0, errors = 0;
    for (int i = 0; i < connections; i++) {
        requests += workers[i].requests;
        errors += workers[i].errors;
    }
    printf("{\"requests\":%llu,\"errors\":%llu,\"seconds\":%.9f,\"cpu_seconds\":%.9f}\n",
           (unsigned long long)requests, (unsigned long long)errors, wall, cpu);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "server") == 0)
        return serve();
    if (argc == 2 && strcmp(argv[1], "version") == 0)
        return printf("%u.%u.%u\n", libmodbus_version_major, libmodbus_version_minor,
                      libmodbus_version_micro) < 0;
    if (argc == 5 && strcmp(argv[1], "client") == 0)
        return call(atoi(argv[2]), atoi(argv[3]), atof(argv[4]) / 1000);
    fprintf(stderr, "usage: libmodbus server | version | client PORT CONNECTIONS MILLISECONDS\n");
    return 2;
}
