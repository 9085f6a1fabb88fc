/* SPDX-License-Identifier: Apache-2.0
 *
 * See ask_password.h. Reading is by the octet: a stdio buffer would keep a copy, and what stands behind the line on
 * stdin is not ours to take.
 */
#include "ctl/ask_password.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/secret.h"
#include "password/password.h"

/* Without its end, which may be missing on the last line. */
static char *read_line(struct error *error)
{
    char *line = mem_zalloc(PASSWORD_LIMIT + 2);
    size_t len = 0;
    ssize_t got;

    while ((got = read(STDIN_FILENO, line + len, 1)) != 0 && len <= PASSWORD_LIMIT) {
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 || line[len] == '\n')
            break;
        len++;
    }
    if (len > 0 && line[len - 1] == '\r')
        len--;
    line[len] = '\0';
    if (got >= 0 && len <= PASSWORD_LIMIT && (got > 0 || len > 0))
        return line;
    error_set(error, ERROR_PERM,
              len > PASSWORD_LIMIT ? "the password is longer than %d octets" : "there is no password", PASSWORD_LIMIT);
    secret_wipe(line, PASSWORD_LIMIT + 2);
    free(line);
    return NULL;
}

/* ---- at a terminal ---- */

static struct termios before;

/* Leaving a terminal mute behind is rude: whoever interrupts us gets it back as it was. */
static void on_interrupt(int number)
{
    tcsetattr(STDIN_FILENO, TCSANOW, &before);
    signal(number, SIG_DFL);
    raise(number);
}

static void interrupts(void (*handler)(int))
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};

    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        signal(numbers[i], handler);
}

static char *read_hidden(const char *prompt, struct error *error)
{
    struct termios hidden = before;
    char *line;

    hidden.c_lflag &= (tcflag_t) ~(ECHO | ECHOE | ECHOK);
    hidden.c_lflag |= ECHONL;
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden);
    fputs(prompt, stderr); /* after it: what is typed sooner is thrown away */
    line = read_line(error);
    tcsetattr(STDIN_FILENO, TCSANOW, &before);
    return line;
}

static char *ask_terminal(bool twice, struct error *error)
{
    char *password = read_hidden("Password: ", error);
    char *again = password && twice ? read_hidden("The same again: ", error) : NULL;

    if (!twice || !password)
        return password;
    if (!again || strcmp(password, again) != 0) {
        if (again)
            error_set(error, ERROR_PERM, "the two are not the same");
        secret_free(password);
        password = NULL;
    }
    secret_free(again);
    return password;
}

char *ask_password(bool twice, struct error *error)
{
    char *password;

    if (!isatty(STDIN_FILENO) || tcgetattr(STDIN_FILENO, &before))
        return read_line(error);
    interrupts(on_interrupt);
    password = ask_terminal(twice, error);
    interrupts(SIG_DFL);
    return password;
}
