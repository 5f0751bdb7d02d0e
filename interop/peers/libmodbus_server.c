/* Serves the suite's data set with libmodbus. Prints the port it listens on. */

#include <arpa/inet.h>
#include <errno.h>
#include <modbus.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SIZE = 1000, UNITS = 2, UNIT_OFFSET = 6 };

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

/* One connection at a time, as in libmodbus' own examples. */
static void serve(modbus_t *context, modbus_mapping_t **units)
{
    uint8_t query[MODBUS_TCP_MAX_ADU_LENGTH];

    for (;;) {
        int length = modbus_receive(context, query);
        if (length < 0)
            return;
        int unit = query[UNIT_OFFSET];
        if (unit >= 1 && unit <= UNITS)
            modbus_reply(context, query, length, units[unit - 1]);
        else
            modbus_reply_exception(context, query, MODBUS_EXCEPTION_GATEWAY_TARGET);
    }
}

int main(void)
{
    modbus_t *context = modbus_new_tcp("127.0.0.1", 0);
    modbus_mapping_t *units[UNITS] = {new_unit(1), new_unit(2)};

    if (context == NULL || units[0] == NULL || units[1] == NULL)
        return 1;
    /* libmodbus sleeps this long before it answers an unknown function or a bad quantity. */
    modbus_set_response_timeout(context, 0, 20000);

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
