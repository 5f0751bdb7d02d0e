/* Runs the script on stdin with libmodbus: tcp HOST PORT, or rtu PATH. */

#include <errno.h>
#include <modbus.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_WORDS = 140, LINE = 8192, TCP_HEADER = 7, CRC = 2 };

#define NOT_OFFERED "not offered"

struct step {
    char *op;
    char **args;
    int count;
};

struct outcome {
    int ok;
    char detail[LINE];
};

static long number(const struct step *step, int index)
{
    return index < step->count ? strtol(step->args[index], NULL, 10) : 0;
}

static void say(struct outcome *out, const char *text)
{
    out->ok = 1;
    snprintf(out->detail, sizeof out->detail, "%s", text);
}

/* libmodbus reports everything through errno; its own numbers hold the exception code. */
static void fail(struct outcome *out, int error)
{
    if (error > MODBUS_ENOBASE && error < MODBUS_ENOBASE + MODBUS_EXCEPTION_MAX) {
        out->ok = 1;
        snprintf(out->detail, sizeof out->detail, "exception %d", error - MODBUS_ENOBASE);
        return;
    }
    out->ok = 0;
    if (error == ETIMEDOUT)
        snprintf(out->detail, sizeof out->detail, "timeout");
    else if (error == ECONNRESET || error == EPIPE || error == ECONNREFUSED)
        snprintf(out->detail, sizeof out->detail, "closed");
    else
        snprintf(out->detail, sizeof out->detail, "error: %s", modbus_strerror(error));
}

static void say_registers(struct outcome *out, const uint16_t *values, int count)
{
    size_t used = strlen(out->detail);
    out->ok = 1;
    for (int i = 0; i < count; i++)
        used += (size_t) snprintf(out->detail + used, sizeof out->detail - used, "%s%u",
                                  i > 0 ? " " : "", values[i]);
}

static void read_bits(modbus_t *context, const struct step *step, struct outcome *out)
{
    uint8_t bits[MODBUS_MAX_READ_BITS + 1] = {0};
    int address = (int) number(step, 0), count = (int) number(step, 1);
    int done = strcmp(step->op, "coils") == 0
                   ? modbus_read_bits(context, address, count, bits)
                   : modbus_read_input_bits(context, address, count, bits);
    if (done < 0) {
        fail(out, errno);
        return;
    }
    out->ok = 1;
    for (int i = 0; i < done; i++)
        out->detail[i] = bits[i] ? '1' : '0';
}

static void read_registers(modbus_t *context, const struct step *step, struct outcome *out)
{
    uint16_t values[MODBUS_MAX_READ_REGISTERS] = {0};
    int address = (int) number(step, 0), count = (int) number(step, 1);
    int done = strcmp(step->op, "holding") == 0
                   ? modbus_read_registers(context, address, count, values)
                   : modbus_read_input_registers(context, address, count, values);
    if (done < 0)
        fail(out, errno);
    else
        say_registers(out, values, done);
}

static void write_cells(modbus_t *context, const struct step *step, struct outcome *out)
{
    uint16_t values[MAX_WORDS];
    uint8_t bits[LINE];
    int address = (int) number(step, 0);
    int done;

    if (strcmp(step->op, "write-coil") == 0) {
        done = modbus_write_bit(context, address, (int) number(step, 1));
    } else if (strcmp(step->op, "write-register") == 0) {
        done = modbus_write_register(context, address, (uint16_t) number(step, 1));
    } else if (strcmp(step->op, "write-coils") == 0) {
        int count = (int) strlen(step->args[1]);
        for (int i = 0; i < count; i++)
            bits[i] = step->args[1][i] == '1';
        done = modbus_write_bits(context, address, count, bits);
    } else if (strcmp(step->op, "write-registers") == 0) {
        for (int i = 1; i < step->count; i++)
            values[i - 1] = (uint16_t) number(step, i);
        done = modbus_write_registers(context, address, step->count - 1, values);
    } else {
        done = modbus_mask_write_register(context, address, (uint16_t) number(step, 1),
                                          (uint16_t) number(step, 2));
    }
    if (done < 0)
        fail(out, errno);
    else
        say(out, "written");
}

static void read_write(modbus_t *context, const struct step *step, struct outcome *out)
{
    uint16_t values[MAX_WORDS], reply[MODBUS_MAX_WR_READ_REGISTERS];
    for (int i = 3; i < step->count; i++)
        values[i - 3] = (uint16_t) number(step, i);
    int done = modbus_write_and_read_registers(context, (int) number(step, 2), step->count - 3,
                                               values, (int) number(step, 0),
                                               (int) number(step, 1), reply);
    if (done < 0)
        fail(out, errno);
    else
        say_registers(out, reply, done);
}

static void server_id(modbus_t *context, struct outcome *out)
{
    uint8_t data[MODBUS_MAX_PDU_LENGTH];
    int done = modbus_report_slave_id(context, sizeof data, data);
    if (done < 2) {
        fail(out, errno);
        return;
    }
    out->ok = 1;
    int used = snprintf(out->detail, sizeof out->detail, "id %02x %s %s", data[0],
                        data[1] == 0xFF ? "on" : "off", done == 2 ? "-" : "");
    for (int i = 2; i < done; i++)
        used += snprintf(out->detail + used, sizeof out->detail - (size_t) used, "%02x", data[i]);
}

/* A reply to a raw request comes back as a whole ADU, exceptions too. */
static void receive_raw(modbus_t *context, struct outcome *out, int function)
{
    uint8_t reply[MODBUS_TCP_MAX_ADU_LENGTH];
    int header = modbus_get_header_length(context);
    int end = modbus_receive_confirmation(context, reply) - (header == TCP_HEADER ? 0 : CRC);
    if (end < header + 1) {
        fail(out, errno);
        return;
    }
    out->ok = 1;
    if (reply[header] == (function | 0x80) && end > header + 1) {
        snprintf(out->detail, sizeof out->detail, "exception %d", reply[header + 1]);
        return;
    }
    if (reply[header] != function) {
        out->ok = 0;
        snprintf(out->detail, sizeof out->detail, "error: function code %d", reply[header]);
        return;
    }
    int used = snprintf(out->detail, sizeof out->detail, "reply ");
    for (int i = header + 1; i < end; i++)
        used += snprintf(out->detail + used, sizeof out->detail - (size_t) used, "%02x", reply[i]);
}

static void raw(modbus_t *context, const struct step *step, int unit, struct outcome *out)
{
    uint8_t request[MODBUS_MAX_PDU_LENGTH + 1];
    const char *hex = step->args[1];
    int length = 2;

    request[0] = (uint8_t) unit;
    request[1] = (uint8_t) number(step, 0);
    for (; hex[0] != '\0' && hex[1] != '\0'; hex += 2) {
        unsigned byte = 0;
        sscanf(hex, "%2x", &byte);
        request[length++] = (uint8_t) byte;
    }
    if (modbus_send_raw_request(context, request, length) < 0)
        fail(out, errno);
    else
        receive_raw(context, out, request[1]);
}

/* Several requests sent before the first reply is read: only raw requests can do that, and not on a
 * line that has one at a time. */
static void pipeline(modbus_t *context, const struct step *step, int unit, struct outcome *out)
{
    int address = (int) number(step, 0), each = (int) number(step, 1), times = (int) number(step, 2);
    uint8_t reply[MODBUS_TCP_MAX_ADU_LENGTH];

    for (int i = 0; i < times; i++) {
        int from = address + i * each;
        uint8_t request[] = {(uint8_t) unit, MODBUS_FC_READ_HOLDING_REGISTERS,
                             (uint8_t) (from >> 8),  (uint8_t) from, 0, (uint8_t) each};
        if (modbus_send_raw_request(context, request, sizeof request) < 0) {
            fail(out, errno);
            return;
        }
    }
    for (int i = 0; i < times; i++) {
        uint16_t values[MODBUS_MAX_READ_REGISTERS];
        int length = modbus_receive_confirmation(context, reply);
        if (length < TCP_HEADER + 2) {
            fail(out, errno);
            return;
        }
        int count = (length - TCP_HEADER - 2) / 2;
        for (int v = 0; v < count; v++)
            values[v] = MODBUS_GET_INT16_FROM_INT8(reply, TCP_HEADER + 2 + 2 * v);
        if (i > 0)
            strcat(out->detail, " | ");
        say_registers(out, values, count);
    }
}

static void run_step(modbus_t *context, const struct step *step, int unit, struct outcome *out)
{
    static const char *const writes[] = {"write-coil", "write-register", "write-coils",
                                         "write-registers", "mask"};
    memset(out, 0, sizeof *out);
    modbus_set_slave(context, unit);
    for (size_t i = 0; i < sizeof writes / sizeof *writes; i++)
        if (strcmp(step->op, writes[i]) == 0) {
            write_cells(context, step, out);
            return;
        }
    if (strcmp(step->op, "coils") == 0 || strcmp(step->op, "discrete") == 0)
        read_bits(context, step, out);
    else if (strcmp(step->op, "holding") == 0 || strcmp(step->op, "input") == 0)
        read_registers(context, step, out);
    else if (strcmp(step->op, "read-write") == 0)
        read_write(context, step, out);
    else if (strcmp(step->op, "server-id") == 0)
        server_id(context, out);
    else if (strcmp(step->op, "raw") == 0)
        raw(context, step, unit, out);
    else if (strcmp(step->op, "pipeline") == 0 && modbus_get_header_length(context) == TCP_HEADER)
        pipeline(context, step, unit, out);
    else
        snprintf(out->detail, sizeof out->detail, NOT_OFFERED);
}

int main(int argc, char **argv)
{
    static char line[LINE];
    static struct outcome out;
    char before[64] = "";
    int broken = 0;

    if (argc != 3 && argc != 4)
        return 2;
    modbus_t *context = argc == 3 ? modbus_new_rtu(argv[2], 19200, 'N', 8, 1)
                                  : modbus_new_tcp(argv[2], atoi(argv[3]));
    if (context == NULL)
        return 1;
    modbus_set_response_timeout(context, 2, 0);
    if (argc == 3)
        modbus_set_error_recovery(context, MODBUS_ERROR_RECOVERY_PROTOCOL);

    while (fgets(line, sizeof line, stdin) != NULL) {
        char *words[MAX_WORDS];
        int count = 0;
        for (char *w = strtok(line, " \n"); w != NULL && count < MAX_WORDS; w = strtok(NULL, " \n"))
            words[count++] = w;
        struct step step = {words[2], words + 3, count - 3};
        if (broken || strcmp(words[0], before) != 0) {
            modbus_close(context);
            if (modbus_connect(context) != 0)
                return 1;
            modbus_flush(context); /* closing a port forgets nothing that has come */
        }
        run_step(context, &step, atoi(words[1]), &out);
        printf("{\"case\": \"%s\", \"ok\": %s, \"detail\": \"%s\"}\n", words[0],
               out.ok ? "true" : "false", out.detail);
        fflush(stdout);
        snprintf(before, sizeof before, "%s", words[0]);
        broken = !out.ok && strcmp(out.detail, NOT_OFFERED) != 0;
    }
    modbus_close(context);
    modbus_free(context);
    return 0;
}
