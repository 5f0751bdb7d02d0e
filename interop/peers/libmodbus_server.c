/* Serves the suite's data set with libmodbus, on TCP or, with `rtu PATH`, on a serial port. Prints the
 * port it listens on, or that it is ready. */

#include <arpa/inet.h>
#include <errno.h>
#include <modbus.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SIZE = 1000, UNITS = 2 };

static modbus_mapping_t *new_unit(int unit)
{
    modbus_mapping_t *map = modbus_mapping_new(SIZE, SIZE, SIZE, SIZE);
    if (map == NULL)
        return NULL;
    for (int a = 0; a < SIZE; a++) {
        map->tab_bits[a] = (a + unit - 1) % 3 == 0;
        map->tab_input_bits[a] = (a + unit - 1) % 5 == 0;
        map->tab_registers[a] = (uint16_t) (a * 7 + unit);
        map->tab_input_registers[a] = (uint16_t) (a * 3 + 1 + unit);
    }
    return map;
}

/* modbus_tcp_listen cannot tell which port it was given for port 0, so the socket is ours. */
static int listen_on_free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t length = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (listener < 0 || bind(listener, (struct sockaddr *) &address, sizeof address) != 0
        || listen(listener, 8) != 0
        || getsockname(listener, (struct sockaddr *) &address, &length) != 0) {
        perror("listen");
        exit(1);
    }
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    return listener;
}

/* Answers until the connection ends. */
static void serve(modbus_t *context, modbus_mapping_t **units)
{
    uint8_t query[MODBUS_TCP_MAX_ADU_LENGTH];
    int unit_offset = modbus_get_header_length(context) - 1;

    for (;;) {
        int length = modbus_receive(context, query);
        if (length < 0)
            return;
        if (length == 0) /* another unit's */
            continue;
        int unit = query[unit_offset];
        if (unit >= 1 && unit <= UNITS)
            modbus_reply(context, query, length, units[unit - 1]);
        else
            modbus_reply_exception(context, query, MODBUS_EXCEPTION_GATEWAY_TARGET);
    }
}

/* One connection at a time, as in libmodbus' own examples. */
static int serve_tcp(modbus_t *context, modbus_mapping_t **units)
{
    int listener = listen_on_free_port();
    for (;;) {
        int connection = accept(listener, NULL, NULL);
        if (connection < 0)
            return 1;
        modbus_set_socket(context, connection);
        serve(context, units);
        close(connection);
    }
}

/* A context on a line hears one unit. What is wrong with a request ends no line: libmodbus' examples go
 * on after it, as long as the port is there. */
static int serve_line(modbus_t *context, modbus_mapping_t **units)
{
    if (modbus_set_slave(context, 1) != 0 || modbus_connect(context) != 0) {
        fprintf(stderr, "the port: %s\n", modbus_strerror(errno));
        return 1;
    }
    puts("ready");
    fflush(stdout);
    do
        serve(context, units);
    while (errno != EBADF && errno != EIO && errno != ECONNRESET);
    return 1;
}

int main(int argc, char **argv)
{
    int line = argc == 3; /* rtu PATH, and not tcp alone */
    modbus_t *context = line ? modbus_new_rtu(argv[2], 19200, 'N', 8, 1)
                             : modbus_new_tcp("127.0.0.1", 0);
    modbus_mapping_t *units[UNITS] = {new_unit(1), new_unit(2)};

    if (context == NULL || units[0] == NULL || units[1] == NULL)
        return 1;
    /* libmodbus sleeps this long before it answers an unknown function or a bad quantity. */
    modbus_set_response_timeout(context, 0, 20000);
    return line ? serve_line(context, units) : serve_tcp(context, units);
}
